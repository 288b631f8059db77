//! Many at once, on two nodes, and requests that end in the middle: one effect, and a key is never lost or stuck.
use super::{DAY, KEY, notes, options, probe, probing, probing_with, replayed, same, tried};
use crate::{
    support::{
        Options, TestApp, at_once,
        database::on_postgres,
        dropped_after,
        http::{Answer, Client},
        order, until,
    },
    transactions::{WAITING, all_or_nothing, waiting_client},
};
use serde_json::json;
use std::time::{Duration, Instant};

/// A request with a key from each of these, again and again, all at once.
async fn copies(
    count: usize,
    clients: &[Client],
    path: &'static str,
    body: &serde_json::Value,
) -> Vec<Answer> {
    at_once(count, |i| {
        let (client, body) = (clients[i % clients.len()].clone(), body.clone());
        async move { client.post_once(path, KEY, body).await }
    })
    .await
}

/// All are one answer, of which one is the first; or 409, with a word on when to come back.
fn one_answer(answers: &[Answer], status: u16) {
    let (waiting, given): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.header("retry-after") == "1");
    assert!(given.iter().all(|answer| answer.status == status));
    let firsts = given.iter().filter(|answer| answer.header("idempotency-replayed").is_empty()).count();
    assert_eq!(firsts, 1);
    given.iter().for_each(|answer| same(given[0], answer));
    for answer in waiting {
        assert_eq!(answer.status, 409, "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_at_once_on_two_nodes_place_one_order() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let other = TestApp::on(app.database.clone(), Options::default()).await;
    let nodes = [(*acme.member).clone(), other.with_token(&acme.member.access_token)];
    let answers = copies(50, &nodes, "/orders", &order()).await;
    one_answer(&answers, 201);
    assert_eq!(app.database.count("orders").await, 1);
    all_or_nothing(&app).await;
    app.database.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_at_once_on_two_nodes_are_refused_as_one() {
    for end in ["rule", "conflict", "excuses"] {
        let (app, acme) = probing().await;
        let other = TestApp::on(app.database.clone(), options()).await;
        let nodes = [(*acme.member).clone(), other.with_token(&acme.member.access_token)];
        let answers = copies(50, &nodes, "/probe", &json!({ "end": end })).await;
        one_answer(&answers, if end == "conflict" { 409 } else { 422 });
        assert_eq!(notes(&app).await, 0);
        assert_eq!(app.database.count("idempotency_keys").await, 1);
        app.database.settle().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_find_a_key_too_old_one_takes_it() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    acme.member.post_once("/orders", KEY, order()).await.created();
    app.clock.advance(DAY);
    let member = app.sign_in("acme", "member").await;
    let answers = copies(20, &[(*member).clone()], "/orders", &order()).await;
    one_answer(&answers, 201);
    assert_eq!(app.database.count("orders").await, 2);
    assert_eq!(app.database.count("idempotency_keys").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_to_nothing_is_done_by_a_copy_that_waited() {
    let (app, acme) = probing().await;
    let begin = |end: &'static str| {
        let member = acme.member.clone();
        tokio::spawn(async move { tried(&member, KEY, end).await })
    };
    let first = begin("hangs");
    until(|| probe::hanging(acme.id) == 1).await;
    let copy = begin("created"); // it will be another request's key, if the first is answered
    if on_postgres() {
        app.database.until(WAITING, 1).await;
    }
    first.abort();
    let copy = copy.await.unwrap();
    assert_eq!((copy.status.as_u16(), copy.header("idempotency-replayed")), (201, ""));
    replayed(&copy, &tried(&acme.member, KEY, "created").await);
    assert_eq!(notes(&app).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_waits_for_the_first_and_is_given_its_answer() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    acme.member.post("/orders", order()).await.created(); // so that nothing is cold
    let held = app.database.hold("outbox").await;
    let start = || {
        let member = acme.member.clone();
        tokio::spawn(async move { member.post_once("/orders", KEY, order()).await })
    };
    let (first, copy) = (start(), start());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!first.is_finished() && !copy.is_finished());
    held.release().await;
    let (first, copy) = (first.await.unwrap(), copy.await.unwrap());
    same(&first, &copy);
    assert_eq!([&first, &copy].iter().filter(|a| a.header("idempotency-replayed") == "true").count(), 1);
    assert_eq!(app.database.count("orders").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_one_that_takes_too_long_is_told_to_come_back() {
    let waits = || Options { acquire_timeout: Duration::from_millis(300), ..options() };
    let (app, acme) = probing_with(waits()).await;
    let other = TestApp::on(app.database.clone(), waits()).await;
    let mut first = Box::pin(tried(&acme.member, KEY, "hangs"));
    tokio::select! {
        _ = &mut first => panic!("it never ends"),
        () = until(|| probe::hanging(acme.id) == 1) => {}
    }
    for node in [&app, &other] {
        let began = Instant::now();
        let member = node.with_token(&acme.member.access_token);
        let copy = tried(&member, KEY, "hangs").await;
        assert_eq!(copy.header("retry-after"), "1");
        copy.refused(409, "CONFLICT");
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    }
    if on_postgres() {
        tried(&acme.member, "another", "created").await.created(); // nobody else waits
    }
    drop(first);
    tried(&acme.member, KEY, "created").await.created();
    app.database.settle().await;
    assert_eq!(app.database.count("idempotency_keys").await, 1 + i64::from(on_postgres()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_out_leaves_nothing() {
    let (app, acme) =
        probing_with(Options { request_timeout: Duration::from_millis(300), ..options() }).await;
    for _ in ["cold", "warm"] {
        tried(&acme.member, KEY, "hangs").await.refused(503, "SERVICE_UNAVAILABLE");
        app.database.settle().await;
        assert_eq!(app.database.count("idempotency_keys").await, 0);
    }
    tried(&acme.member, KEY, "created").await.created();
    assert_eq!(notes(&app).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_leaves_nothing() {
    let (app, acme) = probing().await;
    let header = format!("idempotency-key: {KEY}\r\n");
    for before in 0..3 {
        let hang = json!({ "end": "hangs" });
        let (client, _server) = waiting_client(&app, &acme.member, "/probe", &header, &hang).await;
        until(|| probe::hanging(acme.id) == before + 1).await;
        drop(client);
        app.database.settle().await;
        assert_eq!(app.database.count("idempotency_keys").await, 0);
    }
    tried(&acme.member, KEY, "created").await.created();
    assert_eq!(notes(&app).await, 1);
}

/// Dropped after its first poll, after its second, and so on until it gets through; then it is sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_dropped_between_any_two_steps_takes_effect_once() {
    let app = TestApp::start_with(Options { connections: 1, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let mut orders = 0;
    let mut committed = 0;
    for round in ["cold", "warm"] {
        for limit in 1.. {
            let key = format!("{round}-{limit}");
            let first = dropped_after(limit, acme.member.post_once("/orders", &key, order())).await;
            acme.member.get("/orders").await.ok(); // the next user of the only connection
            app.database.settle().await;
            all_or_nothing(&app).await;
            let written = app.database.count("orders").await - orders;
            let keys = app.database.count("idempotency_keys").await;
            assert_eq!(keys, orders + written, "the key comes with the order");
            committed += written;
            let again = acme.member.post_once("/orders", &key, order()).await;
            assert_eq!(again.status, 201);
            assert_eq!(again.header("idempotency-replayed"), if written == 1 { "true" } else { "" });
            orders += 1;
            assert_eq!(app.database.count("orders").await, orders, "{key}");
            if let Some(first) = first {
                replayed(&first, &again);
                assert!(limit >= if on_postgres() { 3 } else { 1 }, "it was dropped in the middle: {limit}");
                break;
            }
        }
    }
    assert!(committed >= 2, "those that got through");
}

/// The same for a refusal, of which the work is undone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_dropped_between_any_two_steps_leaves_no_work() {
    let (app, acme) = probing_with(Options { connections: 1, ..options() }).await;
    for round in ["cold", "warm"] {
        for limit in 1.. {
            let key = format!("{round}-{limit}");
            let first = dropped_after(limit, tried(&acme.member, &key, "rule")).await;
            acme.member.get("/orders").await.ok();
            app.database.settle().await;
            assert_eq!(notes(&app).await, 0);
            let again = tried(&acme.member, &key, "rule").await;
            assert_eq!(again.status, 422, "{}", again.text());
            if let Some(first) = first {
                replayed(&first, &again);
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_leaves_the_key_free_on_postgres() {
    if !on_postgres() {
        return;
    }
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let held = app.database.hold("outbox").await;
    let first = tokio::spawn({
        let member = acme.member.clone();
        async move { member.post_once("/orders", KEY, order()).await }
    });
    app.database.until(WAITING, 1).await;
    app.database.number(&WAITING.replace("*", "pg_terminate_backend(pid)")).await;
    first.await.unwrap().refused(503, "SERVICE_UNAVAILABLE");
    held.release().await;
    let second = acme.member.post_once("/orders", KEY, order()).await;
    assert_eq!((second.status.as_u16(), second.header("idempotency-replayed")), (201, ""));
    assert_eq!(app.database.count("orders").await, 1);
}
