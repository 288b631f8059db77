//! Who won single-use tokens at this node. A second use that had arrived before the first was answered is no theft,
//! however long it then waited for the database, or to be read from its socket.
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The tokens that were won lately, for as long as a request that had arrived before may still be waiting.
pub struct Arrivals {
    uses: Mutex<HashMap<Vec<u8>, Use>>,
    kept: Duration,
}

#[derive(Clone, Copy)]
enum Use {
    /// Its replacement is written, but not answered yet.
    Winning,
    /// The answer was handed over then.
    Won(Instant),
}

/// A use that is about to win. Forgotten if it is dropped before it has.
pub struct Winning<'a> {
    arrivals: &'a Arrivals,
    hash: Vec<u8>,
    won: bool,
}

impl Arrivals {
    /// For requests that last at most so long.
    pub fn new(longest_request: Duration) -> Self {
        Self { uses: Mutex::default(), kept: 2 * longest_request }
    }

    fn uses(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Use>> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A use has replaced the token with this hash, in a transaction that is not committed yet.
    pub fn winning(&self, hash: Vec<u8>) -> Winning<'_> {
        let now = Instant::now();
        let mut uses = self.uses();
        uses.retain(|_, of_token| match of_token {
            Use::Winning => true,
            Use::Won(at) => now.duration_since(*at) < self.kept,
        });
        uses.insert(hash.clone(), Use::Winning);
        Winning { arrivals: self, hash, won: false }
    }

    /// Whether a use of the token was answered at this node after this one had arrived; `None` where none has won here
    /// lately.
    pub fn overtaken(&self, hash: &[u8], arrived: Instant) -> Option<bool> {
        self.uses().get(hash).map(|of_token| match of_token {
            Use::Winning => true,
            Use::Won(at) => arrived <= *at,
        })
    }
}

impl Winning<'_> {
    /// It is committed, and now it is answered.
    pub fn won(mut self) {
        self.won = true;
        self.arrivals.uses().insert(self.hash.clone(), Use::Won(Instant::now()));
    }
}

impl Drop for Winning<'_> {
    fn drop(&mut self) {
        if !self.won {
            self.arrivals.uses().remove(&self.hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_arrived_before_the_answer_was_overtaken() {
        let arrivals = Arrivals::new(Duration::from_secs(30));
        let (before, hash) = (Instant::now(), vec![7]);
        assert_eq!(arrivals.overtaken(&hash, before), None);
        let winning = arrivals.winning(hash.clone());
        assert_eq!(arrivals.overtaken(&hash, Instant::now()), Some(true));
        winning.won();
        assert_eq!(arrivals.overtaken(&hash, before), Some(true));
        assert_eq!(arrivals.overtaken(&hash, Instant::now() + Duration::from_nanos(1)), Some(false));
        drop(arrivals.winning(vec![8]));
        assert_eq!(arrivals.overtaken(&[8], before), None, "it did not win after all");
    }
}
