//! The tenant itself: its name and its owner.
mod api;
mod model;
mod service;
mod store;

use crate::{
    access::{Permission, Role},
    domain::Domain,
    http::Routes,
};

/// Reads the tenant.
pub struct Read;
impl Permission for Read {
    const NAME: &'static str = "tenant.read";
    const MIN_ROLE: Role = Role::Viewer;
}

/// Renames it.
pub struct Manage;
impl Permission for Manage {
    const NAME: &'static str = "tenant.manage";
    const MIN_ROLE: Role = Role::Admin;
}

/// Gives it to somebody else.
pub struct Transfer;
impl Permission for Transfer {
    const NAME: &'static str = "tenant.transfer";
    const MIN_ROLE: Role = Role::Owner;
    const FOR_API_KEYS: bool = false;
}

/// The domain.
pub fn domain() -> Domain {
    Domain::new("tenant").routes(routes())
}

fn routes() -> Routes {
    Routes::new("tenant")
        .get("/tenant", api::show, "Read one's tenant")
        .patch("/tenant", api::rename, "Rename it")
        .post(
            "/tenant/transfer-ownership",
            api::transfer,
            "Make somebody else the owner; the old owner becomes an admin",
        )
}
