//! What the database may do to a request: be gone, be busy, be slow, change under it. It is a 503 with `Retry-After`
//! within the time that is allowed, and the node recovers by itself.
mod postgres;
mod sqlite;
mod tls;

use crate::{
    support::{Options, Person, TestApp, at_once, database::on_postgres, order, proxy::Proxy},
    transactions::{all_or_nothing, clumsy_domain},
};
use serde_json::json;
use std::time::{Duration, Instant};

fn options(connections: usize) -> Options {
    Options {
        connections,
        acquire_timeout: Duration::from_millis(300),
        domains: vec![clumsy_domain()],
        ..Options::default()
    }
}

/// Asks until it succeeds; what comes before may only be a 503.
async fn recovers(who: &Person, path: &str, tries: usize) {
    for _ in 0..tries {
        let answer = who.get(path).await;
        if answer.status == 200 {
            return;
        }
        answer.refused(503, "SERVICE_UNAVAILABLE");
    }
    panic!("{path} has not recovered after {tries} tries");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_under_prepared_statements_is_survived_on_postgres() {
    if !on_postgres() {
        return;
    }
    let app = TestApp::start_with(options(1)).await;
    let acme = app.tenant("acme").await;
    let order = acme.member.post("/orders", order()).await.created();
    let one = format!("/orders/{}", order["id"].as_str().unwrap());
    for change in [
        "ALTER TABLE orders ALTER COLUMN notes TYPE VARCHAR(5000)",
        "ALTER TABLE orders ADD COLUMN colour TEXT",
        // the question of every transaction reads this one
        "ALTER TABLE sessions ALTER COLUMN user_role TYPE VARCHAR(20)",
    ] {
        acme.member.get(&one).await.ok();
        acme.member.get("/orders").await.ok();
        app.database.execute(change).await;
        recovers(&acme.member, &one, 2).await;
        recovers(&acme.member, "/orders", 2).await;
        assert_eq!(acme.member.get(&one).await.ok(), order, "{change}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_are_replaced_on_postgres() {
    if !on_postgres() {
        return;
    }
    let app = TestApp::start_with(options(4)).await;
    let acme = app.tenant("acme").await;
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND usename = 'tenantry_test_login'";
    // while nobody asks
    at_once(4, |_| ask(acme.member.clone())).await;
    app.database.number(cut).await;
    recovers(&acme.member, "/orders", 5).await;
    // and while many do
    let asking = at_once(6, |_| {
        let member = acme.member.clone();
        async move {
            let mut placed = 0;
            for _ in 0..20 {
                let answer = member.post("/orders", order()).await;
                if answer.status == 201 {
                    placed += 1;
                } else {
                    answer.refused(503, "SERVICE_UNAVAILABLE");
                }
            }
            placed
        }
    });
    let cutting = async {
        let mut cuts = 0;
        for _ in 0..10 {
            cuts += app.database.number(cut).await;
            tokio::time::sleep(Duration::from_millis(20)).await; // between two outages
        }
        cuts
    };
    let (placed, cuts) = tokio::join!(asking, cutting);
    assert!(cuts > 0);
    recovers(&acme.member, "/orders", 5).await;
    app.database.settle().await;
    all_or_nothing(&app).await;
    assert!(
        app.database.count("orders").await >= placed.into_iter().sum::<i64>(),
        "what was answered is there"
    );
}

async fn ask(who: Person) {
    who.get("/orders").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_a_503_and_is_found_when_it_is_on_postgres() {
    if !on_postgres() {
        return;
    }
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let node = TestApp::on(app.database.clone(), Options { through: Some(port), ..options(2) }).await;
    let member = node.with_token(&acme.member.access_token);
    let began = Instant::now();
    member.get("/orders").await.refused(503, "SERVICE_UNAVAILABLE");
    member.get("//health/ready").await.refused(503, "SERVICE_UNAVAILABLE");
    member.get("//health").await.ok();
    assert!(began.elapsed() < Duration::from_secs(4));
}

/// On SQLite there is one writer, and readers are not in its way.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_does_not_wait_for_ever_for_a_connection() {
    let app = TestApp::start_with(Options { acquire_timeout: Duration::from_secs(1), ..options(1) }).await;
    let acme = app.tenant("acme").await;
    let mut holder = Box::pin(acme.owner.post("/clumsy/forgets", json!({})));
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut holder).await.is_err());
    let began = Instant::now();
    acme.member.post("/orders", order()).await.refused(503, "SERVICE_UNAVAILABLE");
    let waited = began.elapsed();
    assert!((Duration::from_millis(1000)..Duration::from_millis(1900)).contains(&waited), "{waited:?}");
    if on_postgres() {
        acme.member.get("/orders").await.refused(503, "SERVICE_UNAVAILABLE");
    } else {
        acme.member.get("/orders").await.ok();
    }
    drop(holder);
    recovers(&acme.member, "/orders", 20).await;
    acme.member.post("/orders", order()).await.created();
    all_or_nothing(&app).await;
}

/// On SQLite it is another process that writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_does_not_wait_for_ever_for_what_another_holds() {
    let app = TestApp::start_with(options(2)).await;
    let acme = app.tenant("acme").await;
    let held = app.database.hold("orders").await;
    let began = Instant::now();
    acme.member.post("/orders", order()).await.refused(503, "SERVICE_UNAVAILABLE");
    let waited = began.elapsed();
    assert!((Duration::from_millis(1900)..Duration::from_secs(4)).contains(&waited), "{waited:?}");
    acme.member.get("/orders").await.ok();
    held.release().await;
    acme.member.post("/orders", order()).await.created();
    all_or_nothing(&app).await;
}

