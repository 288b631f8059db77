//! Measures what the suite does not: how long a failed sign-in takes, whatever is wrong with it, and what a storm of
//! sign-ins does to everybody else. `scripts/bench-logins` builds and runs it; it wants a machine with nothing else to do.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measurement may panic, and is configured by its own environment"
)]
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

const PASSWORD: &str = "a long walk in the rain";
/// Failed sign-ins of each kind.
const ROUNDS: usize = 200;
/// Connections of the storm.
const CONNECTIONS: usize = 64;
/// How long orders are read in quiet, and as long in the storm.
const READING: Duration = Duration::from_secs(10);

fn main() {
    let binary = std::env::args().nth(1).expect("the binary to measure");
    for cost in [12, 10] {
        let service = Service::start(&binary, cost);
        let scene = Scene::set(&service);
        if cost == 12 {
            storm(&service, &scene);
        }
        failures(&service, &scene, cost);
    }
}

/// A node on a database of its own, without limits.
struct Service {
    child: Child,
    port: u16,
    folder: PathBuf,
}

impl Service {
    fn start(binary: &str, cost: u32) -> Self {
        let folder = std::env::temp_dir().join(format!("tenantry-logins-{}-{cost}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let log = folder.join("log");
        let url = std::env::var("DATABASE_URL")
            .unwrap_or_else(|_| format!("sqlite://{}", folder.join("own.db").display()));
        let child = Command::new(binary)
            .arg("serve")
            .env_clear()
            .envs([
                ("DATABASE_URL", url.as_str()),
                ("AUTO_MIGRATE", "true"),
                ("SECRET_KEY", "c2VjcmV0IG9mIGEgbWVhc3VyZW1lbnQsIGxvbmcgZW5vdWdo"),
                ("WEBHOOK_SIGNING_SECRET", "c2lnbnMgZm9yIGEgbWVhc3VyZW1lbnQsIGxvbmcgZW5vdWdo"),
                ("AUTH_RATE_LIMIT", "off"),
                ("TENANT_RATE_LIMIT", "off"),
                ("BCRYPT_COST", &cost.to_string()),
                ("LOG_FORMAT", "json"),
                ("RUST_LOG", "warn,tenantry::cli=info"), // a log line a request is no part of the question
                ("PORT", "0"),
            ])
            .current_dir(&folder)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut this = Self { child, port: 0, folder };
        let began = Instant::now();
        while this.port == 0 {
            let said = std::fs::read_to_string(&log).unwrap();
            assert!(began.elapsed() < Duration::from_secs(30), "{said}");
            thread::sleep(Duration::from_millis(20));
            let address = said.split("127.0.0.1:").nth(1).and_then(|rest| rest.split('"').next());
            this.port = address.map_or(0, |port| port.parse().unwrap_or(0));
        }
        this
    }

    fn connect(&self) -> Connection {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection(BufReader::new(stream))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A connection that stays open.
struct Connection(BufReader<TcpStream>);

struct Answer {
    status: u16,
    retry_after: bool,
    body: Vec<u8>,
}

impl Connection {
    fn ask(&mut self, method: &str, path: &str, token: &str, body: &str) -> Answer {
        let authorization =
            if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
        let request = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nx-request-id: one\r\n\
             {authorization}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut head, mut length) = (Vec::new(), 0);
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the connection was closed");
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            head.push(line);
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        let status = head[0].split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, retry_after: head.iter().any(|line| line.starts_with("retry-after: ")), body }
    }

    fn json(&mut self, method: &str, path: &str, token: &str, body: &Value) -> Value {
        let answer = self.ask(method, path, token, &body.to_string());
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(answer.status < 300, "{method} {path}: {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }
}

/// A tenant with everybody who cannot sign in, and an order to read.
struct Scene {
    failures: [(&'static str, String); 5],
    order: String,
    token: String,
}

impl Scene {
    fn set(service: &Service) -> Self {
        let mut connection = service.connect();
        let slug = format!("bench-{}-{}", std::process::id(), service.port);
        let register = json!({
            "tenant_name": "Bench", "tenant_slug": slug, "email": "owner@bench.test", "password": PASSWORD,
            "full_name": "Olivia Owner"
        });
        let session = connection.json("POST", "/auth/register", "", &register);
        let token = session["data"]["access_token"].as_str().unwrap().to_owned();
        let mut invite = |name: &str, joins: bool| {
            let body = json!({ "email": format!("{name}@bench.test"), "full_name": name, "role": "viewer" });
            let invited = connection.json("POST", "/users", &token, &body);
            if joins {
                let accept = json!({ "token": invited["data"]["invitation"]["token"], "password": PASSWORD });
                connection.json("POST", "/auth/invitations/accept", "", &accept);
            }
            invited["data"]["id"].as_str().unwrap().to_owned()
        };
        invite("invited", false);
        let gone = invite("deactivated", true);
        connection.json("DELETE", &format!("/users/{gone}"), &token, &json!({}));
        let order = json!({
            "customer_id": "0192f0c1-2a3b-7c4d-8e5f-000000000001",
            "items": [{ "product_id": "SKU-1", "product_name": "A lamp", "quantity": 2, "unit_price": "29.99" }]
        });
        let order = connection.json("POST", "/orders", &token, &order);
        let login = |slug: &str, name: &str, password: &str| {
            json!({ "tenant_slug": slug, "email": format!("{name}@bench.test"), "password": password })
                .to_string()
        };
        let failures = [
            ("unknown tenant", login("nobody", "owner", PASSWORD)),
            ("unknown address", login(&slug, "nobody", PASSWORD)),
            ("wrong password", login(&slug, "owner", "another walk in the rain")),
            ("invited", login(&slug, "invited", PASSWORD)),
            ("deactivated", login(&slug, "deactivated", PASSWORD)),
        ];
        Self { failures, order: format!("/orders/{}", order["id"].as_str().unwrap()), token }
    }
}

/// All kinds in turn, so that whatever else the machine does strikes each alike.
fn failures(service: &Service, scene: &Scene, cost: u32) {
    let mut connection = service.connect();
    let mut times = BTreeMap::<&str, Vec<Duration>>::new();
    let mut bodies = std::collections::BTreeSet::new();
    for _ in 0..ROUNDS {
        for (kind, body) in &scene.failures {
            let began = Instant::now();
            let answer = connection.ask("POST", "/auth/login", "", body);
            times.entry(kind).or_default().push(began.elapsed());
            assert_eq!(answer.status, 401);
            bodies.insert(answer.body);
        }
    }
    assert_eq!(bodies.len(), 1, "one body, byte for byte");
    println!("{ROUNDS} failed sign-ins of each kind at bcrypt cost {cost}: one body, and medians of");
    let medians: Vec<_> = times.iter_mut().map(|(kind, times)| (*kind, quantile(times, 50))).collect();
    let least = medians.iter().map(|(_, median)| *median).min().unwrap();
    for (kind, median) in medians {
        let more = 100.0 * (median.as_secs_f64() / least.as_secs_f64() - 1.0);
        println!("  {kind:<16} {:>9.2} ms  +{more:.1} %", 1000.0 * median.as_secs_f64());
    }
}

fn quantile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) * percent / 100]
}

fn storm(service: &Service, scene: &Scene) {
    let quiet = reading(service, scene);
    let stop = AtomicBool::new(false);
    let (compared, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let stormy = thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut connection = service.connect();
                while !stop.load(Relaxed) {
                    let answer = connection.ask("POST", "/auth/login", "", &scene.failures[2].1);
                    match answer.status {
                        401 => compared.fetch_add(1, Relaxed),
                        503 if answer.retry_after => refused.fetch_add(1, Relaxed),
                        status => panic!("{status}: {}", String::from_utf8_lossy(&answer.body)),
                    };
                }
            });
        }
        thread::sleep(Duration::from_secs(1)); // until the queue is full
        let stormy = reading(service, scene);
        stop.store(true, Relaxed);
        stormy
    });
    println!("GET {{order}}, one connection, {} s each", READING.as_secs());
    for (when, (count, p50, p99)) in [("quiet", quiet), ("storm", stormy)] {
        let [p50, p99] = [p50, p99].map(|time| 1000.0 * time.as_secs_f64());
        println!("  {when:<6} {count:>7} read, median {p50:.2} ms, p99 {p99:.2} ms");
    }
    println!(
        "  p99 in the storm is {:.1} times that in quiet; {CONNECTIONS} connections got {} answers of 401 and {} of 503 \
         with Retry-After",
        stormy.2.as_secs_f64() / quiet.2.as_secs_f64(),
        compared.load(Relaxed),
        refused.load(Relaxed)
    );
}

/// How many were read, and their median and 99th percentile.
fn reading(service: &Service, scene: &Scene) -> (usize, Duration, Duration) {
    let mut connection = service.connect();
    let (mut times, began) = (Vec::new(), Instant::now());
    while began.elapsed() < READING {
        let asked = Instant::now();
        assert_eq!(connection.ask("GET", &scene.order, &scene.token, "").status, 200);
        times.push(asked.elapsed());
    }
    (times.len(), quantile(&mut times, 50), quantile(&mut times, 99))
}
