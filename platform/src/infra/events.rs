//! Events: what happened in a domain, typed, for whoever wants to be told.
use crate::{
    error::{Error, Result},
    values::Timestamp,
};
use serde::Serialize;
use serde_json::{
    Value,
    value::{self, RawValue},
};
use uuid::Uuid;

/// Something that happened. Emitted with `tx.emit(&event)` in the transaction that causes it.
pub trait Event: Serialize + Sync {
    /// `order.created`: the noun, a full stop, the past tense.
    const TYPE: &'static str;
    /// When it is emitted, in one sentence.
    const DESCRIPTION: &'static str;
    /// An example of its `data`.
    fn example() -> Value;
}

/// An event's entry in the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct EventType {
    /// Its name.
    pub name: &'static str,
    /// When it is emitted.
    pub description: &'static str,
    /// An example of its `data`.
    pub example: fn() -> Value,
}

impl EventType {
    /// The entry of an event.
    pub const fn of<E: Event>() -> Self {
        Self { name: E::TYPE, description: E::DESCRIPTION, example: E::example }
    }
}

/// An event as others are told of it. Rendered from the same row it has the same bytes, whenever that is.
#[derive(Serialize)]
pub struct Envelope<'a> {
    /// See [`event_id`].
    pub id: String,
    /// Its [`Event::TYPE`].
    pub r#type: &'a str,
    /// When it happened.
    pub timestamp: Timestamp,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// The object as the API shows it.
    pub data: &'a RawValue,
}

/// `evt_…`: an event's identifier, as others are told.
pub fn event_id(id: Uuid) -> String {
    format!("evt_{}", id.simple())
}

impl EventType {
    /// What whoever subscribes to it is sent, by way of example.
    pub fn example_body(&self) -> Result<Box<RawValue>> {
        const EVENT: Uuid = Uuid::from_u128(0x0192_f0c1_2a3b_7c4d_8e5f_0000_0000_0005);
        const TENANT: Uuid = Uuid::from_u128(0x0192_f0c1_2a3b_7c4d_8e5f_0000_0000_0004);
        let data = value::to_raw_value(&(self.example)()).map_err(Error::internal)?;
        let timestamp = Timestamp::from_micros(1_769_851_800_000_000);
        let (id, r#type) = (event_id(EVENT), self.name);
        value::to_raw_value(&Envelope { id, r#type, timestamp, tenant_id: TENANT, data: &data })
            .map_err(Error::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attempts at one delivery may be made by different versions.
    #[test]
    fn the_bytes_of_an_event_do_not_change() {
        let data = serde_json::from_str::<&RawValue>(r#"{"b": 1.10, "a":"\u00e9é"}"#).unwrap();
        let tenant_id = Uuid::from_u128(7);
        let id = event_id(Uuid::from_u128(0xab));
        let timestamp = Timestamp::from_micros(1_769_851_800_123_456);
        let envelope = Envelope { id, r#type: "order.created", timestamp, tenant_id, data };
        assert_eq!(
            serde_json::to_string(&envelope).unwrap(),
            r#"{"id":"evt_000000000000000000000000000000ab","type":"order.created","timestamp":"2026-01-31T09:30:00.123Z","tenant_id":"00000000-0000-0000-0000-000000000007","data":{"b": 1.10, "a":"\u00e9é"}}"#
        );
    }
}
