//! Tenants, users and sessions as they are stored, and what is sent to sign up and in.
mod event;
mod view;

pub use event::{UserDeactivated, UserInvited, UserJoined, UserRoleChanged};
pub use view::{JwkSetView, MeView, MessageView, SessionInfoView, SessionView, TenantView, UserView};

use crate::{
    access::Role,
    data::{FromRow, Row},
    error::Result,
    http::{MOST_PAGES, Named},
    infra::plans::Plan,
    values::{Email, Int, Line, NewPassword, Password, Slug, Text, Timestamp, without_name},
};
use std::time::Duration;
use uuid::Uuid;

crate::body! {
    /// A new tenant and its owner.
    pub struct Register {
        /// What the tenant is called.
        tenant_name: Line<1, 100> = "Initech",
        /// Its name at sign-in; made from `tenant_name` where it is left out.
        tenant_slug: Option<Slug>,
        /// The owner's address.
        email: Email,
        /// 8 to 128 characters, any Unicode; neither among the most common nor containing the name in the e-mail address.
        password: NewPassword,
        /// The owner's name.
        full_name: Line<1, 100> = "Ada Lovelace",
    }
    check without_name(email, password);
}

crate::body! {
    /// Who signs in. The example is a person of the demo.
    pub struct Login {
        /// The tenant's name at sign-in.
        tenant_slug: Text<1, 100> = "acme",
        /// The person's address.
        email: Text<1, 320> = "member@acme.test",
        /// Their password.
        password: Password = "demo-tenantry-2026",
    }
}

crate::body! {
    /// A refresh token.
    pub struct Refresh {
        /// As the session had it.
        refresh_token: Text<1, 200> = "rt_…",
    }
}

crate::body! {
    /// A new password for oneself.
    pub struct ChangePassword {
        /// The password that holds.
        current_password: Password = "demo-tenantry-2026",
        /// The one that shall hold.
        new_password: NewPassword,
    }
}

crate::body! {
    /// Who has forgotten their password.
    pub struct ForgotPassword {
        /// The tenant's name at sign-in.
        tenant_slug: Text<1, 100> = "acme",
        /// The person's address.
        email: Text<1, 320> = "member@acme.test",
    }
}

crate::body! {
    /// A new password by a reset token.
    pub struct ResetPassword {
        /// From the mail, or from an admin.
        token: Text<1, 200> = "pwr_…",
        /// The password that shall hold.
        new_password: NewPassword,
    }
}

crate::body! {
    /// A first password by an invitation token.
    pub struct AcceptInvitation {
        /// From the mail, or from an admin.
        token: Text<1, 200> = "inv_…",
        /// The password that shall hold.
        password: NewPassword,
        /// One's name, if it is another than the invitation says.
        full_name: Option<Line<1, 100>>,
    }
}

crate::body! {
    /// Which page of one's sessions.
    pub struct ListSessions {
        /// From 1.
        page: Option<Int<1, MOST_PAGES>>,
        /// Rows in a page, 20 where it is left out.
        per_page: Option<Int<1, 100>>,
    }
}

crate::choice! {
    /// What a token of a person is for.
    pub enum TokenKind {
        /// Joining.
        Invitation = "invitation",
        /// A new password.
        PasswordReset = "password_reset",
    }
}

impl TokenKind {
    /// What its tokens begin with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Invitation => "inv_",
            Self::PasswordReset => "pwr_",
        }
    }

    /// How long its tokens live.
    pub const fn lifetime(self) -> Duration {
        match self {
            Self::Invitation => Duration::from_secs(7 * 24 * 60 * 60),
            Self::PasswordReset => Duration::from_secs(60 * 60),
        }
    }
}

crate::choice! {
    /// Where a user stands.
    pub enum UserStatus {
        /// Can sign in.
        Active = "active",
        /// Has not accepted the invitation yet.
        Invited = "invited",
        /// Cannot sign in.
        Deactivated = "deactivated",
    }
}

