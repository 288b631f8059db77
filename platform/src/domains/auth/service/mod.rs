//! Signing up, in and out. Passwords are hashed and compared between transactions, never within one.
mod invitations;
mod mails;
mod passwords;
mod people;
mod purge;
mod refresh;
mod sessions;

pub use invitations::accept;
pub use mails::{mail_invitation, mail_reset};
use passwords::check_policy;
pub use passwords::{change_password, confirm, confirmable, forgot_password, issue_token, reset_password};
pub use people::*;
pub use purge::purge;
pub use refresh::refresh;
pub use sessions::{end_all, end_other_sessions, end_session, sessions};

use super::{
    Profile,
    model::{Login, Register, SessionView},
    store::{self, NewSession},
};
use crate::{
    access::{Role, Session, Tx},
    core::Core,
    data::{Mode, SystemReason, TenantConn, new_id},
    error::{Code, Error, Result},
    http::Throttle,
    infra::{
        audit::{self, Entry, Origin},
        password::Verdict,
        secret,
        token::TenantToken,
    },
    values::{Email, Slug, Timestamp},
};
use futures_util::try_join;
use serde_json::json;
use uuid::Uuid;

/// What refresh tokens begin with.
const REFRESH_PREFIX: &str = "rt_";

/// Tries for a slug that was made from a name; each has 24 random bits.
const SLUG_TRIES: usize = 5;

/// A new tenant with its owner, signed in.
pub async fn register(core: &Core, new: Register, origin: &Origin) -> Result<SessionView> {
    let given = new.tenant_slug.is_some();
    let name = new.tenant_name.as_str();
    let mut slug = new.tenant_slug.clone().unwrap_or_else(|| Slug::from_name(name, None));
    check_policy(&new.password, new.email.as_str(), slug.as_str(), "password")?;
    let hash = core.passwords.hash(new.password.expose()).await?;
    for _ in 0..SLUG_TRIES {
        match found(core, &new, &slug, &hash, origin).await? {
            Some(session) => return Ok(session),
            None if given => break,
            None => slug = Slug::from_name(name, Some(&hex(&secret::random()?[..3]))),
        }
    }
    Err(Error::conflict(format!("The tenant slug '{}' is taken", slug.as_str())))
}

/// `None` if the slug is taken.
async fn found(
    core: &Core,
    new: &Register,
    slug: &Slug,
    hash: &str,
    origin: &Origin,
) -> Result<Option<SessionView>> {
    let now = core.clock.now();
    let id = new_id(now);
    let tenant = Tenant::new(id, new.tenant_name.as_str().to_owned(), slug, now);
    let email = new.email.as_str().to_owned();
    let mut owner = User::new(id, new_id(now), email, new.full_name.as_str().to_owned(), Role::Owner, now);
    owner.last_login_at = Some(now);
    let issued = core.db.as_tenant(SystemReason::Register, id, now, async |conn| {
        if !store::insert_tenant(conn, &tenant).await? {
            return Ok(None);
        }
        store::insert_user(conn, &owner, hash).await?;
        let entry = Entry::new("tenant.registered").by("user", owner.id).on("tenant", id);
        audit::record(conn, origin, &entry).await?;
        start_session(core, conn, owner.id, origin).await.map(Some)
    });
    match issued.await? {
        Some(issued) => issued.view(core, owner, tenant, now).map(Some),
        None => Ok(None),
    }
}

/// Whoever signs in gets one answer for all that can be wrong, after the same work. 429 if too many have failed for this
/// tenant and address, whether there is such an account or not.
pub async fn login(core: &Core, throttle: &Throttle, login: Login, origin: &Origin) -> Result<SessionView> {
    let work = sign_in(core, &login, origin);
    throttle.attempt(login.tenant_slug.as_str(), login.email.as_str(), Code::Unauthorized, work).await
}

async fn sign_in(core: &Core, login: &Login, origin: &Origin) -> Result<SessionView> {
    let refused = || Error::unauthorized("Invalid credentials");
    let slug = login.tenant_slug.as_str();
    let tenant = core
        .db
        .system(SystemReason::Login, Mode::Read, async |conn| store::tenant_by_slug(conn, slug).await)
        .await?;
    let known_tenant = tenant.is_some();
    let tenant = tenant.unwrap_or_default(); // of nobody: then there is no such person either
    let email = Email::new(login.email.as_str()).map(Email::into_string).unwrap_or_default();
    let now = core.clock.now();
    let known = core
        .db
        .as_tenant(SystemReason::Login, tenant, now, async |conn| store::credentials(conn, &email).await);
    let (user_id, status, stored) = match known.await? {
        // who may not sign in is compared like nobody, so that a right password takes no other time
        Some(known) if known.status != UserStatus::Active => (known.user_id, Some(known.status), None),
        Some(known) => (known.user_id, Some(known.status), known.password_hash),
        None => (Uuid::nil(), None, None),
    };
    let verdict = core.passwords.verify(login.password.expose(), stored.clone()).await?;
    let (Some(stored), Some(UserStatus::Active), true) = (stored, status, verdict != Verdict::Wrong) else {
        note_failure(core, known_tenant.then_some(tenant), user_id, &email, origin).await?;
        return Err(refused());
    };
    let renewed = match verdict {
        Verdict::RightButOld => Some(core.passwords.hash(login.password.expose()).await?),
        _ => None,
    };
    let signed_in = core.db.as_tenant(SystemReason::Login, tenant, now, async |conn| {
        if !store::note_login(conn, user_id, &stored).await? {
            return Err(refused()); // deactivated, or another password, since it was compared
        }
        if let Some(hash) = &renewed {
            store::replace_hash(conn, user_id, hash).await?;
        }
        let issued = start_session(core, conn, user_id, origin).await?;
        let entry = Entry::new("auth.login").by("user", user_id).on("session", issued.session_id);
        audit::record(conn, origin, &entry).await?;
        let (user, tenant) = person(conn, user_id).await?;
        Ok((issued, user, tenant))
    });
    let (issued, user, tenant) = signed_in.await?;
    issued.view(core, user, tenant, now)
}

