//! What every request can reach: one value, made once at the start and cloned at no cost.
use crate::{
    access::TokenKeys,
    config::{AuthSettings, WebhookSettings},
    data::Db,
    http::{Admission, CursorKey, RequestMetrics, TrustedProxies},
    infra::{
        arrivals::Arrivals,
        background::Background,
        clock::Clock,
        egress::Egress,
        events::EventType,
        known_keys::KnownKeys,
        lifecycle::Lifecycle,
        mail::Mail,
        password::PasswordHasherPool,
        plans::{KnownPlans, TenantLimit},
        rate_limit::{RateLimit, RateLimiter, RedisUrl},
        seal::{Keyring, Sealer},
        stripe::Stripe,
        telemetry::Metrics,
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
    /// The only way to addresses that are not ours.
    pub egress: Egress,
    /// The events of all domains.
    pub events: Vec<EventType>,
    /// Seals the secrets of webhook endpoints.
    pub webhook_secrets: Sealer,
    /// How webhooks are delivered.
    pub webhooks: WebhookSettings,
    /// Who charges for plans, if anybody does.
    pub stripe: Option<Stripe>,
    /// How long a plan is kept after a payment has failed.
    pub billing_grace: Duration,
    /// What is done with mail.
    pub mail: Mail,
    /// `PUBLIC_URL`, without a slash at its end: for links in mail.
    pub public_url: String,
    /// Small work after an answer.
    pub background: Background,
    /// Counts what is limited.
    pub limiter: RateLimiter,
    /// How much is too much.
    pub limits: LimitSettings,
    /// Which tenant is on which plan, as this node last read it.
    pub plans: KnownPlans,
    /// Which API keys this node has met.
    pub known_keys: KnownKeys,
    /// Whether it is being stopped.
    pub lifecycle: Lifecycle,
    /// How many requests are worked on.
    pub admission: Admission,
    /// What is counted of requests.
    pub requests: RequestMetrics,
    /// What this process has counted.
    pub metrics: Metrics,
    /// Seals cursors.
    pub cursors: CursorKey,
    /// Seals answers that are kept for requests that come again.
    pub answers: Keyring,
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
    /// Whether what was counted is told to whoever can reach the API.
    pub metrics: bool,
    /// How many requests are worked on at a time.
    pub most_in_flight: usize,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
}

/// How often things may be done, and where that is counted.
#[derive(Clone, Debug)]
pub struct LimitSettings {
    /// Signing in and the like, from one client address and on one route. Off turns off what is limited by account and
    /// by session too.
    pub auth: RateLimit,
    /// All requests of a tenant.
    pub tenant: TenantLimit,
    /// Where all nodes count together; `None` is this node's memory.
    pub redis: Option<RedisUrl>,
    /// The longest that a request waits for an answer from there. Then this node counts by itself.
    pub redis_patience: Duration,
}

impl LimitSettings {
    /// No request is to be slower by more, and a Redis near by takes a hundredth of it.
    pub const REDIS_PATIENCE: Duration = Duration::from_millis(50);
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
