//! The checker, attacked: a clean history passes, and each thing that may go wrong is found and called by its name.
use super::checker::{Delivery, Event, Fault, History, Move, OrderRow, Placing, Reply, check};
use axum::body::Bytes;
use serde_json::{Value, json};
use tenantry::uuid::Uuid;

const ACME: Uuid = Uuid::from_u128(0xa);
const GLOBEX: Uuid = Uuid::from_u128(0xb);
/// Acknowledged at once.
const FIRST: Uuid = Uuid::from_u128(1);
/// Acknowledged when it was asked for again.
const SECOND: Uuid = Uuid::from_u128(2);
/// Never acknowledged, and there.
const THIRD: Uuid = Uuid::from_u128(3);

fn order(id: Uuid, status: &str) -> Value {
    json!({ "id": id, "status": status, "total_amount": "3.00" })
}

fn came(status: u16, replayed: bool, body: &Value) -> Reply {
    Reply::Came { status, replayed, body: Bytes::from(body.to_string()) }
}

fn placing(tenant: Uuid, mark: &str, replies: Vec<Reply>) -> Placing {
    Placing { tenant, mark: mark.to_owned(), lines: 2, total_minor: 300, replies, reuses: Vec::new() }
}

fn row(tenant: Uuid, id: Uuid, mark: &str, statuses: &[&str]) -> OrderRow {
    let mut from = "";
    let mut steps = Vec::new();
    for (version, to) in (1..).zip(statuses) {
        steps.push((version, std::mem::replace(&mut from, to).to_owned(), (*to).to_owned()));
    }
    let version = i64::try_from(steps.len()).unwrap();
    let (mark, status) = (mark.to_owned(), from.to_owned());
    OrderRow { tenant, id, mark, status, version, total_minor: 300, lines: (2, 300), steps }
}

fn delivery(tenant: Uuid, id: &str, name: &str, data: &Value, taken: bool) -> Delivery {
    let body = json!({ "id": id, "type": name, "tenant_id": tenant, "data": data });
    Delivery { tenant, id: id.to_owned(), body: Bytes::from(body.to_string()), taken }
}

/// Two crashes, three orders, one of them moved on; nothing is wrong.
fn clean() -> (History, Vec<OrderRow>) {
    let reused = json!({ "code": "IDEMPOTENCY_KEY_REUSED" });
    let (first, second) = (order(FIRST, "pending"), order(SECOND, "pending"));
    let mut confirmed = order(FIRST, "confirmed");
    let moved = Move { order: FIRST, to: "confirmed", reply: came(200, false, &confirmed) };
    confirmed["previous_status"] = json!("pending");
    let mut placings = vec![
        placing(ACME, "a-1", vec![came(201, false, &first), came(201, true, &first)]),
        placing(GLOBEX, "b-1", vec![Reply::Broken, came(409, false, &Value::Null), came(201, true, &second)]),
        placing(ACME, "a-2", vec![Reply::Broken]),
        placing(ACME, "a-3", vec![Reply::Broken, Reply::Broken]),
    ];
    placings[0].reuses = vec![came(422, false, &reused), Reply::Broken];
    let deliveries = vec![
        delivery(ACME, "evt_1", "order.created", &first, false),
        delivery(GLOBEX, "evt_2", "order.created", &second, true),
        delivery(ACME, "evt_1", "order.created", &first, true),
        delivery(ACME, "evt_3", "order.created", &order(THIRD, "pending"), true),
        delivery(ACME, "evt_4", "order.status_changed", &confirmed, true),
        delivery(ACME, "evt_4", "order.status_changed", &confirmed, true),
        delivery(ACME, "evt_5", "webhook.test", &Value::Null, false),
    ];
    let rows = vec![
        row(ACME, FIRST, "a-1", &["pending", "confirmed"]),
        row(GLOBEX, SECOND, "b-1", &["pending"]),
        row(ACME, THIRD, "a-2", &["pending"]),
    ];
    (History { placings, moves: vec![moved], deliveries }, rows)
}

#[test]
fn a_history_in_which_all_promises_hold_has_no_fault() {
    let (history, rows) = clean();
    assert_eq!(check(&history, &rows), []);
}

/// What is found after one thing went wrong.
fn found(spoil: impl FnOnce(&mut History, &mut Vec<OrderRow>)) -> Vec<Fault> {
    let (mut history, mut rows) = clean();
    spoil(&mut history, &mut rows);
    check(&history, &rows)
}

