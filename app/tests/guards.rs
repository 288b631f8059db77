//! Guards that hold by construction: every operation of the OpenAPI document is attacked, so a new route is covered by
//! being there.
use crate::support::{Tenant, TestApp, belonging, belongings, http::Client};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tenantry::{access::Role, uuid::Uuid};

/// An operation, as the document describes it.
struct Operation {
    method: String,
    path: String,
    /// The least role, or `None` for anyone.
    min_role: Option<Role>,
    /// What it takes; empty for anyone.
    permission: String,
    /// Whether a program with an API key may call it, too.
    api_keys: bool,
    body: Option<Value>,
}

/// The only routes without a token. This list only shrinks; a route that is added to it answers for that in review.
const PUBLIC: [&str; 12] = [
    "GET /.well-known/jwks.json",
    "GET /api/v1/billing/plans",
    "GET /health",
    "GET /health/ready",
    "POST /api/v1/auth/invitations/accept",
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/logout",
    "POST /api/v1/auth/password/forgot",
    "POST /api/v1/auth/password/reset",
    "POST /api/v1/auth/refresh",
    "POST /api/v1/auth/register",
    "POST /api/v1/billing/webhook",
];

fn operations(app: &TestApp) -> Vec<Operation> {
    let document: Value = serde_json::from_str(&app.app.openapi("Test API").to_json().unwrap()).unwrap();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let min_role =
                operation["x-permission"]["min_role"].as_str().map(|role| Role::from_word(role).unwrap());
            let secured =
                operation["security"].as_array().is_some_and(|s| s.iter().any(|s| s.get("bearer").is_some()));
            assert_eq!(min_role.is_some(), secured, "{method} {path}");
            let body = &operation["requestBody"]["content"]["application/json"]["example"];
            all.push(Operation {
                method: method.to_uppercase(),
                path: path.clone(),
                min_role,
                permission: operation["x-permission"]["permission"].as_str().unwrap_or_default().to_owned(),
                api_keys: operation["x-permission"]["api_keys"] == true,
                body: (!body.is_null()).then(|| body.clone()),
            });
        }
    }
    assert!(all.len() > 10, "the document lists the routes");
    all
}

impl Operation {
    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Whether somebody of this role may.
    fn is_for(&self, role: &str) -> bool {
        self.min_role.is_none_or(|min_role| Role::from_word(role).unwrap() >= min_role)
    }

    async fn call(&self, client: &Client, id: &str) -> (u16, String) {
        let path = format!("/{}", self.path.replace("{id}", id));
        let body = self.body.as_ref().map(|body| body.to_string().into_bytes());
        let answer = client.send(&self.method, &path, &[("x-request-id", "the-same")], body).await;
        (answer.status.as_u16(), answer.text())
    }
}

