//! What endpoints and deliveries are, and what is sent and shown of them. No I/O.
mod backoff;
mod delivery;
mod event;
mod pattern;
mod share;

pub use backoff::{delay, retry_after};
pub use delivery::*;
pub use event::{TEST_MESSAGE, WebhookTest};
pub use pattern::{EventPattern, wants};
pub use share::{Limits, Load, share};

use crate::{
    data::{FromRow, Row},
    error::{Error, Result},
    http::{Cursor, Named},
    infra::egress::Target,
    values::{At, Faults, Input, Int, Lines, List, Parse, Reference, Timestamp, string_schema},
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

crate::choice! {
    /// Why an endpoint is sent nothing.
    pub enum DisabledReason {
        /// Somebody turned it off.
        Manual = "manual",
        /// It answered 410: it is not there any more.
        Gone = "gone",
        /// All that it was sent for five days has failed.
        Failing = "failing",
    }
}

/// Where events shall go, as far as its form tells. Whether it may, depends on the settings.
#[derive(Clone, Debug)]
pub struct EndpointUrl(String);

impl EndpointUrl {
    /// As it was sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Parse for EndpointUrl {
    fn parse(input: Input<'_>, at: &At<'_>, faults: &mut Faults) -> Option<Self> {
        let text = input.string(at, faults)?;
        match Target::configured(&text) {
            Ok(_) => Some(Self(text.into_owned())),
            Err(fault) => {
                faults.add(at, fault);
                None
            }
        }
    }
    fn schema() -> Reference {
        let format = utoipa::openapi::SchemaFormat::Custom("uri".to_owned());
        string_schema().format(Some(format)).max_length(Some(2048)).into()
    }
    fn example() -> serde_json::Value {
        "https://example.com/webhooks".into()
    }
}

/// Patterns of one endpoint.
pub type EventPatterns = List<EventPattern, 0, 50>;

crate::body! {
    /// An endpoint that events shall be sent to.
    pub struct CreateEndpoint {
        /// Where events go: https, without a user name, on port 443, 80 or one from 8000 on.
        url: EndpointUrl,
        /// For whoever looks after it.
        description: Option<Lines<500>> = "Books orders in the accounting system",
        /// Names of events, or patterns such as `order.*`; without any it is sent all.
        event_types: Option<EventPatterns>,
    }
}

crate::body! {
    /// What shall be otherwise with an endpoint; what is left out stays.
    pub struct ChangeEndpoint {
        /// Another address.
        url: Option<EndpointUrl>,
        /// Another description; an empty one takes it away.
        description: Option<Lines<500>> = "Books orders in the accounting system",
        /// Other events; an empty list means all.
        event_types: Option<EventPatterns>,
        /// Whether it is sent anything. Turned on again, its failures of before count no more.
        enabled: Option<bool>,
    }
}

crate::body! {
    /// Which endpoints.
    pub struct ListEndpoints {
        /// `next_cursor` of the page before.
        cursor: Option<Cursor>,
        /// Rows in a page, 20 where it is left out.
        limit: Option<Int<1, 100>>,
    }
}

crate::body! {
    /// From when on.
    pub struct Recover {
        /// Deliveries that failed at this time or later are sent again.
        since: Timestamp,
    }
}

/// A stored endpoint.
#[derive(Clone, Debug)]
pub struct WebhookEndpoint {
    pub id: Uuid,
    pub url: String,
    pub description: Option<String>,
    pub event_types: Vec<EventPattern>,
    /// `None` while it is enabled.
    pub disabled: Option<DisabledReason>,
    /// Its first failure since its last success.
    pub failing_since: Option<Timestamp>,
    /// Counts the changes, from 1.
    pub version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Named for WebhookEndpoint {
    const NOUN: &'static str = "Webhook endpoint";
}

impl WebhookEndpoint {
    /// Its patterns, as they are stored.
    pub fn patterns(&self) -> Result<String> {
        let patterns: Vec<_> = self.event_types.iter().map(EventPattern::as_str).collect();
        serde_json::to_string(&patterns).map_err(Error::internal)
    }
}

/// The patterns of a stored list of them. One that this version does not know means nothing.
pub fn patterns_of(stored: &str) -> Result<Vec<EventPattern>> {
    let texts: Vec<String> = serde_json::from_str(stored).map_err(Error::internal)?;
    Ok(texts.iter().filter_map(|text| EventPattern::new(text)).collect())
}

/// `id, url, description, event_types, disabled_reason, failing_since, version, created_at, updated_at`.
impl FromRow for WebhookEndpoint {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        let disabled: Option<String> = row.get(4)?;
        Ok(Self {
            id: row.get(0)?,
            url: row.get(1)?,
            description: row.get(2)?,
            event_types: patterns_of(&row.get::<String>(3)?)?,
            disabled: disabled.map(|word| DisabledReason::from_word(&word).unwrap_or(DisabledReason::Manual)),
            failing_since: row.get(5)?,
            version: row.get(6)?,
            created_at: row.get(7)?,
            updated_at: row.get(8)?,
        })
    }
}

/// An endpoint as the API shows it.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEndpoint)]
pub struct EndpointView {
    /// Its identifier.
    pub id: Uuid,
    /// Where events go.
    pub url: String,
    /// For whoever looks after it.
    #[schema(required)]
    pub description: Option<String>,
    /// What it is sent; an empty list means all.
    pub event_types: Vec<String>,
    /// Whether it is sent anything.
    pub enabled: bool,
    /// Why not; `null` while it is.
    #[schema(required, inline)]
    pub disabled_reason: Option<DisabledReason>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl From<WebhookEndpoint> for EndpointView {
    fn from(endpoint: WebhookEndpoint) -> Self {
        Self {
            id: endpoint.id,
            url: endpoint.url,
            description: endpoint.description,
            event_types: endpoint.event_types.iter().map(|pattern| pattern.as_str().to_owned()).collect(),
            enabled: endpoint.disabled.is_none(),
            disabled_reason: endpoint.disabled,
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
        }
    }
}

/// A new endpoint with its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedWebhookEndpoint)]
pub struct CreatedEndpointView {
    /// The endpoint.
    #[serde(flatten)]
    pub endpoint: EndpointView,
    /// What it verifies signatures with.
    pub secret: String,
}

/// The secret of an endpoint.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookSecret)]
pub struct SecretView {
    /// What it verifies signatures with: the Standard Webhooks libraries take it as it is.
    pub secret: String,
}

/// What is sent again.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookRecovery)]
pub struct RecoveryView {
    /// At which endpoint.
    pub endpoint_id: Uuid,
    /// What failed at this time or later.
    pub since: Timestamp,
}

/// The events that there are.
#[derive(Serialize, ToSchema)]
#[schema(as = EventTypes)]
pub struct EventTypesView {
    /// One for each.
    pub data: Vec<EventTypeView>,
}

/// An event that endpoints can be sent.
#[derive(Serialize, ToSchema)]
#[schema(as = EventType)]
pub struct EventTypeView {
    /// Its name.
    pub r#type: &'static str,
    /// When it is sent.
    pub description: &'static str,
    /// A whole body, as an endpoint is sent it.
    #[schema(value_type = Object)]
    pub example: Box<RawValue>,
}
