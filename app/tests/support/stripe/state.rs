//! What Stripe knows: customers, sessions, subscriptions, and the answers under idempotency keys.
use super::{Asked, ENTERPRISE, OTHER, PRO, STARTER};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// When everything of a test was made, and when its period ends: 31 January and 2 March 2026, noon.
const CREATED: i64 = 1_769_860_800;
const PERIOD_END: i64 = 1_772_452_800;

/// Names and values, in their order.
pub type Parameters = Vec<(String, String)>;

#[derive(Default)]
pub struct State {
    made: i64,
    pub customers: BTreeMap<String, Value>,
    pub checkout_sessions: BTreeMap<String, Value>,
    pub portal_sessions: BTreeMap<String, Value>,
    subscriptions: BTreeMap<String, Value>,
    /// By idempotency key: the parameters, and the answer once there is one.
    answers: BTreeMap<String, (Parameters, Option<(u16, Value)>)>,
}

/// What is known under an idempotency key.
pub enum Kept {
    New,
    UnderWay,
    Answered((u16, Value)),
    Reused,
}

/// An event, as it is sent as often as it takes.
#[derive(Clone, Debug)]
pub struct Event {
    pub body: Vec<u8>,
}

impl State {
    pub fn begin(&mut self, key: &str, asked: &Asked) -> Kept {
        if key.is_empty() {
            return Kept::New;
        }
        match self.answers.get(key) {
            None => {
                self.answers.insert(key.to_owned(), (asked.parameters.clone(), None));
                Kept::New
            }
            Some((parameters, _)) if *parameters != asked.parameters => Kept::Reused,
            Some((_, None)) => Kept::UnderWay,
            Some((_, Some(answer))) => Kept::Answered(answer.clone()),
        }
    }

    pub fn end(&mut self, key: &str, asked: &Asked, answer: (u16, Value)) {
        if !key.is_empty() {
            self.answers.insert(key.to_owned(), (asked.parameters.clone(), Some(answer)));
        }
    }

    fn new_id(&mut self, prefix: &str) -> String {
        self.made += 1;
        format!("{prefix}_test_{}", self.made)
    }

    pub fn create_customer(&mut self, asked: &Asked) -> Value {
        let id = self.new_id("cus");
        let customer = json!({
            "id": id, "object": "customer", "created": CREATED, "livemode": false,
            "description": asked.parameter("description"), "metadata": metadata(asked, ""),
        });
        self.customers.insert(id, customer.clone());
        customer
    }

    fn known_customer(&self, asked: &Asked) -> Result<String, String> {
        let customer = asked.parameter("customer");
        let known = self.customers.contains_key(customer);
        known.then(|| customer.to_owned()).ok_or_else(|| format!("No such customer: '{customer}'"))
    }

    pub fn create_checkout_session(&mut self, asked: &Asked) -> Result<Value, String> {
        let customer = self.known_customer(asked)?;
        let price = asked.parameter("line_items[0][price]");
        if ![STARTER, PRO, ENTERPRISE, OTHER].contains(&price) {
            return Err(format!("No such price: '{price}'"));
        }
        let id = self.new_id("cs");
        let session = json!({
            "id": id, "object": "checkout.session", "created": CREATED, "customer": customer, "mode": asked.parameter("mode"),
            "status": "open", "subscription": null, "url": format!("https://checkout.stripe.test/c/pay/{id}"),
            "success_url": asked.parameter("success_url"), "cancel_url": asked.parameter("cancel_url"),
            "metadata": metadata(asked, ""),
        });
        // what the page knows and the object does not show
        let mut kept = session.clone();
        kept["price"] = price.into();
        kept["subscription_metadata"] = metadata(asked, "subscription_data");
        self.checkout_sessions.insert(id, kept);
        Ok(session)
    }

    pub fn create_portal_session(&mut self, asked: &Asked) -> Result<Value, String> {
        let customer = self.known_customer(asked)?;
        let id = self.new_id("bps");
        let session = json!({
            "id": id, "object": "billing_portal.session", "created": CREATED, "customer": customer,
            "return_url": asked.parameter("return_url"), "url": format!("https://billing.stripe.test/p/session/{id}"),
        });
        self.portal_sessions.insert(id, session.clone());
        Ok(session)
    }

