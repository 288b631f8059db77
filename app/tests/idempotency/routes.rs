//! Every POST of which the contract says so takes a key, by the OpenAPI document: a new route is covered by being there.
use super::{KEY, replayed};
use crate::support::{TestApp, belonging, belongings, database::on_postgres};
use serde_json::Value;
use std::collections::BTreeMap;

/// Whether a POST takes a key: on the resource plane each does, on the account plane these two.
fn takes_key(path: &str) -> bool {
    let Some(path) = path.strip_prefix("/api/v1/") else { return false };
    match path.split('/').next().unwrap() {
        "auth" | "tenant" | "api-keys" | "audit" => false,
        "users" => path == "users",
        "billing" => path == "billing/checkout",
        _ => true,
    }
}

/// The POSTs of the document, by their path.
fn posts(app: &TestApp) -> BTreeMap<String, Value> {
    let document: Value = serde_json::from_str(&app.app.openapi("Test API").to_json().unwrap()).unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    let posts = paths.filter(|(_, item)| item["post"].is_object());
    posts.map(|(path, item)| (path.clone(), item["post"].clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_post_that_is_to_take_a_key_says_so_and_no_other() {
    let app = TestApp::start().await;
    let mut with_key = 0;
    for (path, operation) in posts(&app) {
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let key = parameters.iter().find(|p| p["in"] == "header" && p["name"] == "Idempotency-Key");
        assert_eq!(key.is_some(), takes_key(&path), "{path}");
        let Some(key) = key else { continue };
        with_key += 1;
        assert_ne!(key["required"], true, "{path}");
        assert_eq!((&key["schema"]["minLength"], &key["schema"]["maxLength"]), (&1.into(), &255.into()));
        let described =
            |status: &str| operation["responses"][status]["description"].as_str().unwrap_or_default();
        for (status, code) in [("400", "BAD_REQUEST"), ("409", "CONFLICT"), ("422", "IDEMPOTENCY_KEY_REUSED")]
        {
            assert!(
                described(status).contains(&format!("`{code}`")),
                "{path}: {status}: {}",
                described(status)
            );
        }
        assert!(operation["responses"]["409"]["headers"]["Retry-After"].is_object(), "{path}");
        let responses = operation["responses"].as_object().unwrap().iter();
        for (status, response) in responses.filter(|(status, _)| status.starts_with('2')) {
            assert!(response["headers"]["Idempotency-Replayed"].is_object(), "{path}: {status}");
        }
    }
    assert!(with_key >= 2);
}

/// All rows there are.
async fn rows(app: &TestApp) -> i64 {
    let tables = match on_postgres() {
        true => {
            "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        }
        false => "SELECT name FROM sqlite_master WHERE type = 'table'",
    };
    let mut rows = 0;
    for table in app.database.texts(tables).await {
        rows += app.database.count(&table).await;
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn every_post_that_takes_a_key_does_it_once() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let mut done = 0;
    for (path, operation) in posts(&app).into_iter().filter(|(path, _)| takes_key(path)) {
        let there = match path.contains("{id}") {
            true => path.replace("{id}", &belonging(&belongings(&app, &acme).await, &path)),
            false => path.clone(),
        };
        let there = format!("/{there}");
        let body = &operation["requestBody"]["content"]["application/json"]["example"];
        let send = async || {
            let body = (!body.is_null()).then(|| body.to_string().into_bytes());
            acme.owner.send("POST", &there, &[("idempotency-key", KEY)], body).await
        };
        let first = send().await;
        let after_first = rows(&app).await;
        let again = send().await;
        assert_eq!(rows(&app).await, after_first, "{path}: {}", again.text());
        if first.status.is_success() || [404, 409].contains(&first.status.as_u16()) {
            replayed(&first, &again);
            done += 1;
        } else {
            // what it needs is not configured here
            assert!(first.status.as_u16() == 503, "{path}: {}", first.text());
            assert_eq!((again.status, again.header("idempotency-replayed")), (first.status, ""), "{path}");
        }
        let two = [("idempotency-key", "a"), ("idempotency-key", "b")];
        let body = (!body.is_null()).then(|| body.to_string().into_bytes());
        acme.owner.send("POST", &there, &two, body).await.refused(400, "BAD_REQUEST");
    }
    assert!(done >= 2);
}
