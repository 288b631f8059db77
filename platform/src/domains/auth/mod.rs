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

/// Reads one's own profile.
pub struct Profile;
impl Permission for Profile {
    const NAME: &'static str = "auth.profile";
    const MIN_ROLE: Role = Role::Viewer;
}

/// The domain.
pub fn domain() -> Domain {
    Domain::new("auth").routes(routes())
}

fn routes() -> Routes {
    Routes::new("auth")
        .post(
            "/auth/register",
            api::register,
            "Sign up: a new tenant and its owner",
        )
        .refusing(&[Code::Conflict])
        .post("/auth/login", api::login, "Sign in")
        .refusing(&[Code::Unauthorized])
        .post(
            "/auth/refresh",
            api::refresh,
            "Replace a refresh token by a new session's tokens",
        )
        .refusing(&[Code::Unauthorized])
        .post(
            "/auth/logout",
            api::logout,
            "End the session of a refresh token; one that is unknown or dead answers the same",
        )
        .get("/auth/me", api::me, "Who am I, and whose tenant is this")
}
