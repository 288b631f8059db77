//! A PostgreSQL that stops, crashes, stands still, takes no writes or has no room, and the binary before it.
use crate::support::{
    SECRET_KEY,
    binary::{Folder, Running},
    database::on_postgres,
    order,
    postgres::OwnPostgres,
};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// A service on a server of its own, and somebody who has signed up.
pub struct Product {
    token: String,
    // before the server, which it uses
    running: Running,
    pub server: OwnPostgres,
    _folder: Folder,
}

impl Product {
    fn start() -> Self {
        let server = OwnPostgres::start();
        let url = server.url();
        Self::on(server, &url)
    }

    pub fn on(server: OwnPostgres, url: &str) -> Self {
        let folder = Folder::new();
        let variables = [
            ("DATABASE_URL", url),
            ("AUTO_MIGRATE", "true"),
            ("SECRET_KEY", SECRET_KEY),
            ("WEBHOOK_SIGNING_SECRET", SECRET_KEY),
            ("BCRYPT_COST", "10"),
            ("DB_POOL_SIZE", "4"),
            ("DB_MAX_OVERFLOW", "0"),
            ("DB_ACQUIRE_TIMEOUT_MS", "500"),
            ("TENANT_RATE_LIMIT", "off"),
        ];
        let running = Running::serve(&folder, &variables);
        let token = running.register();
        Self { token, running, server, _folder: folder }
    }

    pub fn place(&self) -> (u16, String) {
        self.running.ask("POST", "/api/v1/orders", Some(&self.token), &order().to_string())
    }

    pub fn list(&self) -> (u16, String) {
        self.running.ask("GET", "/api/v1/orders?limit=100", Some(&self.token), "")
    }

    pub fn refused_list(&self) {
        Self::refused(self.list());
    }

    /// A 503 that names no cause.
    #[track_caller]
    fn refused((status, body): (u16, String)) {
        assert_eq!(status, 503, "{body}");
        let document: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(document["code"], "SERVICE_UNAVAILABLE");
    }

    /// Asks until it succeeds; what comes before may only be a 503.
    #[track_caller]
    fn recovers(&self) {
        let began = Instant::now();
        loop {
            let answer = self.place();
            if answer.0 == 201 {
                break;
            }
            Self::refused(answer);
            assert!(began.elapsed() < Duration::from_secs(60), "it has not recovered");
        }
        assert_eq!(self.list().0, 200);
        assert_eq!(self.running.ask("GET", "/health/ready", None, "").0, 200);
    }

    fn ends_well(self) {
        assert_eq!(self.running.stop(), Some(0));
    }
}

fn id(placed: &str) -> String {
    serde_json::from_str::<Value>(placed).unwrap()["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_restarts_and_crashes_on_postgres() {
    if !on_postgres() {
        return;
    }
    let mut product = Product::start();
    let mut placed = BTreeSet::new();
    let mut orderly = true;
    for _ in 0..4 {
        let done = AtomicBool::new(false);
        let Product { running, token, server, .. } = &mut product;
        let place = || running.ask("POST", "/api/v1/orders", Some(token.as_str()), &order().to_string());
        let ids = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        let mut ids = Vec::new();
                        while !done.load(Relaxed) {
                            match place() {
                                (201, body) => ids.push(id(&body)),
                                refused => Product::refused(refused),
                            }
                        }
                        ids
                    })
                })
                .collect();
            while place().0 != 201 {}
            if orderly {
                server.stop()
            } else {
                server.crash()
            }
            let began = Instant::now();
            assert_eq!(running.ask("GET", "/health", None, "").0, 200);
            Product::refused(running.ask("GET", "/health/ready", None, ""));
            assert!(began.elapsed() < Duration::from_secs(5), "at once: {:?}", began.elapsed());
            server.start_again();
            while place().0 != 201 {}
            done.store(true, Relaxed);
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
        });
        placed.extend(ids);
        orderly = !orderly;
    }
    product.recovers();
    let client = product.server.client().await;
    let rows = client.query("SELECT id::text FROM orders", &[]).await.unwrap();
    let there: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    assert!(!placed.is_empty());
    assert_eq!(placed.difference(&there).collect::<Vec<_>>(), Vec::<&String>::new(), "lost");
    let events =
        client.query_one("SELECT count(*) FROM outbox WHERE type = 'order.created'", &[]).await.unwrap();
    assert_eq!(
        events.get::<_, i64>(0),
        i64::try_from(there.len()).unwrap(),
        "an order and its event, or neither"
    );
    product.ends_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stands_still_holds_nobody_up_on_postgres() {
    if !on_postgres() {
        return;
    }
    let product = Product::start();
    assert_eq!(product.place().0, 201);
    product.server.freeze();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| Product::refused(product.place()));
        }
        // what touches no database does not notice
        for _ in 0..20 {
            let asked = Instant::now();
            assert_eq!(product.running.ask("GET", "/health", None, "").0, 200);
            assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
        }
    });
    let first = began.elapsed();
    assert!(first < Duration::from_secs(15), "{first:?}");
    // by now no connection is left to wait on, and whoever asks is told so soon
    let began = Instant::now();
    Product::refused(product.list());
    Product::refused(product.running.ask("GET", "/health/ready", None, ""));
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    product.server.go_on();
    product.recovers();
    product.ends_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_in_time_also_where_the_server_stands_still_on_postgres() {
    if !on_postgres() {
        return;
    }
    let product = Product::start();
    product.server.freeze();
    let began = Instant::now();
    let Product { running, server: _server, .. } = product;
    assert_eq!(running.stop(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_writes_is_read_on_postgres() {
    if !on_postgres() {
        return;
    }
    let product = Product::start();
    assert_eq!(product.place().0, 201);
    let client = product.server.client().await;
    // what managed servers do before their disk is full, and what a standby does
    client.batch_execute("ALTER SYSTEM SET default_transaction_read_only = on").await.unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    let began = Instant::now();
    while product.place().0 == 201 {
        assert!(began.elapsed() < Duration::from_secs(30), "the setting has not come through");
    }
    Product::refused(product.place());
    assert_eq!(product.list().0, 200, "what is there can be read");
    assert_eq!(product.running.ask("GET", "/health/ready", None, "").0, 200);
    client.batch_execute("SET default_transaction_read_only = off").await.unwrap();
    client.batch_execute("ALTER SYSTEM RESET default_transaction_read_only").await.unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    product.recovers();
    product.ends_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_room_is_a_503_and_nothing_is_half_done_on_postgres() {
    if !on_postgres() {
        return;
    }
    let mut product = Product::start();
    assert_eq!(product.place().0, 201);
    let file = {
        let client = product.server.client().await;
        client.batch_execute("TRUNCATE outbox CASCADE; CHECKPOINT").await.unwrap();
        client.query_one("SELECT pg_relation_filepath('outbox')", &[]).await.unwrap().get::<_, String>(0)
    };
    product.server.stop();
    let no_room = product.server.without_room(&file);
    product.server.start_again();
    let client = product.server.client().await;
    let orders =
        async || -> i64 { client.query_one("SELECT count(*) FROM orders", &[]).await.unwrap().get(0) };
    assert_eq!(product.list().0, 200);
    // the order would have room, and its event has none
    for _ in 0..3 {
        Product::refused(product.place());
    }
    assert_eq!((product.list().0, orders().await), (200, 1));
    let said = product.running.said();
    assert!(said.contains("No space left on device"), "the log names the cause: {said}");
    drop(client);
    product.server.stop();
    no_room.undo();
    product.server.start_again();
    product.recovers();
    product.ends_well();
}
