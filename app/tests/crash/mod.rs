//! The promise of the whole: what was acknowledged is there after any crash, once, and every event of it arrives. The
//! service is killed at random moments while clients write and webhooks go out; then everything that was seen is compared
//! with the database. `CRASH_SEED` runs the same choices again.
mod checker;
mod checker_tests;
mod dice;
mod node;
mod receiver;
mod rows;
mod writer;

use crate::support::{
    PASSWORD,
    binary::Folder,
    database::{TestDatabase, on_postgres},
    until,
};
use axum::http::Method;
use checker::{Fault, History, OrderRow, Reply, check};
use dice::Dice;
use node::{Node, logs};
use receiver::Receiver;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::{Duration, Instant},
};
use tenantry::uuid::Uuid;
use writer::{Owner, Way, Writer};

/// Crashes that broke off a request.
const KILLS: usize = 15;
const WRITERS_OF_A_TENANT: usize = 3;

/// What is taken out of the product, to see that it is missed.
#[derive(Clone, Copy, PartialEq)]
enum Missing {
    Nothing,
    /// Some events are not written with their change.
    OutboxRow,
    /// Some of an order's statements take effect without the others.
    Transaction,
    /// A key's body is not compared: to the client it is as if it had sent the first one again.
    Fingerprint,
    /// Keys are forgotten in a crash.
    Keys,
}

struct Run {
    database: TestDatabase,
    folder: Folder,
    receiver: Receiver,
    way: Arc<Way>,
    dice: Dice,
    missing: Missing,
}

impl Run {
    async fn new(missing: Missing) -> Self {
        let seed = std::env::var("CRASH_SEED")
            .map_or_else(|_| Uuid::new_v4().as_u64_pair().0, |seed| seed.parse().unwrap());
        println!("CRASH_SEED={seed}");
        let mut dice = Dice::new(seed);
        let this = Self {
            database: TestDatabase::create().await,
            folder: Folder::new(),
            receiver: Receiver::start(dice.below(u64::MAX)).await,
            way: Arc::new(Way::new()),
            dice,
            missing,
        };
        match missing {
            Missing::OutboxRow => this.lose_rows_of("outbox").await,
            Missing::Transaction => this.lose_rows_of("order_items").await,
            _ => {}
        }
        this
    }

    /// From now on some of what is written there is not.
    async fn lose_rows_of(&self, table: &str) {
        let trigger = if on_postgres() {
            format!(
                "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; \
                 CREATE TRIGGER lose BEFORE INSERT ON {table} FOR EACH ROW WHEN (random() < 0.3) \
                 EXECUTE FUNCTION lose()"
            )
        } else {
            format!(
                "CREATE TRIGGER lose AFTER INSERT ON {table} WHEN abs(random()) % 10 < 3 \
                 BEGIN DELETE FROM {table} WHERE rowid = NEW.rowid; END"
            )
        };
        self.database.execute(&trigger).await;
    }

    async fn start(&self) -> Node {
        let node = Node::start(&self.folder, &self.database.url);
        self.way.port.store(node.port().await, SeqCst);
        node
    }

    /// A new tenant, and where its events go.
    async fn owner(&self, slug: &str) -> Owner {
        let register = json!({
            "tenant_name": slug, "tenant_slug": slug, "email": format!("owner@{slug}.test"), "password": PASSWORD,
            "full_name": "Olivia Owner"
        });
        let session =
            created(self.way.ask(Method::POST, "/auth/register", &[], &register).await)["data"].take();
        let tenant = session["tenant"]["id"].as_str().unwrap().parse().unwrap();
        let authorization = format!("Bearer {}", session["access_token"].as_str().unwrap());
        let endpoint = json!({ "url": format!("http://127.0.0.1:{}/{tenant}", self.receiver.port) });
        let headers = [("authorization", authorization.as_str())];
        created(self.way.ask(Method::POST, "/webhooks/endpoints", &headers, &endpoint).await);
        Owner { tenant, authorization }
    }

    /// Writes and kills; answers everything that was wrong.
    async fn faults(mut self, kills: usize) -> Vec<Fault> {
        let mut node = self.start().await;
        let mut writers = Vec::new();
        for slug in ["acme", "globex"] {
            let owner = self.owner(slug).await;
            for i in 0..WRITERS_OF_A_TENANT {
                let same_bodies = self.missing == Missing::Fingerprint;
                let name = format!("{slug}-{i}");
                let writer =
                    Writer::new(self.way.clone(), owner.clone(), name, self.dice.fork(), same_bodies);
                writers.push(tokio::spawn(writer.write()));
            }
        }
        let mut under_load = 0;
        while under_load < kills {
            self.moment().await;
            let before = self.way.broken.load(SeqCst);
            self.way.port.store(0, SeqCst);
            node.kill();
            until(|| self.way.under_way.load(SeqCst) == 0).await;
            under_load += usize::from(self.way.broken.load(SeqCst) > before);
            if self.missing == Missing::Keys {
                self.database.execute("DELETE FROM idempotency_keys").await;
            }
            if self.dice.below(4) == 0 {
                self.die_at_the_start().await;
            }
            node = self.start().await;
        }
        let enough = self.way.answered.load(SeqCst) + 100;
        while self.way.answered.load(SeqCst) < enough {
            self.moment().await;
        }
        self.way.over.store(true, SeqCst);
        let mut history = History::default();
        for writer in writers {
            let (placings, moves) = writer.await.unwrap();
            history.placings.extend(placings);
            history.moves.extend(moves);
        }
        if matches!(self.missing, Missing::Nothing | Missing::OutboxRow) {
            self.drained().await;
        }
        assert_eq!(node.stop(), Some(0));
        history.deliveries = self.receiver.seen();
        let rows = rows::orders(&self.database).await;
        self.tell(kills, &history, &rows);
        check(&history, &rows)
    }

