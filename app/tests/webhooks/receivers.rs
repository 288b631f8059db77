//! The receivers in `docs/operations.md` do what is said of them, where python3 and node are installed.
use super::{endpoint_at, on_plan};
use crate::support::{Options, TestApp, receiver::refusing_url, until};
use serde_json::json;
use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
};
use tenantry::infra::clock::Clock;

/// The first block of a language.
fn snippet(language: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (_, rest) = document.split_once(&format!("\n```{language}\n")).unwrap();
    rest.split_once("\n```\n").unwrap().0.to_owned()
}

struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn receives(interpreter: &str, language: &str, switch: &str) {
    let version = Command::new(interpreter).arg("--version").stdout(Stdio::null()).status();
    if version.is_err() {
        eprintln!("{interpreter} is not installed: its receiver was not tried");
        return;
    }
    let app = TestApp::start_with(Options { clock: Clock::System, ..Options::default() }).await;
    let owner = on_plan(&app, "acme", "pro").await;
    let url = refusing_url().await; // until the receiver listens there
    let port: u16 = url.split([':', '/']).nth(4).unwrap().parse().unwrap();
    let made = endpoint_at(&owner, &url).await;
    let rotated = owner.post_empty(&made.path("/rotate-secret")).await.ok();
    let program = Command::new(interpreter)
        .args([switch, &snippet(language)])
        .env("PORT", port.to_string())
        .env("WEBHOOK_SECRET", &made.secret)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut program = Program(program.unwrap());
    until(|| TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
    let sent = owner.post_empty(&made.path("/test")).await.status(202);
    app.run_jobs().await;
    let delivery = owner.get(&format!("/webhooks/deliveries/{}", sent["id"].as_str().unwrap())).await.ok();
    let attempt = &delivery["attempts"][0];
    assert_eq!(
        (&delivery["status"], &attempt["response_status"]),
        (&json!("succeeded"), &json!(204)),
        "{attempt}"
    );
    assert_ne!(rotated["secret"], made.secret, "the secret before it verifies too");
    for forged in ["v1,AAAA", "", "v1", "v1,é"] {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let now = super::machine_time().as_secs();
        write!(
            stream,
            "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\nwebhook-id: evt_1\r\n\
             webhook-timestamp: {now}\r\nwebhook-signature: {forged}\r\n\r\n{{}}"
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(String::from_utf8_lossy(&answer).contains(" 400 "), "{forged}");
    }
    let mut said = String::new();
    let mut out = program.0.stdout.take().unwrap();
    drop(program);
    out.read_to_string(&mut said).unwrap();
    assert_eq!(said, "webhook.test\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receiver_in_python_verifies_what_is_sent_and_refuses_what_is_forged() {
    receives("python3", "python", "-c").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receiver_in_node_verifies_what_is_sent_and_refuses_what_is_forged() {
    receives("node", "js", "-e").await;
}
