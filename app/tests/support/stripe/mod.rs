//! Stripe, as far as the product speaks with it: a server on loopback with a state of its own, which takes what Stripe
//! takes and nothing else, and does as badly as a test wants. Its events are signed, and sent when and how often the
//! test says.
mod parameters;
mod state;

pub use state::Event;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State as Shared},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::BodyExt;
use parameters::Endpoint;
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::Sha256;
use state::{Kept, Parameters, State};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tenantry::{
    infra::{
        plans::Plan,
        stripe::{BillingSettings, Prices, StripeSettings},
    },
    values::Timestamp,
};
use tokio::{net::TcpListener, sync::Semaphore};

pub const KEY: &str = "sk_test_of_a_test";
pub const SECRET: &str = "whsec_of_a_test";
/// The secret before it, while it is rolled.
pub const OLD_SECRET: &str = "whsec_of_before";
pub const STARTER: &str = "price_starter";
pub const PRO: &str = "price_pro";
pub const ENTERPRISE: &str = "price_enterprise";
/// A price of the account that is no plan's.
pub const OTHER: &str = "price_of_something_else";

/// What it does with requests.
#[derive(Clone, Debug, PartialEq)]
pub enum Manner {
    Answers,
    /// So often this status, with these headers; after that it answers.
    Fails(usize, u16, Vec<(&'static str, &'static str)>),
    /// So often it ends the connection in the middle of the answer, having done what it was asked for.
    Breaks(usize),
    /// Takes the request and says nothing.
    Hangs,
    /// 200, and no JSON.
    Babbles,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub call: String,
    pub parameters: Parameters,
    pub headers: HeaderMap,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn parameter(&self, name: &str) -> &str {
        self.parameters.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
    }
}

#[derive(Clone)]
pub struct Stripe {
    base: String,
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    manner: Mutex<Manner>,
    asked: Mutex<Vec<Asked>>,
    answered: AtomicUsize,
    /// Whether what is done now waits at the gate before it is answered.
    held: AtomicBool,
    gate: Semaphore,
}

impl Stripe {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Inner {
            state: Mutex::default(),
            manner: Mutex::new(Manner::Answers),
            asked: Mutex::default(),
            answered: AtomicUsize::new(0),
            held: AtomicBool::new(false),
            gate: Semaphore::new(0),
        });
        let router = Router::new().fallback(answer).with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { base, inner }
    }

    /// The settings that make it the product's.
    pub fn settings(&self) -> BillingSettings {
        let prices = [(Plan::Starter, STARTER), (Plan::Pro, PRO), (Plan::Enterprise, ENTERPRISE)];
        BillingSettings {
            stripe: Some(StripeSettings {
                secret_key: SecretString::from(KEY),
                webhook_secrets: [SECRET, OLD_SECRET].map(SecretString::from).to_vec(),
                prices: Prices::new(prices.map(|(plan, price)| (plan, price.to_owned())).to_vec()),
                api_base: self.base.clone(),
                deadline: Duration::from_secs(10),
                first_delay: Duration::from_millis(5),
            }),
            grace: Duration::from_secs(7 * 24 * 60 * 60),
        }
    }

    pub fn be(&self, manner: Manner) {
        *self.inner.manner.lock().unwrap() = manner;
    }

    /// From now on what has been done is not answered until it is let out.
    pub fn hold(&self) {
        self.inner.gate.forget_permits(Semaphore::MAX_PERMITS);
        self.inner.held.store(true, SeqCst);
    }

    /// From now on it is; what is held already stays so.
    pub fn pass(&self) {
        self.inner.held.store(false, SeqCst);
    }

    /// What is held is answered, and so is what comes.
    pub fn let_out(&self) {
        self.pass();
        self.inner.gate.add_permits(1000);
    }

    /// The requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.inner.asked.lock().unwrap().clone()
    }

    /// The requests of a call so far: `POST /v1/customers`.
    pub fn asked_for(&self, call: &str) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.call == call).collect()
    }

    /// How many of them have been answered.
    pub fn answered(&self) -> usize {
        self.inner.answered.load(SeqCst)
    }

    /// What it knows, to be looked at and changed.
    pub fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.inner.state.lock().unwrap()
    }
}

/// `Stripe-Signature` of these bytes.
pub fn signature(body: &[u8], secrets: &[&str], at: Timestamp) -> String {
    let time = at.as_seconds();
    let signed = secrets.iter().map(|secret| format!(",v1={}", hex(body, secret, time)));
    format!("t={time}{}", signed.collect::<String>())
}

