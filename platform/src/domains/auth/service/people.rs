//! What the domains that manage people and tenants are given of accounts: they go through here, never to the tables.
use super::super::store;
pub use super::super::{
    model::{
        Tenant, TenantView, TokenKind, User, UserDeactivated, UserInvited, UserJoined, UserRoleChanged,
        UserStatus, UserView,
    },
    store::{
        PeopleFilter, count_seats, insert_invited, lock_user, lock_user_by_email, password_hash, people,
        tenant_by_slug, update_invited,
    },
};
use crate::{access::Role, data::TenantConn, error::Result, infra::jobs::Job};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A mail with the token of an invitation.
#[derive(Serialize, Deserialize)]
pub struct InvitationMail {
    pub(super) user_id: Uuid,
}

impl Job for InvitationMail {
    const KIND: &'static str = "mail.invitation";
}

impl InvitationMail {
    /// To this person.
    pub fn to(user_id: Uuid) -> Self {
        Self { user_id }
    }
}

/// A mail with a token that sets a new password.
#[derive(Serialize, Deserialize)]
pub struct ResetMail {
    pub(super) user_id: Uuid,
}

impl Job for ResetMail {
    const KIND: &'static str = "mail.password_reset";
}

impl ResetMail {
    /// To this person.
    pub fn to(user_id: Uuid) -> Self {
        Self { user_id }
    }
}

/// A person of this tenant.
pub async fn find_user(conn: &TenantConn, id: Uuid) -> Result<Option<User>> {
    store::user(conn, id).await
}

/// The tenant of this transaction.
pub async fn find_tenant(conn: &TenantConn) -> Result<Tenant> {
    store::tenant(conn).await
}

/// Gives a person another role, from now on. Who was given a token to set their password anew may have had the rank for
/// who they were, and not have it for who they are now: it ends.
pub async fn update_role(conn: &TenantConn, id: Uuid, role: Role) -> Result<()> {
    store::update_role(conn, id, role, conn.now()).await?;
    store::drop_token(conn, id, TokenKind::PasswordReset).await
}

/// Puts a person elsewhere, from now on.
pub async fn update_status(conn: &TenantConn, id: Uuid, status: UserStatus) -> Result<()> {
    store::update_status(conn, id, status, conn.now()).await
}

/// Whether a person has ever set a password.
pub async fn has_password(conn: &TenantConn, id: Uuid) -> Result<bool> {
    store::password_hash(conn, id).await.map(|hash| hash.is_some())
}
