//! One call of Stripe's API: the version is pinned, a key of Stripe's own makes it safe to be made again, and it is made
//! again while what went wrong may pass and the deadline has not.
use super::{Deadline, Stripe, form};
use crate::{
    error::{Code, Error},
    infra::{
        egress::{Incoming, Outgoing, Target, Undelivered},
        secret,
    },
};
use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

/// The version of the API that answers are read in, whichever is the account's.
const VERSION: HeaderValue = HeaderValue::from_static("2026-02-25.clover");
/// So much of an answer is read.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// A call is made so often at most.
const MOST_ATTEMPTS: u32 = 5;
/// What stands in the place of what is not logged.
const MASK: &str = "********";
/// No delay between two attempts is longer, also where Stripe asks for more.
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// Why a call has come to nothing, in words for the log: they may be Stripe's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// What it is about is not there.
    Missing(String),
    /// Stripe refuses this very request.
    Refused(String),
    /// Stripe is away, too slow, too busy, at fault, or does not take our key: others fare no better now.
    Unavailable(String),
}

/// 502, with nothing of what Stripe said.
impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let (Failure::Missing(why) | Failure::Refused(why) | Failure::Unavailable(why)) = failure;
        Self::new(
            Code::UpstreamError,
            "The payment service did not do what it was asked for: try again in a moment",
        )
        .caused_by(why)
    }
}

/// A call, ready to be made as often as need be.
pub(super) struct Call {
    method: Method,
    path: String,
    body: Bytes,
    key: Option<HeaderValue>,
}

/// An attempt that came to nothing.
struct Failed {
    failure: Failure,
    /// Whether another may go better.
    passes: bool,
    /// How long Stripe asks to wait before it.
    wait: Option<Duration>,
}

impl Failed {
    fn passing(why: String) -> Self {
        Self { failure: Failure::Unavailable(why), passes: true, wait: None }
    }

    fn lasting(why: impl Into<String>) -> Self {
        Self { failure: Failure::Unavailable(why.into()), passes: false, wait: None }
    }
}

fn encoded(parameters: &impl Serialize) -> Result<String, Failure> {
    form::encode(parameters).map_err(|e| Failure::Refused(e.to_string()))
}

/// An identifier as a part of a path.
pub(super) fn segment(id: &str) -> String {
    url::form_urlencoded::byte_serialize(id.as_bytes()).collect()
}

impl Call {
    pub fn get(path: &str, query: &impl Serialize) -> Result<Self, Failure> {
        let query = encoded(query)?;
        let path = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        Ok(Self { method: Method::GET, path, body: Bytes::new(), key: None })
    }

    pub fn post(path: &str, parameters: &impl Serialize, key: &str) -> Result<Self, Failure> {
        let key = HeaderValue::from_str(key).map_err(|e| Failure::Refused(e.to_string()))?;
        let body = encoded(parameters)?.into();
        Ok(Self { method: Method::POST, path: path.to_owned(), body, key: Some(key) })
    }
}

