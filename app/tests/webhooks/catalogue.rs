//! The catalogue of events, and that it is true of what is really sent.
use super::{endpoint, on_plan};
use crate::support::{PASSWORD, Person, TestApp, order, receiver::Receiver};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Events that the tests of their own domains bring about.
const ELSEWHERE: [&str; 1] = ["subscription.updated"];

async fn catalogue(owner: &Person) -> BTreeMap<String, Value> {
    let types = owner.get("/webhooks/event-types").await.ok();
    let types = types["data"].as_array().unwrap();
    types.iter().map(|one| (one["type"].as_str().unwrap().to_owned(), one.clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_and_the_document_list_the_same_events() {
    let app = TestApp::start().await;
    let owner = app.tenant_of_one("acme").await;
    let catalogue = catalogue(&owner).await;
    for expected in [
        "order.created",
        "order.status_changed",
        "user.invited",
        "user.joined",
        "user.role_changed",
        "user.deactivated",
        "webhook.test",
    ] {
        assert!(catalogue.contains_key(expected), "{expected}");
    }
    let document: Value = app.anyone().get("//openapi.json").await.ok();
    let webhooks = document["webhooks"].as_object().unwrap();
    assert_eq!(webhooks.keys().collect::<Vec<_>>(), catalogue.keys().collect::<Vec<_>>());
    for (name, event) in &catalogue {
        let told = &webhooks[name]["post"];
        let content = &told["requestBody"]["content"]["application/json"];
        assert_eq!((&told["summary"], &content["example"]), (&event["description"], &event["example"]));
        let properties = &content["schema"]["properties"];
        assert_eq!(properties["type"]["enum"], json!([name]));
        let described: Vec<_> = properties.as_object().unwrap().keys().collect();
        let example: Vec<_> = event["example"].as_object().unwrap().keys().collect();
        assert_eq!(described, example);
        let headers: Vec<_> = told["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|header| header["name"].as_str().unwrap())
            .collect();
        assert_eq!(headers, ["webhook-id", "webhook-timestamp", "webhook-signature"]);
    }
}

/// Whether two values have the same members, all the way down; what is `null` in one may be anything in the other.
fn same_shape(example: &Value, real: &Value, at: &str) {
    match (example, real) {
        (Value::Object(one), Value::Object(other)) => {
            let names =
                |members: &serde_json::Map<String, Value>| members.keys().cloned().collect::<BTreeSet<_>>();
            assert_eq!(names(one), names(other), "{at}");
            one.iter().for_each(|(name, value)| same_shape(value, &other[name], &format!("{at}.{name}")));
        }
        (Value::Array(one), Value::Array(other)) => {
            other.iter().for_each(|value| same_shape(&one[0], value, &format!("{at}[]")));
        }
        (Value::Null, _) | (_, Value::Null) => {}
        (one, other) => {
            assert_eq!(std::mem::discriminant(one), std::mem::discriminant(other), "{at}: {one} and {other}")
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_has_the_shape_of_what_is_sent() {
    let app = TestApp::start().await;
    let owner = on_plan(&app, "acme", "pro").await;
    let receiver = Receiver::start().await;
    let made = endpoint(&owner, &receiver).await;
    let id = |value: &Value| value["id"].as_str().unwrap().to_owned();

    let placed = owner.post("/orders", order()).await.created();
    owner.patch(&format!("/orders/{}/status", id(&placed)), json!({ "status": "confirmed" })).await.ok();
    let body = json!({ "email": "ada@acme.test", "full_name": "Ada", "role": "member" });
    let invited = owner.post("/users", body).await.created()["data"].take();
    let accept = json!({ "token": invited["invitation"]["token"], "password": PASSWORD });
    app.anyone().post("/auth/invitations/accept", accept).await.created();
    let user = format!("/users/{}", id(&invited));
    owner.patch(&format!("{user}/role"), json!({ "role": "viewer" })).await.ok();
    owner.delete(&user).await.ok();
    owner.post_empty(&made.path("/test")).await.status(202);
    app.run_jobs().await;

    let mut untried: BTreeSet<_> = catalogue(&owner).await.into_keys().collect();
    ELSEWHERE.iter().for_each(|elsewhere| _ = untried.remove(*elsewhere));
    let catalogue = catalogue(&owner).await;
    for received in receiver.received() {
        let body = received.json();
        let name = body["type"].as_str().unwrap().to_owned();
        same_shape(&catalogue[&name]["example"], &body, &name);
        untried.remove(&name);
    }
    assert!(untried.is_empty(), "bring these about above: {untried:?}");
}
