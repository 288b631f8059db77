//! Who does jobs: claims what is due, hands it to the handler of its kind, and writes down how it went. Any number of
//! workers may share a database. Polling makes it correct; being rung makes it quick.
use super::{
    Chore, Failure, Handler, JobSettings, Outcome, Work,
    queue::{self, Claim},
};
use crate::{data::Db, error::Result};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    task::{Id, JoinSet},
    time::timeout,
};

/// How often jobs are counted.
const COUNT_EVERY: Duration = Duration::from_secs(60);

/// Does the jobs of a database.
#[derive(Clone)]
pub struct Worker(Arc<Parts>);

struct Parts {
    db: Db,
    handlers: HashMap<&'static str, Handler>,
    /// `,a,b,`
    kinds: String,
    chores: Vec<Chore>,
    settings: JobSettings,
}

/// What runs, and what of it is claimed.
#[derive(Default)]
struct Running {
    tasks: JoinSet<()>,
    claims: HashMap<Id, Claim>,
}

impl Worker {
    /// With the handlers and the chores of all domains.
    pub fn new(db: Db, handlers: Vec<Handler>, chores: Vec<Chore>, settings: JobSettings) -> Self {
        let handlers: HashMap<_, _> = handlers.into_iter().map(|handler| (handler.kind, handler)).collect();
        let kinds = handlers.keys().fold(",".to_owned(), |kinds, kind| format!("{kinds}{kind},"));
        Self(Arc::new(Parts { db, handlers, kinds, chores, settings }))
    }

    /// Works until told to stop; then what has begun may take `grace` to end, and the rest is given back.
    pub async fn run(&self, stop: impl Future<Output = ()>, grace: Duration) {
        let mut stop = std::pin::pin!(stop);
        let mut running = Running::default();
        let mut chores: Vec<_> = self.0.chores.iter().map(|chore| (chore, Instant::now())).collect();
        let mut count_at = Instant::now();
        let mut reached = true;
        loop {
            for (chore, at) in chores.iter_mut().filter(|(_, at)| *at <= Instant::now()) {
                *at = Instant::now() + chore.every;
                running.tasks.spawn(run_chore(chore.clone()));
            }
            if count_at <= Instant::now() {
                count_at = Instant::now() + COUNT_EVERY;
                running.tasks.spawn(self.clone().count());
            }
            let claimed = self.begin(&mut running).await;
            match &claimed {
                Err(error) if reached => tracing::warn!(%error, "jobs cannot be claimed; trying on"),
                Ok(_) if !reached => tracing::info!("jobs are claimed again"),
                _ => {}
            }
            reached = claimed.is_ok();
            let full = running.claims.len() >= self.0.settings.concurrency;
            tokio::select! {
                () = &mut stop => break,
                Some(ended) = running.tasks.join_next_with_id() => running.ended(ended),
                () = self.0.db.rung(), if !full => {}
                () = tokio::time::sleep(self.0.settings.poll) => {}
            }
        }
        self.stop(running, grace).await;
    }