impl Stripe {
    /// Makes a call until it succeeds, or there is no hope or no time left. An answer that `read` finds nothing in is no
    /// success, but Stripe has done what it was asked for, so that is not done again.
    pub(super) async fn call<T>(
        &self,
        call: &Call,
        deadline: Deadline,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<T, Failure> {
        let mut attempts = 1;
        loop {
            let failed = match self.attempt(call, deadline).await {
                Ok(answer) => {
                    let unread = || {
                        Failure::Unavailable(format!("{}: an answer without what it must have", call.path))
                    };
                    return read(&answer).ok_or_else(unread);
                }
                Err(failed) => failed,
            };
            let delay = self.delay(attempts, &failed);
            if !failed.passes || attempts == MOST_ATTEMPTS || delay >= deadline.left() {
                return Err(failed.failure);
            }
            tracing::debug!(attempts, ?delay, failure = ?failed.failure, "a call of Stripe is made again");
            tokio::time::sleep(delay).await;
            attempts += 1;
        }
    }

    /// Twice as long after each attempt, and up to half of it by chance, so that what failed together does not come back
    /// together.
    fn delay(&self, attempts: u32, failed: &Failed) -> Duration {
        let longest =
            self.settings.first_delay.saturating_mul(2_u32.saturating_pow(attempts - 1)).min(LONGEST_DELAY);
        let chance = secret::random().map_or(1.0, |[byte, ..]| f64::from(byte) / 255.0);
        let delay = longest.mul_f64(0.5 + 0.5 * chance);
        delay.max(failed.wait.unwrap_or_default()).min(LONGEST_DELAY)
    }

    async fn attempt(&self, call: &Call, deadline: Deadline) -> Result<Value, Failed> {
        let base = &self.settings.api_base;
        let target = Target::configured(&format!("{base}{}", call.path)).map_err(Failed::lasting)?;
        let outgoing = Outgoing {
            target: &target,
            method: call.method.clone(),
            headers: self.headers(call)?,
            body: call.body.clone(),
            deadline: deadline.left(),
            most_bytes: MOST_BYTES,
        };
        let outcome = match self.egress.send(outgoing).await {
            Ok(incoming) => self.judged(incoming),
            Err(Undelivered::TimedOut) => Err(Failed::lasting("no answer in time")),
            Err(Undelivered::Blocked(why)) => Err(Failed::lasting(why)),
            Err(Undelivered::Failed(why)) => Err(Failed::passing(why)),
        };
        let told = if outcome.is_ok() { "answered" } else { "failed" };
        metrics::counter!("tenantry_stripe_calls_total", "outcome" => told).increment(1);
        outcome
    }

    fn headers(&self, call: &Call) -> Result<Vec<(HeaderName, HeaderValue)>, Failed> {
        let key = self.settings.secret_key.expose_secret();
        let mut authorization = HeaderValue::try_from(format!("Bearer {key}"))
            .map_err(|_| Failed::lasting("STRIPE_SECRET_KEY cannot be sent in a header"))?;
        authorization.set_sensitive(true);
        let mut headers = vec![
            (header::AUTHORIZATION, authorization),
            (header::ACCEPT, HeaderValue::from_static("application/json")),
            (HeaderName::from_static("stripe-version"), VERSION),
        ];
        if let Some(key) = &call.key {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.push((header::CONTENT_TYPE, form));
            headers.push((HeaderName::from_static("idempotency-key"), key.clone()));
        }
        Ok(headers)
    }

    fn judged(&self, incoming: Incoming) -> Result<Value, Failed> {
        let Incoming { status, headers, body, cut } = incoming;
        if status.is_success() {
            let answer = if cut { None } else { serde_json::from_slice(&body).ok() };
            return answer.ok_or_else(|| {
                Failed::lasting(format!("{status} with a body that is no JSON of a fair size"))
            });
        }
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        let code = answer.pointer("/error/code").and_then(Value::as_str);
        let why = self.told(status, &headers, &answer);
        let failure = match status.as_u16() {
            404 => Failure::Missing(why),
            400 if code == Some("resource_missing") => Failure::Missing(why),
            400 | 402 => Failure::Refused(why),
            _ => Failure::Unavailable(why),
        };
        // Stripe knows best whether it would be in vain
        let passes = match text(&headers, "stripe-should-retry") {
            Some("true") => true,
            Some("false") => false,
            _ => matches!(status.as_u16(), 409 | 429) || status.is_server_error(),
        };
        let wait =
            text(&headers, "retry-after").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        Err(Failed { failure, passes, wait })
    }

    /// What Stripe says of a refusal, for the log: without our key and without addresses of people, should they be in it.
    fn told(&self, status: StatusCode, headers: &HeaderMap, answer: &Value) -> String {
        let of = |member: &str| answer["error"][member].as_str().unwrap_or("-");
        let request = text(headers, "request-id").unwrap_or("-");
        let told = format!(
            "{status}: {} {} {}: {} (request {request})",
            of("type"),
            of("code"),
            of("param"),
            of("message")
        );
        let told = told.replace(self.settings.secret_key.expose_secret(), MASK);
        let words: Vec<_> =
            told.split(' ').map(|word| if word.contains('@') { MASK } else { word }).collect();
        words.join(" ").chars().filter(|c| !c.is_control()).take(500).collect()
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
