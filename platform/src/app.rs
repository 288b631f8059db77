//! The composition root: which domains there are, what goes around a request and in which order, and how the service
//! starts and stops.
use crate::{
    access::{PrivateKey, SigningKey, TokenKeys, VerifyingKey},
    cli,
    config::{AuthSettings, Config, WebhookSettings},
    core::{Core, HttpSettings, LimitSettings, Parts},
    data::{self, DatabaseTarget, Db, Migrations},
    docs,
    domain::{BulkSeed, Domain},
    domains,
    error::{Error, Result},
    http::{Admission, CursorKey, RequestMetrics, Routes, frame, openapi},
    infra::{
        arrivals::Arrivals,
        background::Background,
        clock::Clock,
        egress::{Egress, EgressSettings},
        events::EventType,
        idempotency,
        jobs::{JobSettings, Worker},
        known_keys::KnownKeys,
        lifecycle::Lifecycle,
        mail::Mail,
        password::{PasswordHasherPool, Scheme},
        plans::KnownPlans,
        purge,
        rate_limit::RateLimiter,
        seal::{Keyring, Sealer},
        stripe::{BillingSettings, Stripe},
        telemetry::Metrics,
    },
    scrape,
    server::{Server, ServerSettings},
};
use axum::{
    Router,
    extract::Request,
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    routing::Route,
};
use secrecy::{ExposeSecret, SecretString};
use std::{process::ExitCode, sync::Arc, time::Duration};
use tower::{Layer, layer::layer_fn};
use tower_http::{
    cors::{AllowOrigin, CorsLayer},
    normalize_path::{NormalizePath, NormalizePathLayer},
};
use utoipa::openapi::OpenApi;

/// A product: the platform and the domains that a team adds.
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     tenantry::App::new().run()
/// }
/// ```
pub struct App {
    domains: Vec<Domain>,
}

/// The platform's own tables.
const PLATFORM: Migrations = crate::migrations!(
    "tenantry",
    [
        "V1__platform",
        "V2__people",
        "V3__idempotency",
        "V4__webhooks",
        "V5__billing",
        "V6__statistics",
        "V7__session_columns",
        "V8__session_triggers",
        "V9__sessions_filled"
    ]
);

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Small works after an answer at a time.
const MOST_BACKGROUND: usize = 64;

/// The service as one value to be served: paths are the same with and without a trailing slash.
pub type Service = NormalizePath<Router>;

/// What [`App::core`] is put together from.
pub struct CoreSettings {
    /// The key that everything else is derived from.
    pub secret_key: SecretString,
    /// What signs tokens, if it is not the secret key.
    pub private_key: Option<PrivateKey>,
    /// Keys that still verify tokens.
    pub previous_keys: Vec<VerifyingKey>,
    /// The issuer of tokens.
    pub issuer: String,
    /// How passwords are hashed, and on how many threads.
    pub passwords: (Scheme, usize),
    /// How long sessions live.
    pub auth: AuthSettings,
    /// Limits of every request.
    pub http: HttpSettings,
    /// How often things may be done.
    pub limits: LimitSettings,
    /// Where tenants may have requests sent to.
    pub egress: EgressSettings,
    /// Under it the secrets of webhook endpoints are sealed.
    pub webhook_secret: SecretString,
    /// How webhooks are delivered.
    pub webhooks: WebhookSettings,
    /// What is charged, and by whom.
    pub billing: BillingSettings,
    /// What is done with mail.
    pub mail: Mail,
    /// `PUBLIC_URL`, without a slash at its end.
    pub public_url: String,
    /// The time.
    pub clock: Clock,
}

impl Default for App {
    fn default() -> Self {
        Self::new()
    }
}

impl App {
    /// The platform alone.
    pub fn new() -> Self {
        Self {
            domains: vec![
                housekeeping(),
                domains::auth::domain(),
                domains::users::domain(),
                domains::tenant::domain(),
                domains::api_keys::domain(),
                domains::webhooks::domain(),
                domains::billing::domain(),
                domains::audit::domain(),
                domains::health::domain(),
            ],
        }
    }

    /// Adds a domain of the product.
    ///
    /// # Panics
    /// If there is one of this name already: a mistake of the program, found at its first start.
    #[must_use]
    pub fn domain(mut self, domain: Domain) -> Self {
        assert!(
            self.domains.iter().all(|other| other.name != domain.name),
            "two domains are called {}",
            domain.name
        );
        self.domains.push(domain);
        self
    }

    /// Does what the command line says; the exit code is the process's.
    pub fn run(self) -> ExitCode {
        cli::run(&self)
    }

    fn routes(&self) -> impl Iterator<Item = &Routes> {
        self.domains.iter().flat_map(|domain| &domain.routes)
    }

