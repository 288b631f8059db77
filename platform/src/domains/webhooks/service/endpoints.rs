//! Endpoints: who is sent what, and where.
use super::{
    super::{
        Manage,
        model::{
            ChangeEndpoint, CreateEndpoint, CreatedEndpointView, DisabledReason, EndpointUrl, EventPattern,
            EventPatterns, WebhookEndpoint,
        },
        store,
    },
    secrets,
};
use crate::{
    access::Tx,
    core::Core,
    data::Topic,
    error::{Error, Fault, Result},
    http::{Conditions, Id, Paging},
    infra::{audit::Entry, plans::Feature},
    values::{Lines, List},
};
use serde_json::json;

/// An endpoint that may be made: if you hold one, it is valid.
pub struct NewEndpoint {
    url: String,
    description: Option<String>,
    event_types: Vec<EventPattern>,
}

/// A change that may be made to an endpoint.
pub struct Change {
    url: Option<String>,
    /// Within, `None` takes it away.
    description: Option<Option<String>>,
    event_types: Option<Vec<EventPattern>>,
    enabled: Option<bool>,
}

/// Says of both at once what the settings and the catalogue of events have against them.
fn check(core: &Core, url: Option<&EndpointUrl>, patterns: Option<&EventPatterns>) -> Result<()> {
    let mut faults = Vec::new();
    if let Some(Err(message)) = url.map(|url| core.egress.target(url.as_str())) {
        faults.push(Fault { field: "url".to_owned(), message });
    }
    for (i, pattern) in patterns.map_or(&[][..], List::as_slice).iter().enumerate() {
        if !pattern.is_known(&core.events) {
            let message = "there is no such event: GET /webhooks/event-types lists them".into();
            faults.push(Fault { field: format!("event_types[{i}]"), message });
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Error::validation(faults)) }
}

fn described(description: Lines<500>) -> Option<String> {
    Some(description.into_string()).filter(|text| !text.is_empty())
}

impl NewEndpoint {
    /// 422 where it may not be, by the settings.
    pub fn parse(core: &Core, body: CreateEndpoint) -> Result<Self> {
        check(core, Some(&body.url), body.event_types.as_ref())?;
        Ok(Self {
            url: body.url.as_str().to_owned(),
            description: body.description.and_then(described),
            event_types: body.event_types.map(List::into_vec).unwrap_or_default(),
        })
    }
}

impl Change {
    /// 422 where it may not be, by the settings.
    pub fn parse(core: &Core, body: ChangeEndpoint) -> Result<Self> {
        check(core, body.url.as_ref(), body.event_types.as_ref())?;
        Ok(Self {
            url: body.url.map(|url| url.as_str().to_owned()),
            description: body.description.map(described),
            event_types: body.event_types.map(List::into_vec),
            enabled: body.enabled,
        })
    }
}

/// A new endpoint. Of any number at once only as many are made as the plan allows: each waits for those before it.
pub async fn create(core: &Core, tx: &Tx<Manage>, new: NewEndpoint) -> Result<CreatedEndpointView> {
    let count = store::lock_and_count(tx).await?;
    tx.plan().await?.require(Feature::WebhookEndpoints, count)?;
    let endpoint = WebhookEndpoint {
        id: tx.new_id(),
        url: new.url,
        description: new.description,
        event_types: new.event_types,
        disabled: None,
        failing_since: None,
        version: 1,
        created_at: tx.now(),
        updated_at: tx.now(),
    };
    store::insert(tx, &endpoint).await?;
    let secret = secrets::issue(core, tx, endpoint.id).await?;
    tx.audit(Entry::new("webhook_endpoint.created").on("webhook_endpoint", endpoint.id)).await?;
    Ok(CreatedEndpointView { endpoint: endpoint.into(), secret })
}

/// A page of endpoints, newest first; one more than a page may show.
pub async fn list(tx: &Tx<Manage>, paging: &Paging) -> Result<Vec<WebhookEndpoint>> {
    store::list(tx, paging.before(), paging.fetch()).await
}

/// An endpoint.
pub async fn read(tx: &Tx<Manage>, id: &Id<WebhookEndpoint>) -> Result<WebhookEndpoint> {
    store::find(tx, id.uuid()).await?.ok_or_else(|| id.not_found())
}

/// An endpoint that is sent events.
pub async fn enabled(tx: &Tx<Manage>, id: &Id<WebhookEndpoint>) -> Result<WebhookEndpoint> {
    let endpoint = read(tx, id).await?;
    match endpoint.disabled {
        None => Ok(endpoint),
        Some(_) => Err(Error::business_rule("The endpoint is disabled: enable it first")),
    }
}

/// Changes an endpoint. What waits for one that is turned off has failed; turned on again, it is as good as new.
pub async fn change(
    tx: &Tx<Manage>,
    id: &Id<WebhookEndpoint>,
    change: Change,
    conditions: &Conditions,
) -> Result<WebhookEndpoint> {
    let mut endpoint = store::lock(tx, id.uuid()).await?.ok_or_else(|| id.not_found())?;
    conditions.check(endpoint.version)?;
    let mut changed = Vec::new();
    if let Some(url) = change.url.filter(|url| *url != endpoint.url) {
        endpoint.url = url;
        endpoint.failing_since = None; // it was another that failed
        changed.push("url");
    }
    if let Some(description) = change.description.filter(|text| *text != endpoint.description) {
        endpoint.description = description;
        changed.push("description");
    }
    if let Some(event_types) = change.event_types.filter(|types| *types != endpoint.event_types) {
        endpoint.event_types = event_types;
        changed.push("event_types");
    }
    if let Some(enabled) = change.enabled.filter(|enabled| *enabled != endpoint.disabled.is_none()) {
        endpoint.disabled = (!enabled).then_some(DisabledReason::Manual);
        endpoint.failing_since = None;
        changed.push("enabled");
        tx.ring_after_commit(Topic::Events);
    }
    if changed.is_empty() {
        return Ok(endpoint);
    }
    endpoint.version += 1;
    endpoint.updated_at = tx.now().max(endpoint.updated_at);
    store::update(tx, &endpoint).await?;
    let details = json!({ "changed": changed, "enabled": endpoint.disabled.is_none() });
    tx.audit(Entry::new("webhook_endpoint.updated").on("webhook_endpoint", endpoint.id).with(details))
        .await?;
    Ok(endpoint)
}

/// Deletes an endpoint with its secrets. What was delivered stays in the log, and what waits has failed.
pub async fn delete(tx: &Tx<Manage>, id: &Id<WebhookEndpoint>, conditions: &Conditions) -> Result<()> {
    let endpoint = store::lock(tx, id.uuid()).await?.ok_or_else(|| id.not_found())?;
    conditions.check(endpoint.version)?;
    store::delete(tx, endpoint.id).await?;
    store::delete_secrets(tx, endpoint.id).await?;
    tx.ring_after_commit(Topic::Events);
    tx.audit(Entry::new("webhook_endpoint.deleted").on("webhook_endpoint", endpoint.id)).await
}
