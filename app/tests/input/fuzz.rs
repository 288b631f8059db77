//! Whatever is sent: never a 5xx, and always a success or a whole error document.
use super::Scene;
use crate::{support::http::Answer, tokens};
use axum::http::HeaderValue;
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any},
    prop_oneof,
    sample::Index,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use tenantry::error::Code;

/// Words that mean something somewhere, and some that are hard to read.
const WORDS: [&str; 22] = [
    "customer_id",
    "items",
    "product_id",
    "product_name",
    "quantity",
    "unit_price",
    "currency",
    "notes",
    "status",
    "note",
    "tenant_slug",
    "email",
    "password",
    "confirmed",
    "usd",
    "0192f0c1-2a3b-7c4d-8e5f-000000000001",
    "\0",
    "\u{feff}",
    "é",
    "1e400",
    "null",
    "",
];
/// Pieces of JSON, whole and broken.
const PIECES: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "null",
    "true",
    "0",
    "-",
    "1.5",
    "1e400",
    "9223372036854775808",
    "\"status\"",
    "\"confirmed\"",
    "\"items\"",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "\\u",
    " ",
    "\n",
    "{\"status\":",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![3 => (0..WORDS.len()).prop_map(|i| WORDS[i].to_owned()), 1 => ".{0,12}"]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-3..1003_i64).prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((word(), inner), 0..6).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// What is done to a body that would be taken.
#[derive(Clone, Debug)]
enum Change {
    Replace(Index, Value),
    Remove(Index),
    Byte(Index, u8),
    CutOff(Index),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (any::<Index>(), value()).prop_map(|(at, value)| Change::Replace(at, value)),
        1 => any::<Index>().prop_map(Change::Remove),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        1 => any::<Index>().prop_map(Change::CutOff),
    ]
}

fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                pointers(member, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(elements) => {
            elements
                .iter()
                .enumerate()
                .for_each(|(i, element)| pointers(element, &format!("{at}/{i}"), found));
        }
        _ => {}
    }
}

fn changed(mut body: Value, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let mut places = Vec::new();
        pointers(&body, "", &mut places);
        match change {
            Change::Replace(at, value) => {
                *body.pointer_mut(&places[at.index(places.len())]).unwrap() = value.clone()
            }
            Change::Remove(at) => {
                let (parent, name) = places[at.index(places.len())].rsplit_once('/').unwrap_or_default();
                if let Some(Value::Object(members)) = body.pointer_mut(parent) {
                    members.remove(name);
                }
            }
            _ => {}
        }
    }
    let mut bytes = body.to_string().into_bytes();
    for change in changes {
        match change {
            Change::Byte(at, byte) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Change::CutOff(at) => bytes.truncate(at.index(bytes.len() + 1)),
            _ => {}
        }
    }
    bytes
}

fn body(right: Value) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => vec(any::<u8>(), 0..64),
        1 => vec(0..PIECES.len(), 0..24).prop_map(|pieces| pieces.into_iter().map(|i| PIECES[i]).collect::<String>().into_bytes()),
        1 => value().prop_map(|value| value.to_string().into_bytes()),
        4 => vec(change(), 1..4).prop_map(move |changes| changed(right.clone(), &changes)),
    ]
}

/// A success, or an error document of a code that is no fault of ours.
fn is_well_formed(answer: Answer) {
    let status = answer.status.as_u16();
    if [200, 201].contains(&status) {
        assert!(answer.json().is_object(), "{}: {}", answer.asked, answer.text());
        return;
    }
    if status == 304 {
        assert!(answer.bytes.is_empty(), "{}: {}", answer.asked, answer.text());
        return;
    }
    let code = answer.json()["code"].as_str().unwrap_or_default().to_owned();
    let known = Code::ALL.into_iter().find(|known| known.name() == code);
    assert!(
        known.is_some_and(|known| known.status().is_client_error()),
        "{}: {}",
        answer.asked,
        answer.text()
    );
    let document = answer.refused(status, &code);
    let at_fault = document["details"].as_array().unwrap();
    assert!(
        at_fault.iter().all(|fault| fault["field"].is_string() && fault["message"].is_string()),
        "{document}"
    );
}