/// Tenants see who tried: the address as it was given, and whose it is, if it is anybody's. Where there is no tenant the
/// database is asked all the same, for a change of nothing: so a refusal waits for it as often in each case.
async fn note_failure(
    core: &Core,
    tenant: Option<Uuid>,
    user_id: Uuid,
    email: &str,
    origin: &Origin,
) -> Result<()> {
    let mut entry = Entry::new("auth.login_failed").with(json!({ "email": email }));
    if !user_id.is_nil() {
        entry = entry.on("user", user_id);
    }
    let record = async |conn: &TenantConn| match tenant {
        Some(_) => audit::record(conn, origin, &entry).await,
        None => store::note_login(conn, user_id, "").await.map(drop),
    };
    core.db.as_tenant(SystemReason::Login, tenant.unwrap_or_default(), core.clock.now(), record).await
}

/// Ends the session of a refresh token. What is no token, or a dead one, is as good.
pub async fn logout(core: &Core, token: &str) -> Result<()> {
    let Some(token) = TenantToken::read(REFRESH_PREFIX, token) else {
        return Ok(());
    };
    let end = async |conn: &TenantConn| match store::live_token(conn, &token.hash()).await? {
        Some(stored) => store::end_session(conn, stored.session_id).await.map(drop),
        None => Ok(()),
    };
    core.db.as_tenant(SystemReason::Logout, token.tenant, core.clock.now(), end).await
}

/// One's own profile.
pub async fn me(tx: &Tx<Profile>) -> Result<(User, Tenant)> {
    person(tx, tx.session()?.user).await
}

async fn person(conn: &TenantConn, user: Uuid) -> Result<(User, Tenant)> {
    let (user, tenant) = try_join!(store::user(conn, user), store::tenant(conn))?;
    Ok((user.ok_or_else(|| Error::internal("a person vanished"))?, tenant))
}

/// A session and its first refresh token, in this transaction.
async fn start_session(core: &Core, conn: &TenantConn, user_id: Uuid, origin: &Origin) -> Result<Issued> {
    let (id, token) = (conn.new_id(), TenantToken::new(REFRESH_PREFIX, conn.tenant_id())?);
    let expires_at = expiry(core, conn.now(), conn.now());
    let Origin { ip, user_agent, .. } = origin;
    store::insert_session(conn, &NewSession { id, user_id, expires_at, ip, user_agent }).await?;
    store::insert_token(conn, &token.hash(), id, expires_at).await?;
    Ok(Issued { session_id: id, token })
}

/// A refresh token's end: so long after its making, but not beyond what the session may last.
fn expiry(core: &Core, now: Timestamp, signed_in_at: Timestamp) -> Timestamp {
    now.plus(core.auth.refresh_token).min(signed_in_at.plus(core.auth.session))
}

/// What a committed transaction has issued.
struct Issued {
    session_id: Uuid,
    token: TenantToken,
}

impl Issued {
    fn view(self, core: &Core, user: User, tenant: Tenant, now: Timestamp) -> Result<SessionView> {
        let session = Session { tenant: tenant.id, user: user.id, id: self.session_id };
        Ok(SessionView {
            access_token: core.tokens.issue(session, now)?,
            refresh_token: self.token.text(),
            token_type: "bearer",
            expires_in: core.tokens.lifetime().as_secs(),
            user: user.into(),
            tenant: tenant.into(),
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A tenant of the demo with its people, all with one password; `None` if it is there already.
pub(crate) async fn seed_tenant(
    conn: &TenantConn,
    name: &str,
    slug: &Slug,
    plan: &str,
    people: &[(String, String, Role)],
    password_hash: &str,
) -> Result<Option<Vec<(Uuid, Role)>>> {
    let now = conn.now();
    let tenant =
        Tenant { plan: plan.to_owned(), ..Tenant::new(conn.tenant_id(), name.to_owned(), slug, now) };
    if !store::insert_tenant(conn, &tenant).await? {
        return Ok(None);
    }
    let mut ids = Vec::new();
    for (email, full_name, role) in people {
        let user = User::new(tenant.id, conn.new_id(), email.clone(), full_name.clone(), *role, now);
        store::insert_user(conn, &user, password_hash).await?;
        ids.push((user.id, *role));
    }
    Ok(Some(ids))
}
