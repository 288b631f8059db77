//! The log: one structured line a request, written by the request log; everything else is about the process.
use std::io::IsTerminal;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// For people on a terminal, JSON elsewhere.
    pub fn detect() -> Self {
        if std::io::stderr().is_terminal() { Self::Pretty } else { Self::Json }
    }
}

/// What the libraries beneath would write of their own accord is kept out whatever the filter says: the driver of
/// PostgreSQL logs the parameters of statements, and there are password hashes among them.
const NEVER: [&str; 2] = ["tokio_postgres=warn", "rustls=warn"];

/// Whether `RUST_LOG` can be read; why not.
pub fn check_filter(filter: &str) -> Result<(), String> {
    EnvFilter::try_new(filter).map(drop).map_err(|e| e.to_string())
}

/// Starts logging to standard error. `filter` is as `RUST_LOG` has it.
pub fn start(format: LogFormat, filter: &str, colours: bool) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let filter = NEVER.iter().filter_map(|never| never.parse().ok()).fold(filter, EnvFilter::add_directive);
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // a second start in one process (tests) keeps the first
    let _ = match format {
        LogFormat::Pretty => registry.with(layer.with_target(false).with_ansi(colours)).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
}
