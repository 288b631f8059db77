//! What shares a flight to PostgreSQL: who is answered what, what comes of a part that fails, and which connections fly.
use super::{WAITING, all_or_nothing, far_away, options};
use crate::support::{Options, Person, TestApp, at_once, database::on_postgres, order, proxy::Proxy};
use serde_json::json;
use std::time::Duration;

/// What was sent behind it is a transaction by itself to PostgreSQL, and is refused in it.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_behind_a_begin_that_failed_on_postgres() {
    if !on_postgres() {
        return;
    }
    let proxy = Proxy::at(Duration::from_millis(2)).await;
    let through = Some(proxy.port);
    let app =
        TestApp::start_with(Options { through, acquire_timeout: Duration::from_secs(20), ..options(1) })
            .await;
    let acme = app.tenant("acme").await;
    acme.member.post("/orders", order()).await.created(); // prepares them
    for _ in 0..3 {
        app.database.settle().await;
        proxy.fail_begin();
        acme.member.post("/orders", order()).await.refused(503, "SERVICE_UNAVAILABLE");
        assert_eq!(app.database.count("orders").await, 1);
        assert!(acme.member.get("/orders").await.ok()["data"].is_array());
    }
    all_or_nothing(&app).await;
    acme.member.post("/orders", order()).await.created();
}

/// Eight are used while they come back soon.
#[tokio::test(flavor = "multi_thread")]
async fn more_connections_are_taken_when_those_in_use_are_held_up_on_postgres() {
    if !on_postgres() {
        return;
    }
    let app = TestApp::start_with(Options { acquire_timeout: Duration::from_secs(20), ..options(13) }).await;
    let acme = app.tenant("acme").await;
    let held = app.database.hold("orders").await;
    let placing: Vec<_> = (0..12)
        .map(|_| {
            let member = acme.member.clone();
            tokio::spawn(async move { member.post("/orders", order()).await.created() })
        })
        .collect();
    app.database.until(WAITING, 12).await;
    acme.member.get("/auth/me").await.ok();
    held.release().await;
    for placed in placing {
        placed.await.unwrap();
    }
    app.database.settle().await;
    all_or_nothing(&app).await;
}

/// Its end has left with its statements, so there is no transaction any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_is_sent_at_once_cannot_ask_again_on_postgres() {
    let (_proxy, through) = far_away().await;
    let app =
        TestApp::start_with(Options { through, acquire_timeout: Duration::from_secs(20), ..options(1) })
            .await;
    let acme = app.tenant("acme").await;
    is_a_mistake_on_postgres(&app, &acme.member, "/clumsy/asks-again").await;
}

/// A 500 there each time, and fine on SQLite; and what comes next on the same connection is answered.
async fn is_a_mistake_on_postgres(app: &TestApp, member: &Person, path: &str) {
    for _ in ["cold", "warm", "again"] {
        let answer = member.get(path).await;
        if on_postgres() {
            answer.refused(500, "INTERNAL_ERROR");
        } else {
            answer.ok();
        }
        member.get("/orders").await.ok();
        app.database.settle().await;
    }
}

/// What cannot be sent with it, or is not, keeps nobody waiting: the others have their answers, and the caller a 500.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_is_left_behind_holds_up_nobody() {
    let app = TestApp::start_with(Options { acquire_timeout: Duration::from_secs(20), ..options(1) }).await;
    let acme = app.tenant("acme").await;
    for path in ["/clumsy/mistakes", "/clumsy/leaves-behind"] {
        is_a_mistake_on_postgres(&app, &acme.member, path).await;
    }
}

/// However much it is: a flight that were cut would be two transactions, of which the second is nobody's.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_is_sent_at_once_is_one_flight_however_large() {
    let app = TestApp::start_with(Options { acquire_timeout: Duration::from_secs(20), ..options(1) }).await;
    let acme = app.tenant("acme").await;
    let people = app.database.count("users").await;
    for _ in ["cold", "warm", "again"] {
        let emails = acme.member.get("/clumsy/asks-much").await.ok();
        assert_eq!(emails.as_array().map(Vec::len), usize::try_from(people).ok());
    }
    app.database.settle().await;
}

/// Statements share flights, and one that fails takes those behind it along: nobody is given what another has asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_goes_to_whoever_asked() {
    let app = TestApp::start_with(Options { acquire_timeout: Duration::from_secs(20), ..options(2) }).await;
    let tenants = [app.tenant("acme").await, app.tenant("globex").await];
    let mut placed = Vec::new();
    for (n, tenant) in (0..40).zip(tenants.iter().cycle()) {
        let mut body = order();
        body["notes"] = json!(format!("number {n}"));
        placed.push((tenant.member.clone(), tenant.member.post("/orders", body).await.created()));
    }
    let placed = std::sync::Arc::new(placed);
    at_once(16, |task| {
        let placed = placed.clone();
        async move {
            for i in 0..40 {
                let at = (task * 7 + i * 13) % placed.len();
                let (member, order) = &placed[at];
                let (stranger, _) = &placed[(at + 1) % placed.len()];
                let path = format!("/orders/{}", order["id"].as_str().unwrap());
                match (task + i) % 5 {
                    0 => member.post("/clumsy/scribbles", json!({})).await.refused(500, "INTERNAL_ERROR"),
                    1 => stranger.get(&path).await.refused(404, "NOT_FOUND"),
                    2 => member.post("/clumsy/twice", json!({})).await.refused(500, "INTERNAL_ERROR"),
                    _ => {
                        assert_eq!(&member.get(&path).await.ok(), order);
                        continue;
                    }
                };
            }
        }
    })
    .await;
    app.database.settle().await;
    assert_eq!(app.database.count("outbox").await, 40, "and what failed has left nothing");
}
