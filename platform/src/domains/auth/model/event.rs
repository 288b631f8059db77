//! What people's comings and goings tell others. The data of each is the user.
use super::UserView;
use crate::infra::events::Event;
use serde::Serialize;
use serde_json::{Value, json};

macro_rules! user_events {
    ($($(#[$doc:meta])* $name:ident = $type:literal, $description:literal, $role:literal, $status:literal;)+) => { $(
        $(#[$doc])*
        #[derive(Serialize)]
        #[serde(transparent)]
        pub struct $name(pub UserView);

        impl Event for $name {
            const TYPE: &'static str = $type;
            const DESCRIPTION: &'static str = $description;
            fn example() -> Value {
                example($role, $status)
            }
        }
    )+ };
}

user_events! {
    /// Somebody was invited.
    UserInvited = "user.invited", "Somebody was invited", "member", "invited";
    /// Somebody accepted an invitation.
    UserJoined = "user.joined", "Somebody accepted an invitation", "member", "active";
    /// Somebody was given another role.
    UserRoleChanged = "user.role_changed", "Somebody was given another role", "admin", "active";
    /// Somebody was deactivated.
    UserDeactivated = "user.deactivated", "Somebody was deactivated", "member", "deactivated";
}

fn example(role: &str, status: &str) -> Value {
    json!({
        "id": "0192f0c1-2a3b-7c4d-8e5f-000000000003",
        "tenant_id": "0192f0c1-2a3b-7c4d-8e5f-000000000004",
        "email": "ada@initech.test",
        "full_name": "Ada Lovelace",
        "role": role,
        "status": status,
        "is_active": status == "active",
        "last_login_at": null,
        "created_at": "2026-01-31T09:30:00.000Z",
        "updated_at": "2026-01-31T09:30:00.000Z"
    })
}
