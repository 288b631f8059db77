//! When single-use tokens were used at this node. A second use that had arrived before the first was committed is no
//! theft, however long it then waited for the database.
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// When each token was won, for as long as a request that had arrived before may still be waiting.
pub struct Arrivals {
    won: Mutex<HashMap<Vec<u8>, Instant>>,
    kept: Duration,
}

impl Arrivals {
    /// For requests that last at most so long.
    pub fn new(longest_request: Duration) -> Self {
        Self { won: Mutex::default(), kept: 2 * longest_request }
    }

    /// A use of the token with this hash has won, and that is committed.
    pub fn won(&self, hash: Vec<u8>) {
        let now = Instant::now();
        let mut won = self.won.lock().unwrap_or_else(PoisonError::into_inner);
        won.retain(|_, at| now.duration_since(*at) < self.kept);
        won.insert(hash, now);
    }

    /// Whether a use of the token was committed at this node after this one had arrived; `None` where none was
    /// committed here lately.
    pub fn overtaken(&self, hash: &[u8], arrived: Instant) -> Option<bool> {
        let won = self.won.lock().unwrap_or_else(PoisonError::into_inner);
        won.get(hash).map(|at| arrived <= *at)
    }
}
