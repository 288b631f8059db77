//! Deliveries as a queue: what is due is claimed for as long as a lease lasts, sent with no transaction open, and settled.
use super::{
    super::{
        model::{DeliveryStatus, DisabledReason, Limits, Load, Outcome, delay, share},
        store::{self, Claimed as Row, MOST_CLAIMED, Settled, Waiting},
    },
    deliveries::body,
    disable::{FAILING_FOR, disable},
    dispatch::dispatch,
    secrets::opened,
    send::{Sent, send},
};
use crate::{
    core::Core,
    data::{Db, Mode, SystemConn, SystemReason, Topic},
    error::{Error, Result},
    infra::{
        events::event_id,
        queue::{Claimed, Ended, Queue},
        secret,
        webhook::Message,
    },
    values::Timestamp,
};
use futures_util::{future::try_join_all, try_join};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use uuid::Uuid;

/// Deliveries under way at a time, at this node.
const LIMITS: Limits = Limits { all: 128, tenant: 64, endpoint: MOST_CLAIMED };
/// How long a claim holds after an attempt must have ended.
const LEASE_MARGIN: Duration = Duration::from_secs(10);
/// Endpoints that are looked at in one round.
const LOOK: i64 = 500;
/// How long until a delivery is tried again that could not be for a fault of ours.
const OURS: Duration = Duration::from_secs(60);

/// The deliveries of a database.
pub struct Deliveries {
    core: Core,
    poll: Duration,
    place: Mutex<Place>,
}

/// Where the next round begins.
#[derive(Clone, Copy, Default)]
struct Place {
    tenant: Uuid,
    endpoint: (Uuid, Uuid),
}

/// A delivery that is ours until its lease ends, and what is sent; `None` where that could not be put together.
pub struct Claim {
    row: Row,
    message: Option<Message>,
}

/// How it went; `None` where it was not sent.
pub struct Ending(Option<Sent>);

impl Deliveries {
    /// Those of this product, looked for so often where nothing rings.
    pub fn new(core: Core, poll: Duration) -> Self {
        Self { core, poll, place: Mutex::default() }
    }

    fn place(&self) -> Place {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn go_on_from(&self, place: Place) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }

    /// Endpoints with something to do, from where the last round ended; whether there are more behind them.
    async fn look(&self) -> Result<(Vec<Waiting>, bool)> {
        let place = self.place();
        let count_to = i64::try_from(LIMITS.endpoint).unwrap_or(i64::MAX);
        let look = async |conn: &SystemConn| store::waiting(conn, place.endpoint, LOOK, count_to).await;
        let waiting = self.core.db.system(SystemReason::Webhooks, Mode::Read, look).await?;
        let more = i64::try_from(waiting.len()).is_ok_and(|found| found == LOOK);
        let last = waiting.last().filter(|_| more).map(|last| (last.tenant, last.endpoint));
        self.go_on_from(Place { endpoint: last.unwrap_or_default(), ..place });
        Ok((waiting, more))
    }

    /// What waits at endpoints that are sent nothing any more has failed; answers whether there is more of it.
    async fn give_up(&self, waiting: &[Waiting]) -> Result<bool> {
        let mut more = false;
        for Waiting { tenant, endpoint, .. } in waiting.iter().filter(|waiting| !waiting.enabled) {
            let at = self.core.clock.now();
            let given_up = self.core.db.system(SystemReason::Webhooks, Mode::Write, async |conn| {
                let now = conn.clock().await?;
                store::give_up(conn, (*tenant, *endpoint), at, now).await
            });
            more |= given_up.await? > 0;
        }
        Ok(more)
    }

    async fn take(&self, running: &[&Claim], waiting: &[Waiting], free: usize) -> Result<Vec<Claim>> {
        let limits = Limits { all: LIMITS.all.min(running.len() + free), ..LIMITS };
        let loads: Vec<_> = waiting
            .iter()
            .filter(|waiting| waiting.enabled && waiting.due > 0)
            .map(|waiting| Load {
                tenant: waiting.tenant,
                endpoint: waiting.endpoint,
                due: usize::try_from(waiting.due).unwrap_or_default(),
                failing: waiting.failing,
            })
            .collect();
        let turns = share(limits, running.iter().map(|claim| (claim.row.tenant, claim.row.endpoint)), &loads);
        if turns.is_empty() {
            return Ok(Vec::new());
        }
        let lease = self.core.webhooks.timeout + LEASE_MARGIN;
        self.core
            .db
            .system(SystemReason::Webhooks, Mode::Write, async |conn| {
                let now = conn.clock().await?;
                let rows = try_join_all(turns.iter().map(|turn| {
                    store::claim(conn, (turn.tenant, turn.endpoint), now, now.plus(lease), turn.take)
                }));
                let rows: Vec<_> = rows.await?.into_iter().flatten().collect();
                self.with_messages(conn, rows).await
            })
            .await
    }

