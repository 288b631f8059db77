//! Traces, as a collector is sent them.
use crate::support::{
    binary::{Folder, Running},
    until,
};
use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";

/// Takes everything, and keeps it.
struct Collector {
    port: u16,
    taken: Arc<Mutex<Vec<u8>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let keep = taken.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = Vec::new();
                let mut buffer = [0; 65_536];
                while !is_whole(&request) {
                    match stream.read(&mut buffer) {
                        Ok(read @ 1..) => request.extend_from_slice(&buffer[..read]),
                        _ => break,
                    }
                }
                keep.lock().unwrap().extend_from_slice(&request);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            }
        });
        Self { port, taken }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn has(&self, bytes: &[u8]) -> bool {
        self.taken.lock().unwrap().windows(bytes.len()).any(|window| window == bytes)
    }
}

fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    length.is_some_and(|length| request.len() >= end + 4 + length.trim().parse::<usize>().unwrap())
}

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_on_with_the_trace_of_its_caller() {
    let folder = Folder::new();
    let collector = Collector::start();
    let url = collector.url();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=canary%20key"),
        ("OTEL_SERVICE_NAME", "orders of a test"),
        ("LOG_FORMAT", "json"),
    ];
    let demo = Running::demo_with(&folder, &variables);
    let token = demo.token("acme", "member");
    let mut wire = demo.wire();
    wire.send(format!(
        "GET /api/v1/orders/0192f0c1-2a3b-7c4d-8e5f-000000000001 HTTP/1.1\r\nhost: a\r\nx-request-id: of-a-trace\r\n\
         authorization: Bearer {token}\r\n{CALLER}\r\n"
    ));
    let answer = wire.answer();
    assert_eq!(answer.json()["trace_id"], TRACE, "an error document names it");
    let line = |demo: &Running| {
        let said = demo.said();
        said.lines().find(|line| line.contains(r#""request_id":"of-a-trace""#)).map(str::to_owned)
    };
    until(|| line(&demo).is_some()).await;
    assert!(line(&demo).unwrap().contains(&format!(r#""trace_id":"{TRACE}""#)), "and so does the log");
    // who brings none, or a wrong one, begins one
    wire.send("GET /nothing HTTP/1.1\r\nhost: a\r\ntraceparent: nonsense\r\n\r\n");
    let other = wire.answer().json()["trace_id"].as_str().unwrap().to_owned();
    assert!(other.len() == 32 && other != TRACE);
    assert_eq!(demo.stop(), Some(0)); // which sends what is left
    for needed in [
        &b"POST /v1/traces HTTP/1.1"[..],
        b"x-api-key: canary key",
        b"orders of a test",
        b"GET /api/v1/orders/{id}",
        b"GET unmatched",
        b"of-a-trace",
        b"SELECT ",
        b"sqlite",
        &bytes_of(TRACE),
        &bytes_of(&other),
        &bytes_of("00f067aa0ba902b7"),
    ] {
        assert!(collector.has(needed), "{}", String::from_utf8_lossy(needed));
    }
    for secret in [token.as_bytes(), tenantry::DEMO_PASSWORD.as_bytes(), b"@acme.test", b"tenantry-demo.db"] {
        assert!(!collector.has(secret), "{}", String::from_utf8_lossy(secret));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_or_says_nothing_delays_nobody() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for address in [silent.local_addr().unwrap(), gone] {
        let folder = Folder::new();
        let url = format!("http://{address}");
        let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()), ("SHUTDOWN_DELAY_MS", "0")];
        let demo = Running::demo_with(&folder, &variables);
        let mut wire = demo.wire();
        // more than fit into its queue
        for _ in 0..3000 {
            assert_eq!(wire.get("/health").status, 200);
        }
        until(|| demo.said().contains("traces cannot be sent")).await;
        assert_eq!(demo.said().matches("traces cannot be sent").count(), 1, "once a minute");
        let began = Instant::now();
        assert_eq!(demo.stop(), Some(0));
        assert!(began.elapsed() < Duration::from_secs(30));
    }
}

#[test]
fn without_a_collector_nothing_names_a_trace() {
    let folder = Folder::new();
    let demo = Running::demo(&folder);
    let mut wire = demo.wire();
    wire.send(format!("GET /nothing HTTP/1.1\r\nhost: a\r\nx-request-id: none\r\n{CALLER}\r\n"));
    let document = wire.answer().json();
    assert_eq!(document.get("trace_id"), None);
    assert_eq!(demo.stop(), Some(0));
    let log = std::fs::read_to_string(folder.0.join("log")).unwrap();
    assert!(log.contains("none") && !log.contains(TRACE));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_that_a_request_leaves_has_its_id() {
    let folder = Folder::new();
    let variables = [("RUST_LOG", "info,tenantry::sql=debug"), ("LOG_FORMAT", "json")];
    let demo = Running::demo_with(&folder, &variables);
    let mut wire = demo.wire();
    wire.send("GET /health/ready HTTP/1.1\r\nhost: a\r\nx-request-id: of-these-lines\r\n\r\n");
    assert_eq!(wire.answer().status, 200);
    let lines = || -> Vec<String> {
        demo.said().lines().filter(|line| line.contains("of-these-lines")).map(str::to_owned).collect()
    };
    until(|| lines().iter().any(|line| line.contains(r#""message":"request""#))).await;
    assert!(lines().iter().any(|line| line.contains("SELECT 1")), "{:#?}", lines());
}
