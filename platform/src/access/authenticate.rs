//! Reading the credential of a request. What it says is believed so far: an access token is signed, an API key was once
//! found in the database. Whether it holds now is asked by each transaction.
use super::{
    caller::{Caller, SentKey},
    gate::{AccessGate, Wanted},
    token::refused,
};
use crate::{
    core::Core,
    data::{Mode, SystemReason, TenantConn},
    error::{Error, Result},
    http::{
        Throttle,
        frame::Who,
        limits::{Standings, limit_tenant},
    },
    infra::token::{API_KEY_PREFIX, ApiKeyToken},
    sql,
};
use axum::http::{header::AUTHORIZATION, request::Parts};

/// Who sends this request, once it is counted for their tenant.
pub(super) async fn authenticate(parts: &Parts, core: &Core) -> Result<(Caller, Standings)> {
    let caller = match bearer(parts)? {
        key if key.starts_with(API_KEY_PREFIX) => {
            let key = ApiKeyToken::read(key).ok_or_else(|| refused("not an API key"))?;
            Caller::ApiKey(SentKey { tenant: key.tenant, id: key.id, hash: key.hash() })
        }
        token => Caller::Person(core.tokens.verify(token, core.clock.now())?),
    };
    if let Caller::ApiKey(key) = &caller
        && !core.known_keys.knows(&key.hash)
    {
        look_up(parts, core, key).await?;
    }
    if let Some(who) = parts.extensions.get::<Who>() {
        who.is(caller.clone());
    }
    let standings = limit_tenant(core, parts, caller.tenant()).await?;
    Ok((caller, standings))
}

/// `Authorization: Bearer …` (RFC 6750), once. Who sends none is told what to send; whatever else is wrong with a
/// credential is told in the words of [`refused`], so that nothing can be learned from trying.
fn bearer(parts: &Parts) -> Result<&str> {
    let missing =
        || Error::unauthorized("Sign in: send Authorization: Bearer and an access token or an API key");
    let mut headers = parts.headers.get_all(AUTHORIZATION).iter();
    let header = headers.next().ok_or_else(missing)?;
    if headers.next().is_some() {
        return Err(refused("more than one Authorization header"));
    }
    let (scheme, token) = header
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or_else(|| refused("no scheme and token"))?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(refused("another scheme than Bearer"));
    }
    Ok(token.trim())
}

/// A key that this node has not met: whoever knows a tenant's id can make up keys that name it. Such a key must neither
/// count for that tenant nor be tried without end from one address.
async fn look_up(parts: &Parts, core: &Core, key: &SentKey) -> Result<()> {
    let gate = AccessGate::new(core, Caller::ApiKey(key.clone()), Wanted::NOTHING, Standings::default());
    let conn = core.db.tenant(key.tenant, Mode::Read, gate.now, gate.clone());
    Throttle::of(parts, core).unknown_key(async { conn.check().await }).await?;
    conn.commit().await?;
    core.known_keys.learn(&key.hash, core.clock.now());
    Ok(())
}

/// Writes down that a key was used, about once a minute and beside the requests: nothing that must not be lost.
pub(super) fn note_use(core: &Core, caller: &Caller) {
    let Caller::ApiKey(key) = caller else { return };
    let now = core.clock.now();
    if !core.known_keys.is_due(&key.hash, now) {
        return;
    }
    let (worker, SentKey { tenant, id, .. }) = (core.clone(), key.clone());
    core.background.run(async move {
        let note = async |conn: &TenantConn| {
            let sql = sql!(
                "UPDATE api_keys SET last_used_at = $3 \
                 WHERE tenant_id = $1 AND id = $2 AND (last_used_at IS NULL OR last_used_at < $3)"
            );
            conn.execute(sql, &[&id, &conn.now()]).await.map(drop)
        };
        if let Err(error) = worker.db.as_tenant(SystemReason::ApiKeyUse, tenant, now, note).await {
            tracing::warn!(%error, api_key = %id, "the use of an API key could not be noted");
        }
    });
}
