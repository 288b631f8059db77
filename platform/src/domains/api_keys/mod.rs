//! API keys: what programs call with. How a key is recognised and what it may do is decided in `access`, like that of a
//! session; here keys are made, listed and revoked.
mod api;
mod model;
pub(crate) mod service;
mod store;

use crate::{
    access::{Permission, Role},
    domain::Domain,
    http::Routes,
};

/// Makes and revokes API keys.
pub struct Manage;
impl Permission for Manage {
    const NAME: &'static str = "api_keys.manage";
    const MIN_ROLE: Role = Role::Admin;
    const FOR_API_KEYS: bool = false;
}

/// The domain.
pub fn domain() -> Domain {
    Domain::new("api_keys").routes(routes())
}

fn routes() -> Routes {
    Routes::new("api keys")
        .post("/api-keys", api::create, "Make an API key; the key itself is shown this once")
        .get("/api-keys", api::list, "List the API keys that were not revoked, oldest first")
        .delete("/api-keys/{id}", api::revoke, "Revoke an API key: it holds no longer than this request")
}
