//! The event that this domain tells by itself.
use crate::{infra::events::Event, values::Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// Somebody tries an endpoint. It goes to that one alone, whatever its `event_types`.
#[derive(Serialize)]
pub struct WebhookTest {
    /// Which endpoint is tried.
    pub endpoint_id: Uuid,
    /// For whoever reads it.
    pub message: &'static str,
    /// When it was asked for.
    pub requested_at: Timestamp,
}

/// What it says.
pub const TEST_MESSAGE: &str = "This endpoint receives events.";

impl Event for WebhookTest {
    const TYPE: &'static str = "webhook.test";
    const DESCRIPTION: &'static str = "Somebody tried an endpoint; sent to that endpoint alone";
    fn example() -> Value {
        json!({
            "endpoint_id": "0192f0c1-2a3b-7c4d-8e5f-000000000006",
            "message": TEST_MESSAGE,
            "requested_at": "2026-01-31T09:30:00.000Z"
        })
    }
}
