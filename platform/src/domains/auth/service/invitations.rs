//! Invitations that are accepted.
use super::{
    super::{
        model::{AcceptInvitation, SessionView, TokenKind, User, UserJoined, UserStatus},
        store,
    },
    check_policy, start_session,
};
use crate::{
    core::Core,
    data::{SystemReason, TenantConn},
    error::{Error, Result},
    infra::{
        audit::{self, Entry, Origin},
        outbox,
        token::TenantToken,
    },
    values::Line,
};

/// An invited person sets a password and is signed in.
pub async fn accept(core: &Core, accept: AcceptInvitation, origin: &Origin) -> Result<SessionView> {
    let unknown = || Error::field("token", "unknown, used or expired");
    let kind = TokenKind::Invitation;
    let token = TenantToken::read(kind.prefix(), accept.token.as_str()).ok_or_else(unknown)?;
    let now = core.clock.now();
    let invited = async |conn: &TenantConn| {
        let holder = store::token_holder(conn, kind, &token.hash()).await?.ok_or_else(unknown)?;
        let (user, tenant) = futures_util::try_join!(store::user(conn, holder), store::tenant(conn))?;
        Ok((user.ok_or_else(unknown)?, tenant))
    };
    let (invited, tenant) = core.db.as_tenant(SystemReason::Invitation, token.tenant, now, invited).await?;
    check_policy(&accept.password, &invited.email, &tenant.slug, "password")?;
    let hash = core.passwords.hash(accept.password.expose()).await?;
    let full_name = accept.full_name.map(Line::into_string);
    let joined = core.db.as_tenant(SystemReason::Invitation, token.tenant, now, async |conn| {
        let id = invited.id; // the person first and then the token, as whoever lets a person go takes them
        let user = store::lock_user(conn, id)
            .await?
            .filter(|user| user.status == UserStatus::Invited)
            .ok_or_else(unknown)?;
        store::take_token(conn, kind, &token.hash()).await?.ok_or_else(unknown)?;
        let full_name = full_name.clone().unwrap_or_else(|| user.full_name.clone());
        let user =
            User { full_name, status: UserStatus::Active, last_login_at: Some(now), updated_at: now, ..user };
        store::join(conn, &user, &hash).await?;
        let issued = start_session(core, conn, id, origin).await?;
        outbox::emit(conn, &UserJoined(user.clone().into())).await?;
        audit::record(conn, origin, &Entry::new("user.joined").by("user", id).on("user", id)).await?;
        Ok((issued, user, store::tenant(conn).await?))
    });
    let (issued, user, tenant) = joined.await?;
    issued.view(core, user, tenant, now)
}
