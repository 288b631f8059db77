//! Several nodes at one database: nothing twice while nobody dies, nothing lost when somebody does, nobody overruled.
use super::{Made, TICKS, deliveries, endpoint, endpoint_at, on_plan, the_delivery, with_ticks};
use crate::support::{
    Options, Person, SECRET_KEY, TestApp,
    database::on_postgres,
    order,
    receiver::{Manner, Receiver},
    until, webhooks,
};
use serde_json::json;
use std::{
    collections::BTreeSet,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tenantry::{
    config::WebhookSettings,
    infra::{clock::Clock, jobs::JobSettings},
};
use tokio::{
    sync::{Semaphore, oneshot},
    task::JoinHandle,
};

/// A worker that runs as it does in production, until it is stopped.
struct Working {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Working {
    /// Looks for work this often; it is rung for otherwise.
    fn start(app: &TestApp, poll: Duration, grace: Duration) -> Self {
        let worker = app.app.worker(&app.core, JobSettings { poll, ..JobSettings::default() });
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move { worker.run(async { _ = stopped.await }, grace).await });
        Self { stop, task }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}

const SECOND: Duration = Duration::from_secs(1);
/// So seldom that a test would not see it.
const NEVER: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_nodes_deliver_five_thousand_events_to_ten_endpoints_and_none_twice() {
    // a file has one writer, and two processes wait for each other by sleeping
    let events = if on_postgres() { 5000 } else { 1000 };
    let one = TestApp::start_with(with_ticks()).await;
    let two = TestApp::on(one.database.clone(), with_ticks()).await;
    let owner = on_plan(&one, "acme", "pro").await;
    let mut receivers = Vec::new();
    for _ in 0..10 {
        let receiver = Receiver::start().await;
        endpoint(&owner, &receiver).await;
        receivers.push(receiver);
    }
    let began = Instant::now();
    let nodes = [&one, &two].map(|node| Working::start(node, SECOND, SECOND * 10));
    for i in 0..events / TICKS {
        let node = if i % 2 == 0 { &one } else { &two };
        node.with_token(&owner.access_token).post_empty("/ticks").await.status(204);
    }
    let delivered = || receivers.iter().map(Receiver::count).sum::<usize>();
    while delivered() < events * 10 {
        assert!(began.elapsed() < Duration::from_secs(150), "{} were delivered", delivered());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = began.elapsed();
    for node in nodes {
        node.stop().await;
    }
    eprintln!("{events} events to 10 endpoints over two nodes: {took:?}");
    for receiver in &receivers {
        let received = receiver.received();
        let ids: BTreeSet<_> = received.iter().map(|one| one.header("webhook-id").to_owned()).collect();
        assert_eq!((received.len(), ids.len()), (events, events), "each event once");
    }
    let sums = "SELECT count(*) FROM webhook_deliveries WHERE status = 'succeeded' AND attempt_count = 1 AND claims = 1";
    let all = i64::try_from(events * 10).unwrap();
    assert_eq!((one.database.number(sums).await, one.database.count("webhook_attempts").await), (all, all));
}

/// A node whose attempts take this long at most.
async fn beside(app: &TestApp, timeout: Duration) -> TestApp {
    let limits = WebhookSettings { timeout, ..webhooks() };
    TestApp::on(app.database.clone(), Options { webhooks: limits, ..Options::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_is_overtaken_changes_nothing() {
    for late_succeeds in [true, false] {
        let app = TestApp::start().await;
        let slow = beside(&app, if late_succeeds { SECOND * 60 } else { SECOND }).await;
        let acme = app.tenant("acme").await;
        let permits = Arc::new(Semaphore::new(0));
        let receiver = Receiver::of(Manner::Waits(permits.clone())).await;
        endpoint(&acme.owner, &receiver).await;
        acme.member.post("/orders", order()).await.created();
        let holder = tokio::spawn(async move { slow.run_jobs().await });
        until(|| receiver.count() == 1).await;
        assert_eq!(app.run_jobs().await, 0, "it is held");
        app.database.execute("UPDATE webhook_deliveries SET leased_until = created_at").await;
        receiver.be(Manner::Answers(if late_succeeds { 500 } else { 200 }));
        assert_eq!(app.run_jobs().await, 1, "the lease has ended");
        let settled = the_delivery(&acme.owner).await;
        assert_eq!(settled["status"], if late_succeeds { "pending" } else { "succeeded" });
        if late_succeeds {
            permits.add_permits(1);
        }
        holder.await.unwrap();
        assert_eq!(the_delivery(&acme.owner).await, settled);
        let failing = app
            .database
            .number("SELECT count(*) FROM webhook_endpoints WHERE failing_since IS NOT NULL")
            .await;
        assert_eq!(failing, i64::from(late_succeeds), "of the endpoint's health too");
        let [first, second] = &receiver.received()[..] else { panic!() };
        assert_eq!((first.header("webhook-id"), &first.body), (second.header("webhook-id"), &second.body));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_gives_back_what_is_under_way() {
    let app = TestApp::start().await;
    let other = beside(&app, SECOND * 15).await;
    let acme = app.tenant("acme").await;
    let receiver = Receiver::of(Manner::Hangs).await;
    endpoint(&acme.owner, &receiver).await;
    let node = Working::start(&app, NEVER, Duration::from_millis(50));
    acme.member.post("/orders", order()).await.created();
    until(|| receiver.count() == 1).await; // a commit has woken it
    node.stop().await;
    receiver.be(Manner::Answers(200));
    assert_eq!(other.run_jobs().await, 1, "at once, without waiting for the end of a lease");
    let delivery = the_delivery(&acme.owner).await;
    assert_eq!((&delivery["status"], &delivery["attempt_count"]), (&json!("succeeded"), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_when_a_node_stops_may_end() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let permits = Arc::new(Semaphore::new(0));
    let receiver = Receiver::of(Manner::Waits(permits.clone())).await;
    endpoint(&acme.owner, &receiver).await;
    let node = Working::start(&app, NEVER, SECOND * 10);
    acme.member.post("/orders", order()).await.created();
    until(|| receiver.count() == 1).await;
    let stopping = tokio::spawn(node.stop());
    permits.add_permits(1);
    stopping.await.unwrap();
    assert_eq!(the_delivery(&acme.owner).await["status"], "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_at_one_node_wakes_another_on_postgres() {
    if !on_postgres() {
        return;
    }
    let (app, acme, receiver) = with_one_endpoint().await;
    let other = TestApp::on(app.database.clone(), Options::default()).await;
    let node = Working::start(&other, NEVER, SECOND);
    let relays = [&app, &other].map(|node| {
        let db = node.core.db.clone();
        tokio::spawn(async move { db.relay().await })
    });
    let listening = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN tenantry'";
    app.database.until(listening, 2).await;
    for sent in 1..=3 {
        acme.post("/orders", order()).await.created();
        until(|| receiver.count() == sent).await;
    }
    // a connection that is cut is replaced, and what was missed is looked for
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND (query LIKE 'LISTEN%' OR query LIKE 'NOTIFY%')";
    assert_eq!(app.database.number(cut).await, 2);
    acme.post("/orders", order()).await.created();
    until(|| receiver.count() == 4).await;
    node.stop().await;
    relays.iter().for_each(JoinHandle::abort);
}

async fn with_one_endpoint() -> (TestApp, Person, Receiver) {
    let app = TestApp::start().await;
    let owner = on_plan(&app, "acme", "pro").await;
    let receiver = Receiver::start().await;
    endpoint(&owner, &receiver).await;
    (app, owner, receiver)
}

/// A process of the product on the database of a test.
struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    fn start(app: &TestApp, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let log = std::env::temp_dir().join(format!("log-{}", tenantry::uuid::Uuid::new_v4().simple()));
        let child = Command::new(env!("CARGO_BIN_EXE_tenantry"))
            .args(arguments)
            .env_clear()
            .env("DATABASE_URL", &app.database.url)
            .env("SECRET_KEY", SECRET_KEY)
            .env("WEBHOOK_SIGNING_SECRET", Options::default().webhook_secret)
            .env("WEBHOOK_ALLOW_PRIVATE_TARGETS", "true")
            .env("PORT", "0")
            .envs(variables.iter().copied())
            .current_dir(std::env::temp_dir())
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, log }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Its exit code, once it has ended.
    fn exit(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Ends it as a service manager does.
    fn stop(self) -> Option<i32> {
        self.signal("-TERM");
        self.exit()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.log);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stood_still_beyond_its_lease_does_not_overrule_another_on_postgres() {
    if !on_postgres() {
        return; // a file has one process, and one that stands still may hold its lock
    }
    let app = TestApp::start_with(Options { clock: Clock::System, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let receiver = Receiver::of(Manner::Hangs).await;
    let made: Made = endpoint_at(&acme.owner, &receiver.url()).await;
    acme.member.post("/orders", order()).await.created();
    let stood_still = Process::start(&app, &["worker"], &[("WEBHOOK_TIMEOUT_MS", "1500")]);
    until(|| receiver.count() == 1).await;
    stood_still.signal("-STOP");
    app.database.execute("UPDATE webhook_deliveries SET leased_until = created_at").await; // time goes by
    receiver.be(Manner::Answers(200));
    let other = Process::start(&app, &["worker"], &[]);
    until(|| receiver.count() == 2).await;
    let succeeded = "SELECT count(*) FROM webhook_deliveries WHERE status = 'succeeded'";
    app.database.until(succeeded, 1).await;
    let settled = the_delivery(&acme.owner).await;
    stood_still.signal("-CONT");
    until(|| stood_still.log().contains("taken over")).await;
    assert_eq!(the_delivery(&acme.owner).await, settled);
    assert_eq!(settled["attempt_count"], 1);
    assert_eq!(deliveries(&acme.owner, &format!("endpoint_id={}", made.id)).await.len(), 1);
    assert_eq!((stood_still.stop(), other.stop()), (Some(0), Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_its_own_does_what_a_server_without_one_leaves() {
    let app = TestApp::start_with(Options { clock: Clock::System, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let receiver = Receiver::start().await;
    endpoint(&acme.owner, &receiver).await;
    let talkative = [("RUST_LOG", "info,tenantry=debug")]; // a purge that finds nothing says so at this level
    let server = Process::start(&app, &["serve", "--no-worker"], &talkative);
    until(|| server.log().contains("serving")).await;
    let worker = Process::start(&app, &["worker"], &talkative);
    acme.member.post("/orders", order()).await.created();
    until(|| receiver.count() == 1).await;
    until(|| worker.log().contains("purge of webhooks")).await;
    worker.signal("-TERM");
    until(|| worker.log().contains("stopped")).await;
    server.signal("-TERM");
    until(|| server.log().contains("stopped")).await;
    assert!(!server.log().contains("purge of webhooks"), "{}", server.log());
    assert_eq!(the_delivery(&acme.owner).await["status"], "succeeded", "what was under way has ended");
    assert_eq!((worker.exit(), server.exit()), (Some(0), Some(0)));
}
