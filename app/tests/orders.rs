//! Orders: section 4 of the contract.
use crate::support::{Options, Tenant, TestApp, at_once, http::Answer, order};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tenantry::uuid::Uuid;

fn status(word: &str) -> Value {
    json!({ "status": word })
}

async fn placed(tenant: &Tenant) -> String {
    tenant.member.post("/orders", order()).await.created()["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_placed_and_read_as_the_contract_shows_it() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let answer = acme.member.post("/orders/", order()).await;
    let (location, etag) = (answer.header("location").to_owned(), answer.header("etag").to_owned());
    let shown = answer.created();
    let id = shown["id"].as_str().unwrap();
    assert_eq!(location, format!("/api/v1/orders/{id}"));
    assert_eq!(id.parse::<Uuid>().unwrap().get_version_num(), 7);
    let item = |i: usize| shown["items"][i]["id"].clone();
    assert_eq!(
        shown,
        json!({
            "id": id,
            "customer_id": "0192f0c1-2a3b-7c4d-8e5f-000000000001",
            "status": "pending",
            "total_amount": "60.98",
            "currency": "EUR",
            "notes": "Ring twice.\nThank you.",
            "items": [
                { "id": item(0), "product_id": "SKU-1", "product_name": "A lamp", "quantity": 2, "unit_price": "29.99" },
                { "id": item(1), "product_id": "SKU-2", "product_name": "A bulb", "quantity": 1, "unit_price": "1.00" }
            ],
            "created_at": "2026-01-31T12:00:00.000Z",
            "updated_at": "2026-01-31T12:00:00.000Z"
        })
    );
    let read = acme.viewer.get(&format!("/orders/{id}")).await;
    assert_eq!(read.header("etag"), etag);
    assert_eq!(read.ok(), shown);
    assert_eq!(app.database.count("outbox").await, 1);
    acme.viewer.post("/orders/", order()).await.refused(403, "FORBIDDEN");
    assert_eq!(app.database.count("orders").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_has_its_default_and_the_limits_are_reached() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let mut least = order();
    least.as_object_mut().unwrap().remove("notes");
    least.as_object_mut().unwrap().remove("currency");
    least["items"] = json!([{ "product_id": "x", "product_name": "y", "quantity": 1, "unit_price": 0.01 }]);
    let shown = acme.member.post("/orders", least).await.created();
    assert_eq!(
        (&shown["notes"], &shown["currency"], &shown["total_amount"]),
        (&Value::Null, &json!("USD"), &json!("0.01"))
    );

    let mut most = order();
    most["notes"] = json!("ü".repeat(500));
    most["currency"] = json!("jPy");
    let item = json!({ "product_id": "i".repeat(36), "product_name": "é".repeat(200), "quantity": 1000, "unit_price": "1999.99" });
    most["items"] = json!(vec![item; 50]);
    let shown = acme.member.post("/orders", most.clone()).await.created();
    assert_eq!((&shown["total_amount"], &shown["currency"]), (&json!("99999500.00"), &json!("JPY")));
    assert_eq!(shown["items"].as_array().unwrap().len(), 50);
    most["items"] =
        json!([{ "product_id": "x", "product_name": "y", "quantity": 1, "unit_price": 99999999.99 }]);
    let shown = acme.member.post("/orders", most).await.created();
    assert_eq!(shown["total_amount"], "99999999.99");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_walks_to_its_end_and_its_history_tells_how() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let id = placed(&acme).await;
    let change = format!("/orders/{id}/status");
    for (step, word) in ["confirmed", "processing", "completed"].into_iter().enumerate() {
        app.clock.advance(Duration::from_secs(60));
        let note = json!({ "status": word, "note": format!("step {step}") });
        let shown = acme.admin.patch(&change, note).await.ok();
        assert_eq!((&shown["status"], shown["items"].as_array().unwrap().len()), (&json!(word), 2));
    }
    let refused =
        acme.member.patch(&change, status("cancelled")).await.refused(422, "BUSINESS_RULE_VIOLATION");
    assert_eq!(refused["detail"], "Cannot transition from completed to cancelled");
    acme.member.patch(&change, status("pending")).await.invalid(&["status"]);
    acme.member.patch(&change, status("shipped")).await.invalid(&["status"]);
    acme.viewer.patch(&change, status("cancelled")).await.refused(403, "FORBIDDEN");

    let history = acme.viewer.get(&format!("/orders/{id}/history")).await.ok();
    let (member, admin) = (acme.member.user_id, acme.admin.user_id);
    let step = |from: Value, to: &str, note: Value, actor: Uuid, at: &str| json!({ "from": from, "to": to, "note": note, "actor": { "type": "user", "id": actor }, "at": at });
    assert_eq!(
        history,
        json!({ "data": [
            step(Value::Null, "pending", Value::Null, member, "2026-01-31T12:00:00.000Z"),
            step(json!("pending"), "confirmed", json!("step 0"), admin, "2026-01-31T12:01:00.000Z"),
            step(json!("confirmed"), "processing", json!("step 1"), admin, "2026-01-31T12:02:00.000Z"),
            step(json!("processing"), "completed", json!("step 2"), admin, "2026-01-31T12:03:00.000Z"),
        ]})
    );
    assert_eq!(app.database.count("outbox").await, 4, "what was refused tells nobody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_twenty_concurrent_changes_each_step_has_one_winner() {
    let app = TestApp::start_with(Options { connections: 20, ..Options::default() }).await;
    let second =
        TestApp::on(app.database.clone(), Options { clock: app.clock.clone(), ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let id = placed(&acme).await;
    let path = format!("/orders/{id}/status");
    let here = &acme.member;
    let there = second.sign_in("acme", "member").await;
    for word in ["confirmed", "processing", "completed"] {
        let change = |i: usize| {
            let (person, path) = (if i.is_multiple_of(2) { here } else { &there }.clone(), path.clone());
            async move { person.patch(&path, status(word)).await }
        };
        let answers = at_once(20, change).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "{word}");
        for answer in answers.into_iter().filter(|answer| answer.status != 200) {
            answer.refused(422, "BUSINESS_RULE_VIOLATION");
        }
    }
    let history = acme.viewer.get(&format!("/orders/{id}/history")).await.ok();
    let steps = history["data"].as_array().unwrap();
    assert_eq!(steps.len(), 4);
    for pair in steps.windows(2) {
        assert_eq!(pair[0]["to"], pair[1]["from"], "one straight line");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_if_match_the_losers_get_412() {
    let app = TestApp::start_with(Options { connections: 20, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let id = placed(&acme).await;
    let path = format!("/orders/{id}/status");
    let etag = acme.member.get(&format!("/orders/{id}")).await.header("etag").to_owned();
    let change = |_| {
        let (member, path, etag) = (acme.member.clone(), path.clone(), etag.clone());
        async move { member.patch_with(&path, &[("if-match", &etag)], status("cancelled")).await }
    };
    let answers = at_once(20, change).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for answer in answers.into_iter().filter(|answer| answer.status != 200) {
        answer.refused(412, "PRECONDITION_FAILED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entity_tags_are_heeded() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let id = placed(&acme).await;
    let (path, change) = (format!("/orders/{id}"), format!("/orders/{id}/status"));
    let first = acme.member.get(&path).await.header("etag").to_owned();
    for tags in [first.as_str(), "*", &format!("\"other\", W/{first}")] {
        let unchanged = acme.viewer.get_with(&path, &[("if-none-match", tags)]).await;
        assert_eq!(
            (unchanged.status.as_u16(), unchanged.header("etag"), unchanged.bytes.len()),
            (304, &*first, 0)
        );
    }
    let changed = acme.member.patch_with(&change, &[("if-match", &first)], status("confirmed")).await;
    let second = changed.header("etag").to_owned();
    changed.ok();
    assert_ne!(first, second);
    let stale = [("if-match", first.as_str())];
    acme.member.patch_with(&change, &stale, status("processing")).await.refused(412, "PRECONDITION_FAILED");
    acme.viewer.get_with(&path, &[("if-none-match", &first)]).await.ok();
    acme.member.patch_with(&change, &[("if-match", "*")], status("processing")).await.ok();
    let unknown = format!("/orders/{}/status", Uuid::new_v4());
    acme.member.patch_with(&unknown, &stale, status("processing")).await.refused(404, "NOT_FOUND");
}

async fn pages(tenant: &Tenant, query: &str) -> Vec<Vec<Value>> {
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = tenant.viewer.get(&format!("/orders/?{query}{cursor}")).await.ok();
        pages.push(page["data"].as_array().unwrap().clone());
        assert_eq!(page["has_more"].as_bool().unwrap(), !page["next_cursor"].is_null());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return pages,
        }
    }
}

fn ids(pages: &[Vec<Value>]) -> Vec<String> {
    pages.iter().flatten().map(|order| order["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_paged_newest_first() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let mut all = Vec::new();
    for _ in 0..7 {
        all.push(placed(&acme).await);
    }
    all.reverse();
    let found = pages(&acme, "limit=3").await;
    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 1]);
    assert_eq!(ids(&found), all);
    let found = pages(&acme, "limit=7").await;
    assert_eq!((found.len(), ids(&found)), (1, all.clone()));
    let one = acme.viewer.get(&format!("/orders/{}", all[0])).await.ok();
    assert_eq!(found[0][0], one, "the list shows what the order itself shows");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_filtered() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let mut all = Vec::new();
    for i in 0..6 {
        let mut body = order();
        body["customer_id"] = json!(format!("0192f0c1-2a3b-7c4d-8e5f-00000000000{}", i % 2));
        let id = acme.member.post("/orders", body).await.created()["id"].as_str().unwrap().to_owned();
        if i >= 3 {
            acme.member.patch(&format!("/orders/{id}/status"), status("confirmed")).await.ok();
        }
        all.push(id);
        app.clock.advance(Duration::from_secs(60));
    }
    let zero = "customer_id=0192f0c1-2a3b-7c4d-8e5f-000000000000";
    for (query, expected) in [
        ("status=confirmed".to_owned(), vec![5, 4, 3]),
        ("status=pending".to_owned(), vec![2, 1, 0]),
        ("status=completed".to_owned(), vec![]),
        (zero.to_owned(), vec![4, 2, 0]),
        (format!("{zero}&status=pending"), vec![2, 0]),
        ("created_after=2026-01-31T12:02:00Z".to_owned(), vec![5, 4, 3, 2]),
        ("created_after=2026-01-31T12:02:00.001Z".to_owned(), vec![5, 4, 3]),
        ("created_before=2026-01-31T12:02:00Z".to_owned(), vec![1, 0]),
        (
            "created_after=2026-01-31T13:01:00%2B01:00&created_before=2026-01-31T12:03:00Z".to_owned(),
            vec![2, 1],
        ),
        (format!("{zero}&status=confirmed&created_after=2026-01-31T12:00:00Z"), vec![4]),
    ] {
        for limit in [1, 100] {
            let found = pages(&acme, &format!("{query}&limit={limit}")).await;
            let expected: Vec<_> = expected.iter().map(|i| all[*i].clone()).collect();
            assert_eq!(ids(&found), expected, "{query}");
            let lines = |order: &Value| order["items"].as_array().map(Vec::len);
            assert!(found.iter().flatten().all(|order| lines(order) == Some(2)), "{query}: with their lines");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn walking_the_pages_while_four_write_misses_none_and_shows_none_twice() {
    let app = TestApp::start_with(Options { connections: 12, ..Options::default() }).await;
    let acme = Arc::new(app.tenant("acme").await);
    let mut before = BTreeSet::new();
    for _ in 0..60 {
        before.insert(placed(&acme).await);
    }
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (acme, stopped) = (acme.clone(), stopped.clone());
            tokio::spawn(async move {
                let mut written = 0;
                while !*stopped.borrow() {
                    let id = placed(&acme).await;
                    acme.member.patch(&format!("/orders/{id}/status"), status("cancelled")).await.ok();
                    written += 1;
                }
                written
            })
        })
        .collect();
    for walk in 0..5 {
        let shown = ids(&pages(&acme, "limit=7").await);
        let once: BTreeSet<_> = shown.iter().cloned().collect();
        assert_eq!(once.len(), shown.len(), "walk {walk}: none twice");
        assert!(before.is_subset(&once), "walk {walk}: none missed");
        assert!(shown.windows(2).all(|pair| pair[0] > pair[1]), "walk {walk}: newest first");
    }
    stop.send(true).unwrap();
    let written: Vec<i32> = join_all(writers).await.into_iter().map(Result::unwrap).collect();
    assert!(written.iter().all(|written| *written > 0), "they did write: {written:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_page_and_the_lines_of_its_orders_are_of_one_moment() {
    let app = TestApp::start_with(Options { connections: 12, ..Options::default() }).await;
    let acme = Arc::new(app.tenant("acme").await);
    placed(&acme).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let writer = {
        let acme = acme.clone();
        tokio::spawn(async move {
            while !*stopped.borrow() {
                placed(&acme).await;
            }
        })
    };
    for _ in 0..100 {
        let page = acme.viewer.get("/orders?limit=5").await.ok();
        for order in page["data"].as_array().unwrap() {
            assert_eq!(order["items"].as_array().unwrap().len(), 2, "{order}");
        }
    }
    stop.send(true).unwrap();
    writer.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenant_sees_and_changes_nothing() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let id = placed(&acme).await;
    let not_found = |answer: Answer| {
        assert_eq!(answer.refused(404, "NOT_FOUND")["detail"], format!("Order '{id}' not found"))
    };
    not_found(globex.owner.get(&format!("/orders/{id}")).await);
    not_found(globex.owner.get(&format!("/orders/{id}/history")).await);
    not_found(globex.owner.patch(&format!("/orders/{id}/status"), status("cancelled")).await);
    let page = acme.viewer.get("/orders?limit=1").await.ok();
    assert_eq!(page["data"][0]["status"], "pending");
    placed(&acme).await;
    let cursor = acme.viewer.get("/orders?limit=1").await.ok()["next_cursor"].as_str().unwrap().to_owned();
    globex.viewer.get(&format!("/orders?cursor={cursor}")).await.invalid(&["cursor"]);
    acme.viewer.get(&format!("/orders?cursor={cursor}")).await.ok();
}
