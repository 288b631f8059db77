//! From the first signal to the exit code, with the binary itself.
use crate::support::{
    binary::{Folder, Running},
    database::TestDatabase,
    smtp::{Manner, Smtp},
    until,
    wire::Wire,
};
use serde_json::json;
use std::net::TcpStream;

const HALF_A_HEAD: &str = "GET /health HTTP/1.1\r\nhost: loc";

async fn told_to_stop(running: &Running, signal: &str) {
    running.signal(signal);
    until(|| running.said().contains("stopping")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_not_ready_at_once_and_listens_on_for_a_moment() {
    let folder = Folder::new();
    let demo = Running::demo_with(&folder, &[("SHUTDOWN_DELAY_MS", "3000")]);
    let mut kept = demo.wire();
    assert_eq!(kept.get("/health/ready").status, 200);
    told_to_stop(&demo, "-TERM").await;
    let document = kept.get("/health/ready");
    assert_eq!(document.refused(503, "SERVICE_UNAVAILABLE"), "Not ready: it is being stopped");
    assert_eq!(document.json()["details"], json!([{ "field": "service", "message": "stopping" }]));
    assert!(document.closes() && kept.is_closed(), "whoever is kept is told to go");
    // others are served still
    let mut new = demo.wire();
    new.get("/health/ready").refused(503, "SERVICE_UNAVAILABLE");
    demo.token("acme", "member");
    let port = demo.port;
    until(|| TcpStream::connect(("127.0.0.1", port)).is_err()).await;
    assert_eq!(demo.stop_after_signal(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let folder = Folder::new();
    let demo = Running::demo_with(&folder, &[("SHUTDOWN_DELAY_MS", "300000")]);
    told_to_stop(&demo, "-TERM").await;
    demo.signal("-TERM");
    assert_eq!(demo.stop_after_signal(), Some(143));

    let folder = Folder::new();
    let demo =
        Running::demo_with(&folder, &[("SHUTDOWN_DELAY_MS", "300000"), ("SHUTDOWN_GRACE_MS", "300000")]);
    let mut holds = demo.wire();
    holds.send(HALF_A_HEAD);
    assert_eq!(demo.wire().get("/health").status, 200); // by now the half was read
    told_to_stop(&demo, "-INT").await;
    let port = demo.port;
    // nobody balances before somebody's terminal
    until(|| TcpStream::connect(("127.0.0.1", port)).is_err()).await;
    demo.signal("-INT");
    assert_eq!(demo.stop_after_signal(), Some(130));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_is_cut_off_and_it_ends_well() {
    let folder = Folder::new();
    let demo = Running::demo_with(&folder, &[("SHUTDOWN_DELAY_MS", "0"), ("SHUTDOWN_GRACE_MS", "500")]);
    let mut slow = demo.wire();
    slow.send(
        "POST /api/v1/auth/login HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{",
    );
    assert_eq!(demo.wire().get("/health").status, 200);
    demo.signal("-TERM");
    assert!(slow.is_closed());
    let log = demo.log.clone();
    assert_eq!(demo.stop_after_signal(), Some(0));
    let said = std::fs::read_to_string(log).unwrap();
    assert!(said.contains("cut off") && said.lines().last().unwrap().contains("\"stopped\""), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_being_done_is_given_back() {
    let folder = Folder::new();
    let database = TestDatabase::create().await;
    let smtp = Smtp::start().await;
    smtp.be(Manner::Hangs);
    let smtp_url = format!("smtp://127.0.0.1:{}?tls=none", smtp.port);
    let variables = [
        ("DATABASE_URL", database.url.as_str()),
        ("SECRET_KEY", crate::support::SECRET_KEY),
        ("WEBHOOK_SIGNING_SECRET", crate::support::SECRET_KEY),
        ("SMTP_URL", &smtp_url),
        ("MAIL_FROM", "no-reply@example.test"),
        ("BCRYPT_COST", "10"),
        ("SHUTDOWN_DELAY_MS", "0"),
        ("SHUTDOWN_GRACE_MS", "500"),
    ];
    let running = Running::serve(&folder, &variables);
    let token = running.register();
    let invited = json!({ "email": "new@acme.test", "full_name": "Nora New", "role": "member" }).to_string();
    assert_eq!(running.ask("POST", "/api/v1/users", Some(&token), &invited).0, 201);
    let claimed = "SELECT count(*) FROM jobs WHERE attempt = 1 AND leased_until IS NOT NULL";
    database.until(claimed, 1).await;
    assert_eq!(running.stop(), Some(0));
    let free = "SELECT count(*) FROM jobs WHERE attempt = 1 AND leased_until IS NULL AND state = 'waiting'";
    assert_eq!(database.number(free).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_file_descriptors_it_waits_and_goes_on() {
    let folder = Folder::new();
    let demo = Running::demo(&folder);
    let files = format!("/proc/{}/fd", demo.child.id());
    let open = || std::fs::read_dir(&files).unwrap().count();
    let mut kept = demo.wire();
    assert_eq!(kept.get("/health/ready").status, 200); // its database is open, too
    demo.limit(&format!("--nofile={0}:{0}", open() + 3));
    let mut many: Vec<_> = (0..20).map(|_| demo.wire()).collect();
    many.iter_mut().for_each(|wire| wire.send(HALF_A_HEAD));
    until(|| demo.said().contains("no connection can be accepted")).await;
    assert_eq!(kept.get("/health").status, 200, "what is there goes on");
    drop(many);
    assert_eq!(Wire::to(demo.port).get("/health").status, 200);
    assert_eq!(demo.stop(), Some(0));
}