    pub fn list_subscriptions(&self, asked: &Asked) -> Result<Value, String> {
        let customer = self.known_customer(asked)?;
        let status = asked.parameter("status");
        let limit = asked.parameter("limit").parse().unwrap_or(10);
        let mut found: Vec<_> = self
            .subscriptions
            .values()
            .filter(|one| one["customer"] == *customer && (status == "all" || one["status"] == *status))
            .cloned()
            .collect();
        found.sort_by_key(|one| std::cmp::Reverse(one["created"].as_i64()));
        if let after @ 1.. = asked.parameter("starting_after").len() {
            let id = &asked.parameter("starting_after")[..after];
            let at = found.iter().position(|one| one["id"] == *id).ok_or("No such subscription")?;
            found.drain(..=at);
        }
        let has_more = found.len() > limit;
        found.truncate(limit);
        Ok(json!({ "object": "list", "url": "/v1/subscriptions", "has_more": has_more, "data": found }))
    }

    pub fn subscription(&self, id: &str) -> Option<Value> {
        self.subscriptions.get(id).cloned()
    }

    /// Somebody pays at the page: answers the subscription that they have now.
    pub fn pay(&mut self, session: &str) -> String {
        let session = self.checkout_sessions[session].clone();
        let text = |name: &str| session[name].as_str().unwrap().to_owned();
        let id = self.subscribe(&text("customer"), &text("price"));
        self.change(&id, json!({ "metadata": session["subscription_metadata"] }));
        let kept = self.checkout_sessions.get_mut(&text("id")).unwrap();
        kept["status"] = "complete".into();
        kept["subscription"] = id.clone().into();
        id
    }

    /// A new, active subscription.
    pub fn subscribe(&mut self, customer: &str, price: &str) -> String {
        let id = self.new_id("sub");
        let item = json!({
            "id": format!("si_{id}"), "object": "subscription_item", "current_period_end": PERIOD_END,
            "price": { "id": price, "object": "price" }, "quantity": 1,
        });
        let subscription = json!({
            "id": id, "object": "subscription", "customer": customer, "status": "active",
            "created": CREATED + self.made, "cancel_at": null, "cancel_at_period_end": false, "trial_end": null,
            "items": { "object": "list", "data": [item], "has_more": false }, "metadata": {},
        });
        self.subscriptions.insert(id.clone(), subscription);
        id
    }

    /// Changes members of a subscription.
    pub fn change(&mut self, id: &str, members: Value) {
        let subscription = self.subscriptions.get_mut(id).unwrap().as_object_mut().unwrap();
        let Value::Object(members) = members else { panic!("members") };
        subscription.extend(members);
    }

    pub fn set_price(&mut self, id: &str, price: &str) {
        self.subscriptions.get_mut(id).unwrap()["items"]["data"][0]["price"]["id"] = price.into();
    }

    pub fn forget_subscription(&mut self, id: &str) {
        self.subscriptions.remove(id);
    }

    /// An event about an object as it is now.
    pub fn event(&mut self, r#type: &str, object: &Value) -> Event {
        let id = self.new_id("evt");
        let event = json!({
            "id": id, "object": "event", "api_version": "2026-02-25.clover", "created": CREATED, "type": r#type,
            "data": { "object": object }, "livemode": false, "pending_webhooks": 1, "request": { "id": null },
        });
        Event { body: event.to_string().into_bytes() }
    }

    /// An event about a subscription as it is now.
    pub fn event_of(&mut self, r#type: &str, subscription: &str) -> Event {
        let subscription = self.subscriptions[subscription].clone();
        let id = &subscription["id"];
        let object = match r#type.split_once('.').unwrap().0 {
            "invoice" => json!({
                "id": "in_test", "object": "invoice", "customer": subscription["customer"],
                "parent": { "type": "subscription_details", "subscription_details": { "subscription": id } },
            }),
            "checkout" => json!({
                "id": "cs_test", "object": "checkout.session", "customer": subscription["customer"], "subscription": id,
            }),
            _ => subscription.clone(),
        };
        self.event(r#type, &object)
    }
}

/// `metadata[…]`, or that within a parameter.
fn metadata(asked: &Asked, within: &str) -> Value {
    let prefix = if within.is_empty() { "metadata[".to_owned() } else { format!("{within}[metadata][") };
    let of = |(name, value): &(String, String)| {
        let key = name.strip_prefix(&prefix)?.strip_suffix(']')?;
        Some((key.to_owned(), Value::from(value.as_str())))
    };
    Value::Object(asked.parameters.iter().filter_map(of).collect::<Map<_, _>>())
}
