//! What must hold after any number of crashes, as a function of what clients and receivers saw and of what is in the
//! database. It knows nothing of time, sockets and SQL, so each of its faults can be shown by a history with that fault.
use axum::body::Bytes;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tenantry::uuid::Uuid;

/// What was seen from outside.
#[derive(Clone, Default)]
pub struct History {
    pub placings: Vec<Placing>,
    pub moves: Vec<Move>,
    pub deliveries: Vec<Delivery>,
}

/// An order that somebody wanted once, however often they had to ask.
#[derive(Clone)]
pub struct Placing {
    pub tenant: Uuid,
    /// Stands in the order's notes, and in no other's.
    pub mark: String,
    pub lines: i64,
    pub total_minor: i64,
    /// One for each time it was asked for, always with the same key and body.
    pub replies: Vec<Reply>,
    /// To another body under the same key, once there was an answer.
    pub reuses: Vec<Reply>,
}

/// An order that was moved on; sent once.
#[derive(Clone)]
pub struct Move {
    pub order: Uuid,
    pub to: &'static str,
    pub reply: Reply,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing, or not all of it: it may have been done or not.
    Broken,
    /// An answer, read to its end.
    Came { status: u16, replayed: bool, body: Bytes },
}

/// A request that reached a receiver of webhooks.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Whose endpoint it came to.
    pub tenant: Uuid,
    /// `webhook-id`.
    pub id: String,
    pub body: Bytes,
    /// Whether the receiver answered with success.
    pub taken: bool,
}

/// What is in the database in the end.
#[derive(Clone, Debug)]
pub struct OrderRow {
    pub tenant: Uuid,
    pub id: Uuid,
    pub mark: String,
    pub status: String,
    pub version: i64,
    pub total_minor: i64,
    /// How many lines it has, and what they add up to.
    pub lines: (i64, i64),
    /// Version, from, to.
    pub steps: Vec<(i64, String, String)>,
}

/// What must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Acknowledged, and not there.
    Lost { mark: String },
    /// There more than once.
    Twice { mark: String },
    /// There, and nobody wanted it.
    Unasked { order: Uuid },
    /// Not all of its lines or of its history are there.
    Half { order: Uuid },
    /// One key had two answers, or one answer was given twice as if it were new.
    AnswersDiffer { mark: String },
    /// A key did another request's work, or said so.
    KeyNotBound { mark: String, reply: Reply },
    /// A good request was refused.
    Refused { reply: Reply },
    /// An event was never taken by its receiver.
    Undelivered { event: Event },
    /// An event went out under two identifiers.
    EmittedTwice { event: Event },
    /// One identifier went out with two bodies, or to two tenants.
    NotTheSame { id: String },
    /// An event of what is not there, or it tells it otherwise than the API did.
    Untrue { id: String },
    /// An event reached another tenant's endpoint.
    Leaked { id: String },
}

/// Of which order, and its status then: an order has each status once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    pub order: Uuid,
    pub status: String,
}

impl Reply {
    /// An answer that says: not now, ask again.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Broken | Self::Came { status: 409 | 503, .. })
    }

    fn body_of(&self, success: u16) -> Option<&Bytes> {
        match self {
            Self::Came { status, body, .. } if *status == success => Some(body),
            _ => None,
        }
    }

    fn json_of(&self, success: u16) -> Option<Value> {
        self.body_of(success).map(|body| serde_json::from_slice(body).unwrap_or(Value::Null))
    }
}

impl Placing {
    /// The order, if it was acknowledged.
    pub fn order(&self) -> Option<Uuid> {
        self.replies.iter().find_map(|reply| id_in(&reply.json_of(201)?["id"]))
    }
}

fn id_in(value: &Value) -> Option<Uuid> {
    value.as_str()?.parse().ok()
}

/// Everything that is wrong.
pub fn check(history: &History, rows: &[OrderRow]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for placing in &history.placings {
        check_placing(placing, rows, &mut faults);
    }
    let wanted: BTreeSet<_> = history.placings.iter().map(|p| (p.tenant, p.mark.as_str())).collect();
    for row in rows {
        if !wanted.contains(&(row.tenant, row.mark.as_str())) {
            faults.push(Fault::Unasked { order: row.id });
        }
        if !has_straight_history(row) {
            faults.push(Fault::Half { order: row.id });
        }
    }
    check_moves(&history.moves, rows, &mut faults);
    check_deliveries(history, rows, &mut faults);
    faults
}

