//! Work to be done after a transaction, written in it: if it commits the work will be done, at least once. The rows are
//! in `rows`, what is done with them in `doing`, and all that a node works on in `worker`. Nothing here knows what a job is
//! about: domains bring handlers.
mod doing;
mod rows;
mod worker;

pub use worker::Worker;

use super::secret;
use crate::{
    data::{TenantConn, Topic},
    error::{Error, Result},
    sql,
};
use futures_util::future::BoxFuture;
use serde::Serialize;
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// A kind of work, with what it needs to know.
pub trait Job: Serialize + Sync {
    /// `mail.invitation`: what it belongs to, a full stop, what it is.
    const KIND: &'static str;
}

/// Writes a job into this transaction, due at once. Workers of this process wake when it commits.
pub(crate) async fn enqueue<J: Job>(conn: &TenantConn, job: &J) -> Result<()> {
    let sql = sql!(
        "INSERT INTO jobs (tenant_id, id, kind, payload, state, run_at, attempt, created_at) \
         VALUES ($1, $2, $3, $4, 'waiting', clock_timestamp(), 0, clock_timestamp())"
    );
    let payload = serde_json::to_string(job).map_err(Error::internal)?;
    conn.execute(sql, &[&conn.new_id(), &J::KIND, &payload]).await?;
    conn.ring_after_commit(Topic::Jobs);
    Ok(())
}

/// A job that is being done.
#[derive(Clone, Debug)]
pub struct Work<J> {
    /// Whose it is.
    pub tenant: Uuid,
    /// The row's: the same at every attempt, so that what it does can be told apart by it.
    pub id: Uuid,
    /// From 1.
    pub attempt: i64,
    /// What was written.
    pub job: J,
}

/// Why a job was not done. The reason is stored and logged: no secrets, no addresses of people.
#[derive(Clone, Debug)]
pub enum Failure {
    /// It may go better later.
    Passing(String),
    /// It will not: nobody tries again.
    Permanent(String),
}

/// What the database or another part of the service refused may go better later.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Passing(error.to_string())
    }
}

/// Does jobs of one kind. No transaction is open while it runs.
#[derive(Clone)]
pub struct Handler {
    /// The [`Job::KIND`].
    pub kind: &'static str,
    /// Given the payload as it was stored.
    pub run: Arc<dyn Fn(Work<String>) -> BoxFuture<'static, Outcome> + Send + Sync>,
}

/// What a handler answers.
pub type Outcome = std::result::Result<(), Failure>;

/// Work that comes back by itself, such as clean-up. It sees to it that two nodes do not get into each other's way.
#[derive(Clone)]
pub struct Chore {
    /// Its name in the log.
    pub name: &'static str,
    /// How long from one to the next.
    pub every: Duration,
    /// Answers how many rows it has dealt with.
    pub run: Arc<dyn Fn() -> BoxFuture<'static, Result<u64>> + Send + Sync>,
}

/// How jobs are done.
#[derive(Clone, Debug)]
pub struct JobSettings {
    /// How long until the database is asked again where nothing has rung.
    pub poll: Duration,
    /// How long a claim holds; after that another takes over. A handler has three quarters of it.
    pub lease: Duration,
    /// How long until the second attempt; three times as long until the next, and so on.
    pub first_delay: Duration,
    /// No delay is longer.
    pub longest_delay: Duration,
    /// After so many attempts a job is dead.
    pub most_attempts: i64,
    /// Jobs at a time.
    pub concurrency: usize,
}

impl Default for JobSettings {
    /// 5 s, 15 s, 45 s, … 1 h between eight attempts.
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(1),
            lease: Duration::from_secs(60),
            first_delay: Duration::from_secs(5),
            longest_delay: Duration::from_secs(60 * 60),
            most_attempts: 8,
            concurrency: 8,
        }
    }
}

impl JobSettings {
    /// How long to wait after this attempt, counted from 1: with up to a fifth more or less, so that what failed
    /// together does not come back together. Errs where the system has no randomness.
    fn delay(&self, attempt: i64) -> Result<Duration> {
        let exponent = u32::try_from(attempt - 1).unwrap_or_default().min(20);
        let delay = self.first_delay.saturating_mul(3_u32.saturating_pow(exponent)).min(self.longest_delay);
        let [random, ..] = secret::random()?;
        let delay = delay.mul_f64(0.8 + 0.4 * f64::from(random) / 255.0);
        Ok(delay.clamp(self.first_delay.min(self.longest_delay), self.longest_delay))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_from_five_seconds_to_an_hour() {
        let settings = JobSettings::default();
        let delays: Vec<_> = (1..8).map(|attempt| settings.delay(attempt).unwrap().as_secs_f64()).collect();
        for (delay, expected) in delays.iter().zip([5.0, 15.0, 45.0, 135.0, 405.0, 1215.0, 3600.0]) {
            assert!((expected * 0.79..=expected * 1.21).contains(delay), "{delays:?}");
        }
        assert!(delays.iter().all(|delay| (5.0..=3600.0).contains(delay)));
        assert!(settings.delay(i64::MAX).unwrap() <= settings.longest_delay);
    }
}
