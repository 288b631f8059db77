//! What PostgreSQL reads for a request does not grow with what its tenant has, though its statements are planned once for
//! all tenants and most of those have next to nothing.
use crate::support::{Tenant, TestApp, database::on_postgres, order};
use std::time::{Duration, Instant};

/// A tenant of a thousand among many of one person, one session and one order.
const FILL: &str = "
    INSERT INTO tenants (id, name, slug, plan, created_at, updated_at)
        SELECT gen_random_uuid(), 'Small', 'small-' || n, 'free', now(), now() FROM generate_series(1, 3000) n;
    INSERT INTO users (tenant_id, id, email, full_name, role, status, password_hash, created_at, updated_at)
        SELECT id, gen_random_uuid(), 'one@small.test', 'One', 'owner', 'active', 'x', now(), now() FROM tenants
        WHERE name = 'Small';
    INSERT INTO users (tenant_id, id, email, full_name, role, status, password_hash, created_at, updated_at)
        SELECT {tenant}, gen_random_uuid(), n || '@large.test', 'Many', 'member', 'active', 'x', now(), now()
        FROM generate_series(1, 1000) n;
    INSERT INTO sessions (tenant_id, id, user_id, created_at, last_used_at, expires_at)
        SELECT tenant_id, gen_random_uuid(), id, now(), now(), now() + interval '1 day' FROM users WHERE full_name = 'One';
    INSERT INTO sessions (tenant_id, id, user_id, created_at, last_used_at, expires_at)
        SELECT {tenant}, gen_random_uuid(), {user}, now(), now(), now() + interval '1 day' FROM generate_series(1, 1000);
    INSERT INTO orders (tenant_id, id, customer_id, status, total_minor, currency, version, created_at, updated_at)
        SELECT tenant_id, gen_random_uuid(), id, 'pending', 1, 'USD', 1, now(), now() FROM users WHERE full_name <> 'A owner';
    ANALYZE tenants, users, sessions, orders;
";

/// As many orders, in all and of one tenant, as make the index of the primary key less high than the others, by which
/// PostgreSQL settles a tie. Of two hundred orders of that tenant one is of the customer `few`, and confirmed.
const FILL_ORDERS: &str = "
    INSERT INTO tenants (id, name, slug, plan, created_at, updated_at)
        SELECT gen_random_uuid(), 'Small', 'small-' || n, 'free', now(), now() FROM generate_series(1, 3000) n;
    INSERT INTO orders (tenant_id, id, customer_id, status, total_minor, currency, version, created_at, updated_at)
        SELECT {tenant}, (lpad(to_hex(1769860000000 - n * 1000), 12, '0') || substr(md5(n::text), 1, 20))::uuid,
            CASE n % 200 WHEN 0 THEN '0192f0c1-2a3b-7c4d-8e5f-000000000000' ELSE gen_random_uuid() END,
            CASE n % 200 WHEN 0 THEN 'confirmed' ELSE 'pending' END, 1, 'USD', 1, now(), now()
        FROM generate_series(1, 8000) n;
    INSERT INTO orders (tenant_id, id, customer_id, status, total_minor, currency, version, created_at, updated_at)
        SELECT tenants.id, gen_random_uuid(), gen_random_uuid(), 'pending', 1, 'USD', 1, now(), now()
        FROM tenants, generate_series(1, 4) WHERE name = 'Small';
    ANALYZE tenants, orders;
";

/// How often somebody's session was looked up, and how many rows were fetched in all.
async fn read(app: &TestApp) -> (i64, i64) {
    let of = |what: &str| {
        format!(
            "SELECT sum({what})::bigint FROM pg_stat_user_tables WHERE relname IN ('users', 'sessions', 'orders')"
        )
    };
    let looked_up = "SELECT idx_scan FROM pg_stat_user_tables WHERE relname = 'sessions'";
    (app.database.number(looked_up).await, app.database.number(&of("idx_tup_fetch + seq_tup_read")).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_finds_its_rows_by_their_keys_on_postgres() {
    if !on_postgres() {
        return;
    }
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let placed = acme.member.post("/orders", order()).await.created();
    let order = format!("/orders/{}", placed["id"].as_str().unwrap());
    let fill = FILL.replace("{tenant}", &app.database.literal(acme.id));
    app.database.execute(&fill.replace("{user}", &app.database.literal(acme.member.user_id))).await;

    let (requests, rows) = fetched(&app, &acme, &[order]).await;
    assert!(rows <= 10 * requests, "{rows} rows for {requests} requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_reads_the_rows_that_it_shows_on_postgres() {
    if !on_postgres() {
        return;
    }
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    app.database.execute(&FILL_ORDERS.replace("{tenant}", &app.database.literal(acme.id))).await;
    let few = "customer_id=0192f0c1-2a3b-7c4d-8e5f-000000000000";
    for filter in [few, "status=confirmed", &format!("{few}&status=confirmed"), "status=pending", ""] {
        let first = format!("/orders?limit=10&{filter}");
        let cursor = acme.member.get(&first).await.ok()["next_cursor"].as_str().unwrap().to_owned();
        let bounds = [
            format!("cursor={cursor}"),
            "created_before=2026-01-31T11:30:00Z".to_owned(),
            "created_after=2026-01-31T11:00:00Z".to_owned(),
            format!("created_after=2026-01-31T10:00:00Z&cursor={cursor}"),
        ];
        let lists: Vec<_> =
            bounds.iter().map(|bounds| format!("{first}&{bounds}")).chain([first.clone()]).collect();
        let (requests, rows) = fetched(&app, &acme, &lists).await;
        assert!(rows <= 40 * requests, "{filter}: {rows} rows for {requests} lists of ten");
    }
}

/// Gets these again and again: how many requests that were, and how many rows they fetched.
async fn fetched(app: &TestApp, tenant: &Tenant, paths: &[String]) -> (i64, i64) {
    // what was done before is told before the requests, which are told about once a second
    app.database.execute("SELECT pg_stat_force_next_flush()").await;
    get_all(tenant, paths).await;
    let (mut scans, mut rows) = read(app).await;
    let began = Instant::now();
    let mut before = (scans, rows);
    for _ in 0..2 {
        before = (scans, rows);
        while scans < before.0 + 20 {
            assert!(began.elapsed() < Duration::from_secs(60), "nothing is told of what was read");
            get_all(tenant, paths).await;
            (scans, rows) = read(app).await;
        }
    }
    (scans - before.0, rows - before.1)
}

async fn get_all(tenant: &Tenant, paths: &[String]) {
    for path in paths {
        tenant.member.get(path).await.ok();
    }
}
