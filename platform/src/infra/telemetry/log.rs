//! The log: one structured line a request, written by the request log; everything else is about the process. What is
//! written during a request has its id.
use super::traces::{self, Traces};
use std::io::IsTerminal;
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{LevelFilter, Targets},
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

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
/// PostgreSQL logs the parameters of statements, and there are password hashes among them. Traces are no lines.
const NEVER: [&str; 3] = ["tokio_postgres=warn", "rustls=warn", "tenantry::trace=off"];

/// Whether `RUST_LOG` can be read; why not.
pub fn check_filter(filter: &str) -> Result<(), String> {
    EnvFilter::try_new(filter).map(drop).map_err(|e| e.to_string())
}

/// Starts logging to standard error, and sending traces where there are any. `filter` is as `RUST_LOG` has it.
pub fn start(format: LogFormat, filter: &str, colours: bool, traces: Option<&Traces>) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let filter = NEVER.iter().filter_map(|never| never.parse().ok()).fold(filter, EnvFilter::add_directive);
    let registry = tracing_subscriber::registry();
    // a second start in one process (tests) keeps the first
    let _ = match traces {
        // one filter for everything: what it refuses costs nothing
        None => registry.with(filter).with(lines(format, colours)).try_init(),
        Some(traces) => {
            let spans = Targets::new().with_target(traces::TARGET, LevelFilter::INFO);
            let sent = tracing_opentelemetry::layer()
                .with_tracer(traces.tracer())
                .with_location(false)
                .with_threads(false)
                .with_target(false)
                .with_tracked_inactivity(false);
            registry.with(sent.with_filter(spans)).with(lines(format, colours).with_filter(filter)).try_init()
        }
    };
}

fn lines<S>(format: LogFormat, colours: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    // a log that cannot be written would be complained of where it cannot be written, which panics
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).log_internal_errors(false);
    match format {
        LogFormat::Pretty => lines.with_target(false).with_ansi(colours).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    }
}
