//! Turning off an endpoint that is gone or keeps failing, and telling its tenant's owner.
use super::super::{
    model::{DisabledReason, WebhookEndpoint},
    store,
};
use crate::{
    core::Core,
    data::{SystemReason, TenantConn, Topic},
    domains::auth::service::{self as auth, PeopleFilter},
    error::Result,
    infra::{
        audit::{self, Entry, Origin},
        jobs::{self, Job, Outcome, Work},
        mail::{Letter, fill, fill_html},
    },
};
use futures_util::try_join;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;
use uuid::Uuid;

/// So long with failures alone.
pub(super) const FAILING_FOR: Duration = Duration::from_secs(5 * 24 * 60 * 60);

/// A mail to the owner about an endpoint that was turned off.
#[derive(Serialize, Deserialize)]
pub struct DisabledMail {
    endpoint_id: Uuid,
}

impl Job for DisabledMail {
    const KIND: &'static str = "mail.webhook_disabled";
}

/// Turns it off, once. Where somebody has done so meanwhile, or it works again, it stays as it is.
pub(super) async fn disable(core: &Core, tenant: Uuid, endpoint: Uuid, reason: DisabledReason) -> Result<()> {
    let now = core.clock.now();
    let disabled = core.db.as_tenant(SystemReason::Webhooks, tenant, now, async |conn| {
        let Some(endpoint) = store::lock(conn, endpoint).await? else { return Ok(false) };
        let failed = endpoint.failing_since.is_some_and(|since| since <= now.minus(FAILING_FOR));
        if endpoint.disabled.is_some() || (reason == DisabledReason::Failing && !failed) {
            return Ok(false);
        }
        let endpoint = WebhookEndpoint {
            disabled: Some(reason),
            version: endpoint.version + 1,
            updated_at: now.max(endpoint.updated_at),
            ..endpoint
        };
        store::update(conn, &endpoint).await?;
        let entry = Entry::new("webhook_endpoint.disabled").on("webhook_endpoint", endpoint.id);
        let entry = entry.with(json!({ "reason": reason }));
        audit::record(conn, &Origin::default(), &entry).await?;
        if core.mail.is_on() {
            jobs::enqueue(conn, &DisabledMail { endpoint_id: endpoint.id }).await?;
        }
        conn.ring_after_commit(Topic::Events); // for what waits at it
        Ok(true)
    });
    if disabled.await? {
        tracing::warn!(%tenant, %endpoint, reason = %reason, "a webhook endpoint was turned off");
    }
    Ok(())
}

const SUBJECT: &str = "A webhook endpoint of {{tenant}} was turned off";
const TEXT: &str = include_str!("../mail/disabled.txt");
const HTML: &str = include_str!("../mail/disabled.html");

/// Tells the owner, unless the endpoint is on again. Permanent where the mail server refuses them.
pub async fn mail_disabled(core: Core, work: Work<DisabledMail>) -> Outcome {
    let addressed = async |conn: &TenantConn| {
        let owner = PeopleFilter { role: "owner", status: "active", part: String::new() };
        let (endpoint, (people, _), tenant) = try_join!(
            store::find(conn, work.job.endpoint_id),
            auth::people(conn, &owner, 1, 0),
            auth::find_tenant(conn)
        )?;
        let reason = endpoint.as_ref().and_then(|endpoint| endpoint.disabled);
        Ok(endpoint.zip(reason).zip(people.into_iter().next()).map(|found| (found, tenant)))
    };
    let now = core.clock.now();
    let addressed = core.db.as_tenant(SystemReason::Jobs, work.tenant, now, addressed).await?;
    let Some((((endpoint, reason), owner), tenant)) = addressed else {
        return Ok(());
    };
    let why = match reason {
        DisabledReason::Gone => "It answered 410 Gone.",
        DisabledReason::Failing => "Everything that was sent to it for five days has failed.",
        DisabledReason::Manual => return Ok(()), // by a person, meanwhile
    };
    let id = endpoint.id.to_string();
    let values = [
        ("name", owner.full_name.as_str()),
        ("tenant", tenant.name.as_str()),
        ("url", endpoint.url.as_str()),
        ("id", id.as_str()),
        ("why", why),
    ];
    let letter = Letter {
        subject: fill(SUBJECT, &values),
        text: fill(TEXT, &values),
        html: fill_html(HTML, &values),
        address: owner.email.clone(),
        name: owner.full_name.clone(),
    };
    core.mail.send(work.id, letter).await
}
