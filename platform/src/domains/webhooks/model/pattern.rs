//! Which events an endpoint is sent.
use crate::{
    infra::events::EventType,
    values::{At, Faults, Input, Parse, Reference, string_schema},
};

/// The name of an event, all that begin with the same words (`order.*`), or all (`*`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPattern(String);

const LONGEST: usize = 100;

impl EventPattern {
    /// The pattern of a text, if it is one.
    pub fn new(text: &str) -> Option<Self> {
        let stem = text.strip_suffix(".*").unwrap_or(text);
        let word = |word: &str| {
            word.starts_with(|c: char| c.is_ascii_lowercase())
                && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        let shaped = text == "*" || text.len() <= LONGEST && stem.split('.').all(word);
        shaped.then(|| Self(text.to_owned()))
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an event of this name is meant.
    pub fn matches(&self, event_type: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(stem) => event_type.starts_with(stem),
            None => event_type == self.0,
        }
    }

    /// Whether there are such events at all.
    pub fn is_known(&self, catalogue: &[EventType]) -> bool {
        catalogue.iter().any(|event| self.matches(event.name))
    }
}

/// Whether an endpoint with these patterns is sent an event; no patterns are all events.
pub fn wants(patterns: &[EventPattern], event_type: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(event_type))
}

impl Parse for EventPattern {
    fn parse(input: Input<'_>, at: &At<'_>, faults: &mut Faults) -> Option<Self> {
        let text = input.string(at, faults)?;
        let pattern = Self::new(&text);
        if pattern.is_none() {
            faults
                .add(at, "must be the name of an event, such as order.created, or a pattern such as order.*");
        }
        pattern
    }
    fn schema() -> Reference {
        string_schema()
            .min_length(Some(1))
            .max_length(Some(LONGEST))
            .pattern(Some(r"^(\*|[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*(\.\*)?)$"))
            .into()
    }
    fn example() -> serde_json::Value {
        "user.*".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_whole_words() {
        for (pattern, event, meant) in [
            ("order.created", "order.created", true),
            ("order.created", "order.created_late", false),
            ("order.*", "order.status_changed", true),
            ("order.*", "order", false),
            ("order.*", "orders.created", false),
            ("a.b.*", "a.b.c", true),
            ("*", "anything.at_all", true),
        ] {
            assert_eq!(EventPattern::new(pattern).unwrap().matches(event), meant, "{pattern} {event}");
        }
        assert!(wants(&[], "order.created"));
        let both = ["user.*", "order.created"].map(|text| EventPattern::new(text).unwrap());
        assert!(wants(&both, "order.created") && !wants(&both, "order.status_changed"));
    }

    #[test]
    fn what_is_no_pattern() {
        let long = "a".repeat(101);
        for text in
            ["", ".", ".*", "**", "*.created", "order*", "order.", "order..x", "Order.*", "1.x", "o r", &long]
        {
            assert_eq!(EventPattern::new(text), None, "{text}");
        }
    }
}
