//! Databases with the rows of a load test, and who asks for them.
use crate::{
    Result, http,
    load::Bench,
    server::{Programs, SECRET_KEY, Server},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant, SystemTime},
};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

/// How many requests differ from one another: orders at random, each of the tenant that it is of.
const DIFFERENT: i64 = 20_000;
/// What the product's role is called: it owns nothing, as docs/operations.md says.
const ROLE: &str = "tenantry_bench";
/// Everybody's password after `tenantry seed`.
const PASSWORD: &str = "demo-tenantry-2026";

/// An order, and a token of its tenant's owner.
pub struct Asked {
    pub token: String,
    pub order: Uuid,
}

/// A filled database.
pub struct Filled {
    /// For the product.
    pub url: String,
    /// As a superuser, whom row-level security does not bind: for the floor.
    pub superuser: String,
    /// How long the seed took.
    pub took: Duration,
}

/// Runs statements as a superuser; the connection ends with it.
pub async fn on<T>(url: &str, work: impl AsyncFnOnce(&Client) -> Result<T>) -> Result<T> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let work = async move { work(&client).await };
    let (value, _) = futures_util::future::join(work, connection).await;
    value
}

fn with(url: &str, user: &str, database: &str) -> Result<String> {
    let config: tokio_postgres::Config = url.parse()?;
    let port = config.get_ports().first().ok_or("a URL without a port")?;
    Ok(format!("postgres://{user}@127.0.0.1:{port}/{database}"))
}