    /// Does what is due, and what becomes due meanwhile, until nothing is; answers how many attempts that were.
    pub async fn drain(&self) -> Result<usize> {
        let mut attempts = 0;
        loop {
            let mut running = Running::default();
            match self.begin(&mut running).await? {
                0 => return Ok(attempts),
                begun => attempts += begun,
            }
            while running.tasks.join_next().await.is_some() {}
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

    async fn begin(&self, running: &mut Running) -> Result<usize> {
        let Parts { db, kinds, settings, .. } = &*self.0;
        let free = settings.concurrency.saturating_sub(running.claims.len());
        if free == 0 {
            return Ok(0);
        }
        let claims = queue::claim(db, kinds, free, settings.lease).await?;
        let begun = claims.len();
        for claim in claims {
            let task = running.tasks.spawn(self.clone().work(claim.clone()));
            running.claims.insert(task.id(), claim);
        }
        Ok(begun)
    }

    async fn stop(&self, mut running: Running, grace: Duration) {
        let all = async {
            while let Some(ended) = running.tasks.join_next_with_id().await {
                running.ended(ended);
            }
        };
        if timeout(grace, all).await.is_ok() {
            return;
        }
        running.tasks.shutdown().await;
        for claim in running.claims.values() {
            if let Err(error) = queue::give_back(&self.0.db, claim).await {
                tracing::warn!(%error, job = %claim.id, "a job could not be given back: its lease ends by itself");
            }
        }
    }

    async fn work(self, claim: Claim) {
        let outcome = self.outcome(&claim).await;
        if let Err(error) = self.report(&claim, outcome).await {
            let Claim { id, kind, .. } = &claim;
            tracing::warn!(%error, job = %id, kind, "how a job went could not be written: it will be done again");
        }
    }

    async fn outcome(&self, claim: &Claim) -> Outcome {
        let Claim { tenant, id, attempt, .. } = *claim;
        if attempt > self.0.settings.most_attempts {
            return Err(Failure::Permanent("its holders ended before it did".to_owned()));
        }
        let Some(handler) = self.0.handlers.get(claim.kind.as_str()) else {
            return Err(Failure::Passing("no handler".to_owned()));
        };
        let work = (handler.run)(Work { tenant, id, attempt, job: claim.payload.clone() });
        let limit = self.0.settings.lease.mul_f64(0.75);
        // in a task of its own, so that a panic is a failure like others
        let mut task = JoinSet::new();
        task.spawn(work);
        match timeout(limit, task.join_next()).await {
            Ok(Some(Ok(outcome))) => outcome,
            Ok(_) => Err(Failure::Passing("panicked".to_owned())),
            Err(_) => Err(Failure::Passing(format!("took longer than {limit:?}"))),
        }
    }

    async fn report(&self, claim: &Claim, outcome: Outcome) -> Result<()> {
        let Parts { db, settings, .. } = &*self.0;
        let Claim { tenant, id, kind, attempt, .. } = claim;
        let (held, outcome) = match outcome {
            Ok(()) => (queue::done(db, claim).await?, "done"),
            Err(Failure::Passing(why)) if *attempt < settings.most_attempts => {
                let delay = settings.delay(*attempt)?;
                tracing::warn!(job = %id, %tenant, kind, attempt, ?delay, why, "a job failed and is tried again");
                (queue::failed(db, claim, Some(delay), &why).await?, "retried")
            }
            Err(Failure::Passing(why) | Failure::Permanent(why)) => {
                tracing::error!(job = %id, %tenant, kind, attempt, why, "a job failed for good");
                (queue::failed(db, claim, None, &why).await?, "dead")
            }
        };
        let outcome = if held { outcome } else { "overtaken" };
        metrics::counter!("tenantry_jobs_total", "kind" => kind.clone(), "outcome" => outcome).increment(1);
        if !held {
            tracing::warn!(job = %id, %tenant, kind, attempt, "a job was taken over before this holder had ended");
        }
        Ok(())
    }

    async fn count(self) {
        match queue::count(&self.0.db).await {
            Ok(counts) => {
                for count in counts {
                    if !self.0.handlers.contains_key(count.kind.as_str()) {
                        tracing::warn!(
                            kind = count.kind,
                            jobs = count.jobs,
                            "jobs of a kind that this version does not know stay"
                        );
                    }
                    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
                    metrics::gauge!("tenantry_jobs", "kind" => count.kind, "state" => count.state)
                        .set(count.jobs as f64);
                }
            }
            Err(error) => tracing::debug!(%error, "jobs could not be counted"),
        }
    }
}

impl Running {
    fn ended(&mut self, ended: std::result::Result<(Id, ()), tokio::task::JoinError>) {
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        self.claims.remove(&id);
    }
}

async fn run_chore(chore: Chore) {
    match (chore.run)().await {
        Ok(0) => tracing::debug!(chore = chore.name, "nothing to do"),
        Ok(rows) => tracing::info!(chore = chore.name, rows, "done"),
        Err(error) => tracing::warn!(%error, chore = chore.name, "failed; it is tried again next time"),
    }
}