    /// What is sent, read in the transaction of the claim: each endpoint and each event once.
    async fn with_messages(&self, conn: &SystemConn, rows: Vec<Row>) -> Result<Vec<Claim>> {
        let now = self.core.clock.now();
        let endpoints: BTreeMap<_, _> = rows.iter().map(|row| (row.endpoint, row.tenant)).collect();
        let events: BTreeMap<_, _> = rows.iter().map(|row| (row.event, row.tenant)).collect();
        let endpoints = try_join_all(endpoints.into_iter().map(async |(endpoint, tenant)| {
            let (url, sealed) =
                try_join!(store::url(conn, tenant, endpoint), store::secrets(conn, tenant, endpoint, now))?;
            let secrets: Vec<_> =
                sealed.iter().filter_map(|sealed| opened(&self.core, tenant, endpoint, sealed)).collect();
            if secrets.is_empty() && url.is_some() {
                tracing::error!(%tenant, %endpoint, "no secret of it opens: WEBHOOK_SIGNING_SECRET is another");
            }
            Ok::<_, Error>((endpoint, url.filter(|_| !secrets.is_empty()).map(|url| (url, secrets))))
        }));
        let events = try_join_all(events.into_iter().map(async |(event, tenant)| {
            let stored = store::event(conn, tenant, event).await?;
            let body = stored.map(|stored| body(tenant, &stored)).transpose()?;
            Ok((event, body.map(|body| Arc::<str>::from(Box::<str>::from(body)))))
        }));
        let (endpoints, events) = try_join!(endpoints, events)?;
        let (endpoints, events): (HashMap<_, _>, HashMap<_, _>) =
            (endpoints.into_iter().collect(), events.into_iter().collect());
        let claim = |row: Row| {
            let to = endpoints.get(&row.endpoint).cloned().flatten();
            let body = events.get(&row.event).cloned().flatten();
            let message = to.zip(body).map(|((url, secrets), body)| Message {
                url,
                secrets,
                id: event_id(row.event),
                body,
            });
            Claim { row, message }
        };
        Ok(rows.into_iter().map(claim).collect())
    }

    /// What follows from an attempt.
    fn settled(&self, row: &Row, sent: &Sent, now: Timestamp) -> Result<Settled> {
        let tries = u32::try_from(row.tries).unwrap_or(u32::MAX);
        let ended = |status: DeliveryStatus| Settled {
            status: status.as_str(),
            next_attempt_at: None,
            completed_at: Some(self.core.clock.now()),
        };
        if sent.outcome == Outcome::Succeeded {
            return Ok(ended(DeliveryStatus::Succeeded));
        }
        if sent.gone || tries > self.core.webhooks.max_retries {
            return Ok(ended(DeliveryStatus::Failed));
        }
        let [random, ..] = secret::random()?;
        let wait = delay(self.core.webhooks.schedule.step(tries), random, sent.retry_after);
        Ok(Settled {
            status: DeliveryStatus::Pending.as_str(),
            next_attempt_at: Some(now.plus(wait)),
            completed_at: None,
        })
    }

