//! The harness: a product of its own for each test, on a database of its own, spoken to as its users do.
//!
//! ```ignore
//! let app = TestApp::start().await;
//! let acme = app.tenant("acme").await;
//! acme.member.post("/orders", order()).await.created();
//! acme.viewer.post("/orders", order()).await.refused(403, "FORBIDDEN");
//! ```
pub mod binary;
pub mod database;
pub mod http;
pub mod postgres;
pub mod proxy;
pub mod receiver;
pub mod redis;
pub mod smtp;
pub mod stripe;
pub mod wire;

use database::TestDatabase;
use http::Client;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use stripe::Stripe;
use tenantry::{
    App, Domain,
    access::{PrivateKey, VerifyingKey},
    app::{CoreSettings, Service},
    config::{AuthSettings, RetrySchedule, WebhookSettings},
    core::{Core, HttpSettings, LimitSettings},
    data::Db,
    http::TrustedProxies,
    infra::{
        clock::Clock,
        egress::EgressSettings,
        jobs::{JobSettings, Worker},
        mail::Mail,
        password::Scheme,
        plans::TenantLimit,
        rate_limit::RateLimit,
        stripe::BillingSettings,
        telemetry::{self, LogFormat},
    },
    uuid::Uuid,
    values::Timestamp,
};

/// A password that everybody in a test has.
pub const PASSWORD: &str = "a long walk in the rain";
/// The key under which a test's tokens are signed.
pub const SECRET_KEY: &str = "0f9c1d2e3b4a59687766554433221100-of-a-test";
/// bcrypt at cost 4: what is tested is not its slowness.
pub const SCHEME: Scheme = Scheme::Bcrypt(4);

/// Who can sign in to the demo.
pub const DEMO: [(&str, &str); 6] = [
    ("acme", "owner"),
    ("acme", "admin"),
    ("acme", "member"),
    ("acme", "viewer"),
    ("globex", "owner"),
    ("globex", "member"),
];

/// The product on a fresh, migrated database, with a clock that stands still until it is moved.
pub struct TestApp {
    pub app: App,
    pub core: Core,
    pub service: Service,
    pub clock: Clock,
    pub database: Arc<TestDatabase>,
}

/// What a test may set otherwise.
pub struct Options {
    pub connections: usize,
    /// How long a request waits for one.
    pub acquire_timeout: Duration,
    pub reuse_grace: Duration,
    pub docs: bool,
    pub request_timeout: Duration,
    pub most_in_flight: usize,
    pub clock: Clock,
    /// PostgreSQL alone: a port to speak to instead of the server's own.
    pub through: Option<u16>,
    pub scheme: (Scheme, usize),
    pub allowed_origins: Vec<String>,
    pub public_url_is_https: bool,
    pub mail: Mail,
    /// Whether tenants may name addresses of this machine, as receivers of tests have.
    pub allow_private: bool,
    /// Without Stripe, unless a test has one.
    pub billing: BillingSettings,
    /// The key of everything that is not said otherwise.
    pub secret_key: &'static str,
    /// What signs tokens, if it is not the secret key.
    pub private_key: Option<PrivateKey>,
    pub previous_keys: Vec<VerifyingKey>,
    pub webhooks: WebhookSettings,
    pub webhook_secret: &'static str,
    /// Off, unless a test is about them.
    pub limits: LimitSettings,
    pub trusted_proxies: Vec<&'static str>,
    /// Beside the product's own.
    pub domains: Vec<Domain>,
}

impl Default for Options {
    fn default() -> Self {
        let noon = Timestamp::from_rfc3339("2026-01-31T12:00:00Z").unwrap();
        Self {
            connections: 10,
            acquire_timeout: Duration::from_secs(5),
            reuse_grace: Duration::ZERO,
            docs: true,
            request_timeout: Duration::from_secs(30),
            most_in_flight: 1000,
            clock: Clock::fixed(noon),
            through: None,
            scheme: (SCHEME, 1),
            allowed_origins: vec!["http://localhost:3000".to_owned()],
            public_url_is_https: false,
            mail: Mail::Off,
            allow_private: true,
            billing: BillingSettings { stripe: None, grace: Duration::from_secs(7 * 24 * 60 * 60) },
            secret_key: SECRET_KEY,
            private_key: None,
            previous_keys: Vec::new(),
            webhooks: webhooks(),
            webhook_secret: "a8f3-webhooks-5566778899001122-of-a-test",
            limits: no_limits(),
            trusted_proxies: Vec::new(),
            domains: Vec::new(),
        }
    }
}

/// Nothing is limited.
pub fn no_limits() -> LimitSettings {
    let off = RateLimit(None);
    let redis_patience = LimitSettings::REDIS_PATIENCE;
    LimitSettings { auth: off, tenant: TenantLimit::Fixed(off), redis: None, redis_patience }
}

