//! What every request can reach: one value, made once at the start and cloned at no cost.
use crate::{
    access::TokenKeys,
    config::AuthSettings,
    data::Db,
    http::CursorKey,
    infra::{
        arrivals::Arrivals, background::Background, clock::Clock, mail::Mail, password::PasswordHasherPool,
    },
};
use std::{ops::Deref, sync::Arc, time::Duration};

/// The service's parts, by name.
#[derive(Clone)]
pub struct Core(Arc<Parts>);

/// See [`Core`].
pub struct Parts {
    /// The database.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// Signs and verifies access tokens.
    pub tokens: TokenKeys,
    /// Hashes passwords.
    pub passwords: PasswordHasherPool,
    /// Uses of refresh tokens under way.
    pub arrivals: Arrivals,
    /// What is done with mail.
    pub mail: Mail,
    /// `PUBLIC_URL`, without a slash at its end: for links in mail.
    pub public_url: String,
    /// Small work after an answer.
    pub background: Background,
    /// Seals cursors.
    pub cursors: CursorKey,
    /// How long sessions live.
    pub auth: AuthSettings,
    /// Limits of every request.
    pub settings: HttpSettings,
}

/// Limits of every request.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// The largest body, in bytes.
    pub max_body_bytes: usize,
    /// The longest a request may take.
    pub request_timeout: Duration,
    /// Whether browsers are told to come back by https alone.
    pub hsts: bool,
    /// Origins whose pages may call.
    pub allowed_origins: Vec<String>,
    /// Whether the documentation is served.
    pub docs: bool,
}

impl Core {
    /// Puts them together.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for Core {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}