    /// Writes all of them down in one transaction; answers which endpoints have failed for too long.
    async fn settle(&self, ended: &[Ended<Self>]) -> Result<Vec<(Uuid, Uuid)>> {
        let at = self.core.clock.now();
        self.core
            .db
            .system(SystemReason::Webhooks, Mode::Write, async |conn| {
                let now = conn.clock().await?;
                let held = try_join_all(ended.iter().map(async |(claim, Ending(sent))| {
                    let row = &claim.row;
                    let Some(sent) = sent else {
                        return store::release(conn, row, Some(now.plus(OURS))).await.map(|()| false);
                    };
                    let settled = self.settled(row, sent, now)?;
                    let (held, ()) = try_join!(
                        store::settle(conn, row, &settled),
                        store::log_attempt(conn, row, &sent.attempt)
                    )?;
                    Ok::<_, Error>(held)
                }));
                let held = held.await?;
                let mut health = BTreeMap::new();
                for ((claim, Ending(sent)), held) in ended.iter().zip(held) {
                    count(&claim.row, sent.as_ref(), held);
                    if let (Some(sent), true) = (sent, held) {
                        let succeeded = sent.outcome == Outcome::Succeeded;
                        *health.entry((claim.row.tenant, claim.row.endpoint)).or_insert(false) |= succeeded;
                    }
                }
                for (endpoint, succeeded) in &health {
                    store::note_health(conn, *endpoint, *succeeded, at).await?;
                }
                let mut failing = Vec::new();
                for (endpoint, _) in health.into_iter().filter(|(_, succeeded)| !succeeded) {
                    if store::fails_since(conn, endpoint, at.minus(FAILING_FOR)).await? {
                        failing.push(endpoint);
                    }
                }
                Ok(failing)
            })
            .await
    }
}

fn count(row: &Row, sent: Option<&Sent>, held: bool) {
    let Some(sent) = sent else { return };
    let outcome = if held { sent.outcome.as_str() } else { "overtaken" };
    metrics::counter!("tenantry_webhook_attempts_total", "outcome" => outcome).increment(1);
    if !held {
        let Row { tenant, id, .. } = row;
        tracing::warn!(%tenant, delivery = %id, "a delivery was taken over before this holder had ended");
    }
}

impl Queue for Deliveries {
    type Claim = Claim;
    type Outcome = Ending;

    const NAME: &'static str = "deliveries";
    const TOPIC: Topic = Topic::Events;

    fn settings(&self) -> (&Db, usize, Duration) {
        (&self.core.db, LIMITS.all, self.poll)
    }

    async fn claim(&self, running: &[&Claim], free: usize) -> Result<Claimed<Claim>> {
        let place = self.place();
        let (last, dispatched) = dispatch(&self.core, place.tenant).await?;
        self.go_on_from(Place { tenant: last.unwrap_or_default(), ..place });
        let (waiting, behind) = self.look().await?;
        let given_up = self.give_up(&waiting).await?;
        let claims = self.take(running, &waiting, free).await?;
        // a walk that did not begin at the first has to begin anew before there is nothing to do
        let more = dispatched > 0 || (last.is_none() && !place.tenant.is_nil()) || behind || given_up;
        Ok(Claimed { claims, more })
    }

    async fn work(&self, claim: &Claim) -> Ending {
        match &claim.message {
            Some(message) => Ending(Some(send(&self.core, message).await)),
            None => Ending(None),
        }
    }

    fn panicked(&self) -> Ending {
        Ending(None)
    }

    /// An endpoint that is gone is turned off first: were that lost, nothing would ask it again.
    async fn report(&self, ended: &mut Vec<Ended<Self>>) -> Result<()> {
        for (claim, Ending(sent)) in ended.iter() {
            if sent.as_ref().is_some_and(|sent| sent.gone) {
                let Row { tenant, endpoint, .. } = claim.row;
                disable(&self.core, tenant, endpoint, DisabledReason::Gone).await?;
            }
        }
        let failing = self.settle(ended).await?;
        ended.clear();
        for (tenant, endpoint) in failing {
            disable(&self.core, tenant, endpoint, DisabledReason::Failing).await?;
        }
        Ok(())
    }

    async fn give_back(&self, claim: &Claim) -> Result<()> {
        let release = async |conn: &SystemConn| store::release(conn, &claim.row, None).await;
        self.core.db.system(SystemReason::Webhooks, Mode::Write, release).await
    }

    async fn count(&self) -> Result<()> {
        let look = async |conn: &SystemConn| try_join!(store::open(conn), conn.clock());
        let (open, now) = self.core.db.system(SystemReason::Webhooks, Mode::Read, look).await?;
        let due = open.due_since.map_or(0, |since| (now.as_micros() - since.as_micros()).max(0));
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        for (status, deliveries) in [("pending", open.pending), ("failed", open.failed)] {
            metrics::gauge!("tenantry_webhook_deliveries", "status" => status).set(deliveries as f64);
        }
        metrics::gauge!("tenantry_webhook_oldest_pending_seconds").set(due as f64 / 1e6);
        Ok(())
    }
}
