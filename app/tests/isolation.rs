//! The second wall: what PostgreSQL itself refuses, whatever the product's statements say. And that both databases have
//! one schema.
mod catalog;
mod statements;

use crate::{
    migrations::tenantry,
    support::{
        Options, TestApp,
        database::{TestDatabase, connect, on_postgres, server_url},
        order,
    },
};
use statements::Statement;
use std::collections::BTreeSet;
use tenantry::uuid::Uuid;
use tokio_postgres::{Client, error::SqlState};

/// The texts that a query of one text column answers.
async fn texts(client: &Client, sql: &str) -> Vec<String> {
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// A database of PostgreSQL, or nothing where this run is on SQLite.
async fn postgres() -> Option<TestDatabase> {
    if on_postgres() { Some(TestDatabase::create().await) } else { None }
}

const ROLES: &str = "('tenantry_login', 'tenantry_tenant', 'tenantry_system')";

/// Tables of tenants' rows in which the system works for all tenants: it claims jobs and deliveries of events, and purges
/// what is over. A table that is added to this list answers for that in review.
const SYSTEM_TABLES: [&str; 11] = [
    "idempotency_keys",
    "jobs",
    "outbox",
    "refresh_tokens",
    "sessions",
    "subscriptions",
    "user_tokens",
    "webhook_attempts",
    "webhook_deliveries",
    "webhook_endpoints",
    "webhook_secrets",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_table_of_tenants_rows_is_closed_on_postgres() {
    let Some(database) = postgres().await else { return };
    let client = database.superuser();
    let tenants_tables = "SELECT attrelid FROM pg_attribute JOIN pg_class c ON c.oid = attrelid \
         WHERE attname = 'tenant_id' AND c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace";
    let all =
        texts(client, &format!("SELECT oid::regclass::text FROM pg_class WHERE oid IN ({tenants_tables})"))
            .await;
    assert!(all.len() >= 7 && all.contains(&"orders".to_owned()), "{all:?}");
    let none = async |what: &str, sql: &str| {
        let found = texts(client, &sql.replace("TENANTS_TABLES", tenants_tables)).await;
        assert!(found.is_empty(), "{what}: {found:?}");
    };
    none(
        "row-level security is enabled and forced",
        "SELECT oid::regclass::text FROM pg_class WHERE (oid IN (TENANTS_TABLES) OR oid = 'tenants'::regclass) \
         AND NOT (relrowsecurity AND relforcerowsecurity)",
    )
    .await;
    let for_the_system = texts(
        client,
        &format!(
            "SELECT polrelid::regclass::text FROM pg_policy WHERE polrelid IN ({tenants_tables}) \
             AND polname = 'system' AND polroles = ARRAY['tenantry_system'::regrole::oid] ORDER BY 1"
        ),
    )
    .await;
    assert_eq!(for_the_system, SYSTEM_TABLES);
    none(
        "the one other policy of a tenant's table is that of its tenant",
        "SELECT c.oid::regclass::text FROM pg_class c LEFT JOIN pg_policy p ON p.polrelid = c.oid AND p.polname <> 'system' \
         WHERE c.oid IN (TENANTS_TABLES) GROUP BY c.oid HAVING count(*) FILTER (WHERE p.polcmd = '*' AND p.polpermissive \
         AND pg_get_expr(p.polqual, p.polrelid) = \
         '(tenant_id = (NULLIF(current_setting(''app.tenant_id''::text, true), ''''::text))::uuid)' \
         AND p.polwithcheck IS NULL AND p.polroles = ARRAY['tenantry_tenant'::regrole::oid]) <> 1 OR count(*) FILTER (WHERE \
         p.polroles <> ARRAY['tenantry_system'::regrole::oid]) <> 1",
    )
    .await;
    none(
        "the tenant is never unknown",
        "SELECT attrelid::regclass::text FROM pg_attribute WHERE attname = 'tenant_id' AND NOT attnotnull \
         AND attrelid IN (TENANTS_TABLES)",
    )
    .await;
    none(
        "statements are planned for tenants of many rows",
        "SELECT attrelid::regclass::text FROM pg_attribute WHERE attname = 'tenant_id' AND attrelid IN (TENANTS_TABLES) \
         AND attoptions IS DISTINCT FROM ARRAY['n_distinct=-0.01']",
    )
    .await;
    none(
        "there is a primary key",
        "SELECT oid::regclass::text FROM pg_class c WHERE oid IN (TENANTS_TABLES) \
         AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary)",
    )
    .await;
    none(
        "primary keys and unique indexes begin with the tenant",
        "SELECT indexrelid::regclass::text FROM pg_index JOIN pg_attribute a ON a.attrelid = indrelid \
         AND a.attnum = indkey[0] WHERE indrelid IN (TENANTS_TABLES) AND indisunique AND a.attname <> 'tenant_id'",
    )
    .await;
    none(
        "no unique index begins with an expression",
        "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid IN (TENANTS_TABLES) AND indisunique AND indkey[0] = 0",
    )
    .await;
    none(
        "foreign keys from and to tenants' tables begin with the tenant on both sides",
        "SELECT conname::text FROM pg_constraint f JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = conkey[1] \
         JOIN pg_attribute b ON b.attrelid = confrelid AND b.attnum = confkey[1] WHERE contype = 'f' \
         AND (conrelid IN (TENANTS_TABLES) OR confrelid IN (TENANTS_TABLES)) \
         AND NOT (a.attname = 'tenant_id' AND (b.attname = 'tenant_id' OR confrelid = 'tenants'::regclass AND b.attname = 'id'))",
    )
    .await;
    none(
        "nothing reads past it: views, rules, triggers, inheritance, functions with their owner's rights",
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm', 'f') \
         UNION ALL SELECT rulename::text FROM pg_rewrite JOIN pg_class c ON c.oid = ev_class \
         WHERE c.relnamespace = 'public'::regnamespace \
         UNION ALL SELECT tgname::text FROM pg_trigger WHERE NOT tgisinternal \
         AND (tgname, tgrelid::regclass::text, tgfoid::regproc::text) NOT IN ( \
           ('tenantry_session_begins', 'sessions', 'tenantry_session_begins'), \
           ('tenantry_session_resumes', 'sessions', 'tenantry_session_begins'), \
           ('tenantry_user_changes', 'users', 'tenantry_user_changes'), \
           ('tenantry_plan_changes', 'tenants', 'tenantry_plan_changes')) \
         UNION ALL SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhrelid IN (TENANTS_TABLES) \
         UNION ALL SELECT proname::text FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_roles_of_the_product_own_nothing_on_postgres() {
    let Some(database) = postgres().await else { return };
    let client = database.superuser();
    let wrong = format!(
        "SELECT rolname::text FROM pg_roles WHERE rolname IN {ROLES} AND \
         (rolcanlogin OR rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication OR rolinherit)"
    );
    assert_eq!(texts(client, &wrong).await, [""; 0]);
    assert_eq!(
        texts(client, &format!("SELECT rolname::text FROM pg_roles WHERE rolname IN {ROLES}")).await.len(),
        3
    );
    let owned = format!(
        "SELECT relname::text FROM pg_class WHERE relowner::regrole::text IN {ROLES} \
         UNION ALL SELECT proname::text FROM pg_proc WHERE proowner::regrole::text IN {ROLES} \
         UNION ALL SELECT nspname::text FROM pg_namespace WHERE nspowner::regrole::text IN {ROLES} \
         UNION ALL SELECT member::regrole::text FROM pg_auth_members WHERE member::regrole::text IN {ROLES}"
    );
    assert_eq!(texts(client, &owned).await, [""; 0], "nor are they members of another");
    let granted = |role: &str| {
        format!(
            "SELECT table_name || ' ' || string_agg(DISTINCT privilege_type, ' ' ORDER BY privilege_type) \
             FROM information_schema.role_table_grants WHERE grantee = '{role}' GROUP BY table_name ORDER BY 1"
        )
    };
    assert_eq!(texts(client, &granted("tenantry_login")).await, [""; 0]);
    let tenant = texts(client, &granted("tenantry_tenant")).await;
    assert!(tenant.contains(&"tenants INSERT SELECT".to_owned()), "{tenant:?}");
    let others = ["demo_secrets", "leases"];
    assert!(!tenant.iter().any(|table| others.iter().any(|other| table.starts_with(other))), "{tenant:?}");
    assert!(tenant.contains(&"stripe_events INSERT".to_owned()), "added to, and not read: {tenant:?}");
    assert!(
        tenant.iter().all(|rights| !rights.contains("TRUNCATE") && !rights.contains("TRIGGER")),
        "{tenant:?}"
    );
    let system = texts(client, &granted("tenantry_system")).await;
    let listed = [
        "idempotency_keys DELETE",
        "jobs DELETE SELECT UPDATE",
        "leases INSERT SELECT UPDATE",
        "outbox DELETE SELECT",
        "refresh_tokens DELETE SELECT",
        "sessions DELETE SELECT",
        "stripe_events DELETE SELECT",
        "subscriptions SELECT",
        "tenants SELECT",
        "user_tokens DELETE SELECT",
        "webhook_attempts INSERT SELECT",
        "webhook_deliveries DELETE INSERT SELECT UPDATE",
        "webhook_endpoints DELETE SELECT",
        "webhook_secrets DELETE SELECT",
    ];
    assert_eq!(system, listed, "what sees all tenants is listed here");
    let columns = texts(
        client,
        "SELECT table_name || '.' || column_name FROM information_schema.column_privileges p \
         WHERE grantee = 'tenantry_system' AND NOT EXISTS (SELECT FROM information_schema.role_table_grants t \
         WHERE t.grantee = p.grantee AND t.table_name = p.table_name AND t.privilege_type = p.privilege_type) ORDER BY 1",
    )
    .await;
    let listed = [
        "idempotency_keys.created_at",
        "idempotency_keys.hash",
        "idempotency_keys.tenant_id",
        "outbox.dispatched_at",
        "outbox.wanted",
        "subscriptions.check_at",
        "webhook_endpoints.failing_since",
    ];
    assert_eq!(columns, listed, "and of a table it need not see or change whole, these columns");
}

/// A connection in the state in which the product's pool has them.
async fn as_login_role(url: &str) -> Client {
    let mut config: tokio_postgres::Config = url.parse().unwrap();
    config.options("-c role=tenantry_login");
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_may_do_nothing_by_itself_on_postgres() {
    if !on_postgres() {
        return;
    }
    let app = TestApp::start().await;
    app.tenant("acme").await;
    let insert = "INSERT INTO outbox VALUES (gen_random_uuid(), gen_random_uuid(), '', '', now())";
    // also where DATABASE_URL names a superuser
    for user in ["tenantry_test_login", "postgres"] {
        let client = as_login_role(&app.database.url_as(user)).await;
        for begin in ["", "RESET ROLE; ", "SET LOCAL ROLE tenantry_tenant; "] {
            for sql in [
                "SELECT 1 FROM orders",
                "SELECT 1 FROM users",
                "SELECT 1 FROM tenants",
                insert,
                "TRUNCATE orders",
            ] {
                // each in a batch of its own, hence in a transaction that ends with it
                let outcome = client.batch_execute(&format!("{begin}{sql}")).await;
                if begin.contains("LOCAL") && sql.starts_with("SELECT") {
                    outcome.unwrap(); // no tenant is set: no rows, below
                    continue;
                }
                assert_eq!(
                    outcome.unwrap_err().code(),
                    Some(&SqlState::INSUFFICIENT_PRIVILEGE),
                    "{user}: {begin}{sql}"
                );
            }
        }
        let behind = tokio::join!(client.batch_execute("BEGIN; nonsense"), client.batch_execute(insert));
        assert!(
            behind.0.is_err() && behind.1.is_err(),
            "a role with rights of its own would have committed it"
        );
        let role: String = client.query_one("SELECT current_user::text", &[]).await.unwrap().get(0);
        assert_eq!(role, "tenantry_login");
    }
    let superuser = app.database.superuser();
    let behind = tokio::join!(superuser.batch_execute("BEGIN; nonsense"), superuser.batch_execute(insert));
    assert!(
        behind.0.is_err() && behind.1.is_err(),
        "no such tenant, but it was not the right that was missing"
    );
    assert_ne!(behind.1.unwrap_err().code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
}

/// Every connection of the product begins as that role, so it does not work without it.
#[tokio::test(flavor = "multi_thread")]
async fn the_product_begins_as_the_role_that_may_do_nothing_on_postgres() {
    let Some(database) = postgres().await else { return };
    let role = format!("server_{}", Uuid::new_v4().simple());
    let make =
        format!("CREATE ROLE {role} LOGIN NOINHERIT; GRANT tenantry_tenant, tenantry_system TO {role}");
    database.execute(&make).await;
    let refused = tenantry(&database.url_as(&role), &["seed"], &[]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("role \"tenantry_login\""), "{said}");
    database.execute(&format!("GRANT tenantry_login TO {role}")).await;
    let seeded = tenantry(&database.url_as(&role), &["seed"], &[]);
    assert!(seeded.status.success(), "{seeded:?}");
    drop(database);
    connect(&server_url()).await.batch_execute(&format!("DROP ROLE {role}")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_superuser_in_the_url_sees_one_tenant_on_postgres() {
    if !on_postgres() {
        return;
    }
    let database = std::sync::Arc::new(TestDatabase::empty().await);
    tenantry_app::app().migrate(&database.url.parse().unwrap()).await.unwrap();
    let app = TestApp::on(database.clone(), Options::default()).await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let placed = acme.member.post("/orders", order()).await.created();
    let one = format!("/orders/{}", placed["id"].as_str().unwrap());
    globex.owner.get(&one).await.refused(404, "NOT_FOUND");
    assert_eq!(globex.owner.get("/orders").await.ok()["data"].as_array().unwrap().len(), 0);
    assert_eq!(acme.owner.get("/orders").await.ok()["data"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_tenant_there_are_no_rows_on_postgres() {
    if !on_postgres() {
        return;
    }
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    acme.member.post("/orders", order()).await.created();
    let client = connect(&app.database.url_as("postgres")).await;
    let tables = [
        "tenants",
        "users",
        "sessions",
        "refresh_tokens",
        "outbox",
        "orders",
        "order_items",
        "order_history",
    ];
    for (setting, rows) in [
        (String::new(), false),
        ("SET LOCAL app.tenant_id = ''; ".to_owned(), false),
        (format!("SET LOCAL app.tenant_id = '{}'; ", Uuid::new_v4()), false),
        (format!("SET LOCAL app.tenant_id = '{}'; ", acme.id), true),
        ("RESET app.tenant_id; ".to_owned(), false), // it is '' from now on, not NULL
    ] {
        for table in tables {
            let opening = format!("BEGIN; SET LOCAL ROLE tenantry_tenant; {setting}");
            client.batch_execute(&opening).await.unwrap();
            let count = client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap();
            assert_eq!(count.get::<_, i64>(0) > 0, rows, "{table} after {setting}");
            client.batch_execute("ROLLBACK").await.unwrap();
        }
    }
    let wrong =
        "BEGIN; SET LOCAL ROLE tenantry_tenant; SET LOCAL app.tenant_id = 'x'; SELECT count(*) FROM orders";
    assert!(client.batch_execute(wrong).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_without_its_tenant_is_still_kept_to_one_on_postgres() {
    let Some(database) = postgres().await else { return };
    let client = connect(&database.url_as("postgres")).await;
    client.batch_execute("SET plan_cache_mode = force_generic_plan").await.unwrap();
    let tenant = Uuid::new_v4();
    let mut kinds = BTreeSet::new();
    for Statement { place, text } in statements::all() {
        kinds.insert(text.split(' ').next().unwrap().to_owned());
        let opening = format!("BEGIN; SET LOCAL ROLE tenantry_tenant; SET LOCAL app.tenant_id = '{tenant}'");
        client.batch_execute(&opening).await.unwrap();
        let free = statements::without_tenant(&text);
        client
            .batch_execute(&format!("PREPARE free AS {free}"))
            .await
            .unwrap_or_else(|e| panic!("{place}: {free}: {e:?}"));
        let others = vec!["NULL"; statements::parameters(&text) - 1].join(", ");
        let with = |first: &str| {
            if others.is_empty() {
                format!("EXECUTE free({first})")
            } else {
                format!("EXECUTE free({first}, {others})")
            }
        };
        if text.starts_with("INSERT") {
            let foreign = with(&format!("'{}'", Uuid::new_v4()));
            let refused = client.batch_execute(&foreign).await.unwrap_err();
            assert_eq!(
                refused.code(),
                Some(&SqlState::INSUFFICIENT_PRIVILEGE),
                "{place}: {text}: {refused:?}"
            );
        } else {
            assert_ne!(free, text, "{place}");
            let plan = texts(&client, &format!("EXPLAIN {}", with("NULL"))).await;
            assert!(!plan.is_empty());
            statements::assert_filtered(&place, &plan);
        }
        client.batch_execute("ROLLBACK; DEALLOCATE ALL").await.unwrap();
    }
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["DELETE", "INSERT", "SELECT", "UPDATE"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_databases_have_one_schema_on_postgres() {
    let Some(database) = postgres().await else { return };
    let folder = std::env::temp_dir().join(format!("schema_{}", Uuid::new_v4().simple()));
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("schema.db");
    let url = format!("sqlite://{}", file.display());
    tenantry_app::app().migrate(&url.parse().unwrap()).await.unwrap();
    let sqlite = catalog::of_sqlite(&rusqlite::Connection::open(&file).unwrap());
    std::fs::remove_dir_all(&folder).unwrap();
    let postgres = catalog::of_postgres(database.superuser()).await;
    assert!(postgres.len() >= 9 && postgres.contains_key("orders"), "{:?}", postgres.keys());
    assert_eq!(postgres.keys().collect::<Vec<_>>(), sqlite.keys().collect::<Vec<_>>());
    for (table, expected) in &postgres {
        assert_eq!(expected, &sqlite[table], "{table}: PostgreSQL on the left, SQLite on the right");
    }
}

#[test]
fn both_databases_have_the_same_files_of_migrations() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut all = 0;
    for krate in ["platform", "app"] {
        let names = |dialect: &str| -> BTreeSet<_> {
            let folder = root.join(krate).join("migrations").join(dialect);
            let entries = std::fs::read_dir(folder).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        assert_eq!(names("postgres"), names("sqlite"), "{krate}");
        all += names("postgres").len();
    }
    let known: usize = tenantry_app::app().migrations().iter().map(|set| set.files.len()).sum();
    assert_eq!(known, all, "every file is in the list of its domain");
}
