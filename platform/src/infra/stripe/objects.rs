//! What Stripe says, as far as it is needed. Only the members that are used are read, and leniently: what a newer version
//! of the API adds, leaves out or calls otherwise breaks nothing.
use crate::values::Timestamp;
use serde_json::Value;

/// A subscription. Its status is Stripe's word, known or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// `sub_…`.
    pub id: String,
    /// Whose it is: `cus_…`.
    pub customer: Option<String>,
    /// `active`, `past_due`, …
    pub status: String,
    /// The prices of its items.
    pub prices: Vec<String>,
    /// The end of what is paid for, or to be paid.
    pub current_period_end: Option<Timestamp>,
    /// Whether it ends then.
    pub cancel_at_period_end: bool,
    /// The end of the trial, if it has one.
    pub trial_end: Option<Timestamp>,
    /// When it was made.
    pub created: Option<Timestamp>,
}

/// A page at Stripe where somebody pays.
#[derive(Clone, Debug)]
pub struct CheckoutSession {
    /// `cs_…`.
    pub id: String,
    /// Where it is.
    pub url: String,
}

/// Something has happened: which customer and which subscription it is about is all that is taken from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `evt_…`, the same whenever it is sent again.
    pub id: String,
    /// `customer.subscription.updated`.
    pub r#type: String,
    /// `cus_…`.
    pub customer: Option<String>,
    /// `sub_…`.
    pub subscription: Option<String>,
}

/// The longest identifier and the longest word of Stripe's that is taken for one.
const LONGEST: usize = 255;

/// An identifier or a word: visible ASCII, and not too long to be stored.
fn word(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let fits = (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| text.to_owned())
}

/// An identifier, or that of the object that stands in its place.
pub(super) fn id_of(value: &Value) -> Option<String> {
    word(value).or_else(|| word(value.get("id")?))
}

/// Seconds since 1970.
fn instant(value: &Value) -> Option<Timestamp> {
    value.as_i64()?.checked_mul(1_000_000).map(Timestamp::from_micros)
}

impl Subscription {
    /// Reads it; `None` for what is no subscription.
    pub(super) fn read(value: &Value) -> Option<Self> {
        let items = value.pointer("/items/data").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let price = |item: &Value| id_of(&item["price"]).or_else(|| id_of(&item["plan"]));
        // since 2025-03-31.basil a period is that of an item
        let current_period_end = items
            .iter()
            .filter_map(|item| instant(&item["current_period_end"]))
            .max()
            .or_else(|| instant(&value["current_period_end"]));
        let ends_at = instant(&value["cancel_at"]);
        Some(Self {
            id: word(&value["id"])?,
            customer: id_of(&value["customer"]),
            status: word(&value["status"]).unwrap_or_else(|| "unknown".to_owned()),
            prices: items.iter().filter_map(price).collect(),
            current_period_end,
            cancel_at_period_end: value["cancel_at_period_end"] == true
                || ends_at.zip(current_period_end).is_some_and(|(at, end)| at <= end),
            trial_end: instant(&value["trial_end"]),
            created: instant(&value["created"]),
        })
    }
}

impl CheckoutSession {
    pub(super) fn read(value: &Value) -> Option<Self> {
        Some(Self { id: word(&value["id"])?, url: value["url"].as_str()?.to_owned() })
    }
}

impl Event {
    /// Reads it; `None` for what is no event.
    pub fn read(body: &[u8]) -> Option<Self> {
        let event: Value = serde_json::from_slice(body).ok()?;
        let r#type = word(&event["type"])?;
        let object = event.pointer("/data/object").unwrap_or(&Value::Null);
        let subscription = if r#type.starts_with("customer.subscription.") {
            id_of(object)
        } else {
            // since 2025-03-31.basil an invoice has it further within
            id_of(&object["subscription"])
                .or_else(|| object.pointer("/parent/subscription_details/subscription").and_then(id_of))
        };
        Some(Self { id: word(&event["id"])?, r#type, customer: id_of(&object["customer"]), subscription })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_subscription_is_read_from_old_and_new_versions() {
        let item = |rest: Value| {
            let mut item = json!({ "price": { "id": "price_1" } });
            item.as_object_mut().unwrap().append(&mut rest.as_object().unwrap().clone());
            json!({ "data": [item], "has_more": false })
        };
        let old = json!({
            "id": "sub_1", "customer": "cus_1", "status": "active", "current_period_end": 1_772_452_800,
            "cancel_at_period_end": true, "trial_end": null, "created": 1_769_860_800, "items": item(json!({})),
        });
        let new = json!({
            "id": "sub_1", "customer": { "id": "cus_1", "object": "customer" }, "status": "active",
            "cancel_at_period_end": false, "cancel_at": 1_772_452_800, "created": 1_769_860_800,
            "items": item(json!({ "current_period_end": 1_772_452_800 })),
        });
        let read = Subscription::read(&old).unwrap();
        assert_eq!(Subscription::read(&new).unwrap(), read);
        assert_eq!((read.prices.as_slice(), read.cancel_at_period_end), (&["price_1".to_owned()][..], true));
        assert_eq!(read.current_period_end.unwrap().to_string(), "2026-03-02T12:00:00.000Z");
    }

    #[test]
    fn what_is_missing_or_of_another_kind_is_not_there() {
        let odd = json!({
            "id": "sub_1", "customer": 7, "status": {}, "items": { "data": [{ "price": null }, 3, {}] },
            "current_period_end": "soon", "cancel_at_period_end": "yes", "trial_end": i64::MAX, "created": 1.5,
        });
        let read = Subscription::read(&odd).unwrap();
        assert_eq!((read.status.as_str(), read.customer, read.prices.len()), ("unknown", None, 0));
        assert_eq!((read.current_period_end, read.trial_end, read.cancel_at_period_end), (None, None, false));
        for none in [json!({}), json!([]), json!(null), json!({ "id": "" }), json!({ "id": "a\u{0}b" })] {
            assert_eq!(Subscription::read(&none), None, "{none}");
        }
    }

    #[test]
    fn an_event_says_whom_it_is_about() {
        let read = |r#type: &str, object: Value| {
            let event = json!({ "id": "evt_1", "type": r#type, "data": { "object": object } });
            let Event { customer, subscription, .. } = Event::read(event.to_string().as_bytes()).unwrap();
            (customer.unwrap_or_default(), subscription.unwrap_or_default())
        };
        let both = ("cus_1".to_owned(), "sub_1".to_owned());
        let basil = json!({
            "id": "in_1", "customer": "cus_1", "parent": { "subscription_details": { "subscription": "sub_1" } },
        });
        assert_eq!(read("invoice.paid", basil), both);
        let older = json!({ "id": "in_1", "customer": { "id": "cus_1" }, "subscription": { "id": "sub_1" } });
        assert_eq!(read("invoice.paid", older), both);
        let itself = json!({ "id": "sub_1", "customer": "cus_1" });
        assert_eq!(read("customer.subscription.updated", itself), both);
        assert_eq!(read("charge.refunded", json!(null)), (String::new(), String::new()));
        for none in
            ["", "[]", "{}", "null", r#"{"id": "evt_1"}"#, r#"{"type": "x"}"#, r#"{"id": 1, "type": 2}"#]
        {
            assert_eq!(Event::read(none.as_bytes()), None, "{none}");
        }
        assert_eq!(Event::read(b"{\"id\": \"evt_1\", \"type\": \"\xff\"}"), None);
    }
}
