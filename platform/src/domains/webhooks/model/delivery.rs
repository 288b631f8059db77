//! Deliveries: an event on its way to an endpoint, and the attempts at it.
use crate::{
    data::{FromRow, Row},
    error::Result,
    http::{Cursor, Named},
    infra::events::event_id,
    values::{Int, Line, Timestamp},
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

crate::choice! {
    /// Where a delivery stands.
    pub enum DeliveryStatus {
        /// It is tried, or will be.
        Pending = "pending",
        /// The endpoint has taken it.
        Succeeded = "succeeded",
        /// It is not tried any more, unless somebody asks for it.
        Failed = "failed",
    }
}

crate::choice! {
    /// How an attempt went.
    pub enum Outcome {
        /// It was answered with a 2xx.
        Succeeded = "succeeded",
        /// It was answered with something else, or not at all.
        Failed = "failed",
        /// It was not answered in time.
        Timeout = "timeout",
        /// The URL leads where it must not, and nothing was sent.
        Blocked = "blocked",
    }
}

crate::body! {
    /// Which deliveries.
    pub struct ListDeliveries {
        /// `next_cursor` of the page before.
        cursor: Option<Cursor>,
        /// Rows in a page, 20 where it is left out.
        limit: Option<Int<1, 100>>,
        /// Only those to this endpoint.
        endpoint_id: Option<Uuid>,
        /// Only those that stand there.
        status: Option<DeliveryStatus>,
        /// Only those of events of this name.
        event_type: Option<Line<1, 100>>,
    }
}

/// A stored delivery.
#[derive(Clone, Debug)]
pub struct WebhookDelivery {
    pub id: Uuid,
    pub endpoint_id: Uuid,
    pub event_id: Uuid,
    pub event_type: String,
    pub status: DeliveryStatus,
    pub attempt_count: i64,
    pub next_attempt_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub completed_at: Option<Timestamp>,
}

impl Named for WebhookDelivery {
    const NOUN: &'static str = "Webhook delivery";
}

/// `id, endpoint_id, event_id, event_type, status, attempt_count, next_attempt_at, created_at, completed_at`.
impl FromRow for WebhookDelivery {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            endpoint_id: row.get(1)?,
            event_id: row.get(2)?,
            event_type: row.get(3)?,
            status: row.word(4, DeliveryStatus::from_word)?,
            attempt_count: row.get(5)?,
            next_attempt_at: row.get(6)?,
            created_at: row.get(7)?,
            completed_at: row.get(8)?,
        })
    }
}

/// A delivery as the API shows it.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDelivery)]
pub struct DeliveryView {
    /// Its identifier.
    pub id: Uuid,
    /// Where it goes.
    pub endpoint_id: Uuid,
    /// What it brings: the `webhook-id` of every attempt, and the `id` in the body.
    #[schema(pattern = "^evt_[0-9a-f]{32}$")]
    pub event_id: String,
    /// What has happened.
    pub event_type: String,
    /// Where it stands.
    #[schema(inline)]
    pub status: DeliveryStatus,
    /// Attempts so far.
    pub attempt_count: i64,
    /// When it is tried next; `null` where it is not.
    #[schema(required)]
    pub next_attempt_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it succeeded or was given up.
    #[schema(required)]
    pub completed_at: Option<Timestamp>,
}

impl From<WebhookDelivery> for DeliveryView {
    fn from(delivery: WebhookDelivery) -> Self {
        Self {
            id: delivery.id,
            endpoint_id: delivery.endpoint_id,
            event_id: event_id(delivery.event_id),
            event_type: delivery.event_type,
            status: delivery.status,
            attempt_count: delivery.attempt_count,
            next_attempt_at: delivery.next_attempt_at,
            created_at: delivery.created_at,
            completed_at: delivery.completed_at,
        }
    }
}

/// A delivery with what it brings and how its attempts went.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDeliveryDetail)]
pub struct DeliveryDetailView {
    /// The delivery.
    #[serde(flatten)]
    pub delivery: DeliveryView,
    /// The body, byte for byte as it is sent.
    #[schema(value_type = Object)]
    pub payload: Box<RawValue>,
    /// The attempts, oldest first.
    pub attempts: Vec<AttemptView>,
}

/// An attempt at a delivery.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookAttempt)]
pub struct AttemptView {
    /// From 1.
    pub number: i64,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration_ms: i64,
    /// How it went.
    #[schema(inline)]
    pub outcome: Outcome,
    /// The status of the answer; `null` where there was none.
    #[schema(required)]
    pub response_status: Option<i64>,
    /// The first 1,024 bytes of the answer's body, as text; what is none in it is shown as `U+FFFD`.
    #[schema(required)]
    pub response_body: Option<String>,
    /// What went wrong; `null` where nothing did.
    #[schema(required)]
    pub error: Option<String>,
}

/// `number, started_at, duration_ms, outcome, response_status, response_body, error`.
impl FromRow for AttemptView {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            number: row.get(0)?,
            started_at: row.get(1)?,
            duration_ms: row.get(2)?,
            outcome: row.word(3, Outcome::from_word)?,
            response_status: row.get(4)?,
            response_body: row.get(5)?,
            error: row.get(6)?,
        })
    }
}

/// Bytes of an answer that are kept.
const KEPT_OF_ANSWER: usize = 1024;

/// The beginning of an answer as text that can be stored and shown: of control characters only line breaks and tabs stay
/// as they are (PostgreSQL takes no U+0000).
pub fn excerpt(body: &[u8]) -> String {
    let cut = body.len() > KEPT_OF_ANSWER;
    let body = &body[..body.len().min(KEPT_OF_ANSWER)];
    let body = match std::str::from_utf8(body) {
        // a character that the cut went through
        Err(e) if cut && e.error_len().is_none() => &body[..e.valid_up_to()],
        _ => body,
    };
    let shown = |c: char| if c.is_control() && !matches!(c, '\n' | '\r' | '\t') { '\u{FFFD}' } else { c };
    String::from_utf8_lossy(body).chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_answer_can_be_shown() {
        assert_eq!(excerpt(b"ok\r\n\t"), "ok\r\n\t");
        assert_eq!(excerpt(b"\0\x1b[31m\x7f\xff"), "\u{FFFD}\u{FFFD}[31m\u{FFFD}\u{FFFD}");
        let long = "é".repeat(600);
        assert_eq!(excerpt(long.as_bytes()), "é".repeat(512));
        let odd = format!("x{long}");
        assert_eq!(excerpt(odd.as_bytes()), format!("x{}", "é".repeat(511)));
        assert_eq!(
            excerpt(&long.as_bytes()[..1023]),
            format!("{}\u{FFFD}", "é".repeat(511)),
            "cut by itself"
        );
        assert_eq!(excerpt(&[0xff; 4096]).chars().count(), 1024);
    }
}