    /// What the run met with, and what the nodes had to complain of.
    fn tell(&self, kills: usize, history: &History, rows: &[OrderRow]) {
        let History { placings, deliveries, .. } = history;
        let unknown: Vec<_> = placings.iter().filter(|placing| placing.replies[0] == Reply::Broken).collect();
        let there = unknown.iter().filter(|placing| rows.iter().any(|row| row.mark == placing.mark)).count();
        let replayed = |reply: &&Reply| matches!(reply, Reply::Came { replayed: true, .. });
        let done = unknown.iter().filter(|placing| placing.replies.iter().find(replayed).is_some()).count();
        let ids: BTreeSet<_> = deliveries.iter().map(|delivery| &delivery.id).collect();
        println!(
            "{kills} kills with requests under way; {} answers; {} orders; of {} with a first outcome unknown {there} are there, and \
             {done} had been done before the crash and were told so; {} deliveries of {} events",
            self.way.answered.load(SeqCst),
            rows.len(),
            unknown.len(),
            deliveries.len(),
            ids.len(),
        );
        let logs = logs(&self.folder);
        for line in logs.lines().filter(|line| line.contains("\"ERROR\"") || line.contains("panicked")) {
            println!("{line}");
        }
        assert!(!logs.contains("panicked"));
    }

    /// Waits for a moment to kill: after some time, or right when an answer or a delivery has come.
    async fn moment(&mut self) {
        let events = || self.way.answered.load(SeqCst) + self.receiver.count();
        let before = events();
        until(|| events() > before).await;
        if self.dice.below(2) == 0 {
            let wait = Duration::from_millis(self.dice.below(1000));
            tokio::time::sleep(wait).await;
        } else {
            let more = usize::try_from(self.dice.below(100)).unwrap();
            let come = until(|| events() > before + more);
            let _ = tokio::time::timeout(Duration::from_secs(2), come).await;
        }
    }

    /// Killed before it serves, or just then.
    async fn die_at_the_start(&mut self) {
        let node = Node::start(&self.folder, &self.database.url);
        let wait = Duration::from_millis(self.dice.below(100));
        tokio::time::sleep(wait).await;
        node.kill();
    }

    /// Waits until all that was written has gone out, or nothing comes any more.
    async fn drained(&self) {
        let left = "SELECT (SELECT count(*) FROM outbox WHERE dispatched_at IS NULL) + \
                    (SELECT count(*) FROM webhook_deliveries WHERE status = 'pending')";
        let began = Instant::now();
        while self.database.number(left).await > 0 && began.elapsed() < Duration::from_secs(60) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn created(reply: Reply) -> Value {
    match reply {
        Reply::Came { status: 201, body, .. } => serde_json::from_slice(&body).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_once_and_arrives_however_often_it_crashes() {
    let faults = Run::new(Missing::Nothing).await.faults(KILLS).await;
    assert_eq!(faults, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_outbox_rows_it_is_found_out() {
    let faults = Run::new(Missing::OutboxRow).await.faults(1).await;
    assert!(!faults.is_empty());
    assert!(faults.iter().all(|fault| matches!(fault, Fault::Undelivered { .. })), "{faults:?}");
}

/// What a run found that did not wait for its events.
async fn found_without(missing: Missing) -> Vec<Fault> {
    let mut faults = Run::new(missing).await.faults(2).await;
    faults.retain(|fault| !matches!(fault, Fault::Undelivered { .. }));
    assert!(!faults.is_empty());
    faults
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_transaction_it_is_found_out() {
    let faults = found_without(Missing::Transaction).await;
    assert!(faults.iter().all(|fault| matches!(fault, Fault::Half { .. })), "{faults:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_fingerprint_it_is_found_out() {
    let faults = found_without(Missing::Fingerprint).await;
    assert!(faults.iter().all(|fault| matches!(fault, Fault::KeyNotBound { .. })), "{faults:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_keys_it_is_found_out() {
    let faults = found_without(Missing::Keys).await;
    assert!(faults.iter().any(|fault| matches!(fault, Fault::Twice { .. })), "{faults:?}");
}