fn check_placing(placing: &Placing, rows: &[OrderRow], faults: &mut Vec<Fault>) {
    let mark = placing.mark.clone();
    let refused = |reply: &&Reply| !reply.is_passing() && reply.body_of(201).is_none();
    faults.extend(placing.replies.iter().filter(refused).cloned().map(|reply| Fault::Refused { reply }));
    let answers: BTreeSet<_> = placing.replies.iter().filter_map(|reply| reply.body_of(201)).collect();
    let fresh =
        placing.replies.iter().filter(|r| matches!(r, Reply::Came { status: 201, replayed: false, .. }));
    if answers.len() > 1 || fresh.count() > 1 {
        faults.push(Fault::AnswersDiffer { mark: mark.clone() });
    }
    for reply in placing.reuses.iter().filter(|reply| !reply.is_passing()) {
        if reply.json_of(422).is_none_or(|document| document["code"] != "IDEMPOTENCY_KEY_REUSED") {
            faults.push(Fault::KeyNotBound { mark: mark.clone(), reply: reply.clone() });
        }
    }
    let found: Vec<_> =
        rows.iter().filter(|row| row.tenant == placing.tenant && row.mark == placing.mark).collect();
    if found.len() > 1 {
        faults.push(Fault::Twice { mark: mark.clone() });
    }
    if !answers.is_empty() && !found.iter().any(|row| Some(row.id) == placing.order()) {
        faults.push(Fault::Lost { mark });
    }
    for row in found {
        if row.lines != (placing.lines, placing.total_minor) || row.total_minor != placing.total_minor {
            faults.push(Fault::Half { order: row.id });
        }
    }
}

fn has_straight_history(row: &OrderRow) -> bool {
    let mut stands = "";
    for (expected, (version, from, to)) in (1..).zip(&row.steps) {
        if *version != expected || from != stands {
            return false;
        }
        stands = to;
    }
    stands == row.status && i64::try_from(row.steps.len()) == Ok(row.version)
}

fn check_moves(moves: &[Move], rows: &[OrderRow], faults: &mut Vec<Fault>) {
    for Move { order, to, reply } in moves {
        if reply.is_passing() {
            continue;
        }
        if reply.body_of(200).is_none() {
            faults.push(Fault::Refused { reply: reply.clone() });
            continue;
        }
        let row = rows.iter().find(|row| row.id == *order);
        if !row.is_some_and(|row| row.steps.iter().any(|(_, _, stands)| stands == to)) {
            faults.push(Fault::Lost { mark: format!("{order} {to}") });
        }
    }
}

/// What the API said of an order at a status, for those whose answer came.
fn told(history: &History) -> BTreeMap<Event, Value> {
    let placed = history.placings.iter().flat_map(|placing| &placing.replies).filter_map(|r| r.json_of(201));
    let moved = history.moves.iter().filter_map(|moved| moved.reply.json_of(200));
    placed.chain(moved).filter_map(|order| Some((event_of(&order)?, order))).collect()
}

fn event_of(order: &Value) -> Option<Event> {
    Some(Event { order: id_in(&order["id"])?, status: order["status"].as_str()?.to_owned() })
}

fn check_deliveries(history: &History, rows: &[OrderRow], faults: &mut Vec<Fault>) {
    let told = told(history);
    let mut due: BTreeMap<Event, (&OrderRow, &str)> = BTreeMap::new();
    for row in rows {
        for (_, from, to) in &row.steps {
            due.insert(Event { order: row.id, status: to.clone() }, (row, from));
        }
    }
    let mut by_id: BTreeMap<&str, Vec<&Delivery>> = BTreeMap::new();
    for delivery in &history.deliveries {
        by_id.entry(&delivery.id).or_default().push(delivery);
    }
    let mut ids: BTreeMap<Event, usize> = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for (id, copies) in by_id {
        let first = copies[0];
        let id = || id.to_owned();
        if copies.iter().any(|copy| (&copy.body, copy.tenant) != (&first.body, first.tenant)) {
            faults.push(Fault::NotTheSame { id: id() });
        }
        let body: Value = serde_json::from_slice(&first.body).unwrap_or(Value::Null);
        if !body["type"].as_str().is_some_and(|name| name.starts_with("order.")) {
            continue;
        }
        let known = event_of(&body["data"]).filter(|event| due.contains_key(event));
        let Some(event) = known.filter(|event| is_true(&body, &id(), due[event].1, told.get(event))) else {
            faults.push(Fault::Untrue { id: id() });
            continue;
        };
        let owner = due[&event].0.tenant;
        if first.tenant != owner || id_in(&body["tenant_id"]) != Some(owner) {
            faults.push(Fault::Leaked { id: id() });
        }
        *ids.entry(event.clone()).or_default() += 1;
        if copies.iter().any(|copy| copy.taken) {
            taken.insert(event);
        }
    }
    let twice = ids.into_iter().filter(|(_, ids)| *ids > 1);
    faults.extend(twice.map(|(event, _)| Fault::EmittedTwice { event }));
    let missing = due.into_keys().filter(|event| !taken.contains(event));
    faults.extend(missing.map(|event| Fault::Undelivered { event }));
}

/// Whether an event tells what happened as the API told it. `from` is where the order stood before, "" for nowhere.
fn is_true(body: &Value, id: &str, from: &str, told: Option<&Value>) -> bool {
    let mut data = body["data"].clone();
    let name = if from.is_empty() { "order.created" } else { "order.status_changed" };
    let previous = data.as_object_mut().and_then(|members| members.remove("previous_status"));
    let previous_is_right = previous.as_ref().and_then(Value::as_str).unwrap_or_default() == from;
    body["id"] == id && body["type"] == name && previous_is_right && told.is_none_or(|told| *told == data)
}
