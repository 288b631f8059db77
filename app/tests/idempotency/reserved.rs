//! Work that calls another service: its key is reserved, no transaction is open during the call, and of two holders the
//! one that was overtaken changes nothing.
use super::probe::OtherSide;
use super::{DAY, KEY, notes, options, probing, probing_with, replayed, reused, same};
use crate::support::{
    Options, Person, TestApp, at_once,
    database::on_postgres,
    http::{Answer, Client},
};
use serde_json::json;
use std::time::{Duration, Instant};
use tenantry::error::{Code, Error};
use tokio::task::JoinHandle;

async fn called(client: &Client, key: &str, whom: &str) -> Answer {
    client.post_once("/probe/call", key, json!({ "whom": whom })).await
}

/// Begins a call; the other side is to answer it.
fn calling(client: &Client, key: &str, whom: &str) -> JoinHandle<Answer> {
    let (client, key, whom) = (client.clone(), key.to_owned(), whom.to_owned());
    tokio::spawn(async move { called(&client, &key, &whom).await })
}

/// As if the holder had reserved its key a minute ago.
async fn expire(app: &TestApp) {
    let minute = if on_postgres() { "interval '60 seconds'" } else { "60000000" };
    app.database.execute(&format!("UPDATE idempotency_keys SET reserved_at = reserved_at - {minute}")).await;
}