pub fn hex(body: &[u8], secret: &str, time: i64) -> String {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{time}.").as_bytes());
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn error(status: u16, r#type: &str, code: &str, message: &str) -> (u16, Value) {
    (status, json!({ "error": { "type": r#type, "code": code, "message": message } }))
}

/// In a task of its own: what was begun is done, also where nobody waits for it any more.
async fn answer(Shared(inner): Shared<Arc<Inner>>, request: Request) -> Response {
    tokio::spawn(served(inner, request)).await.unwrap()
}

async fn served(inner: Arc<Inner>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let text = if parts.method == "GET" {
        parts.uri.query().unwrap_or_default().as_bytes().to_vec()
    } else {
        body.to_vec()
    };
    let asked = Asked {
        call: format!("{} {}", parts.method, parts.uri.path()),
        parameters: url::form_urlencoded::parse(&text).into_owned().collect(),
        headers: parts.headers,
    };
    inner.asked.lock().unwrap().push(asked.clone());
    let manner = {
        let mut manner = inner.manner.lock().unwrap();
        let now = manner.clone();
        match &mut *manner {
            Manner::Fails(left, ..) | Manner::Breaks(left) if *left > 1 => *left -= 1,
            other @ (Manner::Fails(..) | Manner::Breaks(..)) => *other = Manner::Answers,
            Manner::Answers | Manner::Hangs | Manner::Babbles => {}
        }
        now
    };
    let answer = match manner {
        Manner::Hangs => std::future::pending().await,
        Manner::Babbles => (StatusCode::OK, "It works!").into_response(),
        Manner::Fails(_, status, headers) => {
            let (status, body) =
                error(status, "api_error", "-", &format!("As told by {KEY} of somebody@example.test"));
            let mut answer = told(status, &body);
            for (name, value) in headers {
                answer.headers_mut().insert(name, value.parse().unwrap());
            }
            answer
        }
        Manner::Breaks(_) => {
            done(&inner, &asked).await;
            let broken = futures_util::stream::once(async { Err::<Bytes, _>(std::io::Error::other("cut")) });
            let mut answer = Response::new(Body::from_stream(broken));
            answer.headers_mut().insert(header::CONTENT_LENGTH, 1000.into());
            answer
        }
        Manner::Answers => done(&inner, &asked).await,
    };
    inner.answered.fetch_add(1, SeqCst);
    answer
}

fn told(status: u16, body: &Value) -> Response {
    let headers = [("content-type", "application/json"), ("request-id", "req_of_a_test")];
    (StatusCode::from_u16(status).unwrap(), headers, body.to_string()).into_response()
}

/// Does it, waits at the gate, and answers.
async fn done(inner: &Inner, asked: &Asked) -> Response {
    if let Some((status, body)) = refused(asked) {
        return told(status, &body); // nothing is kept of it under its key
    }
    let key = asked.header("idempotency-key").to_owned();
    let begun = inner.state.lock().unwrap().begin(&key, asked);
    let (status, body) = match begun {
        Kept::New => {
            let (status, body) = executed(inner, asked);
            if inner.held.load(SeqCst) {
                inner.gate.acquire().await.unwrap().forget();
            }
            inner.state.lock().unwrap().end(&key, asked, (status, body.clone()));
            (status, body)
        }
        Kept::Answered(answer) => answer,
        Kept::UnderWay => error(
            409,
            "idempotency_error",
            "idempotency_key_in_use",
            "There is currently another in-progress request using this Idempotent Key",
        ),
        Kept::Reused => error(
            400,
            "idempotency_error",
            "-",
            "Keys for idempotent requests can only be used with the same parameters they were first used with",
        ),
    };
    told(status, &body)
}

/// What is refused before it is looked into.
fn refused(asked: &Asked) -> Option<(u16, Value)> {
    if asked.header("authorization") != format!("Bearer {KEY}") {
        return Some(error(401, "invalid_request_error", "-", "Invalid API Key provided"));
    }
    if asked.header("stripe-version") != "2026-02-25.clover" {
        return Some(error(400, "invalid_request_error", "-", "Invalid Stripe API version"));
    }
    let (method, path) = asked.call.split_once(' ').unwrap();
    let Some((endpoint, _)) = Endpoint::of(method, path) else {
        return Some(error(
            404,
            "invalid_request_error",
            "-",
            &format!("Unrecognized request URL ({})", asked.call),
        ));
    };
    let form = "application/x-www-form-urlencoded";
    if method == "POST"
        && (asked.header("content-type") != form || asked.header("idempotency-key").is_empty())
    {
        return Some(error(400, "invalid_request_error", "-", "A test wants a form and an idempotency key"));
    }
    endpoint.refusal(&asked.parameters).map(|refusal| (400, refusal))
}

fn executed(inner: &Inner, asked: &Asked) -> (u16, Value) {
    let (method, path) = asked.call.split_once(' ').unwrap();
    let (endpoint, id) = Endpoint::of(method, path).unwrap();
    let mut state = inner.state.lock().unwrap();
    let done = match (endpoint.path, id) {
        ("/v1/customers", _) => Ok(state.create_customer(asked)),
        ("/v1/checkout/sessions", _) => state.create_checkout_session(asked),
        ("/v1/billing_portal/sessions", _) => state.create_portal_session(asked),
        ("/v1/subscriptions", _) => state.list_subscriptions(asked),
        (_, Some(id)) => state.subscription(&id).ok_or_else(|| format!("No such subscription: '{id}'")),
        _ => Err("no such call".to_owned()),
    };
    match done {
        Ok(object) => (200, object),
        Err(message) => {
            let status = if asked.call.starts_with("GET /v1/subscriptions/") { 404 } else { 400 };
            error(status, "invalid_request_error", "resource_missing", &message)
        }
    }
}
