//! One attempt, and what it says of the next one.
use super::super::{
    model::{Outcome, excerpt, retry_after},
    store::Attempt,
};
use crate::{
    core::Core,
    infra::{
        egress::Undelivered,
        webhook::{self, Answer, Message},
    },
};
use std::time::{Duration, Instant};

/// The receiver is not there any more (RFC 9110, section 15.5.11).
const GONE: u16 = 410;

/// How it went.
pub struct Sent {
    pub attempt: Attempt,
    pub outcome: Outcome,
    /// It was answered 410.
    pub gone: bool,
    /// What the receiver has asked for.
    pub retry_after: Option<Duration>,
}

/// Sends a message once.
pub(super) async fn send(core: &Core, message: &Message) -> Sent {
    let (started_at, began) = (core.clock.now(), Instant::now());
    let limit = core.webhooks.timeout;
    let answer = webhook::send(&core.egress, message, started_at.as_seconds(), limit).await;
    let (outcome, mut gone, mut asked) = (outcome(&answer), false, None);
    let mut attempt = Attempt {
        started_at,
        duration_ms: i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX),
        outcome: outcome.as_str(),
        response_status: None,
        response_body: None,
        error: None,
    };
    match answer {
        Ok(Answer { status, body, retry_after: value }) => {
            gone = status == GONE;
            asked = value.and_then(|value| retry_after(&value, core.clock.now()));
            attempt.response_status = Some(status.into());
            attempt.response_body = Some(excerpt(&body));
            attempt.error = (outcome != Outcome::Succeeded).then(|| format!("answered {status}"));
        }
        Err(Undelivered::TimedOut) => attempt.error = Some(format!("no whole answer within {limit:?}")),
        // a certificate that does not fit is described in words of its own
        Err(Undelivered::Blocked(why) | Undelivered::Failed(why)) => {
            attempt.error = Some(excerpt(why.as_bytes()));
        }
    }
    Sent { attempt, outcome, gone, retry_after: asked }
}

fn outcome(answer: &Result<Answer, Undelivered>) -> Outcome {
    match answer {
        Ok(answer) if (200..300).contains(&answer.status) => Outcome::Succeeded,
        Ok(_) | Err(Undelivered::Failed(_)) => Outcome::Failed,
        Err(Undelivered::TimedOut) => Outcome::Timeout,
        Err(Undelivered::Blocked(_)) => Outcome::Blocked,
    }
}
