//! Which uses of one single-use token were under way at the same time at this node. A use that arrived before another
//! had won is no theft, however long it waited for the database.
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// The uses under way, by the token's hash. Forgotten with the last of them.
#[derive(Default)]
pub struct Arrivals(Mutex<HashMap<Vec<u8>, Uses>>);

#[derive(Default)]
struct Uses {
    under_way: usize,
    won_at: Option<Instant>,
}

/// One use of a token, from its arrival to its answer.
pub struct Arrival<'a> {
    arrivals: &'a Arrivals,
    hash: Vec<u8>,
    /// When it arrived.
    pub at: Instant,
}

impl Arrivals {
    fn uses(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Uses>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a use of the token with this hash.
    pub fn arrive(&self, hash: Vec<u8>) -> Arrival<'_> {
        self.uses().entry(hash.clone()).or_default().under_way += 1;
        Arrival {
            arrivals: self,
            hash,
            at: Instant::now(),
        }
    }
}

impl Arrival<'_> {
    /// This use has replaced the token, and that is committed.
    pub fn won(&self) {
        if let Some(uses) = self.arrivals.uses().get_mut(&self.hash) {
            uses.won_at.get_or_insert_with(Instant::now);
        }
    }

    /// Whether another use won after this one had arrived.
    pub fn was_overtaken(&self) -> bool {
        self.arrivals
            .uses()
            .get(&self.hash)
            .and_then(|uses| uses.won_at)
            .is_some_and(|won_at| self.at <= won_at)
    }
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        let mut uses = self.arrivals.uses();
        if let Some(of_token) = uses.get_mut(&self.hash) {
            of_token.under_way -= 1;
            if of_token.under_way == 0 {
                uses.remove(&self.hash);
            }
        }
    }
}
