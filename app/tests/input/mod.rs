//! What bad input gets: a clear error document, the right status, nothing stored, never a 5xx.
mod accounts;
mod addresses;
mod bodies;
mod fuzz;
mod orders;
mod people;

use crate::support::{Tenant, TestApp, http::Answer, order};
use serde_json::{Value, json};

/// A product with a tenant, an order of it, and all that is stored.
struct Scene {
    app: TestApp,
    acme: Tenant,
    /// An order that stands at `pending`.
    placed: String,
    stored: i64,
}

/// The rows of every table.
async fn stored(app: &TestApp) -> i64 {
    let tables = [
        "tenants",
        "users",
        "sessions",
        "refresh_tokens",
        "orders",
        "order_items",
        "order_history",
        "outbox",
        "user_tokens",
        "api_keys",
    ];
    let counts: Vec<_> = tables.iter().map(|table| format!("(SELECT count(*) FROM {table})")).collect();
    app.database.number(&format!("SELECT {}", counts.join(" + "))).await
}

impl Scene {
    async fn start() -> Self {
        let app = TestApp::start().await;
        let acme = app.tenant("acme").await;
        let placed = acme.member.post("/orders", order()).await.created();
        let placed = placed["id"].as_str().unwrap().to_owned();
        let stored = stored(&app).await;
        Self { app, acme, placed, stored }
    }

    fn status_path(&self) -> String {
        format!("/orders/{}/status", self.placed)
    }

    /// Every route that takes a body: method, path, and a body that it takes.
    fn bodies(&self) -> [(&'static str, String, Value); 6] {
        [
            ("POST", "/orders".to_owned(), order()),
            ("PATCH", self.status_path(), json!({ "status": "confirmed" })),
            ("POST", "/auth/register".to_owned(), register()),
            ("POST", "/auth/login".to_owned(), crate::support::login("acme", "member")),
            ("POST", "/auth/refresh".to_owned(), json!({ "refresh_token": "rt_x" })),
            ("POST", "/auth/logout".to_owned(), json!({ "refresh_token": "rt_x" })),
        ]
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        self.acme.member.send(method, path, headers, Some(body.into())).await
    }

    /// An order with this part of it exchanged: a path such as `/items/0/quantity`, and JSON as it stands.
    async fn order_with(&self, part: &str, json: &str) -> Answer {
        const MARK: &str = "\"the part to exchange\"";
        let mut body = order();
        match body.pointer_mut(part) {
            Some(value) => *value = json!("the part to exchange"),
            None => body[&part[1..]] = json!("the part to exchange"),
        }
        self.send("POST", "/orders", &[], body.to_string().replace(MARK, json)).await
    }

    /// Nothing was stored since the start, and the order stands where it stood.
    async fn untouched(&self) {
        assert_eq!(stored(&self.app).await, self.stored, "rows");
        self.untouched_order().await;
    }

    async fn untouched_order(&self) {
        let placed = self.acme.member.get(&format!("/orders/{}", self.placed)).await.ok();
        assert_eq!((&placed["status"], &placed["updated_at"]), (&json!("pending"), &placed["created_at"]));
    }
}

fn register() -> Value {
    json!({
        "tenant_name": "Initech", "tenant_slug": "initech", "email": "ada@initech.test",
        "password": "correct horse battery", "full_name": "Ada Lovelace"
    })
}
