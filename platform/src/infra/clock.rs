//! Time, passed in.
use crate::values::Timestamp;
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Where the time comes from. A transaction takes it once (`tx.now()`).
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's.
    System,
    /// One that stands still until it is moved: for tests.
    Fixed(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at this instant.
    pub fn fixed(at: Timestamp) -> Self {
        Self::Fixed(Arc::new(AtomicI64::new(at.as_micros())))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match self {
            #[expect(clippy::disallowed_methods, reason = "this is where time comes from")]
            Self::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_micros(0).plus(since)
            }
            Self::Fixed(micros) => Timestamp::from_micros(micros.load(SeqCst)),
        }
    }

    /// Moves a fixed clock on; the machine's cannot be moved.
    pub fn advance(&self, duration: Duration) {
        if let Self::Fixed(micros) = self {
            micros.store(self.now().plus(duration).as_micros(), SeqCst);
        }
    }
}