/// A tenant.
#[derive(Clone, Debug)]
pub struct Tenant {
    pub id: Uuid,
    pub name: String,
    pub slug: String,
    pub plan: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A person of a tenant.
#[derive(Clone, Debug)]
pub struct User {
    pub id: Uuid,
    pub tenant_id: Uuid,
    pub email: String,
    pub full_name: String,
    pub role: Role,
    pub status: UserStatus,
    pub last_login_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A new tenant's plan.
pub const FREE: &str = Plan::Free.as_str();

impl Tenant {
    /// A tenant that begins now.
    pub fn new(id: Uuid, name: String, slug: &Slug, now: Timestamp) -> Self {
        let slug = slug.as_str().to_owned();
        Self { id, name, slug, plan: FREE.to_owned(), created_at: now, updated_at: now }
    }
}

impl User {
    /// An active person who begins now.
    pub fn new(
        tenant_id: Uuid,
        id: Uuid,
        email: String,
        full_name: String,
        role: Role,
        now: Timestamp,
    ) -> Self {
        let status = UserStatus::Active;
        Self {
            id,
            tenant_id,
            email,
            full_name,
            role,
            status,
            last_login_at: None,
            created_at: now,
            updated_at: now,
        }
    }
}

/// `id, name, slug, plan, created_at, updated_at`.
impl FromRow for Tenant {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            name: row.get(1)?,
            slug: row.get(2)?,
            plan: row.get(3)?,
            created_at: row.get(4)?,
            updated_at: row.get(5)?,
        })
    }
}

/// `tenant_id, id, email, full_name, role, status, last_login_at, created_at, updated_at`.
impl FromRow for User {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            tenant_id: row.get(0)?,
            id: row.get(1)?,
            email: row.get(2)?,
            full_name: row.get(3)?,
            role: row.word(4, Role::from_word)?,
            status: row.word(5, UserStatus::from_word)?,
            last_login_at: row.get(6)?,
            created_at: row.get(7)?,
            updated_at: row.get(8)?,
        })
    }
}

/// What signing in compares with: `id, password_hash, status`.
pub struct Credentials {
    pub user_id: Uuid,
    pub password_hash: Option<String>,
    pub status: UserStatus,
}

impl FromRow for Credentials {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            user_id: row.get(0)?,
            password_hash: row.get(1)?,
            status: row.word(2, UserStatus::from_word)?,
        })
    }
}

/// A stored refresh token with its session and the session's person.
pub struct StoredToken {
    pub session_id: Uuid,
    pub user_id: Uuid,
    pub signed_in_at: Timestamp,
    /// By the database's clock.
    pub replaced_at: Option<Timestamp>,
    pub replaced_by: Option<Vec<u8>>,
    /// The database's clock as it was read.
    pub clock: Timestamp,
}

/// `session_id, user_id, created_at, replaced_at, replaced_by, clock`.
impl FromRow for StoredToken {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            session_id: row.get(0)?,
            user_id: row.get(1)?,
            signed_in_at: row.get(2)?,
            replaced_at: row.get(3)?,
            replaced_by: row.get(4)?,
            clock: row.get(5)?,
        })
    }
}

/// A session of somebody: `id, created_at, last_used_at, expires_at, ip, user_agent`.
pub struct SessionInfo {
    pub id: Uuid,
    pub created_at: Timestamp,
    pub last_used_at: Timestamp,
    pub expires_at: Timestamp,
    pub ip: Option<String>,
    pub user_agent: Option<String>,
}

impl FromRow for SessionInfo {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            created_at: row.get(1)?,
            last_used_at: row.get(2)?,
            expires_at: row.get(3)?,
            ip: row.get(4)?,
            user_agent: row.get(5)?,
        })
    }
}

impl Named for SessionInfo {
    const NOUN: &'static str = "Session";
}

impl Named for User {
    const NOUN: &'static str = "User";
}
