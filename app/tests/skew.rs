//! What PostgreSQL reads for a request does not grow with what its tenant has, though its statements are planned once for
//! all tenants and most of those have next to nothing.
use crate::support::{TestApp, database::on_postgres, order};
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

    // what filled the tables is told before the requests, which are told about once a second
    app.database.execute("SELECT pg_stat_force_next_flush()").await;
    acme.member.get(&order).await.ok();
    let (mut scans, mut rows) = read(&app).await;
    let began = Instant::now();
    for told in 0..2 {
        let before = (scans, rows);
        while scans < before.0 + 20 {
            assert!(began.elapsed() < Duration::from_secs(60), "nothing is told of what was read");
            acme.member.get(&order).await.ok();
            (scans, rows) = read(&app).await;
        }
        if told > 0 {
            let (scans, rows) = (scans - before.0, rows - before.1);
            assert!(rows <= 10 * scans, "{rows} rows for {scans} requests");
        }
    }
}
