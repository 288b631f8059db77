//! No secret is logged: a tour of every route that takes or gives one, with the most talkative log there is.
use super::{Folder, Running};
use crate::support::{
    database::{TestDatabase, on_postgres},
    receiver::Receiver,
    redis::shared_url,
    smtp::Smtp,
    until,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::{path::PathBuf, sync::Mutex};

const SECRET_KEY: &str = "canary-secret-key-0f9c1d2e3b4a59687766554433221100";
const SIGNING_SECRET: &str = "canary-signing-secret-ffeeddccbbaa99887766554433221100";
const PREVIOUS_KEY: &str = "canary-previous-key-00112233445566778899aabbccddeeff";
const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
                           -----END PRIVATE KEY-----";

/// The service under this configuration, and everything that nobody may read in its log.
struct Tour {
    running: Running,
    log: PathBuf,
    smtp: Smtp,
    canaries: Mutex<Vec<String>>,
}

impl Tour {
    async fn start(folder: &Folder, database_url: &str) -> Self {
        let smtp = Smtp::start().await;
        let smtp_url =
            format!("smtp://canary-smtp-user:canary-smtp-password@127.0.0.1:{}?tls=none", smtp.port);
        let redis_url = shared_url().replace("redis://", "redis://:canary-redis-password@");
        let variables = [
            ("DATABASE_URL", database_url),
            ("AUTO_MIGRATE", "true"),
            ("SECRET_KEY", SECRET_KEY),
            ("WEBHOOK_SIGNING_SECRET", SIGNING_SECRET),
            ("WEBHOOK_ALLOW_PRIVATE_TARGETS", "true"),
            ("JWT_ALGORITHM", "EdDSA"),
            ("JWT_PRIVATE_KEY", PRIVATE_KEY),
            ("JWT_PREVIOUS_KEYS", PREVIOUS_KEY),
            ("AUTH_RATE_LIMIT", "1000/15m"),
            ("BCRYPT_COST", "10"),
            ("REDIS_URL", &redis_url),
            ("SMTP_URL", &smtp_url),
            ("MAIL_FROM", "no-reply@example.test"),
            ("RUST_LOG", "trace"),
        ];
        let running = Running::serve(folder, &variables);
        let log = running.log.clone();
        let this = Self { running, log, smtp, canaries: Mutex::default() };
        this.hide(&[
            SECRET_KEY,
            SIGNING_SECRET,
            PREVIOUS_KEY,
            PRIVATE_KEY.lines().nth(1).unwrap(),
            "canary-smtp-password",
            &STANDARD.encode("\0canary-smtp-user\0canary-smtp-password"),
            "canary-redis-password",
            "canary-database-password",
            "$2b$",
            "$argon2",
        ]);
        this
    }

    fn hide(&self, canaries: &[&str]) {
        self.canaries.lock().unwrap().extend(canaries.iter().map(|canary| (*canary).to_owned()));
    }

    /// Hides the tokens of an answer, and answers it.
    fn hidden(&self, answer: Value) -> Value {
        for name in ["access_token", "refresh_token", "key"] {
            if let Some(token) = answer["data"][name].as_str() {
                self.hide(&[token, token.rsplit('.').next().unwrap()]);
            }
        }
        answer
    }

    /// Sends a request whose secrets are hidden already.
    fn ask(&self, method: &str, path: &str, token: Option<&str>, body: &Value, status: u16) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.ask_raw(method, path, token, &body, status)
    }

    fn ask_raw(&self, method: &str, path: &str, token: Option<&str>, body: &str, status: u16) -> Value {
        let (found, answer) = self.running.ask(method, &format!("/api/v1{path}"), token, body);
        assert_eq!(found, status, "{method} {path}: {answer}");
        self.hidden(serde_json::from_str(&answer).unwrap_or_default())
    }

    /// A password that nobody may read.
    fn password(&self, name: &str) -> String {
        let password = format!("canary-{name}-password");
        self.hide(&[&password]);
        password
    }

    /// The token in the next mail.
    async fn mailed(&self) -> String {
        until(|| !self.smtp.received().is_empty()).await;
        let token = self.smtp.take().remove(0).token();
        self.hide(&[&token]);
        token
    }

    fn login(&self, email: &str, password: &str, status: u16) -> Value {
        let body = json!({ "tenant_slug": "acme", "email": email, "password": password });
        self.ask("POST", "/auth/login", None, &body, status)
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_and_no_address_is_in_the_most_talkative_log() {
    let folder = Folder::new();
    let database = if on_postgres() { Some(TestDatabase::empty().await) } else { None };
    let url = match &database {
        Some(database) => database.url.replace("postgres@", "postgres:canary-database-password@"),
        None => format!("sqlite://{}", folder.0.join("own.db").display()),
    };
    let tour = Tour::start(&folder, &url).await;
    tour.hide(&["canary.owner", "canary.ada", "canary.nobody"]);
    sessions(&tour);
    let (owner, ada) = people(&tour).await;
    passwords(&tour, &ada).await;
    let key = api_keys(&tour, &owner);
    webhooks(&tour, &owner).await;
    credentials_in_wrong_places(&tour);
    let log = tour.log.clone();
    let canaries = tour.canaries.lock().unwrap().clone();
    assert_eq!(tour.running.stop(), Some(0));

    let log = std::fs::read_to_string(log).unwrap();
    let requests: Vec<_> =
        log.lines().filter(|line| line.contains(r#""target":"tenantry::request""#)).collect();
    assert!(requests.len() > 30 && log.contains(r#""target":"tenantry::sql""#), "{}", requests.len());
    let by_key = requests.iter().find(|line| line.contains(&format!(r#""api_key":"{key}""#))).unwrap();
    assert!(by_key.contains(r#""tenant":""#) && !by_key.contains(r#""user":""#), "{by_key}");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(line["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{line}");
    }
    assert!(canaries.len() > 40, "{}", canaries.len());
    for canary in canaries {
        assert!(canary.len() >= 4, "{canary}");
        let line = log.lines().find(|line| line.contains(&canary));
        assert!(line.is_none(), "{canary} is in the log: {}", line.unwrap());
    }
}

/// Signing up, in, and on.
fn sessions(tour: &Tour) {
    let password = tour.password("first");
    let register = json!({
        "tenant_name": "Acme", "tenant_slug": "acme", "email": "canary.owner@acme.test", "password": password,
        "full_name": "Olivia Owner"
    });
    tour.ask("POST", "/auth/register", None, &register, 201);
    tour.login("canary.owner@acme.test", &tour.password("wrong"), 401);
    tour.login("canary.nobody@acme.test", &tour.password("wrong"), 401);
    let session = tour.login("canary.owner@acme.test", &password, 200);
    let refresh = json!({ "refresh_token": session["data"]["refresh_token"] });
    let renewed = tour.ask("POST", "/auth/refresh", None, &refresh, 200);
    tour.ask("GET", "/auth/me", renewed["data"]["access_token"].as_str(), &Value::Null, 200);
    tour.ask("POST", "/auth/refresh", None, &refresh, 401); // reuse
    tour.ask("POST", "/auth/logout", None, &refresh, 200);
}

/// The owner's and another person's session; the owner was another before.
async fn people(tour: &Tour) -> (String, String) {
    let first = tour.login("canary.owner@acme.test", &tour.password("first"), 200);
    let owner = first["data"]["access_token"].as_str();
    let invite = json!({ "email": "canary.ada@acme.test", "full_name": "Ada", "role": "admin" });
    let invited = tour.ask("POST", "/users", owner, &invite, 201);
    let accept = json!({ "token": tour.mailed().await, "password": tour.password("adas") });
    let ada = tour.ask("POST", "/auth/invitations/accept", None, &accept, 201);
    tour.ask("POST", "/auth/invitations/accept", None, &accept, 422);
    let transfer = |password: &str| json!({ "user_id": invited["data"]["id"], "password": password });
    tour.ask("POST", "/tenant/transfer-ownership", owner, &transfer(&tour.password("wrong")), 422);
    tour.ask("POST", "/tenant/transfer-ownership", owner, &transfer(&tour.password("first")), 200);
    (text(&ada["data"]["access_token"]).to_owned(), text(&first["data"]["access_token"]).to_owned())
}

/// Changed, forgotten, set anew; the token is that of `canary.owner`.
async fn passwords(tour: &Tour, token: &str) {
    let change = |from: &str, to: &str| json!({ "current_password": from, "new_password": to });
    let second = tour.password("second");
    let wrong = change(&tour.password("wrong"), &second);
    tour.ask("POST", "/auth/password/change", Some(token), &wrong, 422);
    let right = change(&tour.password("first"), &second);
    tour.ask("POST", "/auth/password/change", Some(token), &right, 200);
    let forgot = json!({ "tenant_slug": "acme", "email": "canary.owner@acme.test" });
    tour.ask("POST", "/auth/password/forgot", None, &forgot, 202);
    let reset = json!({ "token": tour.mailed().await, "new_password": tour.password("third") });
    tour.ask("POST", "/auth/password/reset", None, &reset, 200);
    tour.ask("POST", "/auth/password/reset", None, &reset, 422);
    let long = format!("{}{}", tour.password("long"), "🐎".repeat(50)); // argon2id
    let session = tour.login("canary.owner@acme.test", &tour.password("third"), 200);
    let change = change(&tour.password("third"), &long);
    tour.ask("POST", "/auth/password/change", session["data"]["access_token"].as_str(), &change, 200);
    tour.login("canary.owner@acme.test", &long, 200);
}

/// Made, used, guessed, revoked. Answers its id.
fn api_keys(tour: &Tour, owner: &str) -> String {
    let body = json!({ "name": "A program", "role": "member" });
    let made = tour.ask("POST", "/api-keys", Some(owner), &body, 201);
    let key = made["data"]["key"].as_str();
    tour.ask("POST", "/orders", key, &crate::support::order(), 201);
    tour.ask("GET", "/auth/me", key, &Value::Null, 403);
    let made_up = format!("{}AAAAAAAA", &key.unwrap()[..key.unwrap().len() - 8]);
    tour.hide(&[&made_up]);
    tour.ask("GET", "/orders", Some(&made_up), &Value::Null, 401);
    let id = text(&made["data"]["id"]).to_owned();
    tour.ask("DELETE", &format!("/api-keys/{id}"), Some(owner), &Value::Null, 204);
    tour.ask("GET", "/orders", key, &Value::Null, 401);
    id
}

/// Made, tried, given another secret, tried again; what is sent is nobody's either.
async fn webhooks(tour: &Tour, owner: &str) {
    let receiver = Receiver::start().await;
    let body = json!({ "url": format!("{}&key=canary-of-a-receiver", receiver.url()) });
    tour.hide(&["canary-of-a-receiver"]);
    let made = tour.ask("POST", "/webhooks/endpoints", Some(owner), &body, 201);
    let one = format!("/webhooks/endpoints/{}", text(&made["id"]));
    let rotated = tour.ask("POST", &format!("{one}/rotate-secret"), Some(owner), &Value::Null, 200);
    for secret in [&made["secret"], &rotated["secret"]] {
        tour.hide(&[text(secret), text(secret).strip_prefix("whsec_").unwrap()]);
    }
    tour.ask("POST", &format!("{one}/test"), Some(owner), &Value::Null, 202);
    until(|| receiver.count() == 1).await;
    for signature in receiver.received()[0].header("webhook-signature").split(' ') {
        tour.hide(&[signature.strip_prefix("v1,").unwrap()]);
    }
    tour.ask("DELETE", &one, Some(owner), &Value::Null, 204);
}

/// Where people put secrets by mistake, and what breaks while one is being read.
fn credentials_in_wrong_places(tour: &Tour) {
    tour.hide(&["canary-token", "canary-cut-off", "canary-nested", "canary-number"]);
    for token in
        ["canary-token", "canary-token.canary-token.canary-token", "tk_canary-token", "rt_canary-token"]
    {
        tour.ask("GET", "/orders", Some(token), &Value::Null, 401);
        tour.ask("GET", &format!("/orders?access_token={token}"), None, &Value::Null, 401);
        tour.ask("POST", "/auth/refresh", None, &json!({ "refresh_token": token }), 401);
        tour.ask("POST", "/auth/logout", None, &json!({ "refresh_token": token }), 200);
    }
    tour.ask_raw("POST", "/auth/login", None, r#"{"tenant_slug": "acme", "password": "canary-cut-off"#, 400);
    tour.login("canary.nobody@acme.test", &tour.password(&"x".repeat(200)), 422);
    for wrong in [json!({ "a": "canary-nested" }), json!(["canary-nested"]), json!("canary-nested\0")] {
        let body = json!({ "tenant_slug": "acme", "email": "canary.nobody@acme.test", "password": wrong });
        tour.ask("POST", "/auth/login", None, &body, 422);
        tour.ask(
            "POST",
            "/auth/password/reset",
            None,
            &json!({ "token": wrong, "new_password": wrong }),
            422,
        );
    }
    tour.ask_raw("POST", "/auth/login?password=canary-number", None, "{}", 422);
    tour.ask_raw("GET", "/auth/login?password=canary-number", None, "", 405);
    tour.ask_raw("GET", "/canary-number", None, "", 404);
}
