//! Who does jobs: hands each to the handler of its kind, and writes down how it went.
use super::{
    Failure, Handler, JobSettings, Outcome, Work,
    rows::{self, Claim, Count},
};
use crate::{
    data::{Db, Topic},
    error::Result,
    infra::queue::{Claimed, Ended, Queue},
};
use std::{collections::HashMap, time::Duration};
use tokio::time::timeout;

/// The jobs of a database, and who knows what to do with them.
pub(super) struct Jobs {
    db: Db,
    handlers: HashMap<&'static str, Handler>,
    /// `,a,b,`
    kinds: String,
    settings: JobSettings,
}

impl Jobs {
    pub fn new(db: Db, handlers: Vec<Handler>, settings: JobSettings) -> Self {
        let handlers: HashMap<_, _> = handlers.into_iter().map(|handler| (handler.kind, handler)).collect();
        let kinds = handlers.keys().fold(",".to_owned(), |kinds, kind| format!("{kinds}{kind},"));
        Self { db, handlers, kinds, settings }
    }

    /// Writes down how one went.
    async fn note(&self, claim: &Claim, outcome: &Outcome) -> Result<()> {
        let Self { db, settings, .. } = self;
        let Claim { tenant, id, kind, attempt, .. } = claim;
        let (held, outcome) = match outcome {
            Ok(()) => (rows::done(db, claim).await?, "done"),
            Err(Failure::Passing(why)) if *attempt < settings.most_attempts => {
                let delay = settings.delay(*attempt)?;
                tracing::warn!(job = %id, %tenant, kind, attempt, ?delay, why, "a job failed and is tried again");
                (rows::failed(db, claim, Some(delay), why).await?, "retried")
            }
            Err(Failure::Passing(why) | Failure::Permanent(why)) => {
                tracing::error!(job = %id, %tenant, kind, attempt, why, "a job failed for good");
                (rows::failed(db, claim, None, why).await?, "dead")
            }
        };
        let outcome = if held { outcome } else { "overtaken" };
        metrics::counter!("tenantry_jobs_total", "kind" => kind.clone(), "outcome" => outcome).increment(1);
        if !held {
            tracing::warn!(job = %id, %tenant, kind, attempt, "a job was taken over before this holder had ended");
        }
        Ok(())
    }
}

impl Queue for Jobs {
    type Claim = Claim;
    type Outcome = Outcome;

    const NAME: &'static str = "jobs";
    const TOPIC: Topic = Topic::Jobs;

    fn settings(&self) -> (&Db, usize, Duration) {
        (&self.db, self.settings.concurrency, self.settings.poll)
    }

    async fn claim(&self, _: &[&Claim], free: usize) -> Result<Claimed<Claim>> {
        let claims = rows::claim(&self.db, &self.kinds, free, self.settings.lease).await?;
        Ok(Claimed { claims, more: false })
    }

    async fn work(&self, claim: &Claim) -> Outcome {
        let Claim { tenant, id, attempt, .. } = *claim;
        if attempt > self.settings.most_attempts {
            return Err(Failure::Permanent("its holders ended before it did".to_owned()));
        }
        let Some(handler) = self.handlers.get(claim.kind.as_str()) else {
            return Err(Failure::Passing("no handler".to_owned()));
        };
        let limit = self.settings.lease.mul_f64(0.75);
        let work = (handler.run)(Work { tenant, id, attempt, job: claim.payload.clone() });
        timeout(limit, work)
            .await
            .unwrap_or_else(|_| Err(Failure::Passing(format!("took longer than {limit:?}"))))
    }

    fn panicked(&self) -> Outcome {
        Err(Failure::Passing("panicked".to_owned()))
    }

    async fn report(&self, ended: &mut Vec<Ended<Self>>) -> Result<()> {
        while let Some((claim, outcome)) = ended.last() {
            self.note(claim, outcome).await?;
            ended.pop();
        }
        Ok(())
    }

    async fn give_back(&self, claim: &Claim) -> Result<()> {
        rows::give_back(&self.db, claim).await
    }

    async fn count(&self) -> Result<()> {
        let counts = rows::count(&self.db).await?;
        for kind in self.handlers.keys() {
            for state in rows::STATES {
                if !counts.iter().any(|count| count.kind == *kind && count.state == state) {
                    metrics::gauge!("tenantry_jobs", "kind" => *kind, "state" => state).set(0);
                }
            }
        }
        for Count { kind, state, jobs } in counts {
            if !self.handlers.contains_key(kind.as_str()) {
                tracing::warn!(kind, jobs, "jobs of a kind that this version does not know stay");
            }
            #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
            metrics::gauge!("tenantry_jobs", "kind" => kind, "state" => state).set(jobs as f64);
        }
        Ok(())
    }
}
