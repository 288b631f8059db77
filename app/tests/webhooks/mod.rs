//! Webhooks, from the event to the receiver: over real sockets, with good and bad ones at the other end.
mod attempts;
mod catalogue;
mod deliveries;
mod endpoints;
mod fairness;
mod health;
mod nodes;
mod receivers;

use crate::support::{Options, Person, TestApp, receiver::Receiver};
use serde_json::{Value, json};
use std::time::Duration;
use tenantry::{
    Domain,
    access::{Permission, Role, Scope},
    error::Result,
    http::{NoContent, Routes},
    infra::events::Event,
};

/// An endpoint as it was made.
struct Made {
    id: String,
    secret: String,
}

/// An endpoint at this address, sent all events.
async fn endpoint_at(who: &Person, url: &str) -> Made {
    made(&who.post("/webhooks/endpoints", json!({ "url": url })).await.created())
}

async fn endpoint(who: &Person, receiver: &Receiver) -> Made {
    endpoint_at(who, &receiver.url()).await
}

/// One that is sent these events.
async fn endpoint_for(who: &Person, receiver: &Receiver, event_types: &[&str]) -> Made {
    let body = json!({ "url": receiver.url(), "event_types": event_types });
    made(&who.post("/webhooks/endpoints", body).await.created())
}

fn made(answer: &Value) -> Made {
    let text = |member: &str| answer[member].as_str().unwrap().to_owned();
    Made { id: text("id"), secret: text("secret") }
}

impl Made {
    fn path(&self, rest: &str) -> String {
        format!("/webhooks/endpoints/{}{rest}", self.id)
    }
}

/// The deliveries that a list shows.
async fn deliveries(who: &Person, query: &str) -> Vec<Value> {
    who.get(&format!("/webhooks/deliveries?{query}")).await.ok()["data"].as_array().unwrap().clone()
}

/// The only delivery there is, with its attempts.
async fn the_delivery(who: &Person) -> Value {
    let all = deliveries(who, "").await;
    assert_eq!(all.len(), 1, "{all:?}");
    who.get(&format!("/webhooks/deliveries/{}", all[0]["id"].as_str().unwrap())).await.ok()
}

/// What is to be tried again later is due now.
async fn hasten(app: &TestApp) {
    app.database
        .execute("UPDATE webhook_deliveries SET next_attempt_at = created_at WHERE status = 'pending'")
        .await;
}

/// A tenant whose plan allows what a test makes.
async fn on_plan(app: &TestApp, slug: &str, plan: &str) -> Person {
    let owner = app.tenant_of_one(slug).await;
    app.database.execute(&format!("UPDATE tenants SET plan = '{plan}' WHERE slug = '{slug}'")).await;
    owner
}

/// Something that happens as often as is asked for.
#[derive(serde::Serialize)]
struct Ticked {
    number: i64,
}

impl Event for Ticked {
    const TYPE: &'static str = "tick.ticked";
    const DESCRIPTION: &'static str = "A clock of a test has ticked";
    fn example() -> Value {
        json!({ "number": 1 })
    }
}

struct Tick;
impl Permission for Tick {
    const NAME: &'static str = "ticks.tick";
    const MIN_ROLE: Role = Role::Viewer;
}

/// Events that one request of [`ticking`] emits.
const TICKS: usize = 250;

async fn tick(scope: Scope<Tick>) -> Result<NoContent> {
    let emit = async |tx: &tenantry::access::Tx<Tick>| {
        let events: Vec<_> = (0..).take(TICKS).map(|number| Ticked { number }).collect();
        tenantry::try_join_all(events.iter().map(|event| tx.emit(event))).await
    };
    scope.write(emit).await?;
    Ok(NoContent)
}

/// A domain that emits many events at once.
fn ticking() -> Domain {
    Domain::new("ticks").event::<Ticked>().routes(Routes::new("ticks").post("/ticks", tick, "Tick"))
}

fn with_ticks() -> Options {
    Options { domains: vec![ticking()], ..Options::default() }
}

/// The time on the machine's clock, by which deliveries are due.
fn machine_time() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap()
}