fn mark(text: &str) -> String {
    text.to_owned()
}

fn event(order: Uuid, status: &str) -> Event {
    Event { order, status: status.to_owned() }
}

#[test]
fn an_acknowledged_order_that_is_not_there_is_lost() {
    let faults = found(|_, rows| _ = rows.remove(0));
    assert!(faults.contains(&Fault::Lost { mark: mark("a-1") }), "{faults:?}");
    assert!(faults.contains(&Fault::Lost { mark: format!("{FIRST} confirmed") }), "and its move with it");
    assert!(faults.contains(&Fault::Untrue { id: mark("evt_1") }), "and its event tells of nothing");
}

#[test]
fn an_order_that_is_there_twice_is_found_acknowledged_or_not() {
    for (at, mark) in [(0, "a-1"), (2, "a-2")] {
        let faults = found(|history, rows| {
            let copy = OrderRow { id: Uuid::from_u128(9), ..rows[at].clone() };
            for status in ["pending", "confirmed"] {
                let mut data = order(copy.id, status);
                if status == "confirmed" {
                    data["previous_status"] = json!("pending");
                }
                let name = if status == "pending" { "order.created" } else { "order.status_changed" };
                if copy.steps.iter().any(|(_, _, to)| to == status) {
                    history.deliveries.push(delivery(ACME, &format!("evt_9{status}"), name, &data, true));
                }
            }
            rows.push(copy);
        });
        assert_eq!(faults, [Fault::Twice { mark: mark.to_owned() }]);
    }
}

#[test]
fn an_order_that_nobody_wanted_is_found() {
    let faults = found(|_, rows| rows[2].mark = mark("else"));
    assert_eq!(faults, [Fault::Unasked { order: THIRD }]);
}

#[test]
fn an_order_without_one_of_its_lines_is_half_written() {
    assert_eq!(found(|_, rows| rows[2].lines = (1, 100)), [Fault::Half { order: THIRD }]);
    assert_eq!(found(|_, rows| rows[2].lines = (2, 299)), [Fault::Half { order: THIRD }]);
    assert_eq!(found(|_, rows| rows[0].lines = (0, 0)), [Fault::Half { order: FIRST }]);
    assert_eq!(found(|_, rows| rows[1].total_minor = 0), [Fault::Half { order: SECOND }]);
}

#[test]
fn an_order_whose_history_is_not_one_straight_line_is_half_written() {
    let spoils: [fn(&mut OrderRow); 5] = [
        |row| row.status = "pending".to_owned(),
        |row| row.version = 1,
        |row| row.steps[1].0 = 3,
        |row| row.steps[1].1 = "processing".to_owned(),
        |row| row.steps[0].1 = "pending".to_owned(),
    ];
    for spoil in spoils {
        let faults = found(|_, rows| spoil(&mut rows[0]));
        assert!(faults.contains(&Fault::Half { order: FIRST }), "{faults:?}");
    }
    let faults = found(|_, rows| rows[1].steps.clear());
    assert!(faults.contains(&Fault::Half { order: SECOND }), "{faults:?}");
}

#[test]
fn a_move_that_was_acknowledged_and_is_not_there_is_lost() {
    let faults = found(|history, rows| {
        rows[0] = row(ACME, FIRST, "a-1", &["pending"]);
        history.deliveries.retain(|delivery| delivery.id != "evt_4");
    });
    assert_eq!(faults, [Fault::Lost { mark: format!("{FIRST} confirmed") }]);
}

#[test]
fn a_key_has_one_answer_and_says_when_it_is_given_again() {
    let faults = found(|history, _| {
        history.placings[0].replies[1] = came(201, true, &order(FIRST, "confirmed"));
        history.deliveries.retain(|delivery| delivery.id != "evt_9");
    });
    assert!(faults.contains(&Fault::AnswersDiffer { mark: mark("a-1") }), "{faults:?}");
    let as_if_new = came(201, false, &order(FIRST, "pending"));
    let faults = found(|history, _| history.placings[0].replies[1] = as_if_new);
    assert_eq!(faults, [Fault::AnswersDiffer { mark: mark("a-1") }]);
}

