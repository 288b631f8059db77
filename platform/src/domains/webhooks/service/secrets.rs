//! The secrets of endpoints: made here, stored sealed, replaced with an overlap.
use super::{
    super::{
        Manage,
        model::{SecretView, WebhookEndpoint},
        store::{self, Sealed},
    },
    endpoints::read,
};
use crate::{
    access::Tx,
    core::Core,
    error::{Error, Result},
    http::Id,
    infra::{
        audit::Entry,
        secret,
        webhook::{Secret, shown},
    },
};
use std::time::Duration;
use uuid::Uuid;

/// How long the secret before it signs too.
const OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);
/// Secrets beside the current one; each is a signature in a header of every request.
const MOST_PREVIOUS: i64 = 8;

/// A new secret of an endpoint, as its holder gets it.
pub(super) async fn issue(core: &Core, tx: &Tx<Manage>, endpoint: Uuid) -> Result<String> {
    let secret = secret::random()?;
    let sealed = core.webhook_secrets.seal(&[tx.tenant_id().as_bytes(), endpoint.as_bytes()], &secret)?;
    store::insert_secret(tx, endpoint, &sealed).await?;
    Ok(shown(&secret))
}

/// `None` where it was sealed under another key, or for another endpoint.
pub(super) fn opened(core: &Core, tenant: Uuid, endpoint: Uuid, sealed: &Sealed) -> Option<Secret> {
    core.webhook_secrets.open(&[tenant.as_bytes(), endpoint.as_bytes()], &sealed.0)?.try_into().ok()
}

/// The secret of an endpoint.
pub async fn secret(core: &Core, tx: &Tx<Manage>, id: &Id<WebhookEndpoint>) -> Result<SecretView> {
    let endpoint = read(tx, id).await?;
    let sealed = store::current_secret(tx, endpoint.id).await?;
    let sealed = sealed.ok_or_else(|| Error::internal("an endpoint has no secret"))?;
    let secret = opened(core, tx.tenant_id(), endpoint.id, &sealed)
        .ok_or_else(|| Error::internal("a secret does not open: WEBHOOK_SIGNING_SECRET is another"))?;
    Ok(SecretView { secret: shown(&secret) })
}

/// Another secret. Those before it sign beside it, each for 24 hours from when it was replaced.
pub async fn rotate_secret(core: &Core, tx: &Tx<Manage>, id: &Id<WebhookEndpoint>) -> Result<SecretView> {
    let mut endpoint = store::lock(tx, id.uuid()).await?.ok_or_else(|| id.not_found())?;
    if store::count_previous_secrets(tx, endpoint.id).await? >= MOST_PREVIOUS {
        return Err(Error::business_rule(format!(
            "The secret was replaced {MOST_PREVIOUS} times within 24 hours: wait until the first of them has ended"
        )));
    }
    store::expire_secret(tx, endpoint.id, tx.now().plus(OVERLAP)).await?;
    let secret = issue(core, tx, endpoint.id).await?;
    endpoint.version += 1;
    endpoint.updated_at = tx.now().max(endpoint.updated_at);
    store::update(tx, &endpoint).await?;
    tx.audit(Entry::new("webhook_endpoint.secret_rotated").on("webhook_endpoint", endpoint.id)).await?;
    Ok(SecretView { secret })
}