/// Everybody of a tenant: who they are, what they may, and whether they are a program with an API key.
async fn callers(app: &TestApp, tenant: &Tenant) -> Vec<(String, &'static str, bool, Client)> {
    let mut all = Vec::new();
    for (role, person) in tenant.people() {
        all.push((role.to_owned(), role, false, Client::clone(person)));
    }
    for role in ["viewer", "member", "admin"] {
        all.push((format!("a {role}'s key"), role, true, tenant.program(app, role).await));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_asks_for_a_token_unless_it_is_listed() {
    let app = TestApp::start().await;
    let mut public = Vec::new();
    for operation in operations(&app) {
        let forged = app.with_token("eyJhbGciOiJub25lIn0.e30.");
        let made_up = app.with_token(&format!("tk_{}", "A".repeat(86)));
        for client in [app.anyone(), forged, made_up] {
            let (status, body) = operation.call(&client, &Uuid::nil().to_string()).await;
            match operation.min_role {
                Some(_) => assert_eq!(status, 401, "{}: {body}", operation.name()),
                None => assert_ne!(status, 403, "{}: {body}", operation.name()),
            }
        }
        if operation.min_role.is_none() {
            public.push(operation.name());
        }
    }
    public.sort();
    assert_eq!(public, PUBLIC);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_role_and_key_may_do_what_the_document_says_and_no_more() {
    let (app, _stripe) = TestApp::with_stripe().await;
    let acme = app.tenant("acme").await;
    let callers = callers(&app, &acme).await;
    for operation in operations(&app) {
        if operation.min_role.is_none() {
            continue;
        }
        for (who, role, is_key, client) in &callers {
            // nobody's: a role is judged before what is there
            let (status, body) = operation.call(client, "0192f0c1-0000-7000-8000-000000000000").await;
            if !operation.is_for(role) || *is_key && !operation.api_keys {
                assert_eq!(status, 403, "{who}: {}: {body}", operation.name());
            } else {
                assert!(
                    ![401, 403].contains(&status) && status < 500,
                    "{who}: {}: {status} {body}",
                    operation.name()
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_id_answers_byte_for_byte_like_one_that_never_was() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let intruders = callers(&app, &globex).await;
    let mut attacked = 0;
    for operation in operations(&app).iter().filter(|operation| operation.path.contains("{id}")) {
        let belongings = belongings(&app, &acme).await; // afresh: some operations use up what they act on
        let theirs = &belonging(&belongings, &operation.path);
        let unknown = Uuid::new_v4().to_string();
        for (who, role, is_key, intruder) in &intruders {
            let (status, body) = operation.call(intruder, theirs).await;
            let (unknown_status, unknown_body) = operation.call(intruder, &unknown).await;
            assert_eq!(
                (status, body.replace(theirs.as_str(), "")),
                (unknown_status, unknown_body.replace(&unknown, "")),
                "{who}: {}",
                operation.name()
            );
            let forbidden = !operation.is_for(role) || *is_key && !operation.api_keys;
            assert_eq!(status, if forbidden { 403 } else { 404 }, "{who}: {}", operation.name());
        }
        let (status, body) = operation.call(&acme.owner, theirs).await;
        assert!(status < 300, "its own tenant does find it: {}: {status} {body}", operation.name());
        attacked += 1;
    }
    assert!(attacked >= 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_show_ones_own_tenant_alone() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let theirs = belongings(&app, &acme).await;
    let program = globex.program(&app, "admin").await;
    for operation in operations(&app).iter().filter(|o| o.method == "GET" && !o.path.contains('{')) {
        for client in [&globex.owner, &program] {
            let (_, body) = operation.call(client, "").await;
            assert!(!body.contains(&acme.id.to_string()), "{}: {body}", operation.name());
            for id in theirs.values() {
                assert!(!body.contains(id), "{}: {body}", operation.name());
            }
        }
    }
    assert_eq!(globex.owner.get("/orders").await.ok()["data"], json!([]));
}

/// Section 3 of the contract, row by row: the least role, whether a program with an API key may, and the permissions
/// that stand for the row. A permission that is in no row, or in another than the code has it in, fails.
const CONTRACT: [(&str, Role, bool, &[&str]); 8] = [
    (
        "read orders, the subscription and the tenant",
        Role::Viewer,
        true,
        &["orders.read", "billing.read", "tenant.read"],
    ),
    ("one's own profile, sessions and password", Role::Viewer, false, &["auth.profile"]),
    ("write orders", Role::Member, true, &["orders.write"]),
    ("people, the tenant's name, audit", Role::Admin, true, &["users.manage", "tenant.manage", "audit.read"]),
    ("webhooks", Role::Admin, true, &["webhooks.manage"]),
    ("API keys", Role::Admin, false, &["api_keys.manage"]),
    ("billing writes", Role::Admin, false, &["billing.manage"]),
    ("transfer the ownership", Role::Owner, false, &["tenant.transfer"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_permission_is_in_its_row_of_the_contract() {
    let app = TestApp::start().await;
    let mut met = BTreeSet::new();
    for operation in operations(&app).iter().filter(|operation| operation.min_role.is_some()) {
        let rows: Vec<_> = CONTRACT.iter().filter(|row| row.3.contains(&&*operation.permission)).collect();
        let [(row, min_role, api_keys, _)] = rows[..] else {
            panic!("{}: say in which row of the contract {} stands", operation.name(), operation.permission);
        };
        assert_eq!(
            (operation.min_role, operation.api_keys),
            (Some(*min_role), *api_keys),
            "{}: {row}",
            operation.name()
        );
        met.insert(operation.permission.clone());
    }
    assert_eq!(met.len(), CONTRACT.iter().map(|row| row.3.len()).sum::<usize>(), "{met:?}");
}

/// The table that a reviewer reads: whatever changes who may call what shows in a diff of that file.
#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_operations_and_roles_is_the_one_that_was_reviewed() {
    let app = TestApp::start().await;
    let mut rows = vec![
        "| operation | permission | viewer | member | admin | owner | API keys |".to_owned(),
        "| --- | --- | --- | --- | --- | --- | --- |".to_owned(),
    ];
    for operation in operations(&app) {
        let cell = |may: bool| if may { "✓" } else { "" };
        let roles = Role::ALL.iter().map(|role| cell(operation.is_for(role.as_str())));
        let cells: Vec<_> = roles.chain([cell(operation.api_keys)]).collect();
        let (permission, cells) = match operation.min_role {
            None => ("for anyone".to_owned(), " |  |  |  | ".to_owned()),
            Some(_) => (format!("`{}`", operation.permission), cells.join(" | ")),
        };
        rows.push(format!("| `{}` | {permission} | {cells} |", operation.name()));
    }
    let table = rows.join("\n");
    let reviewed = include_str!("../../docs/permissions.md");
    assert!(
        reviewed.contains(&format!("\n\n{table}\n")),
        "docs/permissions.md should have this table:\n{table}"
    );
}