    /// The templates of everything that is answered.
    fn paths(&self) -> impl Iterator<Item = String> {
        let own = docs::PATHS.into_iter().chain([scrape::PATH]).map(str::to_owned);
        self.routes().flat_map(|routes| &routes.routes).map(|route| route.path.clone()).chain(own)
    }

    /// The events of all domains.
    pub fn events(&self) -> impl Iterator<Item = &EventType> {
        self.domains.iter().flat_map(|domain| &domain.events)
    }

    /// All migrations: the platform's first.
    pub fn migrations(&self) -> Vec<Migrations> {
        std::iter::once(PLATFORM).chain(self.domains.iter().filter_map(|domain| domain.migrations)).collect()
    }

    /// Brings a database up to date; safe when several nodes do so at once.
    pub async fn migrate(&self, target: &DatabaseTarget) -> Result<()> {
        data::migrate(target, &self.migrations()).await
    }

    /// Fills a database with the demo's tenants; answers which were made.
    pub async fn seed(&self, db: &Db, clock: &Clock) -> Result<Vec<&'static str>> {
        crate::seed::seed(db, clock, &self.domains).await
    }

    /// Which domains have rows in bulk for load tests.
    pub(crate) fn bulk_seeds(&self) -> impl Iterator<Item = (&'static str, BulkSeed)> {
        self.domains.iter().filter_map(|domain| Some((domain.name, domain.bulk_seed?)))
    }

    /// The OpenAPI document.
    pub fn openapi(&self, title: &str) -> OpenApi {
        let groups: Vec<_> = self.routes().collect();
        let events: Vec<_> = self.events().copied().collect();
        openapi::document(title, env!("CARGO_PKG_VERSION"), &groups, &events)
    }

    /// Puts the parts together that every request can reach. To be called within a runtime.
    pub fn core(&self, db: Db, settings: CoreSettings) -> Result<Core> {
        let metrics = Metrics::start()?;
        let secret = settings.secret_key.expose_secret();
        let previous = settings.previous_keys.iter().filter_map(VerifyingKey::secret);
        let answers = Keyring::new(secret, previous, "idempotent answers")?;
        let signing = match settings.private_key {
            Some(key) => SigningKey::Ed25519(key),
            None => SigningKey::Secret(settings.secret_key.clone()),
        };
        let lifetime = settings.auth.access_token;
        let egress = Egress::start(settings.egress)?;
        let limits = &settings.limits;
        let redis = limits.redis.as_ref().map(|url| (url, limits.redis_patience));
        let limiter = RateLimiter::start(redis, settings.clock.clone())?;
        Ok(Core::new(Parts {
            db,
            limiter,
            limits: settings.limits,
            plans: KnownPlans::default(),
            known_keys: KnownKeys::default(),
            clock: settings.clock,
            tokens: TokenKeys::new(&signing, &settings.previous_keys, &settings.issuer, lifetime),
            passwords: PasswordHasherPool::start(settings.passwords.0, settings.passwords.1)?,
            events: self.events().copied().collect(),
            webhook_secrets: Sealer::new(settings.webhook_secret.expose_secret(), "webhook secrets")?,
            webhooks: settings.webhooks,
            stripe: settings.billing.stripe.map(|stripe| Stripe::new(stripe, egress.clone())),
            billing_grace: settings.billing.grace,
            egress,
            mail: settings.mail,
            public_url: settings.public_url,
            background: Background::new(MOST_BACKGROUND),
            arrivals: Arrivals::new(settings.http.request_timeout),
            lifecycle: Lifecycle::default(),
            admission: Admission::new(settings.http.most_in_flight),
            requests: RequestMetrics::new(self.paths()),
            metrics,
            cursors: CursorKey::new(secret),
            answers,
            auth: settings.auth,
            settings: settings.http,
        }))
    }

    /// Who does the jobs, the chores and the queues of all domains.
    ///
    /// # Panics
    /// If two handlers are of one kind: a mistake of the program, found at its first start.
    pub fn worker(&self, core: &Core, settings: JobSettings) -> Worker {
        let handlers: Vec<_> =
            self.domains.iter().flat_map(|domain| &domain.jobs).map(|make| make(core.clone())).collect();
        let mut kinds: Vec<_> = handlers.iter().map(|handler| handler.kind).collect();
        kinds.sort_unstable();
        assert!(kinds.windows(2).all(|two| two[0] != two[1]), "two handlers of one kind: {kinds:?}");
        let chores = self.domains.iter().flat_map(|domain| &domain.chores).map(|make| make(core.clone()));
        let queues = self.domains.iter().flat_map(|domain| &domain.queues);
        let queues = queues.map(|make| make(core.clone(), settings.poll)).collect();
        Worker::new(core.db.clone(), handlers, chores.collect(), queues, settings)
    }

    /// The whole service. From the outside in: one form of a path; id, error document, headers and log line; CORS; panics,
    /// the time limit and how many at a time; the routes.
    pub fn service(&self, core: &Core, title: &str) -> Service {
        let router = self.routes().fold(Router::new(), |router, routes| routes.mount(router));
        let router = docs::routes(router, &self.openapi(title), core.settings.docs);
        let router = if core.settings.metrics { scrape::routes(router) } else { router };
        let (cors, layered) = (Arc::new(cors(&core.settings.allowed_origins)), core.clone());
        // as one layer: what the router puts around each costs each request more than most of them do
        let layers = layer_fn(move |route: Route| {
            let guarded = frame::around(layered.clone(), route, frame::guard);
            let cors = cors.clone();
            let shared = frame::around(layered.clone(), guarded, move |_, request, inner| {
                frame::share(cors.clone(), request, inner)
            });
            frame::around(layered.clone(), shared, frame::frame)
        });
        let router =
            router.fallback(|| async { StatusCode::NOT_FOUND }).layer(layers).with_state(core.clone());
        NormalizePathLayer::trim_trailing_slash().layer(router)
    }

    /// The service behind its listener, as bounded as these settings have it.
    pub fn server(&self, core: &Core, title: &str, settings: ServerSettings) -> Server<Service> {
        served(self.service(core, title), core, settings)
    }

    /// `/metrics`, where it has an address of its own.
    pub(crate) fn metrics_server(&self, core: &Core) -> Server<Router> {
        served(
            scrape::service(core),
            core,
            ServerSettings { most_connections: 64, ..ServerSettings::default() },
        )
    }
}