pub fn seed(programs: &Programs, folder: &Path, url: &str, tenants: u64, orders: u64) -> Result<Duration> {
    let began = Instant::now();
    let mut command = programs.product(folder, url);
    command.args(["seed", "--tenants", &tenants.to_string(), "--orders", &orders.to_string()]);
    let output = command.stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
    if !output.status.success() {
        return Err(format!("cannot seed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(began.elapsed())
}

/// A database on PostgreSQL, made, migrated and filled.
pub async fn fill(
    programs: &Programs,
    folder: &Path,
    server: &str,
    name: &str,
    (tenants, orders): (u64, u64),
) -> Result<Filled> {
    let superuser = with(server, "postgres", name)?;
    on(server, async |client| Ok(client.batch_execute(&format!("CREATE DATABASE {name}")).await?)).await?;
    if !programs.product(folder, &superuser).arg("migrate").stdout(Stdio::null()).status()?.success() {
        return Err("cannot migrate".into());
    }
    let role = format!(
        "DO $$ BEGIN CREATE ROLE {ROLE} LOGIN NOINHERIT; EXCEPTION WHEN duplicate_object THEN NULL; END $$; \
         GRANT tenantry_login, tenantry_tenant, tenantry_system TO {ROLE}"
    );
    on(&superuser, async |client| Ok(client.batch_execute(&role).await?)).await?;
    let url = with(server, ROLE, name)?;
    let took = seed(programs, folder, &url, tenants, orders)?;
    on(&superuser, async |client| {
        client.batch_execute("VACUUM (ANALYZE)").await?;
        Ok(client.batch_execute("CHECKPOINT").await?)
    })
    .await?;
    Ok(Filled { url, superuser, took })
}

/// Signs in as the owner of a tenant of the seed; answers the access token.
pub fn sign_in(server: &Server, tenant: u64) -> Result<String> {
    let body = login(tenant).to_string();
    let answer = http::ask(server.port, "POST", "/api/v1/auth/login", None, Some(&body))?.ok()?;
    let answer: Value = serde_json::from_str(&answer)?;
    Ok(answer["data"]["access_token"].as_str().ok_or("no access token")?.to_owned())
}

/// The body of a sign-in.
pub fn login(tenant: u64) -> Value {
    let slug = format!("load-{tenant:05}");
    json!({ "tenant_slug": slug, "email": format!("owner@{slug}.test"), "password": PASSWORD })
}

/// Orders at random, and for each a token. One is from a real sign-in; bcrypt would take an hour for the others, so
/// their sessions are written into the database and their tokens are made after the first.
pub async fn asked(filled: &Filled, server: &Server) -> Result<Vec<Asked>> {
    let model = Model::of(&sign_in(server, 1)?)?;
    let rows = on(&filled.superuser, async |client| {
        client
            .batch_execute(
                "INSERT INTO sessions (tenant_id, id, user_id, created_at, last_used_at, expires_at) \
                 SELECT u.tenant_id, u.id, u.id, now(), now(), now() + interval '7 days' FROM users u \
                 WHERE u.role = 'owner'; ANALYZE sessions",
            )
            .await?;
        let sql = "SELECT o.tenant_id, u.id, o.id FROM orders o \
             JOIN users u ON u.tenant_id = o.tenant_id AND u.role = 'owner' ORDER BY md5(o.id::text) LIMIT $1";
        Ok(client.query(sql, &[&DIFFERENT]).await?)
    });
    let rows = rows.await?;
    let asked = rows.iter().map(|row| {
        let (tenant, user): (Uuid, Uuid) = (row.get(0), row.get(1));
        Ok(Asked { token: model.token(tenant, user, user)?, order: row.get(2) })
    });
    asked.collect()
}

/// What tokens of a server look like.
struct Model {
    header: Header,
    claims: Value,
    key: EncodingKey,
}

impl Model {
    fn of(token: &str) -> Result<Self> {
        let header = jsonwebtoken::decode_header(token)?;
        let claims = token.split('.').nth(1).ok_or("no claims")?;
        let claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
        Ok(Self { header, claims, key: EncodingKey::from_secret(SECRET_KEY.as_bytes()) })
    }

    /// Valid for a day: a run may take longer than an access token usually lives.
    fn token(&self, tenant: Uuid, user: Uuid, session: Uuid) -> Result<String> {
        #[expect(clippy::disallowed_methods, reason = "there is no transaction of the product's here")]
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        let mut claims = self.claims.clone();
        claims["tenant_id"] = json!(tenant);
        claims["sub"] = json!(user);
        claims["sid"] = json!(session);
        claims["exp"] = json!(now + 24 * 60 * 60);
        Ok(encode(&self.header, &claims, &self.key)?)
    }
}

/// The same over the API alone, of some tenants: for SQLite.
pub fn asked_over_api(server: &Server, tenants: u64) -> Result<Vec<Asked>> {
    let mut all = Vec::new();
    for tenant in 1..=tenants {
        let token = sign_in(server, tenant)?;
        let page = http::ask(server.port, "GET", "/api/v1/orders?limit=100", Some(&token), None)?.ok()?;
        let page: Value = serde_json::from_str(&page)?;
        for order in page["data"].as_array().ok_or("no orders")? {
            let order = order["id"].as_str().ok_or("no identifier")?.parse()?;
            all.push(Asked { token: token.clone(), order });
        }
    }
    Ok(all)
}

/// The routes that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    Health,
    Me,
    Get,
    List,
    Create,
}

impl Route {
    /// Creating comes last: it adds to what the others read.
    pub const ALL: [Self; 5] = [Self::Health, Self::Me, Self::Get, Self::List, Self::Create];

    pub fn name(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Me => "me",
            Self::Get => "get",
            Self::List => "list",
            Self::Create => "create",
        }
    }

    pub fn shown(self) -> &'static str {
        match self {
            Self::Health => "GET /health",
            Self::Me => "GET /auth/me",
            Self::Get => "GET /orders/{id}",
            Self::List => "GET /orders?limit=20",
            Self::Create => "POST /orders",
        }
    }

    pub fn method(self) -> &'static str {
        if self == Self::Create { "POST" } else { "GET" }
    }

    pub fn path(self, order: Uuid) -> String {
        match self {
            Self::Health => "/health".to_owned(),
            Self::Me => "/api/v1/auth/me".to_owned(),
            Self::Get => format!("/api/v1/orders/{order}"),
            Self::List => "/api/v1/orders?limit=20".to_owned(),
            Self::Create => "/api/v1/orders".to_owned(),
        }
    }

    /// An order of two lines.
    pub fn body(self) -> Option<String> {
        let order = json!({
            "customer_id": "0192f0c1-2a3b-7c4d-8e5f-000000000001",
            "items": [
                { "product_id": "LAMP-01", "product_name": "Desk lamp", "quantity": 2, "unit_price": "49.90" },
                { "product_id": "MUG-04", "product_name": "Coffee mug", "quantity": 1, "unit_price": "12.50" }
            ],
            "currency": "USD",
            "notes": "Please leave it at the front desk."
        });
        (self == Self::Create).then(|| order.to_string())
    }

    pub fn load(
        self,
        bench: &Bench,
        of: &str,
        asked: &[Asked],
        connections: u32,
    ) -> Result<crate::load::Load> {
        let lines = asked.iter().map(|asked| format!("{} {}", asked.token, self.path(asked.order)));
        let requests = match self {
            Self::Health => bench.requests("health", ["- /health".to_owned()])?,
            _ => bench.requests(&format!("{of}-{}", self.name()), lines)?,
        };
        let load = crate::load::Load {
            method: self.method(),
            requests,
            body: self.body(),
            connections,
            pause: 0,
            refusals: false,
        };
        Ok(load)
    }
}
