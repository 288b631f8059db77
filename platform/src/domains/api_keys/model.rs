//! API keys as they are sent, stored and shown.
use crate::{
    access::{GivenRole, Role},
    data::{FromRow, Row},
    error::Result,
    http::{MOST_PAGES, Named},
    values::{Int, Line, Timestamp},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

crate::body! {
    /// An API key to make.
    pub struct CreateApiKey {
        /// What it is for.
        name: Line<1, 100> = "Nightly export",
        /// What it may do: no more than whoever makes it, then and later.
        role: GivenRole,
        /// When it ends, in the future; never, where it is left out.
        expires_at: Option<Timestamp> = "2099-12-31T23:59:59.000Z",
    }
}

crate::body! {
    /// Which page of the keys.
    pub struct ListApiKeys {
        /// From 1.
        page: Option<Int<1, MOST_PAGES>>,
        /// Rows in a page, 20 where it is left out.
        per_page: Option<Int<1, 100>>,
    }
}

/// A key, without what is secret of it.
#[derive(Clone, Debug)]
pub struct ApiKey {
    pub id: Uuid,
    pub name: String,
    /// How people tell it from others.
    pub prefix: String,
    pub role: Role,
    pub created_by: Uuid,
    pub created_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
}

/// `id, name, prefix, role, created_by, created_at, last_used_at, expires_at`.
impl FromRow for ApiKey {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            name: row.get(1)?,
            prefix: row.get(2)?,
            role: row.word(3, Role::from_word)?,
            created_by: row.get(4)?,
            created_at: row.get(5)?,
            last_used_at: row.get(6)?,
            expires_at: row.get(7)?,
        })
    }
}

impl Named for ApiKey {
    const NOUN: &'static str = "API key";
}

/// An API key as the API shows it.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub struct ApiKeyView {
    /// Its identifier.
    id: Uuid,
    /// What it is for.
    name: String,
    /// Its first characters, which are no secret.
    prefix: String,
    /// What it may do, as far as its maker may.
    #[schema(inline)]
    role: Role,
    /// Who made it.
    created_by: Uuid,
    /// When.
    created_at: Timestamp,
    /// When it was last used, to about a minute.
    #[schema(required)]
    last_used_at: Option<Timestamp>,
    /// When it ends; `null` for never.
    #[schema(required)]
    expires_at: Option<Timestamp>,
}

impl From<ApiKey> for ApiKeyView {
    fn from(key: ApiKey) -> Self {
        let ApiKey { id, name, prefix, role, created_by, created_at, last_used_at, expires_at } = key;
        Self { id, name, prefix, role, created_by, created_at, last_used_at, expires_at }
    }
}

/// A new API key.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedApiKey)]
pub struct CreatedKeyView {
    /// What is shown of it later.
    #[serde(flatten)]
    pub api_key: ApiKeyView,
    /// For `Authorization: Bearer`. It is stored as a hash, and shown this once.
    pub key: String,
}
