//! Which answers are kept, what becomes of the work of the others, and that nobody reads them in the database.
use super::{KEY, notes, options, probing, replayed, reused, tried};
use crate::support::{Options, SECRET_KEY, TestApp, order};
use secrecy::SecretString;
use serde_json::json;
use tenantry::access::VerifyingKey;

/// How it ends, what that answers, and how often its work is there.
const KEPT: [(&str, u16, i64); 5] =
    [("created", 201, 1), ("not_found", 404, 0), ("conflict", 409, 0), ("rule", 422, 0), ("excuses", 422, 0)];

#[tokio::test(flavor = "multi_thread")]
async fn what_a_handler_has_answered_is_kept_and_the_work_of_a_refusal_undone() {
    let (app, acme) = probing().await;
    for (end, status, worked) in KEPT {
        for round in ["cold", "warm"] {
            let before = notes(&app).await;
            let key = format!("{end}-{round}");
            let first = tried(&acme.member, &key, end).await;
            assert_eq!(first.status, status, "{end}: {}", first.text());
            if status > 400 {
                assert_eq!(first.json()["request_id"], first.header("x-request-id"));
            }
            for _ in 0..2 {
                replayed(&first, &tried(&acme.member, &key, end).await);
            }
            // its work may be begun, and learns nothing of what it has done
            reused(tried(&acme.member, &key, "panics").await);
            assert_eq!(notes(&app).await - before, worked, "{end}");
        }
    }
    app.database.settle().await;
    assert_eq!(app.database.count("idempotency_keys").await, 2 * KEPT.len() as i64);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_otherwise_or_failed_is_tried_again() {
    let (app, acme) = probing().await;
    for (end, status, code) in [
        ("invalid", 422, "VALIDATION_ERROR"),
        ("forbidden", 403, "FORBIDDEN"),
        ("stale", 412, "PRECONDITION_FAILED"),
        ("unavailable", 503, "SERVICE_UNAVAILABLE"),
        ("internal", 500, "INTERNAL_ERROR"),
        ("upstream", 502, "UPSTREAM_ERROR"),
        ("swallows", 500, "INTERNAL_ERROR"),
        ("panics", 500, "INTERNAL_ERROR"),
    ] {
        for _ in ["cold", "warm"] {
            let answer = tried(&acme.member, KEY, end).await;
            assert_eq!(answer.header("idempotency-replayed"), "");
            answer.refused(status, code);
            assert_eq!(app.database.count("idempotency_keys").await, 0, "{end}");
            assert_eq!(notes(&app).await, 0, "{end}");
        }
    }
    app.database.settle().await;
    tried(&acme.member, KEY, "created").await.created();
    // the key is known now, and yet that is told first which is refused before the handler
    let send = async |headers: &[(&str, &str)], body: &str| {
        let headers = [&[("idempotency-key", KEY)], headers].concat();
        acme.member.send("POST", "/probe", &headers, Some(body.as_bytes().to_vec())).await
    };
    send(&[], "{").await.refused(400, "BAD_REQUEST");
    send(&[], r#"{"end": "never"}"#).await.invalid(&["end"]);
    send(&[("content-type", "text/plain")], "{}").await.refused(415, "UNSUPPORTED_MEDIA_TYPE");
    send(&[], &" ".repeat(262_145)).await.refused(413, "PAYLOAD_TOO_LARGE");
    acme.viewer.post_once("/probe", KEY, json!({ "end": "created" })).await.refused(403, "FORBIDDEN");
    assert_eq!(app.database.count("idempotency_keys").await, 1);
    assert_eq!(notes(&app).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_not_valid_takes_no_key() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let mut wrong = order();
    wrong["items"][0]["quantity"] = json!(0);
    acme.member.post_once("/orders", KEY, wrong).await.invalid(&["items[0].quantity"]);
    let mut too_much = order();
    too_much["items"][0] = json!({ "product_id": "1", "product_name": "A castle", "quantity": 1000, "unit_price": "99999999.99" });
    acme.member.post_once("/orders", KEY, too_much).await.refused(422, "VALIDATION_ERROR");
    acme.member.post_once("/orders", KEY, order()).await.created();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_that_is_sent_again_shows_the_same_token_which_still_works() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let invite = json!({ "email": "new@acme.test", "full_name": "Nora New", "role": "member" });
    let first = acme.owner.post_once("/users", KEY, invite.clone()).await;
    let token = first.json()["data"]["invitation"]["token"].as_str().unwrap().to_owned();
    let before = app.database.count("outbox").await;
    replayed(&first, &acme.owner.post_once("/users", KEY, invite.clone()).await);
    assert_eq!(app.database.count("outbox").await, before);
    let accept = json!({ "token": token, "password": "quite another long walk" });
    app.anyone().post("/auth/invitations/accept", accept).await.created();
    replayed(&first, &acme.owner.post_once("/users", KEY, invite.clone()).await);
    let taken = acme.owner.post_once("/users", "another", invite.clone()).await;
    replayed(&taken, &acme.owner.post_once("/users", "another", invite).await);
    taken.refused(409, "CONFLICT");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_sealed_for_their_tenant_and_their_key() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    app.database.execute("UPDATE tenants SET plan = 'pro'").await; // six people
    let invite =
        |name: &str| json!({ "email": format!("{name}@x.test"), "full_name": "N", "role": "member" });
    let first = acme.owner.post_once("/users", "a", invite("a")).await;
    let token = first.json()["data"]["invitation"]["token"].as_str().unwrap().to_owned();
    acme.owner.post_once("/users", "b", invite("b")).await.created();
    globex.owner.post_once("/users", "c", invite("c")).await.created();
    let hexed = |text: &str| text.bytes().map(|byte| format!("{byte:02X}")).collect::<String>();
    let stored = match crate::support::database::on_postgres() {
        true => "SELECT upper(encode(answer, 'hex')) FROM idempotency_keys",
        false => "SELECT hex(answer) FROM idempotency_keys",
    };
    let stored = app.database.texts(stored).await;
    assert_eq!(stored.len(), 3);
    for answer in &stored {
        assert!(answer.len() > 400, "{answer}");
        for secret in [token.as_str(), "invitation", "x.test", "application/json"] {
            assert!(!answer.contains(&hexed(secret)), "{secret}");
        }
    }
    // an answer that is moved to another key does not open there
    let moved =
        "UPDATE idempotency_keys SET answer = (SELECT answer FROM idempotency_keys ORDER BY answer LIMIT 1)";
    app.database.execute(moved).await;
    let mut opened = 0;
    for (owner, name) in [(&acme.owner, "a"), (&acme.owner, "b"), (&globex.owner, "c")] {
        let again = owner.post_once("/users", name, invite(name)).await;
        match again.status.as_u16() {
            201 => opened += 1,
            _ => _ = again.refused(409, "CONFLICT"),
        }
    }
    assert_eq!(opened, 1, "where it belongs");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_open_under_the_key_before_and_are_not_done_again_without_it() {
    const NEXT: &str = "another-key-of-a-test-0123456789abcdef";
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let first = acme.member.post_once("/orders", KEY, order()).await;
    let before = vec![VerifyingKey::Secret(SecretString::from(SECRET_KEY))];
    let options = Options { secret_key: NEXT, previous_keys: before, ..Options::default() };
    let rotated = TestApp::on(app.database.clone(), options).await;
    let member = rotated.with_token(&acme.member.access_token);
    replayed(&first, &member.post_once("/orders", KEY, order()).await);
    let leaked = TestApp::on(app.database.clone(), Options { secret_key: NEXT, ..Options::default() }).await;
    let member = leaked.sign_in("acme", "member").await;
    member.post_once("/orders", KEY, order()).await.refused(409, "CONFLICT");
    assert_eq!(app.database.count("orders").await, 1);
}

/// What a handler sends besides its body is kept too.
#[tokio::test(flavor = "multi_thread")]
async fn the_headers_of_an_answer_come_with_it() {
    let (_app, acme) = probing().await;
    let first = tried(&acme.member, KEY, "created").await;
    assert_eq!(first.header("etag"), "\"7\"");
    assert!(first.header("location").starts_with("/api/v1/probe/"));
    replayed(&first, &tried(&acme.member, KEY, "created").await);
    let taken = tried(&acme.member, "taken", "conflict").await;
    assert_eq!(
        (taken.header("retry-after"), taken.header("content-type")),
        ("9", "application/problem+json")
    );
    replayed(&taken, &tried(&acme.member, "taken", "conflict").await);
}

/// On one connection whatever is left open would be seen.
#[tokio::test(flavor = "multi_thread")]
async fn one_connection_is_enough() {
    let (app, acme) = super::probing_with(Options { connections: 1, ..options() }).await;
    for (end, status, _) in KEPT {
        for _ in 0..3 {
            assert_eq!(tried(&acme.member, end, end).await.status, status);
        }
    }
    app.database.settle().await;
}