#[test]
fn without_the_fingerprint_a_key_answers_for_another_body() {
    let reply = came(201, true, &order(FIRST, "pending"));
    let faults = found(|history, _| history.placings[0].reuses[0] = reply.clone());
    assert_eq!(faults, [Fault::KeyNotBound { mark: mark("a-1"), reply }]);
    let reply = came(422, false, &json!({ "code": "VALIDATION_ERROR" }));
    let faults = found(|history, _| history.placings[0].reuses[0] = reply.clone());
    assert_eq!(faults, [Fault::KeyNotBound { mark: mark("a-1"), reply }]);
}

#[test]
fn a_good_request_that_is_refused_is_found() {
    for status in [400, 404, 422, 500] {
        let reply = came(status, false, &Value::Null);
        let faults = found(|history, _| history.placings[3].replies.push(reply.clone()));
        assert_eq!(faults, [Fault::Refused { reply: reply.clone() }]);
        let moved = Move { order: SECOND, to: "confirmed", reply: reply.clone() };
        assert_eq!(found(|history, _| history.moves.push(moved)), [Fault::Refused { reply }]);
    }
}

#[test]
fn without_its_outbox_row_an_event_is_missing() {
    for (id, missing) in [("evt_3", event(THIRD, "pending")), ("evt_4", event(FIRST, "confirmed"))] {
        let faults = found(|history, _| history.deliveries.retain(|delivery| delivery.id != id));
        assert_eq!(faults, [Fault::Undelivered { event: missing }]);
    }
}

#[test]
fn an_event_that_came_and_was_never_taken_is_missing() {
    let faults = found(|history, _| history.deliveries[2].taken = false);
    assert_eq!(faults, [Fault::Undelivered { event: event(FIRST, "pending") }]);
}

#[test]
fn an_event_under_two_identifiers_is_found() {
    let again = delivery(GLOBEX, "evt_6", "order.created", &order(SECOND, "pending"), true);
    let faults = found(|history, _| history.deliveries.push(again));
    assert_eq!(faults, [Fault::EmittedTwice { event: event(SECOND, "pending") }]);
}

#[test]
fn a_duplicate_with_other_bytes_is_found_though_it_means_the_same() {
    let faults = found(|history, _| {
        let body = String::from_utf8(history.deliveries[2].body.to_vec()).unwrap();
        history.deliveries[2].body = Bytes::from(body.replace("\":", "\": "));
    });
    assert_eq!(faults, [Fault::NotTheSame { id: mark("evt_1") }]);
}

#[test]
fn an_event_of_what_is_not_there_is_untrue() {
    let of_nothing = delivery(ACME, "evt_6", "order.created", &order(Uuid::from_u128(9), "pending"), true);
    let faults = found(|history, _| history.deliveries.push(of_nothing));
    assert_eq!(faults, [Fault::Untrue { id: mark("evt_6") }]);
}

#[test]
fn an_event_that_tells_it_otherwise_than_the_api_is_untrue() {
    let mut otherwise = order(SECOND, "pending");
    otherwise["total_amount"] = json!("4.00");
    let mut moved = order(FIRST, "confirmed");
    moved["previous_status"] = json!("processing");
    for (at, told) in [
        (1, delivery(GLOBEX, "evt_2", "order.created", &otherwise, true)),
        (1, delivery(GLOBEX, "evt_2", "order.status_changed", &order(SECOND, "pending"), true)),
        (3, delivery(ACME, "evt_3", "order.placed", &order(THIRD, "pending"), true)),
    ] {
        let faults = found(|history, _| history.deliveries[at] = told.clone());
        assert!(faults.contains(&Fault::Untrue { id: told.id.clone() }), "{faults:?}");
    }
    let faults = found(|history, _| {
        history.deliveries.retain(|delivery| delivery.id != "evt_4");
        history.deliveries.push(delivery(ACME, "evt_4", "order.status_changed", &moved, true));
    });
    assert!(faults.contains(&Fault::Untrue { id: mark("evt_4") }), "{faults:?}");
    let faults = found(|history, _| {
        let body = String::from_utf8(history.deliveries[1].body.to_vec()).unwrap();
        history.deliveries[1].body = Bytes::from(body.replace("evt_2", "evt_7"));
    });
    assert!(faults.contains(&Fault::Untrue { id: mark("evt_2") }), "{faults:?}");
}

#[test]
fn an_event_at_another_tenants_endpoint_is_a_leak() {
    let faults = found(|history, _| history.deliveries[1].tenant = ACME);
    assert_eq!(faults, [Fault::Leaked { id: mark("evt_2") }]);
}
