//! From the start to the end of a process that serves: what it does on the first signal to stop, and on the second.
use super::Faults;
use crate::{core::Core, infra::lifecycle::Stage, server::ServerSettings};
use std::time::Duration;
use tokio::time::sleep;

/// For what is done after the last request and the last job, such as giving back what was claimed.
const LAST_THINGS: Duration = Duration::from_secs(5);

/// Runs all of it until it has ended by itself after a signal. A second signal ends the process at once.
pub(super) async fn until_stopped<T>(
    mut signals: Signals,
    core: &Core,
    settings: &ServerSettings,
    work: impl Future<Output = T>,
) {
    let stopping = async {
        let signal = signals.next().await;
        tracing::info!(signal = signal.name(), "stopping: requests and jobs in flight are finished first");
        core.lifecycle.enter(Stage::Stopping);
        // nobody balances between this and another node where somebody sits before it
        if signal == Signal::Terminate {
            signals.end_at_once_or(sleep(settings.shutdown_delay)).await;
        }
        core.lifecycle.enter(Stage::Closing);
        signals.end_at_once_or(std::future::pending()).await;
    };
    let ended = async {
        core.lifecycle.reached(Stage::Closing).await;
        sleep(settings.shutdown_grace + LAST_THINGS).await;
    };
    tokio::select! {
        _ = work => {}
        () = stopping => {}
        () = core.metrics.keep() => {}
        never = core.db.relay() => match never {},
        () = ended => tracing::warn!("not everything had ended in time; what was claimed is free again when its lease ends"),
    }
    core.db.close();
    tracing::info!("stopped");
}

/// What asks a process to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    /// A service manager.
    Terminate,
    /// Ctrl-C.
    Interrupt,
}

impl Signal {
    const fn name(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        }
    }

    /// As shells tell of a process that a signal has ended.
    const fn exit_code(self) -> i32 {
        match self {
            Self::Terminate => 128 + 15,
            Self::Interrupt => 128 + 2,
        }
    }
}

/// Caught from the making of this on: before that, a signal ends the process.
pub(super) struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    pub fn catch() -> Result<Self, Faults> {
        use tokio::signal::unix::{SignalKind, signal};
        let caught = |kind| signal(kind).map_err(|e| vec![format!("cannot wait for signals: {e}")]);
        Ok(Self { terminate: caught(SignalKind::terminate())?, interrupt: caught(SignalKind::interrupt())? })
    }

    #[cfg(unix)]
    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Interrupt,
        }
    }

    #[cfg(not(unix))]
    pub fn catch() -> Result<Self, Faults> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) -> Signal {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Signal::Interrupt
    }

    /// Waits for it; another signal meanwhile is meant.
    async fn end_at_once_or(&mut self, wait: impl Future<Output = ()>) {
        tokio::select! {
            () = wait => {}
            signal = self.next() => {
                tracing::warn!(signal = signal.name(), "told to stop again: ended at once");
                std::process::exit(signal.exit_code());
            }
        }
    }
}
