//! The binary as its operator meets it: the demo, the commands, and what a wrong start says.
mod secrets;

use crate::support::{
    DEMO,
    binary::{Folder, Running},
    stripe, until,
};
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Output,
};

const SECRET: &str = "c2VjcmV0IG9mIGEgdGVzdCwgbG9uZyBlbm91Z2ggMTIzNDU2";

pub fn lines(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect()
}

#[test]
fn the_demo_is_seeded_and_its_banner_is_true() {
    let folder = Folder::new();
    let demo = Running::demo(&folder);
    assert!(folder.0.join("tenantry-demo.db").exists());
    assert_eq!(demo.ask("GET", "/health", None, ""), (200, r#"{"status":"ok"}"#.to_owned()));
    for (tenant, role) in DEMO {
        assert!(demo.banner.contains(&format!("{role}@{tenant}.test")), "{}", demo.banner);
        let token = demo.token(tenant, role);
        let (status, body) = demo.ask("GET", "/api/v1/orders?limit=100", Some(&token), "");
        let page: Value = serde_json::from_str(&body).unwrap();
        let orders = page["data"].as_array().unwrap();
        assert_eq!((status, orders.len()), (200, if tenant == "acme" { 48 } else { 12 }));
        for word in ["pending", "confirmed", "processing", "completed", "cancelled"] {
            assert!(
                orders.iter().any(|order| order["status"] == word),
                "{tenant} has an order that is {word}"
            );
        }
    }
    let viewer = demo.token("acme", "viewer");
    let (status, _) = demo.ask("POST", "/api/v1/orders", Some(&viewer), &crate::support::order().to_string());
    assert_eq!(status, 403);
    assert_eq!(demo.ask("GET", "/docs", None, "").0, 200);
    assert_eq!(demo.stop(), Some(0));
}

#[test]
fn the_line_of_the_banner_works_when_pasted() {
    let folder = Folder::new();
    let demo = Running::demo(&folder);
    let line = demo.banner.lines().find_map(|line| line.trim().strip_prefix("Paste")).unwrap().trim();
    assert!(line.starts_with("curl "), "{line}");
    // what a shell would make of it: words between spaces and single quotes
    let mut words = Vec::new();
    for (i, part) in line.split('\'').enumerate() {
        match i % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    let url = words.iter().find(|word| word.starts_with("http://")).unwrap();
    let path = url.split_once(&format!(":{}", demo.port)).unwrap().1;
    let body = words.last().unwrap();
    assert!(words.contains(&"Content-Type: application/json".to_owned()));
    let (status, answer) = demo.ask("POST", path, None, body);
    assert_eq!(status, 200, "{answer}");
}

#[test]
fn a_second_start_keeps_the_data_and_the_tokens() {
    let folder = Folder::new();
    let first = Running::demo(&folder);
    let token = first.token("acme", "member");
    let (status, placed) =
        first.ask("POST", "/api/v1/orders", Some(&token), &crate::support::order().to_string());
    assert_eq!(status, 201);
    let id = serde_json::from_str::<Value>(&placed).unwrap()["id"].as_str().unwrap().to_owned();
    first.signal("-KILL");
    drop(first);
    let second = Running::demo(&folder);
    let (status, read) = second.ask("GET", &format!("/api/v1/orders/{id}"), Some(&token), "");
    assert_eq!((status, read), (200, placed));
    assert_eq!(second.stop(), Some(0));
}

/// Sends a request on each of these sockets while the service stands still, so that all are there before it reads the
/// first; answers their statuses and bodies.
fn all_at_once(demo: &Running, sockets: Vec<TcpStream>, request: &str) -> Vec<(String, String)> {
    demo.signal("-STOP");
    let mut sockets = sockets;
    for socket in &mut sockets {
        socket.write_all(request.as_bytes()).unwrap();
    }
    demo.signal("-CONT");
    let read = |mut socket: TcpStream| {
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
    };
    sockets.into_iter().map(read).collect()
}

#[test]
fn uses_of_a_refresh_token_that_wait_in_sockets_end_no_session() {
    let folder = Folder::new();
    let demo = Running::demo(&folder);
    let session = demo.session("acme", "member");
    let body = format!(r#"{{"refresh_token":{}}}"#, session["refresh_token"]);
    let request = format!(
        "POST /api/v1/auth/refresh HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let sockets = (0..20).map(|_| {
        let mut socket = TcpStream::connect(("127.0.0.1", demo.port)).unwrap();
        socket.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let mut answer = [0; 4096];
        assert!(socket.read(&mut answer).unwrap() > 0); // the service has taken it
        socket
    });
    let answers = all_at_once(&demo, sockets.collect(), &request);
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(status, _)| status == "200");
    assert_eq!((won.len(), lost.len()), (1, 19));
    let token = serde_json::from_str::<Value>(&won[0].1).unwrap()["data"]["access_token"].clone();
    assert_eq!(demo.ask("GET", "/api/v1/auth/me", token.as_str(), "").0, 200, "the winner's session lives");
    assert_eq!(demo.ask("POST", "/api/v1/auth/refresh", None, &body).0, 401);
    assert_eq!(demo.ask("GET", "/api/v1/auth/me", token.as_str(), "").0, 401, "but reuse ends it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_is_finished_before_it_stops() {
    let folder = Folder::new();
    let demo = Running::demo(&folder);
    let mut stream = TcpStream::connect(("127.0.0.1", demo.port)).unwrap();
    let body = format!(
        r#"{{"tenant_slug":"acme","email":"owner@acme.test","password":"{}"}}"#,
        tenantry::DEMO_PASSWORD
    );
    let head = format!(
        "POST /api/v1/auth/login HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(demo.ask("GET", "/health", None, "").0, 200); // by now it has read the head of the first
    demo.signal("-TERM");
    let port = demo.port;
    until(|| TcpStream::connect(("127.0.0.1", port)).is_err()).await; // nothing new is accepted
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(demo.stop_after_signal(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_sells_what_stripe_is_set_up_for() {
    let stripe = stripe::Stripe::start().await;
    let settings = stripe.settings().stripe.unwrap();
    let variables = [
        ("STRIPE_SECRET_KEY", stripe::KEY),
        ("STRIPE_WEBHOOK_SECRET", stripe::SECRET),
        ("STRIPE_PRICE_STARTER", stripe::STARTER),
        ("STRIPE_API_BASE", settings.api_base.as_str()),
    ];
    let folder = Folder::new();
    let demo = Running::demo_with(&folder, &variables);
    let token = demo.token("globex", "owner");
    let checkout = |plan: &str| {
        let body = format!(r#"{{"plan":"{plan}"}}"#);
        demo.ask("POST", "/api/v1/billing/checkout", Some(&token), &body)
    };
    assert_eq!(checkout("pro").0, 422, "it has no price");
    let (status, body) = checkout("starter");
    assert!(status == 200 && body.contains("https://checkout.stripe.test/"), "{status} {body}");
    assert_eq!(demo.ask("POST", "/api/v1/billing/webhook", None, "{}").0, 400, "nobody has signed it");
    let log = std::fs::read_to_string(folder.0.join("log")).unwrap() + &demo.banner;
    assert!(![stripe::KEY, stripe::SECRET].iter().any(|secret| log.contains(secret)), "{log}");
    assert_eq!(demo.stop(), Some(0));
}

#[test]
fn wrong_use_exits_2_and_help_is_there_for_each_command() {
    let folder = Folder::new();
    for arguments in [&["nonsense"][..], &["serve", "--port"], &["migrate", "extra"]] {
        let output = folder.run(arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty());
    }
    for command in ["serve", "worker", "migrate", "seed", "openapi", "config"] {
        let output = folder.run(&[command, "--help"], &[]);
        assert_eq!(output.status.code(), Some(0), "{command}");
        assert!(lines(&output.stdout).len() > 3);
    }
    assert!(std::fs::read_dir(&folder.0).unwrap().next().is_none(), "nothing was made");
}

#[test]
fn a_start_that_cannot_succeed_says_everything_that_is_wrong() {
    let folder = Folder::new();
    let wrong = [
        ("PORT", "eighty"),
        ("DATABASE_URL", "mysql://x"),
        ("SECRET_KEY", "too short"),
        ("WEBHOOK_SIGNING_SECRET", "short too"),
        ("BCRYPT_COST", "3"),
    ];
    for command in ["serve", "worker", "migrate", "seed"] {
        let output = folder.run(&[command], &wrong);
        assert_eq!(output.status.code(), Some(1), "{command}");
        let said = lines(&output.stderr);
        assert_eq!(said.len(), wrong.len(), "one a line: {said:#?}");
        for (name, value) in wrong {
            let line = said.iter().find(|line| line.starts_with(&format!("error: {name}: ")));
            assert!(line.is_some(), "{name}: {said:#?}");
            assert!(!name.contains("SECRET") || !line.unwrap().contains(value));
        }
    }
    let output = folder.run(&["serve"], &[("ENVIRONMENT", "production")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(lines(&output.stderr).iter().any(|line| line.contains("DATABASE_URL: required in production")));
    assert!(std::fs::read_dir(&folder.0).unwrap().next().is_none(), "nothing was made");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = folder.run(&["serve"], &[("PORT", &port)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        lines(&output.stderr).iter().any(|line| line.contains(&format!("cannot listen on 127.0.0.1:{port}")))
    );
}

#[test]
fn the_configuration_is_shown_with_its_secrets_masked() {
    let folder = Folder::new();
    std::fs::write(
        folder.0.join(".env"),
        format!(
            "SECRET_KEY={SECRET}\nWEBHOOK_SIGNING_SECRET={SECRET}\nPORT=8111\nAPP_NAME=\"From the file\"\n"
        ),
    )
    .unwrap();
    let url = "postgres://app:hunter2hunter2@db.internal/app";
    let output = folder.run(&["config"], &[("DATABASE_URL", url), ("PORT", "8222")]);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{shown}");
    let value = |name: &str| shown.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert!(value("PORT").ends_with(" 8222"), "real variables win");
    assert!(value("APP_NAME").ends_with(" From the file"));
    assert!(value("SECRET_KEY").ends_with(" ********"));
    assert!(value("DATABASE_URL").contains("postgres://app:********@db.internal/app"));
    assert!(value("BCRYPT_COST").contains("12  (default)"));
    assert!(!shown.contains(SECRET) && !shown.contains("hunter2"));
    let output = folder.run(&["config"], &[("PORT", "x")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(lines(&output.stderr)[0].starts_with("error: PORT: "));
}

#[test]
fn the_openapi_document_is_printed_without_any_configuration() {
    let folder = Folder::new();
    let output = folder.run(&["openapi"], &[("ENVIRONMENT", "production")]);
    assert_eq!(output.status.code(), Some(0));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert!(document["paths"]["/api/v1/orders"]["post"].is_object());
}

#[test]
fn a_database_of_ones_own_is_migrated_seeded_once_and_served() {
    let folder = Folder::new();
    let url = format!("sqlite://{}", folder.0.join("own.db").display());
    let variables = [("DATABASE_URL", url.as_str()), ("SECRET_KEY", SECRET)];
    let status = |output: &Output| lines(&output.stdout);
    let before = folder.run(&["migrate", "--status"], &variables);
    assert!(status(&before).iter().all(|line| line.starts_with("pending ")), "{before:?}");
    let after = folder.run(&["migrate"], &variables);
    assert_eq!(after.status.code(), Some(0));
    assert!(status(&after).len() >= 2 && status(&after).iter().all(|line| line.starts_with("applied ")));
    assert!(status(&folder.run(&["seed"], &variables))[0].starts_with("Made: acme, globex."));
    assert!(status(&folder.run(&["seed"], &variables))[0].contains("there already"));
    let production = [variables[0], variables[1], ("ENVIRONMENT", "production")];
    let refused = folder.run(&["seed"], &production);
    assert_eq!(refused.status.code(), Some(1));
    assert!(lines(&refused.stderr)[0].contains("production is not seeded"));
}

#[test]
fn a_database_that_cannot_be_opened_is_named() {
    let folder = Folder::new();
    let nowhere = Path::new("/nonexistent/folder/own.db");
    let url = format!("sqlite://{}", nowhere.display());
    let serve = |url: &str| {
        let variables = [
            ("DATABASE_URL", url),
            ("SECRET_KEY", SECRET),
            ("WEBHOOK_SIGNING_SECRET", SECRET),
            ("PORT", "0"),
        ];
        folder.run(&["serve"], &variables)
    };
    let output = serve(&url);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("/nonexistent/folder/own.db"), "{said}");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://app@127.0.0.1:{closed}/app");
    let output = serve(&url);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("cannot reach the database"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_in_its_log_the_mail_to_whoever_forgot() {
    let folder = Folder::new();
    let demo = Running::demo(&folder);
    let body = r#"{"tenant_slug":"acme","email":"member@acme.test"}"#;
    assert_eq!(demo.ask("POST", "/api/v1/auth/password/forgot", None, body).0, 202);
    let log = || std::fs::read_to_string(folder.0.join("log")).unwrap();
    until(|| log().contains("?token=pwr_")).await;
    let token: String = log().split("?token=").nth(1).unwrap().chars().take(4 + 64).collect();
    let body = format!(r#"{{"token":"{token}","new_password":"a word of my own"}}"#);
    let (status, answer) = demo.ask("POST", "/api/v1/auth/password/reset", None, &body);
    assert_eq!(status, 200, "{answer}");
}