/// As they are where nothing is set.
pub fn webhooks() -> WebhookSettings {
    WebhookSettings {
        schedule: RetrySchedule::default(),
        max_retries: 5,
        timeout: Duration::from_secs(15),
        retention: Duration::from_secs(90 * 24 * 60 * 60),
    }
}

impl TestApp {
    pub async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    /// With a Stripe of its own.
    pub async fn with_stripe() -> (Self, Stripe) {
        let stripe = Stripe::start().await;
        let app = Self::start_with(Options { billing: stripe.settings(), ..Options::default() }).await;
        (app, stripe)
    }

    pub async fn start_with(options: Options) -> Self {
        // a test that fails shows why a 5xx was one; scripts/test searches all there is to say for secrets
        let filter = std::env::var("TENANTRY_TEST_LOG").unwrap_or_else(|_| "warn".to_owned());
        telemetry::start(LogFormat::Pretty, &filter, false, None);
        let database = Arc::new(TestDatabase::create().await);
        Self::on(database, options).await
    }

    /// Another node on the same database.
    pub async fn on(database: Arc<TestDatabase>, mut options: Options) -> Self {
        let app = options.domains.drain(..).fold(tenantry_app::app(), App::domain);
        let mut reach = database.settings(options.connections, options.through);
        reach.acquire_timeout = options.acquire_timeout;
        let db = Db::open(&reach).unwrap();
        let clock = options.clock.clone();
        let core = app.core(db, settings(options)).unwrap();
        let service = app.service(&core, "Test API");
        Self { app, core, service, clock, database }
    }

    /// Who does its jobs, one attempt a job and no second in the time of a test.
    pub fn worker(&self) -> Worker {
        let late = Duration::from_secs(60 * 60);
        self.app.worker(&self.core, JobSettings { first_delay: late, ..JobSettings::default() })
    }

    /// Does all jobs that are due; answers how many attempts that were.
    pub async fn run_jobs(&self) -> usize {
        self.worker().drain().await.unwrap()
    }

    /// Somebody without a token.
    pub fn anyone(&self) -> Client {
        Client::new(self.service.clone(), None)
    }

    /// Somebody with this access token.
    pub fn with_token(&self, token: &str) -> Client {
        Client::new(self.service.clone(), Some(token.to_owned()))
    }

    /// A tenant that has its owner alone.
    pub async fn tenant_of_one(&self, slug: &str) -> Person {
        Person::of(self, &self.register(slug).await)
    }

    async fn register(&self, slug: &str) -> Value {
        let register = json!({
            "tenant_name": slug, "tenant_slug": slug, "email": format!("owner@{slug}.test"), "password": PASSWORD,
            "full_name": "Olivia Owner"
        });
        self.anyone().post("/auth/register", register).await.created()["data"].take()
    }

    /// A tenant with a person in every role, all signed in.
    pub async fn tenant(&self, slug: &str) -> Tenant {
        let session = self.register(slug).await;
        let id: Uuid = session["tenant"]["id"].as_str().unwrap().parse().unwrap();
        let owner = Person::of(self, &session);
        for role in ["admin", "member", "viewer"] {
            self.database.insert_user(id, &format!("{role}@{slug}.test"), role, owner.user_id).await;
        }
        let [admin, member, viewer] = [
            self.sign_in(slug, "admin").await,
            self.sign_in(slug, "member").await,
            self.sign_in(slug, "viewer").await,
        ];
        Tenant { id, slug: slug.to_owned(), owner, admin, member, viewer }
    }

    /// A new session of a person of [`tenant`](Self::tenant).
    pub async fn sign_in(&self, slug: &str, role: &str) -> Person {
        let session = self.anyone().post("/auth/login", login(slug, role)).await.ok()["data"].take();
        Person::of(self, &session)
    }
}

fn settings(options: Options) -> CoreSettings {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    CoreSettings {
        secret_key: SecretString::from(options.secret_key),
        private_key: options.private_key,
        previous_keys: options.previous_keys,
        issuer: "Test API".to_owned(),
        passwords: options.scheme,
        auth: AuthSettings {
            access_token: Duration::from_secs(30 * 60),
            refresh_token: 7 * DAY,
            session: 60 * DAY,
            reuse_grace: options.reuse_grace,
        },
        http: HttpSettings {
            max_body_bytes: 262_144,
            request_timeout: options.request_timeout,
            hsts: options.public_url_is_https,
            allowed_origins: options.allowed_origins,
            docs: options.docs,
            metrics: true,
            most_in_flight: options.most_in_flight,
            trusted_proxies: TrustedProxies::read(&options.trusted_proxies).unwrap(),
        },
        limits: options.limits,
        billing: options.billing,
        egress: EgressSettings { allow_private: options.allow_private },
        webhook_secret: SecretString::from(options.webhook_secret),
        webhooks: options.webhooks,
        mail: options.mail,
        public_url: "https://app.example.test".to_owned(),
        clock: options.clock,
    }
}

