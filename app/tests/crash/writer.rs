//! Clients that write without pause and keep what they were told. Each has a request at a time, retries what it does not
//! know the outcome of with the same key, and gives some of it up.
use super::{
    checker::{Move, Placing, Reply},
    dice::Dice,
};
use axum::{
    body::Bytes,
    http::{HeaderName, HeaderValue, Method},
};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tenantry::{
    infra::egress::{Egress, EgressSettings, Outgoing, Target},
    uuid::Uuid,
};

/// The way to the service, shared by all writers.
pub struct Way {
    http: Egress,
    /// 0 while no service runs.
    pub port: AtomicU16,
    pub under_way: AtomicUsize,
    pub answered: AtomicUsize,
    pub broken: AtomicUsize,
    pub over: AtomicBool,
}

impl Way {
    pub fn new() -> Self {
        Self {
            http: Egress::start(EgressSettings { allow_private: true }).unwrap(),
            port: AtomicU16::new(0),
            under_way: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            broken: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        }
    }

    /// Sends one request, as soon as a service runs, over a socket of its own.
    pub async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
        let port = loop {
            match self.port.load(SeqCst) {
                0 => tokio::time::sleep(Duration::from_millis(2)).await,
                port => break port,
            }
        };
        let target = Target::configured(&format!("http://127.0.0.1:{port}/api/v1{path}")).unwrap();
        let header = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        let content_type = ("content-type", "application/json");
        let request = Outgoing {
            target: &target,
            method,
            headers: headers.iter().chain([&content_type]).map(header).collect(),
            body: Bytes::from(body.to_string()),
            deadline: Duration::from_secs(10),
            most_bytes: 1 << 20,
        };
        self.under_way.fetch_add(1, SeqCst);
        let sent = self.http.send(request).await;
        if sent.is_err() {
            self.broken.fetch_add(1, SeqCst);
        }
        self.under_way.fetch_sub(1, SeqCst);
        let Ok(answer) = sent else { return Reply::Broken };
        self.answered.fetch_add(1, SeqCst);
        let replayed = answer.headers.get("idempotency-replayed").is_some_and(|value| value == "true");
        Reply::Came { status: answer.status.as_u16(), replayed, body: answer.body }
    }
}

/// A tenant whose owner writes.
#[derive(Clone)]
pub struct Owner {
    pub tenant: Uuid,
    pub authorization: String,
}

pub struct Writer {
    way: Arc<Way>,
    owner: Owner,
    name: String,
    dice: Dice,
    /// The fault to be shown: other bodies are not other.
    same_bodies: bool,
    placings: Vec<Placing>,
    moves: Vec<Move>,
    /// Orders that can be moved on, and how far they are.
    open: Vec<(Uuid, usize)>,
}

const STEPS: [&str; 3] = ["confirmed", "processing", "completed"];

impl Writer {
    pub fn new(way: Arc<Way>, owner: Owner, name: String, dice: Dice, same_bodies: bool) -> Self {
        let (placings, moves, open) = Default::default();
        Self { way, owner, name, dice, same_bodies, placings, moves, open }
    }

    /// Writes until it is told that it is over; answers what it was told.
    pub async fn write(mut self) -> (Vec<Placing>, Vec<Move>) {
        while !self.way.over.load(SeqCst) {
            match self.dice.below(100) {
                0..60 => self.place().await,
                60..80 => self.move_on().await,
                80..90 => self.repeat().await,
                _ => self.reuse().await,
            }
            let pause = Duration::from_millis(self.dice.below(20));
            tokio::time::sleep(pause).await; // or the machine is busy with load alone
        }
        (self.placings, self.moves)
    }

    async fn send(&self, placing: &Placing, lines: i64) -> Reply {
        let headers =
            [("authorization", self.owner.authorization.as_str()), ("idempotency-key", &placing.mark)];
        self.way.ask(Method::POST, "/orders", &headers, &order(&placing.mark, lines)).await
    }

    async fn place(&mut self) {
        let lines = 1 + self.dice.below(5) as i64;
        let mark = format!("{}-{}", self.name, self.placings.len());
        let mut placing = Placing {
            tenant: self.owner.tenant,
            mark,
            lines,
            total_minor: total(lines),
            replies: Vec::new(),
            reuses: Vec::new(),
        };
        loop {
            let reply = self.send(&placing, lines).await;
            let (again, unknown) = (reply.is_passing(), reply == Reply::Broken);
            placing.replies.push(reply);
            let given_up = unknown && self.dice.below(4) == 0;
            if !again || given_up || placing.replies.len() == 100 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.open.extend(placing.order().map(|order| (order, 0)));
        self.placings.push(placing);
    }

    /// One that was acknowledged.
    fn known(&mut self) -> Option<usize> {
        let known: Vec<_> =
            (0..self.placings.len()).filter(|i| self.placings[*i].order().is_some()).collect();
        self.dice.pick(&known).copied()
    }

    /// The same once more.
    async fn repeat(&mut self) {
        let Some(at) = self.known() else { return };
        let reply = self.send(&self.placings[at], self.placings[at].lines).await;
        self.placings[at].replies.push(reply);
    }

    /// Another order with its key.
    async fn reuse(&mut self) {
        let Some(at) = self.known() else { return };
        let placing = &self.placings[at];
        let lines = if self.same_bodies { placing.lines } else { placing.lines + 1 };
        let reply = self.send(placing, lines).await;
        self.placings[at].reuses.push(reply);
    }

    async fn move_on(&mut self) {
        let Some(&(order, step)) = self.dice.pick(&self.open) else { return };
        let to = if self.dice.below(10) == 0 { "cancelled" } else { STEPS[step] };
        let headers = [("authorization", self.owner.authorization.as_str())];
        let path = format!("/orders/{order}/status");
        let reply = self.way.ask(Method::PATCH, &path, &headers, &json!({ "status": to })).await;
        let moved = matches!(reply, Reply::Came { status: 200, .. });
        self.open.retain(|(open, _)| *open != order);
        if moved && to != "cancelled" && step + 1 < STEPS.len() {
            self.open.push((order, step + 1));
        }
        self.moves.push(Move { order, to, reply });
    }
}

fn order(mark: &str, lines: i64) -> Value {
    let line = |i: i64| {
        json!({
            "product_id": format!("SKU-{i}"), "product_name": "A lamp", "quantity": i,
            "unit_price": format!("{i}.50")
        })
    };
    json!({
        "customer_id": "0192f0c1-2a3b-7c4d-8e5f-000000000001", "notes": mark,
        "items": (1..=lines).map(line).collect::<Vec<_>>()
    })
}

fn total(lines: i64) -> i64 {
    (1..=lines).map(|i| i * (100 * i + 50)).sum()
}
