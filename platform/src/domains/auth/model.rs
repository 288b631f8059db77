//! Tenants, users and sessions as they are stored and shown, and the tokens that stand for a session.
use crate::{
    access::Role,
    data::{FromRow, Row},
    error::Result,
    infra::secret,
    values::{Email, Line, NewPassword, Password, Slug, Text, Timestamp, without_name},
};
use serde::Serialize;
use utoipa::ToSchema;
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
pub const FREE: &str = "free";

impl Tenant {
    /// A tenant that begins now.
    pub fn new(id: Uuid, name: String, slug: &Slug, now: Timestamp) -> Self {
        let slug = slug.as_str().to_owned();
        Self {
            id,
            name,
            slug,
            plan: FREE.to_owned(),
            created_at: now,
            updated_at: now,
        }
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

/// A refresh token: `rt_` and, in base64url, the tenant's id and 256 random bits. The tenant is in it so that it is
/// looked up in that tenant alone; SHA-256 of it is all that is stored.
pub struct RefreshToken {
    pub tenant: Uuid,
    secret: [u8; 32],
}

const REFRESH_PREFIX: &str = "rt_";

impl RefreshToken {
    /// A new one.
    pub fn new(tenant: Uuid) -> Result<Self> {
        Ok(Self {
            tenant,
            secret: secret::random()?,
        })
    }

    /// Reads one; `None` is what no token of ours looks like.
    pub fn read(text: &str) -> Option<Self> {
        let bytes = secret::decode(text.strip_prefix(REFRESH_PREFIX)?)?;
        let (tenant, secret) = bytes.split_at_checked(16)?;
        Some(Self {
            tenant: Uuid::from_slice(tenant).ok()?,
            secret: secret.try_into().ok()?,
        })
    }

    /// As the client gets it.
    pub fn text(&self) -> String {
        let bytes = [self.tenant.as_bytes().as_slice(), &self.secret].concat();
        format!("{REFRESH_PREFIX}{}", secret::encode(&bytes))
    }

    /// As it is stored.
    pub fn hash(&self) -> Vec<u8> {
        secret::sha256(&self.secret).to_vec()
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

/// A tenant as the API shows it.
#[derive(Serialize, ToSchema)]
#[schema(as = Tenant)]
pub struct TenantView {
    /// Its identifier.
    pub id: Uuid,
    /// What it is called.
    pub name: String,
    /// Its name at sign-in.
    pub slug: String,
    /// What it has subscribed to.
    pub plan: String,
    /// When it signed up.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A person as the API shows them.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub struct UserView {
    /// Their identifier.
    pub id: Uuid,
    /// Their tenant.
    pub tenant_id: Uuid,
    /// Their address.
    pub email: String,
    /// Their name.
    pub full_name: String,
    /// What they may do.
    #[schema(inline)]
    pub role: Role,
    /// Where they stand.
    #[schema(inline)]
    pub status: UserStatus,
    /// Whether they can sign in: `status` is `active`.
    pub is_active: bool,
    /// When they last signed in.
    #[schema(required)]
    pub last_login_at: Option<Timestamp>,
    /// When they were added.
    pub created_at: Timestamp,
    /// When they were last changed.
    pub updated_at: Timestamp,
}

/// A person with their tenant.
#[derive(Serialize, ToSchema)]
#[schema(as = Me)]
pub struct MeView {
    /// The person.
    #[serde(flatten)]
    pub user: UserView,
    /// Their tenant.
    pub tenant: TenantView,
}

/// What a client needs to stay signed in.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub struct SessionView {
    /// For `Authorization: Bearer`.
    pub access_token: String,
    /// For `POST /auth/refresh`, once.
    pub refresh_token: String,
    /// Always `bearer`.
    pub token_type: &'static str,
    /// Seconds that the access token lives.
    pub expires_in: u64,
    /// The person.
    pub user: UserView,
    /// Their tenant.
    pub tenant: TenantView,
}

/// A word of confirmation.
#[derive(Serialize, ToSchema)]
#[schema(as = Message)]
pub struct MessageView {
    /// For people.
    pub message: &'static str,
}

impl From<Tenant> for TenantView {
    fn from(t: Tenant) -> Self {
        let Tenant {
            id,
            name,
            slug,
            plan,
            created_at,
            updated_at,
        } = t;
        Self {
            id,
            name,
            slug,
            plan,
            created_at,
            updated_at,
        }
    }
}

impl From<User> for UserView {
    fn from(u: User) -> Self {
        Self {
            id: u.id,
            tenant_id: u.tenant_id,
            email: u.email,
            full_name: u.full_name,
            role: u.role,
            status: u.status,
            is_active: u.status == UserStatus::Active,
            last_login_at: u.last_login_at,
            created_at: u.created_at,
            updated_at: u.updated_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refresh_tokens_have_one_form() {
        let token = RefreshToken::new(Uuid::from_u128(7)).unwrap();
        let text = token.text();
        let read = RefreshToken::read(&text).unwrap();
        assert_eq!((read.tenant, read.hash()), (token.tenant, token.hash()));
        for other in [
            "",
            "rt_",
            "rt_AAAA",
            &text[3..],
            &format!("{text}A"),
            &text.to_uppercase(),
            &format!("{text}="),
        ] {
            assert!(RefreshToken::read(other).is_none(), "{other}");
        }
    }
}