fn assert_holds<S: Strategy>(cases: u32, inputs: S, send: impl AsyncFn(S::Value) -> Answer) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let runtime = tokio::runtime::Handle::current();
    let test = |input| {
        tokio::task::block_in_place(|| runtime.block_on(async { is_well_formed(send(input).await) }));
        Ok(())
    };
    if let Err(failed) = TestRunner::new(config).run(&inputs, test) {
        panic!("{failed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_body_gets_an_answer() {
    let scene = Scene::start().await;
    for (method, path, right) in scene.bodies() {
        let answer = scene.send(method, &path, &[], right.to_string()).await;
        assert!(
            answer.status.is_success() || path == "/auth/refresh",
            "the mutants descend from what is taken: {path}"
        );
        assert_holds(250, body(right), async |bytes: Vec<u8>| scene.send(method, &path, &[], bytes).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_address_gets_an_answer() {
    let scene = Scene::start().await;
    let encoded = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let bytes = prop_oneof![vec(any::<u8>(), 0..24), word().prop_map(String::into_bytes)];
    let names = ["cursor", "limit", "status", "customer_id", "created_after", "created_before", "x"];
    let name = (0..names.len()).prop_map(move |i| names[i]);
    let query = vec((name, bytes), 0..3).prop_map(move |parameters| {
        let one = |(name, bytes): (&str, Vec<u8>)| format!("{name}={}", encoded(bytes));
        parameters.into_iter().map(one).collect::<Vec<_>>().join("&")
    });
    assert_holds(400, query, async |query: String| scene.acme.member.get(&format!("/orders?{query}")).await);
    let ids = prop_oneof![
        vec(any::<u8>(), 1..40),
        word().prop_filter("a list", |w| !w.is_empty()).prop_map(String::into_bytes)
    ];
    assert_holds(400, ids, async |id: Vec<u8>| {
        scene
            .acme
            .member
            .patch(&format!("/orders/{}/status", encoded(id)), json!({ "status": "confirmed" }))
            .await
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn any_credential_gets_an_answer() {
    let scene = Scene::start().await;
    let token = scene.acme.member.access_token.clone();
    let mutants = vec((any::<Index>(), 0x21..0x7f_u8), 1..3).prop_map(move |changes| {
        let mut bytes = token.clone().into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        String::from_utf8(bytes).unwrap()
    });
    let credentials = prop_oneof![mutants, "[ -~]{0,40}"];
    assert_holds(400, credentials, async |token: String| scene.app.with_token(&token).get("/auth/me").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_claims_under_the_right_key_get_an_answer() {
    let scene = Scene::start().await;
    let (header, claims) = tokens::parts(&scene.acme.member.access_token);
    let names = [
        "sub",
        "tenant_id",
        "sid",
        "type",
        "iat",
        "nbf",
        "exp",
        "jti",
        "iss",
        "aud",
        "role",
        "alg",
        "typ",
        "kid",
    ];
    let change = ((0..names.len()).prop_map(move |i| names[i]), value());
    assert_holds(400, vec(change, 1..3), async |changes: Vec<(&str, Value)>| {
        let (mut header, mut claims) = (header.clone(), claims.clone());
        for (name, value) in changes {
            let part = if ["alg", "typ", "kid"].contains(&name) { &mut header } else { &mut claims };
            part[name] = value;
        }
        let answer =
            scene.app.with_token(&tokens::token(&header, &claims, tokens::hs256)).get("/auth/me").await;
        if answer.status == 200 {
            assert_eq!(answer.json()["data"]["id"], json!(scene.acme.member.user_id), "{claims}");
            assert_eq!(answer.json()["data"]["role"], "member", "{claims}");
        }
        answer
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn any_refresh_token_gets_an_answer_and_ends_no_session() {
    let scene = Scene::start().await;
    let token = scene.acme.member.refresh_token.clone();
    let mutants = (any::<Index>(), any::<Index>(), "[A-Za-z0-9_=.-]").prop_map(move |(from, to, with)| {
        let (a, b) = (from.index(token.len()), to.index(token.len()));
        format!("{}{with}{}", &token[..a.min(b)], &token[a.max(b) + 1..])
    });
    let right = scene.acme.member.refresh_token.clone();
    let tokens =
        prop_oneof![3 => mutants, 1 => ".{1,60}"].prop_filter("a mutant", move |text| *text != right);
    assert_holds(300, tokens, async |token: String| {
        let answer = scene.app.anyone().post("/auth/refresh", json!({ "refresh_token": token })).await;
        assert!(!answer.status.is_success(), "{token}");
        answer
    });
    scene.acme.member.get("/auth/me").await.ok();
    let right = json!({ "refresh_token": scene.acme.member.refresh_token });
    scene.app.anyone().post("/auth/refresh", right).await.ok();
}

/// Headers that something reads, and what they may hold: visible ASCII, blanks, and bytes that are no ASCII.
const HEADERS: [&str; 16] = [
    "authorization",
    "x-forwarded-for",
    "forwarded",
    "x-request-id",
    "if-match",
    "if-none-match",
    "content-type",
    "content-encoding",
    "accept",
    "origin",
    "access-control-request-method",
    "idempotency-key",
    "user-agent",
    "x-http-method-override",
    "x-tenant-id",
    "stripe-signature",
];

#[tokio::test(flavor = "multi_thread")]
async fn any_header_gets_an_answer() {
    let scene = Scene::start().await;
    let byte = prop_oneof![8 => 0x20..0x7f_u8, 1 => Just(b'\t'), 1 => 0x80..=0xff_u8];
    let words =
        ["*", "\"1\"", "W/\"1\"", "10.0.0.1", "application/json", "gzip", "null", "Bearer ", "bytes=0-"];
    let held =
        prop_oneof![vec(byte, 0..40), (0..words.len()).prop_map(move |i| words[i].as_bytes().to_vec())];
    let name = (0..HEADERS.len()).prop_map(|i| HEADERS[i]);
    let requests = (any::<bool>(), vec((name, held), 1..4));
    assert_holds(400, requests, async |(writes, headers): (bool, Vec<(&'static str, Vec<u8>)>)| {
        let (method, path, body) = match writes {
            true => ("PATCH", scene.status_path(), Some(br#"{"status":"shipped"}"#.to_vec())),
            false => ("GET", format!("/orders/{}", scene.placed), None),
        };
        let mut request = scene.acme.member.build(method, &path, &[], body);
        for (name, value) in headers {
            request.headers_mut().append(name, HeaderValue::from_bytes(&value).unwrap());
        }
        scene.acme.member.request(request).await
    });
    scene.untouched().await;
}
