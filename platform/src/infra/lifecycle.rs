//! How far this process is from its start to its end: one value that all who have to stop wait for.
use std::sync::Arc;
use tokio::sync::watch;

/// In this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Everything is done.
    Serving,
    /// It was told to stop: no longer ready, nothing is claimed, and what is asked is answered still.
    Stopping,
    /// Nothing new is accepted; what is in flight finishes.
    Closing,
}

/// Shared by all parts of the process.
#[derive(Clone)]
pub struct Lifecycle(Arc<watch::Sender<Stage>>);

impl Default for Lifecycle {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Stage::Serving)))
    }
}

impl Lifecycle {
    /// Where it is now.
    pub fn stage(&self) -> Stage {
        *self.0.borrow()
    }

    /// Goes on to a stage; there is no way back.
    pub fn enter(&self, stage: Stage) {
        self.0.send_if_modified(|now| {
            let later = *now < stage;
            if later {
                *now = stage;
            }
            later
        });
    }

    /// Waits until it is there, or past it.
    pub async fn reached(&self, stage: Stage) {
        let mut watched = self.0.subscribe();
        let _ = watched.wait_for(|now| *now >= stage).await; // the sender is `self`
    }
}
