//! The log of deliveries, and sending again.
use super::{
    super::{
        Manage,
        model::{
            DeliveryDetailView, EventTypeView, EventTypesView, ListDeliveries, RecoveryView, TEST_MESSAGE,
            WebhookDelivery, WebhookEndpoint, WebhookTest,
        },
        store::{self, Filter, StoredEvent},
    },
    endpoints::enabled,
};
use crate::{
    access::Tx,
    core::Core,
    data::{SystemReason, TenantConn, Topic},
    error::{Error, Result},
    http::{Id, Paging},
    infra::{
        events::{Envelope, Event, event_id},
        jobs::{Job, Outcome, Work},
        outbox,
    },
    values::{Line, Timestamp},
};
use futures_util::try_join;
use serde::{Deserialize, Serialize};
use serde_json::value::{self, RawValue};
use uuid::Uuid;

/// The events of all domains, each with a whole body by way of example.
pub fn event_types(core: &Core) -> Result<EventTypesView> {
    let view = |event: &crate::infra::events::EventType| {
        let example = event.example_body()?;
        Ok(EventTypeView { r#type: event.name, description: event.description, example })
    };
    Ok(EventTypesView { data: core.events.iter().map(view).collect::<Result<_>>()? })
}

/// The body in which an event is delivered: the same bytes every time.
pub(super) fn body(tenant_id: Uuid, event: &StoredEvent) -> Result<Box<RawValue>> {
    let data: &RawValue = serde_json::from_str(&event.payload).map_err(Error::internal)?;
    let (id, r#type, timestamp) = (event_id(event.id), event.r#type.as_str(), event.created_at);
    value::to_raw_value(&Envelope { id, r#type, timestamp, tenant_id, data }).map_err(Error::internal)
}

/// A page of deliveries, newest first; one more than a page may show.
pub async fn deliveries(
    tx: &Tx<Manage>,
    query: ListDeliveries,
    paging: &Paging,
) -> Result<Vec<WebhookDelivery>> {
    let filter = Filter {
        endpoint_id: query.endpoint_id,
        status: query.status,
        event_type: query.event_type.map(Line::into_string).unwrap_or_default(),
        before: paging.before(),
        limit: paging.fetch(),
    };
    store::list_deliveries(tx, &filter).await
}

/// A delivery with what it brings and how its attempts went.
pub async fn delivery(tx: &Tx<Manage>, id: &Id<WebhookDelivery>) -> Result<DeliveryDetailView> {
    let (delivery, event, attempts) = try_join!(
        store::find_delivery(tx, id.uuid()),
        store::event_of(tx, id.uuid()),
        store::attempts(tx, id.uuid())
    )?;
    let delivery = delivery.ok_or_else(|| id.not_found())?;
    let event = event.ok_or_else(|| Error::internal("a delivery has no event"))?;
    let payload = body(tx.tenant_id(), &event)?;
    Ok(DeliveryDetailView { delivery: delivery.into(), payload, attempts })
}

/// Sends an endpoint an event by which it can be tried.
pub async fn test(tx: &Tx<Manage>, id: &Id<WebhookEndpoint>) -> Result<WebhookDelivery> {
    let endpoint = enabled(tx, id).await?;
    let event = WebhookTest { endpoint_id: endpoint.id, message: TEST_MESSAGE, requested_at: tx.now() };
    let event = outbox::emit_dispatched(tx, &event).await?;
    let delivery = store::insert_delivery(tx, endpoint.id, event, WebhookTest::TYPE).await?;
    tx.ring_after_commit(Topic::Events);
    Ok(delivery)
}

/// Sends a delivery again, whatever came of it, with the whole schedule before it.
pub async fn retry(tx: &Tx<Manage>, id: &Id<WebhookDelivery>) -> Result<WebhookDelivery> {
    let delivery = store::find_delivery(tx, id.uuid()).await?.ok_or_else(|| id.not_found())?;
    match store::find(tx, delivery.endpoint_id).await? {
        None => return Err(Error::business_rule("Its endpoint was deleted")),
        Some(endpoint) if endpoint.disabled.is_some() => {
            return Err(Error::business_rule("Its endpoint is disabled: enable it first"));
        }
        Some(_) => {}
    }
    store::send_again(tx, delivery.id).await?;
    tx.ring_after_commit(Topic::Events);
    store::find_delivery(tx, delivery.id).await?.ok_or_else(|| id.not_found())
}

/// Sending again what has failed. There may be more of it than a request has time for.
#[derive(Serialize, Deserialize)]
pub struct Recovery {
    endpoint_id: Uuid,
    /// Microseconds since 1970.
    since: i64,
    /// What fails later is not meant.
    until: i64,
}

impl Job for Recovery {
    const KIND: &'static str = "webhooks.recovery";
}

/// Sends again all that failed at an endpoint since a time, by a job.
pub async fn recover(tx: &Tx<Manage>, id: &Id<WebhookEndpoint>, since: Timestamp) -> Result<RecoveryView> {
    let endpoint_id = enabled(tx, id).await?.id;
    let (from, until) = (since.as_micros(), tx.now().as_micros());
    tx.enqueue(&Recovery { endpoint_id, since: from, until }).await?;
    Ok(RecoveryView { endpoint_id, since })
}

/// What [`recover`] has asked for. Begun again, it goes on with what is still failed.
pub async fn recover_some(core: Core, work: Work<Recovery>) -> Outcome {
    let Recovery { endpoint_id, since, until } = work.job;
    let span = (Timestamp::from_micros(since), Timestamp::from_micros(until));
    let mut above = Uuid::nil();
    loop {
        let some = async |conn: &TenantConn| {
            conn.ring_after_commit(Topic::Events);
            store::send_failed_again(conn, endpoint_id, span, above).await
        };
        let sent = core.db.as_tenant(SystemReason::Jobs, work.tenant, core.clock.now(), some).await?;
        match sent.into_iter().max() {
            Some(last) => above = last,
            None => return Ok(()),
        }
    }
}
