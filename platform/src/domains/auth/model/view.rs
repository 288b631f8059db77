//! Tenants, users and sessions as the API shows them.
use super::{SessionInfo, Tenant, User, UserStatus};
use crate::{
    access::{PublicKey, Role},
    values::Timestamp,
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

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
        let Tenant { id, name, slug, plan, created_at, updated_at } = t;
        Self { id, name, slug, plan, created_at, updated_at }
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

/// A session as its person sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionInfo)]
pub struct SessionInfoView {
    /// Its identifier.
    pub id: Uuid,
    /// When its person signed in.
    pub created_at: Timestamp,
    /// When it was last prolonged.
    pub last_used_at: Timestamp,
    /// When it ends if it is not prolonged.
    pub expires_at: Timestamp,
    /// Where its person signed in from.
    #[schema(required)]
    pub ip: Option<String>,
    /// With what.
    #[schema(required)]
    pub user_agent: Option<String>,
    /// Whether it is the one that asks.
    pub current: bool,
}

impl SessionInfoView {
    /// A session, seen from the session that asks.
    pub fn of(session: SessionInfo, asking: Uuid) -> Self {
        let SessionInfo { id, created_at, last_used_at, expires_at, ip, user_agent } = session;
        Self { id, created_at, last_used_at, expires_at, ip, user_agent, current: id == asking }
    }
}

/// A set of public keys (RFC 7517, section 5).
#[derive(Serialize, ToSchema)]
#[schema(as = JwkSet)]
pub struct JwkSetView {
    /// The one that signs now, and those that still verify.
    pub keys: Vec<JwkView>,
}

/// A public key of Ed25519 (RFC 8037, section 2).
#[derive(Serialize, ToSchema)]
#[schema(as = Jwk)]
pub struct JwkView {
    /// Always `OKP`.
    kty: &'static str,
    /// Always `Ed25519`.
    crv: &'static str,
    /// Always `EdDSA`.
    alg: &'static str,
    /// Always `sig`.
    r#use: &'static str,
    /// As in the header of tokens: its thumbprint (RFC 7638).
    kid: String,
    /// The key.
    x: String,
}

impl From<&PublicKey> for JwkView {
    fn from(key: &PublicKey) -> Self {
        Self { kty: "OKP", crv: "Ed25519", alg: "EdDSA", r#use: "sig", kid: key.id(), x: key.x() }
    }
}
