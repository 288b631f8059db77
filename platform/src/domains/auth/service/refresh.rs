//! Replacing refresh tokens. Each is used once; a second use means that two hold it, and ends the session of both
//! (RFC 9700, section 4.14.2). What is no theft is a second use that was already on its way when the first was committed:
//! the decision record `docs/decisions/0004-concurrent-refresh.md` says how the two are told apart.
use super::{
    super::{
        model::{SessionView, StoredToken},
        store,
    },
    Issued, REFRESH_PREFIX, expiry, person,
};
use crate::{
    core::Core,
    data::{SystemReason, TenantConn},
    error::{Code, Error, Result},
    http::Throttle,
    infra::{
        audit::{self, Entry, Origin},
        token::TenantToken,
    },
};
use futures_util::try_join;
use serde_json::json;
use std::time::Instant;

/// What a use of a token came to; committed in each case.
enum Outcome<T> {
    Renewed(T),
    /// Another use of it won, or it is no live token.
    Refused(&'static str),
    /// It had been replaced before: its session is ended.
    Reused(uuid::Uuid),
}

/// A new access token and a new refresh token for a refresh token.
///
/// `arrived` is when the request reached this node.
///
/// Limited are the uses of one session, and from one client address those that are refused.
pub async fn refresh(
    core: &Core,
    throttle: &Throttle,
    token: &str,
    arrived: Instant,
    origin: &Origin,
) -> Result<SessionView> {
    let renewed = async {
        let token = TenantToken::read(REFRESH_PREFIX, token).ok_or_else(|| refused("not a token"))?;
        limit_session(core, throttle, &token).await?;
        renew(core, &token, arrived, origin).await
    };
    let renewed = renewed.await;
    if matches!(&renewed, Err(error) if error.code() == Code::Unauthorized) {
        throttle.failed().await?;
    }
    renewed
}

fn refused(why: &'static str) -> Error {
    Error::unauthorized("Invalid or expired refresh token").caused_by(why)
}

/// By the session of the token, which only the database knows. It is asked before the transaction, because nothing but
/// the database is waited for within one.
async fn limit_session(core: &Core, throttle: &Throttle, token: &TenantToken) -> Result<()> {
    if !throttle.is_on() {
        return Ok(());
    }
    let find = async |conn: &TenantConn| store::session_of_token(conn, &token.hash()).await;
    let session = core.db.as_tenant(SystemReason::Refresh, token.tenant, core.clock.now(), find).await?;
    match session {
        Some(session) => throttle.session(session).await,
        None => Ok(()),
    }
}

async fn renew(core: &Core, token: &TenantToken, arrived: Instant, origin: &Origin) -> Result<SessionView> {
    let now = core.clock.now();
    let outcome = core.db.as_tenant(SystemReason::Refresh, token.tenant, now, async |conn| {
        conn.connected().await?;
        let waited = arrived.elapsed();
        let Some(stored) = store::live_token(conn, &token.hash()).await? else {
            return Ok(Outcome::Refused("unknown, expired, or its session is over"));
        };
        let Some(replaced_at) = stored.replaced_at else {
            return rotate(core, conn, &stored, token).await;
        };
        // this node knows exactly if it was the one that replaced the token, else the database's clock tells
        let here = core.arrivals.overtaken(&token.hash(), arrived);
        if here.unwrap_or(stored.clock.minus(waited) <= replaced_at) {
            return Ok(Outcome::Refused("another use of it won"));
        }
        if stored.clock <= replaced_at.plus(core.auth.reuse_grace)
            && let Some(renewed) = replace_lost(core, conn, &stored, token).await?
        {
            return Ok(Outcome::Renewed(renewed));
        }
        store::end_session(conn, stored.session_id).await?;
        let entry = Entry::new("auth.refresh_reused").on("session", stored.session_id);
        audit::record(conn, origin, &entry.with(json!({ "user_id": stored.user_id }))).await?;
        Ok(Outcome::Reused(stored.session_id))
    });
    match outcome.await? {
        Outcome::Renewed((issued, user, tenant)) => {
            core.arrivals.won(token.hash());
            issued.view(core, user, tenant, now)
        }
        Outcome::Refused(why) => Err(refused(why)),
        Outcome::Reused(session) => {
            tracing::warn!(tenant = %token.tenant, %session, "a replaced refresh token was used again: its session is ended");
            Err(refused("a replaced token was used again: its session is ended"))
        }
    }
}

type Renewed = (Issued, super::User, super::Tenant);

async fn rotate(
    core: &Core,
    conn: &TenantConn,
    stored: &StoredToken,
    token: &TenantToken,
) -> Result<Outcome<Renewed>> {
    let child = TenantToken::new(REFRESH_PREFIX, token.tenant)?;
    // waits for another use of it that has not committed yet
    if !store::claim_token(conn, &token.hash(), &child.hash()).await? {
        return Ok(Outcome::Refused("another use of it won"));
    }
    match prolong(core, conn, stored, child).await? {
        Some(renewed) => Ok(Outcome::Renewed(renewed)),
        None => Ok(Outcome::Refused("its session was ended meanwhile")),
    }
}

/// The client may not have got the child that replaced this token, and nobody has used it.
async fn replace_lost(
    core: &Core,
    conn: &TenantConn,
    stored: &StoredToken,
    token: &TenantToken,
) -> Result<Option<Renewed>> {
    let Some(lost) = &stored.replaced_by else {
        return Ok(None);
    };
    let child = TenantToken::new(REFRESH_PREFIX, token.tenant)?;
    if !store::replace_lost_child(conn, &token.hash(), lost, &child.hash()).await? {
        return Ok(None);
    }
    prolong(core, conn, stored, child).await
}

async fn prolong(
    core: &Core,
    conn: &TenantConn,
    stored: &StoredToken,
    child: TenantToken,
) -> Result<Option<Renewed>> {
    let expires_at = expiry(core, conn.now(), stored.signed_in_at);
    let hash = child.hash();
    let (lives, (), (user, tenant)) = try_join!(
        store::prolong_session(conn, stored.session_id, expires_at),
        store::insert_token(conn, &hash, stored.session_id, expires_at),
        person(conn, stored.user_id),
    )?;
    Ok(lives.then_some((Issued { session_id: stored.session_id, token: child }, user, tenant)))
}
