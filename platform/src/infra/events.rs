//! Events: what happened in a domain, typed, for whoever wants to be told.
use serde::Serialize;
use serde_json::Value;

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
