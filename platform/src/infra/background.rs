//! Small work after an answer, bounded: what must not be lost is a job, not this.
use std::sync::Arc;
use tokio::sync::Semaphore;

/// A bounded number of tasks.
#[derive(Clone)]
pub struct Background(Arc<Semaphore>);

impl Background {
    /// At most so many at a time.
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Semaphore::new(most)))
    }

    /// Runs it beside the requests; false if there are too many already, and it is not run.
    pub fn run(&self, work: impl Future<Output = ()> + Send + 'static) -> bool {
        let Ok(permit) = self.0.clone().try_acquire_owned() else {
            return false;
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "bounded by the permit, and nothing that must not be lost"
        )]
        tokio::spawn(async move {
            work.await;
            drop(permit);
        });
        true
    }
}