fn failure() -> Error {
    Error::new(Code::UpstreamError, "the other side failed")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_side_is_called_once_and_no_connection_is_held_meanwhile() {
    let (app, acme) = probing_with(Options { connections: 1, ..options() }).await;
    let mut other = OtherSide::new();
    let first = calling(&acme.member, KEY, &other.name);
    let asked = other.asked().await;
    app.database.settle().await;
    acme.member.get("/orders").await.ok();
    assert!(asked.key.len() >= 32 && !asked.key.contains(KEY));
    asked.answers(Ok("done".to_owned()));
    let first = first.await.unwrap();
    assert_eq!((first.status.as_u16(), first.text().as_str()), (200, "\"done\""));
    replayed(&first, &called(&acme.member, KEY, &other.name).await);
    reused(called(&acme.member, KEY, "nobody").await);
    assert!(other.is_quiet());
    assert_eq!(notes(&app).await, 2, "before and after");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_it_is_called_each_time() {
    let (app, acme) = probing().await;
    let mut other = OtherSide::new();
    let mut keys = std::collections::BTreeSet::new();
    for _ in 0..2 {
        let body = json!({ "whom": other.name });
        let member = acme.member.clone();
        let call = tokio::spawn(async move { member.post("/probe/call", body).await });
        let asked = other.asked().await;
        keys.insert(asked.key.clone());
        asked.answers(Ok("done".to_owned()));
        call.await.unwrap().ok();
    }
    assert_eq!(keys.len(), 2);
    assert_eq!((notes(&app).await, app.database.count("idempotency_keys").await), (4, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_waits_for_the_answer_or_is_told_to_come_back() {
    let (app, acme) = probing().await;
    let node = TestApp::on(app.database.clone(), options()).await;
    let elsewhere = node.with_token(&acme.member.access_token);
    let mut other = OtherSide::new();
    let first = calling(&acme.member, KEY, &other.name);
    let asked = other.asked().await;
    let began = Instant::now();
    let copy = called(&elsewhere, KEY, &other.name).await;
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(copy.header("retry-after"), "1");
    copy.refused(409, "CONFLICT");
    reused(called(&elsewhere, KEY, "nobody").await); // at once
    let copy = calling(&elsewhere, KEY, &other.name);
    tokio::time::sleep(Duration::from_millis(150)).await;
    asked.answers(Ok("done".to_owned()));
    replayed(&first.await.unwrap(), &copy.await.unwrap());
    assert!(other.is_quiet());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_on_two_nodes_call_once() {
    let (app, acme) = probing().await;
    let node = TestApp::on(app.database.clone(), options()).await;
    let nodes = [(*acme.member).clone(), node.with_token(&acme.member.access_token)];
    let mut other = OtherSide::new();
    let name = other.name.clone();
    let answering = tokio::spawn(async move {
        other.asked().await.answers(Ok("done".to_owned()));
        other
    });
    let answers = at_once(30, |i| {
        let (client, name) = (nodes[i % 2].clone(), name.clone());
        async move { called(&client, KEY, &name).await }
    })
    .await;
    let given: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert!(!given.is_empty());
    given.iter().for_each(|answer| same(given[0], answer));
    assert!(answers.iter().all(|answer| [200, 409].contains(&answer.status.as_u16())));
    assert!(answering.await.unwrap().is_quiet());
    assert_eq!(notes(&app).await, 2);
}

/// What came of it is not known, so the other side is asked with the same key again.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_failed_is_made_again_under_the_same_key() {
    let (app, acme) = probing().await;
    let mut other = OtherSide::new();
    let mut keys = std::collections::BTreeSet::new();
    for answer in
        [Err(failure()), Err(Error::internal("x")), Err(Error::unavailable("x")), Ok("done".to_owned())]
    {
        let request = calling(&acme.member, KEY, &other.name);
        let asked = other.asked().await;
        keys.insert(asked.key.clone());
        let status = answer.as_ref().map_or_else(|error| error.code().status().as_u16(), |_| 200);
        asked.answers(answer);
        let answer = request.await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.header("idempotency-replayed")), (status, ""));
    }
    assert_eq!(keys.len(), 1);
    assert_eq!(called(&acme.member, KEY, &other.name).await.header("idempotency-replayed"), "true");
    assert_eq!(notes(&app).await, 5, "four times before, once after");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_came_to_nothing_may_be_used_for_something_else() {
    let (_app, acme) = probing().await;
    let (mut one, mut other) = (OtherSide::new(), OtherSide::new());
    let request = calling(&acme.member, KEY, &one.name);
    let asked = one.asked().await;
    let before = asked.key.clone();
    asked.answers(Err(failure()));
    request.await.unwrap().refused(502, "UPSTREAM_ERROR");
    let request = calling(&acme.member, KEY, &other.name);
    let asked = other.asked().await;
    assert_ne!(asked.key, before, "the other side would take it for the same");
    asked.answers(Ok("done".to_owned()));
    request.await.unwrap().ok();
    reused(called(&acme.member, KEY, &one.name).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_kept_whoever_refuses() {
    let (app, acme) = probing().await;
    let first = called(&acme.member, KEY, "nobody").await;
    replayed(&first, &called(&acme.member, KEY, "nobody").await);
    first.refused(422, "BUSINESS_RULE_VIOLATION");
    assert_eq!(notes(&app).await, 0, "its work is undone");
    let mut other = OtherSide::new();
    let request = calling(&acme.member, "another", &other.name);
    other.asked().await.answers(Err(Error::conflict("there is one already")));
    let first = request.await.unwrap();
    replayed(&first, &called(&acme.member, "another", &other.name).await);
    first.refused(409, "CONFLICT");
    assert!(other.is_quiet());
    assert_eq!(notes(&app).await, 1, "what was done before the call");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_whose_holder_died_is_free_after_a_minute() {
    let (app, acme) = probing().await;
    let mut other = OtherSide::new();
    let holder = calling(&acme.member, KEY, &other.name);
    let dead = other.asked().await;
    holder.abort();
    assert!(holder.await.unwrap_err().is_cancelled());
    called(&acme.member, KEY, &other.name).await.refused(409, "CONFLICT");
    expire(&app).await;
    let request = calling(&acme.member, KEY, &other.name);
    let asked = other.asked().await;
    assert_eq!(asked.key, dead.key);
    asked.answers(Ok("done".to_owned()));
    let first = request.await.unwrap();
    replayed(&first, &called(&acme.member, KEY, &other.name).await);
}

/// Two holders, of which the first comes back late.
async fn overtaken(
    app: &TestApp,
    member: &Person,
) -> (OtherSide, [super::probe::Asked; 2], [JoinHandle<Answer>; 2]) {
    let mut other = OtherSide::new();
    let late = calling(member, KEY, &other.name);
    let first = other.asked().await;
    expire(app).await;
    let next = calling(member, KEY, &other.name);
    let second = other.asked().await;
    assert_eq!(first.key, second.key);
    (other, [first, second], [late, next])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_holder_gives_the_answer_of_whoever_overtook_it() {
    let (app, acme) = probing().await;
    let (mut other, [first, second], [late, next]) = overtaken(&app, &acme.member).await;
    second.answers(Ok("second".to_owned()));
    let answer = next.await.unwrap();
    assert_eq!(answer.text(), "\"second\"");
    first.answers(Ok("first".to_owned()));
    replayed(&answer, &late.await.unwrap());
    replayed(&answer, &called(&acme.member, KEY, &other.name).await);
    assert!(other.is_quiet());
    assert_eq!(notes(&app).await, 3, "twice before, once after");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_holder_does_not_disturb_whoever_overtook_it() {
    let (app, acme) = probing().await;
    for answer in [Ok("first".to_owned()), Err(Error::business_rule("first")), Err(failure())] {
        app.database.execute("DELETE FROM idempotency_keys").await;
        let (mut other, [first, second], [late, next]) = overtaken(&app, &acme.member).await;
        let failed = answer.as_ref().is_err_and(|error| error.code() == Code::UpstreamError);
        first.answers(answer);
        let (status, code) = if failed { (502, "UPSTREAM_ERROR") } else { (409, "CONFLICT") };
        late.await.unwrap().refused(status, code);
        called(&acme.member, KEY, &other.name).await.refused(409, "CONFLICT"); // it is still held
        second.answers(Ok("second".to_owned()));
        let answer = next.await.unwrap();
        assert_eq!(answer.text(), "\"second\"");
        replayed(&answer, &called(&acme.member, KEY, &other.name).await);
        assert!(other.is_quiet());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_kept_keeps_nothing() {
    let (app, acme) = probing().await;
    let mut other = OtherSide::new();
    let request = calling(&acme.member, KEY, &other.name);
    other.asked().await.answers(Ok("panic".to_owned()));
    request.await.unwrap().refused(500, "INTERNAL_ERROR");
    called(&acme.member, KEY, &other.name).await.refused(409, "CONFLICT"); // like a holder that died
    expire(&app).await;

    let request = calling(&acme.member, KEY, &other.name);
    let asked = other.asked().await;
    let id = app.database.literal(acme.member.user_id);
    app.database.execute(&format!("UPDATE users SET role = 'viewer' WHERE id = {id}")).await;
    asked.answers(Ok("done".to_owned()));
    request.await.unwrap().refused(403, "FORBIDDEN");
    called(&acme.member, KEY, &other.name).await.refused(403, "FORBIDDEN");
    app.database.execute(&format!("UPDATE users SET role = 'member' WHERE id = {id}")).await;
    expire(&app).await;

    let request = calling(&acme.member, KEY, &other.name);
    other.asked().await.answers(Ok("done".to_owned()));
    request.await.unwrap().ok();
    assert_eq!(notes(&app).await, 4, "three times before, once after");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_a_day_old_is_another_for_the_other_side_too() {
    let (app, acme) = probing().await;
    let mut other = OtherSide::new();
    let holder = calling(&acme.member, KEY, &other.name);
    let old = other.asked().await;
    app.clock.advance(DAY);
    let member = app.sign_in("acme", "member").await;
    let request = calling(&member, KEY, &other.name);
    let asked = other.asked().await;
    assert_ne!(asked.key, old.key);
    asked.answers(Ok("today".to_owned()));
    let today = request.await.unwrap();
    old.answers(Ok("yesterday".to_owned()));
    replayed(&today, &holder.await.unwrap());
    replayed(&today, &called(&member, KEY, &other.name).await);
}
