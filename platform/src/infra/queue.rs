//! Rows that wait to be worked on, and who works on them. A row is claimed for as long as a lease lasts, worked on with no
//! transaction open, and how that went is written behind a fence, so that whoever was overtaken changes nothing. Here is
//! the part that all such rows share; what they are and what is done with them say those who implement [`Queue`].
use crate::{
    data::{Db, Topic},
    error::{Code, Result},
};
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    task::{Id, JoinError, JoinSet},
    time::{sleep, timeout},
};
use tracing::Instrument;

/// How long is waited after a ring: under load one look stands for many commits.
const GATHER: Duration = Duration::from_millis(20);

/// Rows that wait to be worked on.
pub trait Queue: Send + Sync + Sized + 'static {
    /// A row that is ours until its lease ends.
    type Claim: Send + Sync + 'static;
    /// How its work went.
    type Outcome: Send + Sync + 'static;

    /// What the rows are, in the log: `jobs`.
    const NAME: &'static str;
    /// What rings when there may be some.
    const TOPIC: Topic;

    /// Where they are, how many are worked on at a time, and how long until they are looked for where nothing has rung.
    fn settings(&self) -> (&Db, usize, Duration);

    /// Claims rows that are due and nobody's, at most `free`; `running` are those that this process has claimed before
    /// and is not through with.
    fn claim(
        &self,
        running: &[&Self::Claim],
        free: usize,
    ) -> impl Future<Output = Result<Claimed<Self::Claim>>> + Send;

    /// Works on a row. It may be dropped halfway; then the row is given back.
    fn work(&self, claim: &Self::Claim) -> impl Future<Output = Self::Outcome> + Send;

    /// The outcome of work that panicked.
    fn panicked(&self) -> Self::Outcome;

    /// Writes down how it went, and takes out of `ended` what is written; what stays is tried again.
    fn report(&self, ended: &mut Vec<Ended<Self>>) -> impl Future<Output = Result<()>> + Send;

    /// A row that was claimed and not ended: another may take it at once.
    fn give_back(&self, claim: &Self::Claim) -> impl Future<Output = Result<()>> + Send;

    /// Counts the rows that wait, of all nodes, for the metrics. It sets what has become nothing to 0.
    fn count(&self) -> impl Future<Output = Result<()>> + Send;
}

/// Work that has ended, and how.
pub type Ended<Q> = (Arc<<Q as Queue>::Claim>, <Q as Queue>::Outcome);

/// What was claimed.
pub struct Claimed<C> {
    /// The rows.
    pub claims: Vec<C>,
    /// Whether there was more to do than was done this time.
    pub more: bool,
}

/// When to stop, for all who share it.
pub type Stop = Shared<BoxFuture<'static, ()>>;

/// A [`Queue`] and its loop, whatever its rows are.
pub trait Run: Send + Sync {
    /// Works until told to stop; then what has begun may take `grace` to end, and the rest is given back.
    fn run(&self, stop: Stop, grace: Duration) -> BoxFuture<'_, ()>;
    /// Works on what is due, and on what becomes due meanwhile, until nothing is; answers how many rows that were.
    fn drain(&self) -> BoxFuture<'_, Result<usize>>;
    /// Counts the rows that wait, for the metrics.
    fn count(&self) -> BoxFuture<'_, ()>;
}

/// Works on the rows of a queue. Any number of them may share a database: polling makes it correct, being rung makes it
/// quick.
pub struct Runner<Q>(Arc<Q>);

/// What this process has claimed.
struct Running<Q: Queue> {
    tasks: JoinSet<Q::Outcome>,
    claims: HashMap<Id, Arc<Q::Claim>>,
    /// Not yet written down.
    ended: Vec<Ended<Q>>,
}

impl<Q: Queue> Runner<Q> {
    /// Of this queue.
    pub fn new(queue: Q) -> Self {
        Self(Arc::new(queue))
    }

    /// What it works on.
    pub fn queue(&self) -> &Q {
        &self.0
    }

    async fn work(&self, stop: Stop, grace: Duration) {
        let (db, capacity, poll) = self.0.settings();
        let (mut stop, mut bell) = (stop, db.bell(Q::TOPIC));
        let mut running = Running::new();
        let mut reached = true;
        loop {
            let step = self.step(&mut running).await;
            match &step {
                Err(error) if reached => tracing::warn!(%error, "{} cannot be claimed; trying on", Q::NAME),
                Ok(_) if !reached => tracing::info!("{} are claimed again", Q::NAME),
                _ => {}
            }
            reached = step.is_ok();
            if step.is_ok_and(|(_, more)| more) && running.len() < capacity {
                tokio::task::yield_now().await;
                match (&mut stop).now_or_never() {
                    Some(()) => break,
                    None => continue,
                }
            }
            tokio::select! {
                () = &mut stop => break,
                Some(ended) = running.tasks.join_next_with_id() => running.ended(&*self.0, ended),
                () = bell.rung(), if running.len() < capacity => sleep(GATHER).await,
                () = sleep(poll) => {}
            }
        }
        self.stop(running, grace).await;
    }