fn served<S>(service: S, core: &Core, settings: ServerSettings) -> Server<S> {
    let refusing = core.clone();
    Server {
        service,
        refuse: Arc::new(move |error, peer| frame::unread(&refusing, error, peer)),
        settings,
        lifecycle: core.lifecycle.clone(),
    }
}

/// What comes back by itself and belongs to no domain.
fn housekeeping() -> Domain {
    /// Held by the node that purges; a number of this list's alone.
    const LOCK: i64 = 0x7465_6e61_6e74_0003;
    let purge = |core: Core| async move {
        purge::purge(&core.db, LOCK, core.clock.now(), &[idempotency::OVER]).await
    };
    Domain::new("housekeeping").chore("purge of idempotency keys", HOUR, move |core| Box::pin(purge(core)))
}

fn cors(origins: &[String]) -> CorsLayer {
    let origins: Vec<_> = origins.iter().filter_map(|origin| HeaderValue::try_from(origin).ok()).collect();
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("x-request-id"),
        ])
        .expose_headers([
            header::ETAG,
            header::LOCATION,
            header::RETRY_AFTER,
            HeaderName::from_static("idempotency-replayed"),
            HeaderName::from_static("ratelimit"),
            HeaderName::from_static("ratelimit-policy"),
            HeaderName::from_static("x-request-id"),
        ])
        .max_age(Duration::from_secs(600))
}

/// Threads for password hashes: all cores but one, so that other requests always have one.
pub(crate) fn hashing_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() - 1).max(1)
}

impl CoreSettings {
    /// As configured; the secrets are the configured ones or, in demo mode, those that its database keeps: the key that
    /// everything else is derived from, and that of webhooks.
    pub fn of(config: &Config, demo_secrets: [Option<SecretString>; 2]) -> Result<Self> {
        let [secret_key, webhook_secret] = demo_secrets;
        let secret_key = config.secrets.secret_key.clone().or(secret_key);
        let webhook_secret = config.webhook_secret.clone().or(webhook_secret);
        Ok(Self {
            secret_key: secret_key.ok_or_else(|| Error::internal("SECRET_KEY is missing"))?,
            private_key: config.secrets.private_key.clone(),
            webhook_secret: webhook_secret
                .ok_or_else(|| Error::internal("WEBHOOK_SIGNING_SECRET is missing"))?,
            webhooks: config.webhooks.clone(),
            previous_keys: config.secrets.previous_keys.clone(),
            issuer: config.app_name.clone(),
            passwords: (config.passwords, hashing_threads()),
            auth: config.auth.clone(),
            http: config.http.clone(),
            limits: config.limits.clone(),
            egress: config.egress,
            billing: config.billing.clone(),
            mail: config.mail.clone(),
            public_url: config.listen.public_url.clone(),
            clock: Clock::System,
        })
    }
}

/// The request type of the service, for those who call it without a socket.
pub type ServiceRequest = Request;