/// Nobody else has to wait because of it, and readers of that table no longer than a lock may take.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_locked_for_all_keeps_only_its_own_waiting_on_postgres() {
    if !on_postgres() {
        return;
    }
    let app = TestApp::start_with(options(4)).await;
    let acme = app.tenant("acme").await;
    app.database.execute("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").await;
    let began = Instant::now();
    let (list, one, me) = tokio::join!(
        acme.member.get("/orders"),
        acme.member.post("/orders", order()),
        acme.member.get("/auth/me")
    );
    me.ok();
    list.refused(503, "SERVICE_UNAVAILABLE");
    one.refused(503, "SERVICE_UNAVAILABLE");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    app.database.execute("COMMIT").await;
    recovers(&acme.member, "/orders", 5).await;
    all_or_nothing(&app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_far_away_is_slow_and_not_broken_on_postgres() {
    if !on_postgres() {
        return;
    }
    let near = TestApp::start_with(options(4)).await;
    let acme = near.tenant("acme").await;
    let proxy = Proxy::at(Duration::from_millis(100)).await;
    let far = Options { through: Some(proxy.port), acquire_timeout: Duration::from_secs(1), ..options(2) };
    let node = TestApp::on(near.database.clone(), far).await;
    let member = node.with_token(&acme.member.access_token);
    member.post("/orders", order()).await.created();
    // more than two connections can do in a second: some are told so, and none waits longer
    let began = Instant::now();
    let statuses = at_once(40, |_| {
        let member = member.clone();
        async move { member.get("/orders").await }
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let (served, refused): (Vec<_>, Vec<_>) = statuses.into_iter().partition(|answer| answer.status == 200);
    assert!(!served.is_empty() && !refused.is_empty(), "{} served", served.len());
    refused.into_iter().for_each(|answer| _ = answer.refused(503, "SERVICE_UNAVAILABLE"));
    member.get("/orders").await.ok();
}

/// Connections that stay open and on which nothing comes any more: no word of the system says that they are dead.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_have_fallen_silent_are_given_up_on_postgres() {
    if !on_postgres() {
        return;
    }
    let near = TestApp::start_with(options(4)).await;
    let acme = near.tenant("acme").await;
    let proxy = Proxy::at(Duration::from_millis(1)).await;
    let node = TestApp::on(near.database.clone(), Options { through: Some(proxy.port), ..options(2) }).await;
    let member = node.with_token(&acme.member.access_token);
    at_once(2, |_| {
        let member = member.clone();
        async move { member.post("/orders", order()).await.created() }
    })
    .await;
    proxy.stall();
    let began = Instant::now();
    let answers = at_once(4, |_| {
        let member = member.clone();
        async move { member.post("/orders", order()).await }
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    answers.into_iter().for_each(|answer| _ = answer.refused(503, "SERVICE_UNAVAILABLE"));
    // those after them are refused sooner, and others take their place in the end
    let mut tries = 0;
    while member.get("/orders").await.status != 200 {
        tries += 1;
        assert!(began.elapsed() < Duration::from_secs(60), "it has not recovered after {tries} tries");
    }
    all_or_nothing(&near).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_does_not_run_for_ever() {
    let app = TestApp::start_with(options(1)).await;
    let acme = app.tenant("acme").await;
    let (tenant, numbers) = (
        app.database.literal(acme.id),
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)",
    );
    let (id, at) = if on_postgres() { ("gen_random_uuid()", "now()") } else { ("randomblob(16)", "0") };
    let fill = format!(
        "{numbers} INSERT INTO outbox (tenant_id, id, type, payload, created_at) SELECT {tenant}, {id}, 'x', '{{}}', {at} FROM n"
    );
    app.database.execute(&fill).await;
    let began = Instant::now();
    acme.member.post("/clumsy/toils", json!({})).await.refused(503, "SERVICE_UNAVAILABLE");
    let took = began.elapsed();
    assert!((Duration::from_millis(4900)..Duration::from_secs(9)).contains(&took), "{took:?}");
    app.database.settle().await;
    assert_eq!(app.database.count("outbox").await, 300, "nothing of it is written");
    acme.member.post("/orders", order()).await.created(); // on the same connection
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_reads_while_another_writes_and_two_write_in_turn() {
    let app = TestApp::start_with(options(4)).await;
    let acme = app.tenant("acme").await;
    let other =
        TestApp::on(app.database.clone(), Options { acquire_timeout: Duration::from_secs(5), ..options(4) })
            .await;
    let there = other.with_token(&acme.member.access_token);
    let mut writer = Box::pin(acme.member.post("/clumsy/forgets", json!({})));
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut writer).await.is_err());
    let page = there.get("/orders").await.ok();
    assert_eq!(page["data"], json!([]));
    drop(writer);
    app.database.settle().await;
    at_once(8, |i| {
        let client = if i % 2 == 0 { there.clone() } else { (*acme.member).clone() };
        async move {
            for _ in 0..5 {
                let answer = client.post("/orders", order()).await;
                if answer.status != 201 {
                    answer.refused(503, "SERVICE_UNAVAILABLE"); // a node may be short of connections
                }
            }
        }
    })
    .await;
    all_or_nothing(&app).await;
    assert!(app.database.count("orders").await >= 20);
}