    /// Writes down what has ended, then claims and begins; answers how many rows that were and whether there is more.
    async fn step(&self, running: &mut Running<Q>) -> Result<(usize, bool)> {
        while let Some(ended) = running.tasks.try_join_next_with_id() {
            running.ended(&*self.0, ended);
        }
        self.report(running).await?;
        let free = self.0.settings().1.saturating_sub(running.len());
        if free == 0 {
            return Ok((0, false));
        }
        let known: Vec<_> = running.claims.values().map(Arc::as_ref).collect();
        let Claimed { claims, more } = self.0.claim(&known, free).await?;
        let begun = claims.len();
        for claim in claims.into_iter().map(Arc::new) {
            let (queue, own) = (self.0.clone(), claim.clone());
            let span = tracing::info_span!(
                target: "tenantry::trace", parent: None, "work", otel.name = Q::NAME, otel.kind = "consumer"
            );
            let task = running.tasks.spawn(async move { queue.work(&own).await }.instrument(span));
            running.claims.insert(task.id(), claim);
        }
        Ok((begun, more))
    }

    /// Errs where the database is out of reach; then all that is not written stays. What cannot be written though it is
    /// there is given up, or nothing after it would be.
    async fn report(&self, running: &mut Running<Q>) -> Result<()> {
        if running.ended.is_empty() {
            return Ok(());
        }
        match self.0.report(&mut running.ended).await {
            Err(error) if error.code() != Code::ServiceUnavailable => {}
            written => return written,
        }
        for one in std::mem::take(&mut running.ended) {
            if let Err(error) = self.0.report(&mut vec![one]).await {
                tracing::error!(%error, "how one of the {} went cannot be written: its lease ends", Q::NAME);
            }
        }
        Ok(())
    }

    async fn stop(&self, mut running: Running<Q>, grace: Duration) {
        if timeout(grace, running.all(&*self.0)).await.is_err() {
            running.tasks.abort_all();
            running.all(&*self.0).await;
        }
        if let Err(error) = self.report(&mut running).await {
            tracing::warn!(%error, "how some {} went could not be written: they will be done again", Q::NAME);
        }
        for claim in running.claims.values() {
            if let Err(error) = self.0.give_back(claim).await {
                tracing::warn!(%error, "some {} could not be given back: their leases end by themselves", Q::NAME);
            }
        }
    }

    async fn work_off(&self) -> Result<usize> {
        let (mut running, mut worked) = (Running::new(), 0);
        loop {
            let (begun, more) = self.step(&mut running).await?;
            worked += begun;
            if running.len() == 0 && !more {
                return Ok(worked);
            }
            running.all(&*self.0).await;
        }
    }
}

impl<Q: Queue> Run for Runner<Q> {
    fn run(&self, stop: Stop, grace: Duration) -> BoxFuture<'_, ()> {
        self.work(stop, grace).boxed()
    }

    fn drain(&self) -> BoxFuture<'_, Result<usize>> {
        self.work_off().boxed()
    }

    fn count(&self) -> BoxFuture<'_, ()> {
        let counted = async {
            if let Err(error) = self.0.count().await {
                tracing::debug!(%error, "{} could not be counted", Q::NAME);
            }
        };
        counted.boxed()
    }
}

impl<Q: Queue> Running<Q> {
    fn new() -> Self {
        Self { tasks: JoinSet::new(), claims: HashMap::new(), ended: Vec::new() }
    }

    fn len(&self) -> usize {
        self.claims.len() + self.ended.len()
    }

    async fn all(&mut self, queue: &Q) {
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.ended(queue, ended);
        }
    }

    /// What was aborted stays a claim.
    fn ended(&mut self, queue: &Q, ended: std::result::Result<(Id, Q::Outcome), JoinError>) {
        let (id, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) if error.is_cancelled() => return,
            Err(error) => (error.id(), queue.panicked()),
        };
        if let Some(claim) = self.claims.remove(&id) {
            self.ended.push((claim, outcome));
        }
    }
}
