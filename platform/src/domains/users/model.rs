//! What is sent and shown to manage people, and who may do what to whom.
use crate::{
    access::{GivenRole, Role},
    domains::auth::service::{User, UserStatus, UserView},
    error::{Error, Result},
    http::MOST_PAGES,
    values::{Email, Int, Line, Timestamp},
};
use serde::Serialize;
use utoipa::ToSchema;

crate::body! {
    /// Which people.
    pub struct ListUsers {
        /// From 1.
        page: Option<Int<1, MOST_PAGES>>,
        /// Rows in a page, 20 where it is left out.
        per_page: Option<Int<1, 100>>,
        /// Only those of this role.
        role: Option<Role>,
        /// Only those who stand there.
        status: Option<UserStatus>,
        /// Only those whose name or address contains this, in any case.
        q: Option<Line<0, 100>>,
    }
}

crate::body! {
    /// Somebody to invite.
    pub struct InviteUser {
        /// Their address.
        email: Email,
        /// Their name.
        full_name: Line<1, 100>,
        /// What they may do.
        role: GivenRole,
    }
}

crate::body! {
    /// Another role.
    pub struct ChangeRole {
        /// What they may do from now on.
        role: GivenRole,
    }
}

/// An invitation as it is answered.
#[derive(Serialize, ToSchema)]
#[schema(as = Invitation)]
pub struct InvitationView {
    /// Until when it can be accepted.
    pub expires_at: Timestamp,
    /// For `POST /auth/invitations/accept`; there only where no mail is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// A person with their invitation.
#[derive(Serialize, ToSchema)]
#[schema(as = InvitedUser)]
pub struct InvitedView {
    /// The person.
    #[serde(flatten)]
    pub user: UserView,
    /// Their invitation.
    pub invitation: InvitationView,
}

/// A password reset as it is answered.
#[derive(Serialize, ToSchema)]
#[schema(as = PasswordReset)]
pub struct ResetView {
    /// Until when it can be used.
    pub expires_at: Timestamp,
    /// For `POST /auth/password/reset`; there only where no mail is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// An admin reaches neither for the owner nor for another admin.
pub fn may_reach(actor: Role, target: &User) -> Result<()> {
    if actor < Role::Owner && target.role >= Role::Admin {
        Err(Error::forbidden("users.manage_admins"))
    } else {
        Ok(())
    }
}

/// Only the owner makes admins.
pub fn may_give(actor: Role, given: GivenRole) -> Result<()> {
    if actor < Role::Owner && given == GivenRole::Admin {
        Err(Error::forbidden("users.manage_admins"))
    } else {
        Ok(())
    }
}
