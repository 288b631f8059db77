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
        arrivals::Winning,
        audit::{self, Entry, Origin},
        token::TenantToken,
    },
    values::Timestamp,
};
use futures_util::try_join;
use serde_json::json;
use std::time::{Duration, Instant};

/// A token counts as replaced so long after its replacement was written, and no sooner is it answered. Uses that were on
/// their way by then, in the sockets of whatever node, are no theft: nobody has seen the answer yet.
const SETTLING: Duration = Duration::from_millis(50);

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
        let Some(stored) = store::live_token(conn, &token.hash()).await? else {
            return Ok(Outcome::Refused("unknown, expired, or its session is over"));
        };
        let Some(replaced_at) = stored.replaced_at else {
            return rotate(core, conn, &stored, token).await;
        };
        // this node knows exactly if it was the one that replaced the token, else the database's clock tells
        let concurrent = match core.arrivals.overtaken(&token.hash(), arrived) {
            Some(overtaken) => overtaken,
            None => arrived_before(conn, arrived, replaced_at).await?,
        };
        if concurrent {
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
        Outcome::Renewed(renewed) => {
            tokio::time::sleep(SETTLING.saturating_sub(renewed.written.elapsed())).await;
            renewed.winning.won();
            renewed.issued.view(core, renewed.user, renewed.tenant, now)
        }
        Outcome::Refused(why) => Err(refused(why)),
        Outcome::Reused(session) => {
            tracing::warn!(tenant = %token.tenant, %session, "a replaced refresh token was used again: its session is ended");
            Err(refused("a replaced token was used again: its session is ended"))
        }
    }
}

/// How often the database's clock is read before the doubt is left to the client.
const READINGS: usize = 5;

/// Whether a request arrived before an instant of the database's clock. A reading of that clock was taken after it was
/// asked for and before it was answered, so it bounds the arrival from both sides; as close as the bounds are, a busy
/// node may lie between them, so it is read again until they tell.
async fn arrived_before(conn: &TenantConn, arrived: Instant, instant: Timestamp) -> Result<bool> {
    for _ in 0..READINGS {
        let asked = arrived.elapsed();
        let clock = store::clock(conn).await?;
        let answered = arrived.elapsed();
        if clock.minus(asked) <= instant {
            return Ok(true);
        }
        if clock.minus(answered) > instant {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A session that goes on.
struct Renewed<'a> {
    issued: Issued,
    user: super::User,
    tenant: super::Tenant,
    winning: Winning<'a>,
    written: Instant,
}

async fn rotate<'a>(
    core: &'a Core,
    conn: &TenantConn,
    stored: &StoredToken,
    token: &TenantToken,
) -> Result<Outcome<Renewed<'a>>> {
    let (written, at) = (Instant::now(), stored.clock.plus(SETTLING));
    let child = TenantToken::new(REFRESH_PREFIX, token.tenant)?;
    // waits for another use of it that has not committed yet
    if !store::claim_token(conn, &token.hash(), &child.hash(), at).await? {
        return Ok(Outcome::Refused("another use of it won"));
    }
    let winning = core.arrivals.winning(token.hash());
    match prolong(core, conn, stored, child).await? {
        Some((issued, user, tenant)) => {
            Ok(Outcome::Renewed(Renewed { issued, user, tenant, winning, written }))
        }
        None => Ok(Outcome::Refused("its session was ended meanwhile")),
    }
}

/// The client may not have got the child that replaced this token, and nobody has used it.
async fn replace_lost<'a>(
    core: &'a Core,
    conn: &TenantConn,
    stored: &StoredToken,
    token: &TenantToken,
) -> Result<Option<Renewed<'a>>> {
    let Some(lost) = &stored.replaced_by else {
        return Ok(None);
    };
    let (written, at) = (Instant::now(), stored.clock.plus(SETTLING));
    let child = TenantToken::new(REFRESH_PREFIX, token.tenant)?;
    if !store::replace_lost_child(conn, &token.hash(), lost, &child.hash(), at).await? {
        return Ok(None);
    }
    let winning = core.arrivals.winning(token.hash());
    let renewed = prolong(core, conn, stored, child).await?;
    Ok(renewed.map(|(issued, user, tenant)| Renewed { issued, user, tenant, winning, written }))
}

async fn prolong(
    core: &Core,
    conn: &TenantConn,
    stored: &StoredToken,
    child: TenantToken,
) -> Result<Option<(Issued, super::User, super::Tenant)>> {
    let expires_at = expiry(core, conn.now(), stored.signed_in_at);
    let hash = child.hash();
    let (lives, (), (user, tenant)) = try_join!(
        store::prolong_session(conn, stored.session_id, expires_at),
        store::insert_token(conn, &hash, stored.session_id, expires_at),
        person(conn, stored.user_id),
    )?;
    Ok(lives.then_some((Issued { session_id: stored.session_id, token: child }, user, tenant)))
}
