//! One attempt: the event's bytes, signed, to where the endpoint says.
use super::super::{
    model::{Outcome, Secret, excerpt, retry_after, signatures},
    store::Attempt,
};
use crate::{
    core::Core,
    infra::egress::{Incoming, Outgoing, Undelivered},
};
use axum::{
    body::Bytes,
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
};
use std::time::{Duration, Instant};

/// Bytes of an answer that are read.
const MOST_READ: usize = 64 * 1024;

/// What is sent.
pub(super) struct Message {
    pub url: String,
    pub secrets: Vec<Secret>,
    /// `evt_…`
    pub id: String,
    pub body: Bytes,
}

/// How it went, and what that says of the next one.
pub(super) struct Sent {
    pub attempt: Attempt,
    pub outcome: Outcome,
    /// It was answered 410.
    pub gone: bool,
    pub retry_after: Option<Duration>,
}

/// Sends it once. Errs where a header cannot be put together, which is a fault of ours.
pub(super) async fn send(core: &Core, message: &Message) -> Sent {
    let (started_at, began) = (core.clock.now(), Instant::now());
    let timestamp = started_at.as_seconds();
    let answer = match core.egress.target(&message.url) {
        // the settings may have changed since it was taken
        Err(why) => Err(Undelivered::Blocked(format!("the URL {why}"))),
        Ok(target) => {
            let request = Outgoing {
                target: &target,
                method: Method::POST,
                headers: headers(message, timestamp),
                body: message.body.clone(),
                deadline: core.webhooks.timeout,
                most_bytes: MOST_READ,
            };
            core.egress.send(request).await
        }
    };
    let duration_ms = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
    let outcome = outcome(&answer);
    let (mut response_status, mut response_body, mut gone, mut asked) = (None, None, false, None);
    let error = match answer {
        Ok(Incoming { status, headers, body, .. }) => {
            response_status = Some(i64::from(status.as_u16()));
            response_body = Some(excerpt(&body));
            gone = status == StatusCode::GONE;
            let value = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
            asked = value.and_then(|value| retry_after(value, core.clock.now()));
            (!status.is_success()).then(|| format!("answered {}", status.as_u16()))
        }
        Err(Undelivered::TimedOut) => Some(format!("no whole answer within {:?}", core.webhooks.timeout)),
        Err(Undelivered::Blocked(why) | Undelivered::Failed(why)) => Some(why),
    };
    let outcome_word = outcome.as_str();
    let attempt =
        Attempt { started_at, duration_ms, outcome: outcome_word, response_status, response_body, error };
    Sent { attempt, outcome, gone, retry_after: asked }
}

fn headers(message: &Message, timestamp: i64) -> Vec<(HeaderName, HeaderValue)> {
    let signature = signatures(&message.secrets, &message.id, timestamp, &message.body);
    let made = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (HeaderName::from_static("webhook-id"), message.id.clone()),
        (HeaderName::from_static("webhook-timestamp"), timestamp.to_string()),
        (HeaderName::from_static("webhook-signature"), signature),
    ];
    made.into_iter()
        .filter_map(|(name, value)| HeaderValue::try_from(value).ok().map(|value| (name, value)))
        .collect()
}

fn outcome(answer: &Result<Incoming, Undelivered>) -> Outcome {
    match answer {
        Ok(answer) if answer.status.is_success() => Outcome::Succeeded,
        Ok(_) | Err(Undelivered::Failed(_)) => Outcome::Failed,
        Err(Undelivered::TimedOut) => Outcome::Timeout,
        Err(Undelivered::Blocked(_)) => Outcome::Blocked,
    }
}
