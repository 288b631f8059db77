//! `tenantry seed --tenants N --orders M`: rows in bulk are as the product writes them one by one.
use crate::{
    migrations::tenantry,
    support::{
        Options, TestApp,
        database::{TestDatabase, on_postgres},
    },
};
use serde_json::{Value, json};
use std::sync::Arc;
use tenantry::{bulk, data::Bulk, uuid::Uuid};
use tokio_postgres::error::SqlState;

fn seed(url: &str, tenants: &str, orders: &str) {
    let output = tenantry(url, &["seed", "--tenants", tenants, "--orders", orders], &[]);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains(tenantry::DEMO_PASSWORD) && output.stderr.is_empty(), "{said}");
}

async fn session(app: &TestApp, tenant: &str) -> Value {
    let login = json!({
        "tenant_slug": tenant, "email": format!("owner@{tenant}.test"), "password": tenantry::DEMO_PASSWORD
    });
    app.anyone().post("/auth/login", login).await.ok()["data"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_for_a_load_test_have_orders_like_any_other() {
    let database = Arc::new(TestDatabase::create().await);
    seed(&database.url, "3", "20");
    let app = TestApp::on(database.clone(), Options::default()).await;
    let mut all = Vec::new();
    for (tenant, orders) in [("load-00001", 7), ("load-00002", 7), ("load-00003", 6)] {
        let session = session(&app, tenant).await;
        assert_eq!(session["tenant"]["plan"], "enterprise");
        let owner = app.with_token(session["access_token"].as_str().unwrap());
        let page = owner.get("/orders?limit=100").await.ok();
        let placed = page["data"].as_array().unwrap();
        assert_eq!(placed.len(), orders, "{tenant}");
        for order in placed {
            let lines = order["items"].as_array().unwrap();
            assert!((1..=3).contains(&lines.len()) && order["status"] == "pending", "{order}");
            let path = format!("/orders/{}", order["id"].as_str().unwrap());
            let history = owner.get(&format!("{path}/history")).await.ok();
            assert_eq!(history["data"].as_array().unwrap().len(), 1);
            assert_eq!(history["data"][0]["actor"]["id"], session["user"]["id"]);
            all.push(path);
        }
        // the newest can be moved on like one that was placed by itself
        owner.patch(&format!("{}/status", all[all.len() - 1]), json!({ "status": "confirmed" })).await.ok();
    }
    let last = app.with_token(session(&app, "load-00003").await["access_token"].as_str().unwrap());
    for path in &all[..14] {
        last.get(path).await.refused(404, "NOT_FOUND");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_adds_what_is_missing() {
    let database = TestDatabase::create().await;
    let counts = async || {
        let mut counts = Vec::new();
        for table in ["tenants", "users", "orders", "order_history"] {
            counts.push(database.count(table).await);
        }
        counts
    };
    // more than goes into one transaction
    seed(&database.url, "2", "2400");
    assert_eq!(counts().await, [2, 2, 2400, 2400]);
    let lines = database.count("order_items").await;
    assert!((2400..=3 * 2400).contains(&lines), "{lines}");
    seed(&database.url, "2", "2400");
    assert_eq!(counts().await, [2, 2, 2400, 2400]);
    assert_eq!(database.count("order_items").await, lines);
    // as if it had been broken off: of a tenant some orders are missing
    let kept = "(SELECT id FROM orders ORDER BY id LIMIT 2370)";
    for (table, id) in [("order_history", "order_id"), ("order_items", "order_id"), ("orders", "id")] {
        database.execute(&format!("DELETE FROM {table} WHERE {id} NOT IN {kept}")).await;
    }
    assert_eq!(counts().await, [2, 2, 2370, 2370]);
    seed(&database.url, "3", "3600");
    assert_eq!(counts().await, [3, 3, 3600, 3600]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_of_somebody_else_is_left_alone() {
    let app = TestApp::start().await;
    app.tenant("load-00002").await;
    // nobody of a load test, though it is called like one
    app.database.execute("UPDATE users SET email = 'olivia@example.test' WHERE role = 'owner'").await;
    let output = tenantry(&app.database.url, &["seed", "--tenants", "2", "--orders", "10"], &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("load-00002"), "{said}");
    let there =
        "SELECT count(*) FROM orders WHERE tenant_id = (SELECT id FROM tenants WHERE slug = 'load-00002')";
    assert_eq!(app.database.number(there).await, 0);
}

#[test]
fn wrong_numbers_and_production_are_refused() {
    let nowhere = "sqlite:///nonexistent/folder/x.db";
    for arguments in [
        &["--tenants", "0"][..],
        &["--tenants", "-1"],
        &["--orders", "5"],
        &["--tenants", "x"],
        &["--tenants", "1", "--orders", "1.5"],
    ] {
        let output = tenantry(nowhere, &[&["seed"], arguments].concat(), &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    let production = [("ENVIRONMENT", "production"), ("PUBLIC_URL", "https://app.example.test")];
    let output = tenantry(nowhere, &["seed", "--tenants", "1", "--orders", "1"], &production);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("production is not seeded"), "{output:?}");
}

/// Rows in bulk are held to the tenant of the transaction like any other.
#[tokio::test(flavor = "multi_thread")]
async fn rows_in_bulk_are_checked_by_row_level_security_on_postgres() {
    if !on_postgres() {
        return;
    }
    const ORDERS: Bulk = bulk!(outbox(id uuid, type text, payload text, created_at timestamptz));
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let client = app.database.superuser();
    for (tenant, refused) in [(acme.id, false), (globex.id, true)] {
        let opening =
            format!("BEGIN; SET LOCAL ROLE tenantry_tenant; SET LOCAL app.tenant_id = '{}'", acme.id);
        client.batch_execute(&opening).await.unwrap();
        let (ids, texts) = (vec![Uuid::new_v4(), Uuid::new_v4()], vec!["x", "y"]);
        let times = vec![std::time::SystemTime::now(); 2];
        let inserted = client.execute(&ORDERS.postgres(), &[&tenant, &ids, &texts, &texts, &times]).await;
        match refused {
            true => assert_eq!(inserted.unwrap_err().code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE)),
            false => assert_eq!(inserted.unwrap(), 2),
        }
        client.batch_execute("ROLLBACK").await.unwrap();
    }
}