/// A tenant and its people.
pub struct Tenant {
    pub id: Uuid,
    pub slug: String,
    pub owner: Person,
    pub admin: Person,
    pub member: Person,
    pub viewer: Person,
}

impl Tenant {
    /// A program of this tenant with an API key of this role.
    pub async fn program(&self, app: &TestApp, role: &str) -> Client {
        app.with_token(self.key(role).await["key"].as_str().unwrap())
    }

    /// A new API key of this role, made by the owner.
    pub async fn key(&self, role: &str) -> Value {
        let body = json!({ "name": format!("A {role}'s program"), "role": role });
        self.owner.post("/api-keys", body).await.created()["data"].take()
    }

    pub fn people(&self) -> [(&'static str, &Person); 4] {
        [("viewer", &self.viewer), ("member", &self.member), ("admin", &self.admin), ("owner", &self.owner)]
    }
}

/// Somebody who is signed in; speaks as a [`Client`].
#[derive(Clone)]
pub struct Person {
    client: Client,
    pub user_id: Uuid,
    pub access_token: String,
    pub refresh_token: String,
}

impl Person {
    fn of(app: &TestApp, session: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let access_token = text(&session["access_token"]);
        Self {
            client: app.with_token(&access_token),
            user_id: session["user"]["id"].as_str().unwrap().parse().unwrap(),
            access_token,
            refresh_token: text(&session["refresh_token"]),
        }
    }
}

impl std::ops::Deref for Person {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

/// The body of a sign-in.
pub fn login(slug: &str, role: &str) -> Value {
    json!({ "tenant_slug": slug, "email": format!("{role}@{slug}.test"), "password": PASSWORD })
}

/// The body of an order of two lines, 59.98 and 1.00.
pub fn order() -> Value {
    json!({
        "customer_id": "0192f0c1-2a3b-7c4d-8e5f-000000000001",
        "items": [
            { "product_id": "SKU-1", "product_name": "A lamp", "quantity": 2, "unit_price": "29.99" },
            { "product_id": "SKU-2", "product_name": "A bulb", "quantity": 1, "unit_price": 1.00 }
        ],
        "currency": "eur",
        "notes": "Ring twice.\nThank you."
    })
}

/// Runs `count` of them at the same time, each as a task of its own.
pub async fn at_once<F>(count: usize, make: impl Fn(usize) -> F) -> Vec<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let tasks: Vec<_> = (0..count).map(|i| tokio::spawn(make(i))).collect();
    futures_util::future::join_all(tasks).await.into_iter().map(Result::unwrap).collect()
}

/// Polls it so many times and drops it, unless it has ended by then.
pub async fn dropped_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let mut polled = 0;
    std::future::poll_fn(|cx| {
        if polled == polls {
            return std::task::Poll::Ready(None);
        }
        polled += 1;
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

/// Waits for something that other tasks bring about; panics if it has not come after ten seconds.
pub async fn until(condition: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("waited ten seconds for a condition");
}

/// Something new of this tenant for every kind of path, by the path's first part; the session is its owner's.
pub async fn belongings(app: &TestApp, tenant: &Tenant) -> BTreeMap<&'static str, String> {
    let order = tenant.member.post("/orders", order()).await.created();
    let address = format!("{}@{}.test", Uuid::new_v4().simple(), tenant.slug);
    app.database.insert_user(tenant.id, &address, "viewer", tenant.owner.user_id).await;
    let user = tenant.owner.get(&format!("/users?q={address}")).await.ok()["items"][0]["id"].clone();
    app.sign_in(&tenant.slug, "owner").await;
    let sessions = tenant.owner.get("/auth/sessions").await.ok();
    let other =
        sessions["items"].as_array().unwrap().iter().find(|s| s["current"] == false).unwrap()["id"].clone();
    let key = tenant.key("viewer").await["id"].take();
    let unlimited = format!("UPDATE tenants SET plan = 'enterprise' WHERE slug = '{}'", tenant.slug);
    app.database.execute(&unlimited).await;
    let endpoint =
        tenant.admin.post("/webhooks/endpoints", json!({ "url": "https://example.com" })).await.created();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let test = format!("/webhooks/endpoints/{}/test", text(&endpoint["id"]));
    let delivery = tenant.admin.post_empty(&test).await.status(202);
    BTreeMap::from([
        ("/api/v1/api-keys/", text(&key)),
        ("/api/v1/webhooks/endpoints/", text(&endpoint["id"])),
        ("/api/v1/webhooks/deliveries/", text(&delivery["id"])),
        ("/api/v1/orders/", text(&order["id"])),
        ("/api/v1/users/", text(&user)),
        ("/api/v1/auth/sessions/", text(&other)),
    ])
}

/// The one of them that a path is about.
pub fn belonging(belongings: &BTreeMap<&'static str, String>, path: &str) -> String {
    let found = belongings.iter().find(|(prefix, _)| path.starts_with(**prefix));
    found.unwrap_or_else(|| panic!("{path}: say in belongings() what of a tenant's is found there")).1.clone()
}
