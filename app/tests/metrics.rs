//! What is counted: under which names, with which labels, and who may read it.
use crate::{
    architecture::sources,
    support::{
        Options, TestApp,
        binary::{Folder, Running},
        database::on_postgres,
        no_limits, order,
        redis::OwnRedis,
        smtp::Smtp,
        until,
    },
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::TcpListener,
    path::Path,
    time::Duration,
};
use tenantry::{
    core::LimitSettings,
    infra::{
        plans::TenantLimit,
        rate_limit::{Quota, RateLimit},
        telemetry::METRICS,
    },
};

/// Every series and its value.
fn series(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let read = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    lines.map(read).collect()
}

/// The metric of a series.
fn metric_of(series: &str) -> &str {
    let name = series.split('{').next().unwrap();
    let known = |name: &str| METRICS.iter().any(|metric| metric.name == name);
    let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
    of_histogram.filter(|base| known(base)).unwrap_or(name)
}

async fn scraped(app: &TestApp) -> BTreeMap<String, f64> {
    let answer = app.anyone().get("//metrics").await;
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(answer.status, 200);
    series(&answer.text())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_route_method_and_status() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let before = scraped(&app).await;
    let placed = acme.member.post("/orders", order()).await.created();
    for _ in 0..3 {
        acme.member.get(&format!("/orders/{}", placed["id"].as_str().unwrap())).await.ok();
    }
    acme.viewer.post("/orders", order()).await.refused(403, "FORBIDDEN");
    let after = scraped(&app).await;
    let grown =
        |series: &str| after.get(series).copied().unwrap_or(0.0) - before.get(series).copied().unwrap_or(0.0);
    for (labels, count) in [
        (r#"method="GET",route="/api/v1/orders/{id}",status="200""#, 3.0),
        (r#"method="POST",route="/api/v1/orders",status="201""#, 1.0),
        (r#"method="POST",route="/api/v1/orders",status="403""#, 1.0),
    ] {
        assert_eq!(grown(&format!("tenantry_http_requests_total{{{labels}}}")), count, "{labels}");
    }
    let took = |rest: &str| grown(&format!("tenantry_http_request_duration_seconds_{rest}"));
    assert_eq!(took(r#"count{method="GET",route="/api/v1/orders/{id}"}"#), 3.0);
    assert_eq!(took(r#"bucket{method="GET",route="/api/v1/orders/{id}",le="+Inf"}"#), 3.0);
    assert!(took(r#"sum{method="GET",route="/api/v1/orders/{id}"}"#) > 0.0);
    assert_eq!(after["tenantry_http_requests_in_flight"], 0.0);
    assert!(after["tenantry_db_pool_open"] >= 1.0 && after["tenantry_db_pool_most"] >= 10.0);
    assert_eq!(after["tenantry_db_pool_waiting"], 0.0);
    assert!(after["process_resident_memory_bytes"] > 1e6 && after["process_open_fds"] > 3.0);
    assert!(after["process_start_time_seconds"] > 1.6e9);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_clients_choose_becomes_a_label() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    scraped(&app).await;
    let before = scraped(&app).await.len();
    for i in 0..50 {
        let anyone = app.anyone();
        anyone.get(&format!("/nothing/{i}")).await.refused(404, "NOT_FOUND");
        anyone.get(&format!("//nothing{i}")).await.refused(404, "NOT_FOUND");
        anyone.send(&format!("BREW{i}"), "/orders", &[], None).await.refused(405, "METHOD_NOT_ALLOWED");
        acme.member.get(&format!("/orders/{i}")).await.refused(404, "NOT_FOUND");
    }
    let grown = scraped(&app).await.len() - before;
    // three routes, each with one more status, and a histogram where there was none
    assert!(grown <= 3 * 20, "{grown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_limits_decide_is_counted_by_policy() {
    let limits = LimitSettings {
        auth: RateLimit(Some(Quota::new(3, 900))),
        tenant: TenantLimit::Fixed(RateLimit(Some(Quota::new(2, 900)))),
        ..no_limits()
    };
    let app = TestApp::start_with(Options { limits, ..Options::default() }).await;
    let acme = app.tenant_of_one("acme").await;
    for _ in 0..3 {
        acme.get("/auth/me").await;
    }
    let decided = |text: &BTreeMap<String, f64>, policy: &str, decision: &str| {
        let labels = format!(r#"{{policy="{policy}",decision="{decision}"}}"#);
        text.get(&format!("tenantry_rate_limit_decisions_total{labels}")).copied().unwrap_or(0.0)
    };
    let counted = scraped(&app).await;
    assert_eq!(decided(&counted, "tenant", "allowed"), 2.0, "{counted:?}");
    assert_eq!(decided(&counted, "tenant", "limited"), 1.0);
    assert_eq!(decided(&counted, "auth", "allowed"), 1.0);
    assert_eq!(counted[r#"tenantry_system_scope_total{reason="register"}"#], 1.0);
    assert!(!counted.contains_key("tenantry_redis_up"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_counted_and_what_is_done_is_nothing() {
    let smtp = Smtp::start().await;
    let app = TestApp::start_with(Options { mail: smtp.mail(), ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let invited = json!({ "email": "new@acme.test", "full_name": "Nora New", "role": "member" });
    acme.owner.post("/users", invited).await.created();
    // nobody listens there, so its delivery fails and waits for its next time
    let endpoint = json!({ "url": "http://127.0.0.1:1/hook" });
    acme.owner.post("/webhooks/endpoints", endpoint).await.created();
    acme.member.post("/orders", order()).await.created();
    let jobs = r#"tenantry_jobs{kind="mail.invitation",state="waiting"}"#;
    let worker = app.worker();
    worker.count().await;
    let counted = scraped(&app).await;
    assert_eq!(counted[jobs], 1.0, "{counted:?}");
    app.run_jobs().await;
    worker.count().await;
    let counted = scraped(&app).await;
    assert_eq!(counted[jobs], 0.0);
    assert_eq!(counted[r#"tenantry_jobs_total{kind="mail.invitation",outcome="done"}"#], 1.0);
    assert!(counted[r#"tenantry_webhook_deliveries{status="pending"}"#] >= 1.0);
    assert_eq!(counted[r#"tenantry_webhook_deliveries{status="failed"}"#], 0.0);
    assert!(counted[r#"tenantry_webhook_attempts_total{outcome="failed"}"#] >= 1.0);
    assert_eq!(counted["tenantry_webhook_oldest_pending_seconds"], 0.0, "none is due yet");
    let late = if on_postgres() {
        "UPDATE webhook_deliveries SET next_attempt_at = clock_timestamp() - interval '100 seconds'"
    } else {
        "UPDATE webhook_deliveries SET next_attempt_at = (unixepoch() - 100) * 1000000"
    };
    app.database.execute(late).await;
    worker.count().await;
    let oldest = scraped(&app).await["tenantry_webhook_oldest_pending_seconds"];
    assert!((99.0..200.0).contains(&oldest), "{oldest}");
}

fn text_of(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::fs::read_to_string(root.join(path)).unwrap()
}

/// What in a text looks like the name of a metric.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let metric = |word: &&str| {
        let prefix = word.split_once('_').map_or("", |(prefix, _)| prefix);
        matches!(prefix, "tenantry" | "process") && word.len() > 12
    };
    words.filter(metric).map(|word| metric_of(word).to_owned()).collect()
}

/// One list of names: what is counted, what is scraped, what is drawn, and what is documented.
#[tokio::test(flavor = "multi_thread")]
async fn every_name_is_in_the_list_and_the_list_has_no_other() {
    let listed: BTreeSet<_> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
    assert_eq!(listed.len(), METRICS.len());
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    acme.member.post("/orders", order()).await.created();
    let scraped: BTreeSet<_> =
        scraped(&app).await.keys().map(|series| metric_of(series).to_owned()).collect();
    assert_eq!(scraped.difference(&listed).collect::<Vec<_>>(), Vec::<&String>::new());
    // the macros name metrics by literals, or by a constant of the list
    let mut counted = BTreeSet::from(["tenantry_http_request_duration_seconds".to_owned()]);
    for (file, text) in sources().into_iter().filter(|(file, _)| !file.ends_with("telemetry/metrics.rs")) {
        for call in ["counter!(\"", "gauge!(\"", "histogram!(\""] {
            for (at, _) in text.match_indices(call) {
                let name = text[at + call.len()..].split('"').next().unwrap().to_owned();
                assert!(listed.contains(&name), "{file} counts {name}, which is not in the list");
                counted.insert(name);
            }
        }
    }
    counted.extend(["tenantry_build_info", "process_start_time_seconds"].map(str::to_owned));
    let nobody: Vec<_> = listed.difference(&counted).collect();
    assert_eq!(nobody, Vec::<&String>::new(), "nobody counts these");
    let documented = named(&text_of("docs/operations.md"));
    assert_eq!(listed.difference(&documented).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn the_dashboard_draws_what_is_counted() {
    let text = text_of("deploy/grafana/tenantry.json");
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut expressions = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(panel["title"].is_string() && panel["gridPos"].is_object(), "{panel}");
        for target in panel["targets"].as_array().into_iter().flatten() {
            expressions.push(target["expr"].as_str().unwrap().to_owned());
        }
    }
    assert!(expressions.len() >= 15);
    let listed: BTreeSet<_> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
    let alerts = text_of("docs/operations.md");
    let drawn = named(&expressions.join("\n"));
    assert_eq!(drawn.difference(&listed).collect::<Vec<_>>(), Vec::<&String>::new());
    for needed in
        ["tenantry_http_requests_total", "tenantry_db_pool_waiting", "tenantry_jobs", "process_open_fds"]
    {
        assert!(drawn.contains(needed) && alerts.contains(needed), "{needed}");
    }
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_its_own_is_the_only_one() {
    let folder = Folder::new();
    let own = free_address();
    let demo = Running::demo_with(&folder, &[("METRICS_ADDR", &own)]);
    let mut api = demo.wire();
    api.get("/metrics").refused(404, "NOT_FOUND");
    let mut metrics = crate::support::wire::Wire::to(own.split(':').nth(1).unwrap().parse().unwrap());
    let answer = metrics.get("/metrics");
    let counted = series(&String::from_utf8(answer.body).unwrap());
    let not_found = r#"tenantry_http_requests_total{method="GET",route="/metrics",status="404"}"#;
    let unmatched = r#"tenantry_http_requests_total{method="GET",route="unmatched",status="404"}"#;
    assert!(counted.contains_key(unmatched) && !counted.contains_key(not_found));
    assert!(counted["tenantry_http_connections"] >= 2.0);
    assert_eq!(metrics.get("/health").json(), json!({ "status": "ok" }));
    assert_eq!(metrics.get("/api/v1/orders").status, 404);
    assert_eq!(demo.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_production_they_are_on_an_address_of_their_own_or_nowhere() {
    let folder = Folder::new();
    let url = format!("sqlite://{}", folder.0.join("own.db").display());
    let variables = [
        ("DATABASE_URL", url.as_str()),
        ("SECRET_KEY", crate::support::SECRET_KEY),
        ("ENVIRONMENT", "production"),
        ("WEBHOOK_SIGNING_SECRET", crate::support::SECRET_KEY),
    ];
    let running = Running::serve(&folder, &variables);
    running.wire().get("/metrics").refused(404, "NOT_FOUND");
    assert_eq!(running.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_it_is_degraded_and_serves() {
    let mut redis = OwnRedis::start();
    let limits = LimitSettings { redis: Some(redis.url().parse().unwrap()), ..no_limits() };
    let limits = LimitSettings { auth: RateLimit(Some(Quota::new(1000, 60))), ..limits };
    let app = TestApp::start_with(Options { limits, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let ready = async || app.anyone().get("//health/ready").await.ok();
    until(|| app.core.limiter.redis_is_up() == Some(true)).await;
    assert_eq!(ready().await["status"], "ready");
    assert_eq!(ready().await["dependencies"][1], json!({ "name": "redis", "kind": "redis", "state": "up" }));
    redis.stop();
    app.sign_in("acme", "member").await; // finds out
    let told = ready().await;
    assert_eq!((&told["status"], &told["dependencies"][1]["state"]), (&json!("degraded"), &json!("down")));
    assert_eq!(scraped(&app).await["tenantry_redis_up"], 0.0);
    acme.member.get("/orders").await.ok();
    redis.start_again();
    until(|| app.core.limiter.redis_is_up() == Some(true)).await;
    assert_eq!(ready().await["status"], "ready");
    tokio::time::timeout(Duration::from_secs(10), async { scraped(&app).await }).await.unwrap();
}
