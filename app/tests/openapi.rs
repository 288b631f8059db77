//! The OpenAPI document: complete, consistent, and true of the API that serves it.
use crate::support::{TestApp, belonging, belongings, order};
use serde_json::Value;
use std::collections::BTreeSet;

async fn document() -> Value {
    TestApp::start().await.anyone().get("//openapi.json").await.ok()
}

/// Method, path and operation.
fn operations(document: &Value) -> Vec<(String, &str, &Value)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.push((method.to_uppercase(), path.as_str(), operation));
        }
    }
    all
}

/// Every object within, with where it stands.
fn walk<'a>(value: &'a Value, at: &str, visit: &mut dyn FnMut(&str, &'a Value)) {
    visit(at, value);
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| walk(value, &format!("{at}/{name}"), visit))
        }
        Value::Array(elements) => {
            for (i, value) in elements.iter().enumerate() {
                walk(value, &format!("{at}/{i}"), visit);
            }
        }
        _ => {}
    }
}

fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).unwrap(),
        None => schema,
    }
}

/// Whether its body is bytes with a signature over them, and no JSON.
fn is_signed(operation: &Value) -> bool {
    operation["requestBody"]["content"].get("*/*").is_some()
}

fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}

/// Whether a reader is told what a property means: by itself, or by a part of it where its schema is put together.
fn is_described(schema: &Value) -> bool {
    is_text(&schema["description"])
        || ["allOf", "oneOf"]
            .iter()
            .any(|of| schema[of].as_array().is_some_and(|all| all.iter().any(is_described)))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_says_what_it_is_and_what_can_come_of_it() {
    let document = document().await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    assert!(is_text(&document["info"]["title"]) && is_text(&document["info"]["version"]));
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let name = format!("{method} {path}");
        assert!(
            is_text(&operation["operationId"]) && ids.insert(operation["operationId"].to_string()),
            "{name}"
        );
        assert!(is_text(&operation["summary"]), "{name}");
        let tag = &operation["tags"][0];
        assert!(document["tags"].as_array().unwrap().iter().any(|known| known["name"] == *tag), "{name}");
        let responses = operation["responses"].as_object().unwrap();
        let (good, bad): (Vec<_>, Vec<_>) = responses.iter().partition(|(status, _)| status.as_str() < "400");
        assert!(good.iter().any(|(status, _)| status.starts_with('2')), "{name}");
        assert!(bad.iter().any(|(status, _)| *status == "500"), "{name}");
        for (status, response) in bad {
            let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Problem", "{name} {status}");
        }
        assert!(responses.values().all(|response| is_text(&response["description"])), "{name}");
        let has = |status: &str| responses.contains_key(status);
        let secured = operation["security"].as_array().is_some_and(|all| !all.is_empty());
        if secured {
            assert!(has("401") && has("403"), "{name}");
        }
        assert_eq!(path.contains("{id}"), has("404"), "{name}");
        if operation["requestBody"].is_object() {
            let refusals: &[_] =
                if is_signed(operation) { &["400", "413"] } else { &["400", "413", "415", "422"] };
            assert!(refusals.iter().all(|status| has(status)), "{name}");
        }
        for parameter in operation["parameters"].as_array().unwrap_or(&Vec::new()) {
            assert!(
                is_text(&parameter["description"]) && parameter["schema"].is_object(),
                "{name}: {parameter}"
            );
            if parameter["in"] == "query" {
                assert!(has("422"), "{name}");
            }
        }
        let templates = path.matches('{').count();
        let named = operation["parameters"]
            .as_array()
            .map_or(0, |all| all.iter().filter(|p| p["in"] == "path").count());
        assert_eq!(templates, named, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reference_resolves_and_every_property_is_described() {
    let document = document().await;
    let mut references = 0;
    walk(&document, "", &mut |at, value| {
        if let Some(reference) = value["$ref"].as_str() {
            references += 1;
            assert!(
                reference.starts_with("#/") && document.pointer(&reference[1..]).is_some(),
                "{at}: {reference}"
            );
        }
        if let Some(properties) = value["properties"].as_object() {
            for (name, property) in properties {
                let described = is_described(property) || is_described(resolved(&document, property));
                assert!(described, "{at}/{name}: {property}");
            }
            for required in value["required"].as_array().unwrap_or(&Vec::new()) {
                assert!(properties.contains_key(required.as_str().unwrap()), "{at}: {required}");
            }
        }
    });
    assert!(references > 20);
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        let used = format!("#/components/schemas/{name}");
        let mut uses = 0;
        walk(&document, "", &mut |_, value| uses += usize::from(value["$ref"] == used));
        assert!(uses > 0, "{name} is used nowhere: {schema}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_described_with_all_its_limits() {
    let document = document().await;
    let mut bodies = 0;
    for (method, path, operation) in operations(&document) {
        let content = &operation["requestBody"]["content"];
        if content.is_null() {
            continue;
        }
        bodies += 1;
        assert_eq!(operation["requestBody"]["required"], true, "{method} {path}");
        if is_signed(operation) {
            assert!(content["*/*"]["schema"]["maxLength"].is_number(), "{method} {path}");
            continue;
        }
        let only: Vec<_> = content.as_object().unwrap().keys().collect();
        assert_eq!(only, ["application/json"], "{method} {path}");
        walk(&content["application/json"]["schema"], path, &mut |at, schema| {
            let limited = |limits: &[&str]| limits.iter().any(|limit| !schema[limit].is_null());
            match schema["type"].as_str() {
                Some("object") => assert_eq!(schema["additionalProperties"], false, "{at}: {schema}"),
                Some("string") => {
                    assert!(limited(&["maxLength", "enum", "pattern", "format"]), "{at}: {schema}")
                }
                Some("integer") => assert!(limited(&["minimum"]) && limited(&["maximum"]), "{at}: {schema}"),
                Some("array") => assert!(limited(&["maxItems"]), "{at}: {schema}"),
                _ => {}
            }
        });
    }
    assert!(bodies >= 6, "{bodies}");
    let schema =
        |path: &str| &document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"];
    let order = &schema("/api/v1/orders")["properties"];
    assert_eq!((&order["items"]["minItems"], &order["items"]["maxItems"]), (&1.into(), &50.into()));
    assert_eq!(order["notes"]["maxLength"], 500);
    let line = &order["items"]["items"]["properties"];
    assert_eq!((&line["quantity"]["minimum"], &line["quantity"]["maximum"]), (&1.into(), &1000.into()));
    assert_eq!(
        (&line["product_id"]["maxLength"], &line["product_name"]["maxLength"]),
        (&36.into(), &200.into())
    );
    let password = &schema("/api/v1/auth/register")["properties"]["password"];
    assert_eq!((&password["minLength"], &password["maxLength"]), (&8.into(), &128.into()));
}

/// Whoever reads the documentation of the demo can send its examples as they stand.
#[tokio::test(flavor = "multi_thread")]
async fn every_example_is_taken_by_the_api() {
    let (app, _stripe) = TestApp::with_stripe().await;
    app.app.seed(&app.core.db, &app.clock).await.unwrap();
    let document: Value = app.anyone().get("//openapi.json").await.ok();
    let example = |path: &str, method: &str| {
        document["paths"][path][method]["requestBody"]["content"]["application/json"]["example"].clone()
    };
    let session = app.anyone().post("/auth/login", example("/api/v1/auth/login", "post")).await.ok();
    assert_eq!(session["data"]["user"]["role"], "member");
    let shop = app.tenant("shop").await;
    app.database.execute("UPDATE tenants SET plan = 'pro'").await; // so that there is room for who is invited
    let mut tried = 0;
    for (method, path, operation) in operations(&document) {
        let example = &operation["requestBody"]["content"]["application/json"]["example"];
        if example.is_null() {
            let none = operation["requestBody"].is_null() || is_signed(operation);
            assert!(none, "{method} {path} has no example");
            continue;
        }
        tried += 1;
        let there = match path.contains("{id}") {
            true => path.replace("{id}", &belonging(&belongings(&app, &shop).await, path)),
            false => path.to_owned(),
        };
        let there = format!("/{there}");
        let answer = shop.owner.send(&method, &there, &[], Some(example.to_string().into_bytes())).await;
        match path {
            // the tokens and people of examples are nobody's
            "/api/v1/auth/refresh" => _ = answer.refused(401, "UNAUTHORIZED"),
            "/api/v1/auth/invitations/accept" | "/api/v1/auth/password/reset" => {
                _ = answer.invalid(&["token"])
            }
            "/api/v1/auth/password/change" => _ = answer.invalid(&["current_password"]), // that of the demo
            "/api/v1/tenant/transfer-ownership" => _ = answer.refused(404, "NOT_FOUND"),
            _ => assert!(answer.status.is_success(), "{method} {path}: {}: {example}", answer.text()),
        }
    }
    assert!(tried >= 6, "{tried}");
}

/// The answers have the members that the document says they have.
#[tokio::test(flavor = "multi_thread")]
async fn answers_are_as_the_document_says() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let document: Value = app.anyone().get("//openapi.json").await.ok();
    let placed = acme.member.post("/orders", order()).await.created();
    let id = placed["id"].as_str().unwrap();
    let get = async |path: &str| acme.member.get(path).await.ok();
    for (schema, answer) in [
        ("Order", placed.clone()),
        ("OrderPage", get("/orders").await),
        ("OrderHistory", get(&format!("/orders/{id}/history")).await),
        ("MeData", get("/auth/me").await),
        ("SubscriptionData", get("/billing/subscription").await),
        ("PlansData", get("/billing/plans").await),
        ("Health", get("//health").await),
        ("Readiness", get("//health/ready").await),
        ("Problem", acme.member.get("/nothing").await.json()),
        ("Problem", acme.member.post("/orders", Value::Object(serde_json::Map::new())).await.json()),
    ] {
        matches(&document, &document["components"]["schemas"][schema], &answer, schema);
    }
}

/// A small part of JSON Schema: types, members, words and elements.
#[track_caller]
fn matches(document: &Value, schema: &Value, value: &Value, at: &str) {
    let schema = resolved(document, schema);
    let all = schema["allOf"].as_array().into_iter().flatten();
    all.for_each(|part| matches(document, part, value, at));
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if let Some(one) = schema["oneOf"].as_array() {
        let of_kind = |part: &&Value| resolved(document, part)["type"] == kind;
        matches(document, one.iter().find(of_kind).unwrap_or_else(|| panic!("{at}: {value}")), value, at);
    }
    match &schema["type"] {
        Value::String(only) => assert_eq!(only, kind, "{at}: {value}"),
        Value::Array(some) => assert!(some.iter().any(|one| one == kind), "{at}: {value}"),
        _ => {}
    }
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{at}: {value}");
    }
    for required in schema["required"].as_array().into_iter().flatten() {
        assert!(value.get(required.as_str().unwrap()).is_some(), "{at}: no {required} in {value}");
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(member) = value.get(name) {
            matches(document, property, member, &format!("{at}.{name}"));
        }
    }
    if let (Some(properties), Some(members), true) =
        (schema["properties"].as_object(), value.as_object(), !at.starts_with("MeData.data"))
    {
        let unknown: Vec<_> = members.keys().filter(|name| !properties.contains_key(*name)).collect();
        assert!(unknown.is_empty(), "{at}: {unknown:?} are not in the document");
    }
    for element in value.as_array().into_iter().flatten().filter(|_| schema["items"].is_object()) {
        matches(document, &schema["items"], element, &format!("{at}[]"));
    }
}
