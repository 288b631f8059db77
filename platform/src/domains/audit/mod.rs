//! The audit log as owners and admins read it. Who writes it: `tx.audit(…)`, in every domain.
mod api;
mod model;
mod service;
mod store;

use crate::{
    access::{Permission, Role},
    domain::Domain,
    http::Routes,
};

/// Reads who did what.
pub struct Read;
impl Permission for Read {
    const NAME: &'static str = "audit.read";
    const MIN_ROLE: Role = Role::Admin;
}

/// The domain.
pub fn domain() -> Domain {
    Domain::new("audit").routes(Routes::new("audit").get(
        "/audit",
        api::list,
        "List who did what, newest first",
    ))
}
