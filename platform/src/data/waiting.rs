//! How many transactions wait for a connection.
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// A count of those that wait.
#[derive(Clone, Default)]
pub(super) struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    pub fn count(&self) -> usize {
        self.0.load(Relaxed)
    }

    /// One more, until what this answers is dropped: however the wait ends.
    pub fn one_more(&self) -> impl Drop + use<> {
        self.0.fetch_add(1, Relaxed);
        OneLess(self.0.clone())
    }
}

struct OneLess(Arc<AtomicUsize>);

impl Drop for OneLess {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
