//! A tenant's people: who is invited, what they may do, who is let go.
mod api;
mod model;
mod service;

use crate::{
    access::{Permission, Role},
    domain::Domain,
    domains::auth::service::{UserDeactivated, UserInvited, UserJoined, UserRoleChanged},
    error::Code,
    http::Routes,
};

/// Reads and manages people.
pub struct Manage;
impl Permission for Manage {
    const NAME: &'static str = "users.manage";
    const MIN_ROLE: Role = Role::Admin;
}

/// The domain.
pub fn domain() -> Domain {
    Domain::new("users")
        .routes(routes())
        .event::<UserInvited>()
        .event::<UserJoined>()
        .event::<UserRoleChanged>()
        .event::<UserDeactivated>()
}

fn routes() -> Routes {
    Routes::new("users")
        .get("/users", api::list, "List people, oldest first")
        .post(
            "/users",
            api::invite,
            "Invite somebody; inviting an invited address again renews the invitation",
        )
        .refusing(&[Code::Conflict, Code::BusinessRuleViolation])
        .get("/users/{id}", api::show, "Read a person")
        .delete("/users/{id}", api::deactivate, "Deactivate a person: all their sessions end")
        .refusing(&[Code::BusinessRuleViolation])
        .patch("/users/{id}/role", api::change_role, "Give a person another role")
        .refusing(&[Code::BusinessRuleViolation])
        .post(
            "/users/{id}/reactivate",
            api::reactivate,
            "Let a deactivated person in again; their old tokens stay dead",
        )
        .refusing(&[Code::BusinessRuleViolation])
        .post(
            "/users/{id}/password-reset",
            api::reset_password,
            "Let a person of a lower role set a new password",
        )
        .refusing(&[Code::BusinessRuleViolation])
}
