//! From the outbox to deliveries: which endpoints an event goes to. Events that many tenants have left at once are taken in
//! turn, some of each, so that whoever has left many holds up nobody.
use super::super::{
    model::wants,
    store::{self, Event, Subscriber, Undispatched},
};
use crate::{
    core::Core,
    data::{Mode, SystemConn, SystemReason, new_id},
    error::Result,
    values::Timestamp,
};
use futures_util::{future::try_join_all, try_join};
use uuid::Uuid;

/// Tenants in one round.
const TENANTS: i64 = 32;
/// Events of a tenant in one round.
const EVENTS: i64 = 100;
/// Deliveries that a round may make, or a little more: it is one transaction, and on SQLite others wait for it.
const DELIVERIES: i64 = 1000;

/// One round, of the tenants above this one. Answers the last of them, if any, and how many events were dispatched.
pub(super) async fn dispatch(core: &Core, above: Uuid) -> Result<(Option<Uuid>, usize)> {
    let look = async |conn: &SystemConn| store::undispatched(conn, above, TENANTS).await;
    let mut tenants = core.db.system(SystemReason::Webhooks, Mode::Read, look).await?;
    if tenants.is_empty() {
        return Ok((None, 0));
    }
    let mut budget = DELIVERIES;
    let turns: Vec<_> = tenants
        .iter()
        .map_while(|Undispatched { tenant, endpoints }| {
            let each = (*endpoints).max(1);
            let events = (budget / each).clamp(i64::from(budget > 0), EVENTS);
            budget -= events * each;
            (events > 0).then_some((*tenant, events))
        })
        .collect();
    tenants.truncate(turns.len());
    let now = core.clock.now();
    let events = core.db.system(SystemReason::Webhooks, Mode::Write, async |conn| {
        let taken = try_join_all(turns.into_iter().map(async |(tenant, events)| {
            let taken = try_join!(store::lock_events(conn, tenant, events), store::subscribers(conn, tenant));
            taken.map(|(events, subscribers)| (tenant, events, subscribers))
        }));
        let taken = taken.await?;
        try_join_all(
            taken
                .iter()
                .map(|(tenant, events, subscribers)| hand_over(conn, *tenant, events, subscribers, now)),
        )
        .await?;
        Ok(taken.iter().map(|(_, events, _)| events.len()).sum())
    });
    Ok((tenants.last().map(|last| last.tenant), events.await?))
}

async fn hand_over(
    conn: &SystemConn,
    tenant: Uuid,
    events: &[Event],
    subscribers: &[Subscriber],
    now: Timestamp,
) -> Result<()> {
    try_join_all(events.iter().map(async |event| {
        let wanting = subscribers.iter().filter(|subscriber| wants(&subscriber.patterns, &event.r#type));
        let deliveries: Vec<_> =
            wanting.map(|to| store::dispatch(conn, tenant, new_id(now), to.endpoint, event, now)).collect();
        let wanted = !deliveries.is_empty();
        try_join!(try_join_all(deliveries), store::mark_dispatched(conn, tenant, event.id, wanted, now))
            .map(drop)
    }))
    .await
    .map(drop)
}
