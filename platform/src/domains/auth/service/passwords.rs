//! Passwords that are changed, forgotten and set anew.
use super::{
    super::{
        Profile,
        model::{ChangePassword, ForgotPassword, ResetPassword, TokenKind, UserStatus},
        store,
    },
    ResetMail, end_all,
};
use crate::{
    access::{Scope, Session},
    core::Core,
    data::{Mode, SystemReason, TenantConn},
    error::{Code, Error, Result},
    http::Throttle,
    infra::{
        audit::{self, Entry, Origin},
        jobs,
        mail::Mail,
        password::Verdict,
        token::TenantToken,
    },
    values::{Email, NewPassword, Password, Timestamp, other_than_names, without_name},
};
use uuid::Uuid;

/// Somebody's address, their tenant's slug, and the hash of their password.
pub struct Confirmable {
    pub email: String,
    tenant_slug: String,
    stored: Option<String>,
}

/// What the caller's password is compared with.
pub async fn confirmable(conn: &TenantConn, id: Uuid) -> Result<Confirmable> {
    let (user, tenant, stored) =
        futures_util::try_join!(store::user(conn, id), store::tenant(conn), store::password_hash(conn, id))?;
    let email = user.map(|user| user.email).unwrap_or_default();
    Ok(Confirmable { email, tenant_slug: tenant.slug, stored })
}

/// Whether this is the caller's password; the hash that it was compared with. A wrong one is limited like a sign-in.
///
/// The comparison is no part of a transaction: who goes on must see that the hash still holds.
pub async fn confirm(
    core: &Core,
    throttle: &Throttle,
    who: &Confirmable,
    password: &Password,
    field: &'static str,
) -> Result<String> {
    let Confirmable { email, tenant_slug, stored } = who;
    let compare = async {
        let verdict = core.passwords.verify(password.expose(), stored.clone()).await?;
        let right = stored.clone().filter(|_| verdict != Verdict::Wrong);
        right.ok_or_else(|| Error::field(field, "is not your password"))
    };
    throttle.attempt_signed_in(tenant_slug, email, Code::ValidationError, compare).await
}

/// A new password for oneself; all other sessions end.
pub async fn change_password(
    core: &Core,
    scope: &Scope<Profile>,
    throttle: &Throttle,
    change: ChangePassword,
) -> Result<()> {
    let who = scope.read(async |tx| confirmable(tx, tx.session()?.user).await).await?;
    let compared = confirm(core, throttle, &who, &change.current_password, "current_password").await?;
    check_policy(&change.new_password, &who.email, &who.tenant_slug, "new_password")?;
    let hash = core.passwords.hash(change.new_password.expose()).await?;
    scope
        .write(async |tx| {
            let Session { user: id, id: session, .. } = tx.session()?;
            if !store::change_password(tx, id, &compared, &hash).await? {
                return Err(Error::field("current_password", "is not your password"));
            }
            store::drop_tokens(tx, id).await?;
            store::end_sessions_but(tx, id, session).await?;
            tx.audit(Entry::new("auth.password_changed").on("user", id)).await
        })
        .await
}

/// What is wrong with a password as this person's is told on the field that it came in.
pub(super) fn check_policy(
    password: &NewPassword,
    email: &str,
    tenant_slug: &str,
    field: &'static str,
) -> Result<()> {
    let checked = Email::new(email).map_or(Ok(()), |email| without_name(&email, password));
    let checked = checked.and_then(|()| other_than_names(tenant_slug, password));
    checked.map_err(|(_, message)| Error::field(field, message))
}

/// Whoever asks is told the same at the same time: what there is to do is done after the answer.
pub fn forgot_password(core: &Core, forgot: ForgotPassword, origin: Origin) {
    let worker = core.clone();
    let work = async move {
        if let Err(error) = send_reset(&worker, &forgot).await {
            tracing::error!(%error, request_id = origin.request_id, "a forgotten password could not be dealt with");
        }
    };
    if !core.background.run(work) {
        tracing::warn!("too many forgotten passwords at once: one was passed over");
    }
}

async fn send_reset(core: &Core, forgot: &ForgotPassword) -> Result<()> {
    let Some(email) = Email::new(forgot.email.as_str()) else {
        return Ok(());
    };
    let slug = forgot.tenant_slug.as_str();
    let tenant = core.db.system(SystemReason::PasswordReset, Mode::Read, async |conn| {
        store::tenant_by_slug(conn, slug).await
    });
    let Some(tenant) = tenant.await? else {
        return Ok(());
    };
    let work = async |conn: &TenantConn| {
        let known = store::credentials(conn, email.as_str()).await?;
        let Some(known) = known.filter(|known| known.status == UserStatus::Active) else {
            return Ok(());
        };
        if matches!(core.mail, Mail::Off) {
            tracing::warn!(%tenant, "a password was forgotten, but there is no mailer: set SMTP_URL");
            return Ok(());
        }
        jobs::enqueue(conn, &ResetMail::to(known.user_id)).await
    };
    core.db.as_tenant(SystemReason::PasswordReset, tenant, core.clock.now(), work).await
}

/// A new password by a token; all sessions end.
pub async fn reset_password(core: &Core, reset: ResetPassword, origin: &Origin) -> Result<()> {
    let unknown = || Error::field("token", "unknown, used or expired");
    let kind = TokenKind::PasswordReset;
    let token = TenantToken::read(kind.prefix(), reset.token.as_str()).ok_or_else(unknown)?;
    let now = core.clock.now();
    let in_tenant = |work| core.db.as_tenant(SystemReason::PasswordReset, token.tenant, now, work);
    let (user, tenant) = in_tenant(async |conn: &TenantConn| {
        let holder = store::token_holder(conn, kind, &token.hash()).await?.ok_or_else(unknown)?;
        futures_util::try_join!(store::user(conn, holder), store::tenant(conn))
    })
    .await?;
    let holder = user.ok_or_else(unknown)?;
    check_policy(&reset.new_password, &holder.email, &tenant.slug, "new_password")?;
    let hash = core.passwords.hash(reset.new_password.expose()).await?;
    core.db
        .as_tenant(SystemReason::PasswordReset, token.tenant, now, async |conn| {
            let user = holder.id; // the person first and then the token, as whoever changes a role takes them
            let active =
                store::lock_user(conn, user).await?.is_some_and(|user| user.status == UserStatus::Active);
            if !active || store::take_token(conn, kind, &token.hash()).await?.is_none() {
                return Err(unknown());
            }
            store::replace_hash(conn, user, &hash).await?;
            end_all(conn, user).await?;
            audit::record(conn, origin, &Entry::new("auth.password_reset").by("user", user).on("user", user))
                .await
        })
        .await
}

/// A token that sets a new password, in place of one that was there.
pub async fn issue_token(conn: &TenantConn, user: Uuid, kind: TokenKind) -> Result<(String, Timestamp)> {
    let token = TenantToken::new(kind.prefix(), conn.tenant_id())?;
    let expires_at = conn.now().plus(kind.lifetime());
    store::put_token(conn, user, kind, &token.hash(), expires_at).await?;
    Ok((token.text(), expires_at))
}
