//! Accounts: tenants and their people sign up, sign in, stay signed in, and sign out.
//!
//! A session is the family of refresh tokens that descend from one sign-in. Its access tokens say whose they are;
//! whether the session lives and what its person may do is asked of the database at every request.
mod api;
pub(crate) mod model;
pub(crate) mod service;
mod store;

use crate::{
    access::{Permission, Role},
    domain::Domain,
    error::Code,
    http::Routes,
};
use std::time::Duration;

/// One's own profile, sessions and password.
pub struct Profile;
impl Permission for Profile {
    const NAME: &'static str = "auth.profile";
    const MIN_ROLE: Role = Role::Viewer;
    const FOR_API_KEYS: bool = false;
}

const HOUR: Duration = Duration::from_secs(60 * 60);

/// The domain.
pub fn domain() -> Domain {
    Domain::new("auth")
        .routes(routes())
        .routes(Routes::at_root("auth").get(
            "/.well-known/jwks.json",
            api::jwks,
            "The public keys that verify access tokens (RFC 7517); none where they are signed under a secret",
        ))
        .job::<service::InvitationMail>(|core, work| Box::pin(service::mail_invitation(core, work)))
        .job::<service::ResetMail>(|core, work| Box::pin(service::mail_reset(core, work)))
        .chore("purge of sessions and tokens", HOUR, |core| Box::pin(service::purge(core)))
}

fn routes() -> Routes {
    Routes::new("auth")
        .post("/auth/register", api::register, "Sign up: a new tenant and its owner")
        .refusing(&[Code::Conflict])
        .post("/auth/login", api::login, "Sign in")
        .refusing(&[Code::Unauthorized])
        .post("/auth/refresh", api::refresh, "Replace a refresh token: new tokens of the same session")
        .refusing(&[Code::Unauthorized])
        .post(
            "/auth/logout",
            api::logout,
            "End the session of a refresh token; one that is unknown or dead answers the same",
        )
        .get("/auth/me", api::me, "Who am I, and whose tenant is this")
        .get("/auth/sessions", api::sessions, "List one's live sessions, newest first")
        .delete("/auth/sessions", api::end_other_sessions, "End all of one's sessions but the one that asks")
        .delete("/auth/sessions/{id}", api::end_session, "End one of one's sessions")
        .post("/auth/password/change", api::change_password, "Set another password; all other sessions end")
        .post(
            "/auth/password/forgot",
            api::forgot_password,
            "Have a mail sent with a token that sets a new password",
        )
        .post("/auth/password/reset", api::reset_password, "Set a new password by a token; all sessions end")
        .post("/auth/invitations/accept", api::accept_invitation, "Accept an invitation, and be signed in")
}
