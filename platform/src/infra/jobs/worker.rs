//! All that a node does beside answering requests: jobs, chores, and the queues that domains bring.
use super::{Chore, Handler, JobSettings, doing::Jobs};
use crate::{
    data::Db,
    error::Result,
    infra::queue::{Run, Runner, Stop},
};
use futures_util::{
    FutureExt,
    future::{join_all, join3},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    task::JoinSet,
    time::{sleep_until, timeout},
};

/// How often what waits is counted.
const COUNT_EVERY: Duration = Duration::from_secs(60);

/// Works on what a database has to be done.
#[derive(Clone)]
pub struct Worker(Arc<Parts>);

struct Parts {
    jobs: Runner<Jobs>,
    chores: Vec<Chore>,
    queues: Vec<Box<dyn Run>>,
}

impl Worker {
    /// With the handlers, the chores and the queues of all domains.
    pub fn new(
        db: Db,
        handlers: Vec<Handler>,
        chores: Vec<Chore>,
        queues: Vec<Box<dyn Run>>,
        settings: JobSettings,
    ) -> Self {
        Self(Arc::new(Parts { jobs: Runner::new(Jobs::new(db, handlers, settings)), chores, queues }))
    }

    /// Works until told to stop; then what has begun may take `grace` to end, and the rest is given back.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send + 'static, grace: Duration) {
        let stop = stop.boxed().shared();
        let queues = self.0.queues.iter().map(|queue| queue.run(stop.clone(), grace));
        join3(self.0.jobs.run(stop.clone(), grace), join_all(queues), self.do_chores(stop.clone(), grace))
            .await;
    }

    /// Works on what is due, and on what becomes due meanwhile, until nothing is; answers how many rows that were.
    pub async fn drain(&self) -> Result<usize> {
        let mut worked = 0;
        loop {
            let mut some = self.0.jobs.drain().await?;
            for queue in &self.0.queues {
                some += queue.drain().await?;
            }
            worked += some;
            if some == 0 {
                return Ok(worked);
            }
        }
    }

    /// Runs every chore once; answers how many rows they have dealt with.
    pub async fn chores(&self) -> Result<u64> {
        let mut rows = 0;
        for chore in &self.0.chores {
            rows += (chore.run)().await?;
        }
        Ok(rows)
    }

    /// Counts what waits, for the metrics.
    pub async fn count(&self) {
        self.0.jobs.count().await;
        for queue in &self.0.queues {
            queue.count().await;
        }
    }

    async fn do_chores(&self, stop: Stop, grace: Duration) {
        let mut due: Vec<_> = self.0.chores.iter().map(|chore| (chore, Instant::now())).collect();
        let (mut count_at, mut running) = (Instant::now(), JoinSet::new());
        loop {
            for (chore, at) in due.iter_mut().filter(|(_, at)| *at <= Instant::now()) {
                *at = Instant::now() + chore.every;
                running.spawn(run_chore(chore.clone()));
            }
            if count_at <= Instant::now() {
                count_at = Instant::now() + COUNT_EVERY;
                self.count().await;
            }
            let next = due.iter().map(|(_, at)| *at).fold(count_at, Instant::min);
            tokio::select! {
                () = stop.clone() => break,
                Some(_) = running.join_next() => {}
                () = sleep_until(next.into()) => {}
            }
        }
        let all = async { while running.join_next().await.is_some() {} };
        let _ = timeout(grace, all).await; // the next node does what this one has not ended
    }
}

async fn run_chore(chore: Chore) {
    match (chore.run)().await {
        Ok(0) => tracing::debug!(chore = chore.name, "nothing to do"),
        Ok(rows) => tracing::info!(chore = chore.name, rows, "done"),
        Err(error) => tracing::warn!(%error, chore = chore.name, "failed; it is tried again next time"),
    }
}
