//! What an attacker tries besides the routes: credentials in other places, other methods, ambiguous messages, the log.
use crate::{
    cli::{Folder, Running},
    support::{Options, TestApp, database::TestDatabase, http::Answer, order},
};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_or_a_query_is_nobodys_credential() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let token = &acme.member.access_token;
    for name in ["access_token", "token", "session", "Authorization"] {
        let cookie = format!("{name}={token}; {name}=Bearer%20{token}");
        app.anyone().get_with("/auth/me", &[("cookie", &cookie)]).await.refused(401, "UNAUTHORIZED");
        let path = format!("/auth/me?{name}={token}");
        app.anyone().get(&format!("/orders?{name}={token}")).await.refused(401, "UNAUTHORIZED");
        // where there are no parameters at all, that is said first
        app.anyone().get(&path).await.invalid(&[name]);
        app.anyone().post(&format!("/orders?{name}={token}"), order()).await.invalid(&[name]);
        acme.member.get(&path).await.invalid(&[name]);
    }
    let never = |answer: &Answer| assert!(!answer.headers.contains_key("set-cookie"), "{}", answer.asked);
    never(&app.anyone().post("/auth/login", crate::support::login("acme", "member")).await);
    never(&app.anyone().get("//docs").await);
    // tokens of other kinds are no access tokens
    let cursor = {
        acme.member.post("/orders", order()).await.created();
        acme.member.post("/orders", order()).await.created();
        acme.member.get("/orders?limit=1").await.ok()["next_cursor"].as_str().unwrap().to_owned()
    };
    let invited = acme
        .owner
        .post("/users", json!({ "email": "ada@acme.test", "full_name": "Ada", "role": "admin" }))
        .await;
    let invitation = invited.created()["data"]["invitation"]["token"].as_str().unwrap().to_owned();
    for other in [&acme.owner.refresh_token, &cursor, &invitation, &acme.id.to_string()] {
        app.with_token(other).get("/auth/me").await.refused(401, "UNAUTHORIZED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_asked_for_is_not_said_by_a_header() {
    let app = TestApp::start_with(Options { public_url_is_https: true, ..Options::default() }).await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let theirs = globex.member.post("/orders", order()).await.created()["id"].as_str().unwrap().to_owned();
    let forged = [
        ("x-tenant-id", globex.id.to_string()),
        ("x-user-id", globex.owner.user_id.to_string()),
        ("x-role", "owner".to_owned()),
        ("x-forwarded-host", "evil.example".to_owned()),
        ("x-forwarded-proto", "http".to_owned()),
        ("x-forwarded-for", "127.0.0.1".to_owned()),
        ("x-real-ip", "127.0.0.1".to_owned()),
        ("forwarded", "for=127.0.0.1;host=evil.example;proto=http".to_owned()),
        ("x-original-url", format!("/api/v1/orders/{theirs}")),
        ("x-rewrite-url", "/health".to_owned()),
        ("x-http-method-override", "DELETE".to_owned()),
        ("host", "evil.example".to_owned()),
    ];
    let headers: Vec<_> = forged.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let me = acme.member.get_with("/auth/me", &headers).await;
    assert!(me.headers.contains_key("strict-transport-security"));
    let me = me.ok();
    assert_eq!((&me["data"]["tenant_id"], &me["data"]["role"]), (&json!(acme.id), &json!("member")));
    acme.member.get_with(&format!("/orders/{theirs}"), &headers).await.refused(404, "NOT_FOUND");
    let body = Some(order().to_string().into_bytes());
    let placed = acme.member.send("POST", "/orders", &headers, body).await;
    assert!(placed.header("location").starts_with("/api/v1/orders/"), "{}", placed.header("location"));
    placed.created();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_method_is_taken_but_those_of_the_document() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    for method in ["TRACE", "TRACK", "CONNECT", "PROPFIND", "DEBUG", "get", "PUT"] {
        for path in ["/orders", "/auth/me", "/auth/login", "//health", "//openapi.json"] {
            let answer = acme.owner.send(method, path, &[("x-secret", "echo")], None).await;
            assert!(!answer.text().contains("echo"));
            answer.refused(405, "METHOD_NOT_ALLOWED");
        }
    }
    for path in [
        "//.git/config",
        "//.env",
        "//Cargo.toml",
        "//static/",
        "//docs/",
        "//..%2f",
        "//admin",
        "//debug/pprof",
    ] {
        let answer = acme.owner.get(path).await;
        assert!(path == "//docs/" || answer.status == 404, "{path}: {}", answer.status);
        assert!(!answer.text().contains("Index of"), "{path}");
    }
}

/// Sends bytes as they are, and answers all that comes until the service closes.
fn raw(demo: &Running, bytes: &str) -> String {
    let mut socket = TcpStream::connect(("127.0.0.1", demo.port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.write_all(bytes.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // a service that closes on unread bytes may reset the connection after its answer
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// RFC 9112, section 11.2: what two readers could take for different messages must not let a second one through.
#[test]
fn an_ambiguous_message_is_the_last_of_its_connection() {
    let folder = Folder::new();
    let demo = Running::demo(&folder);
    let second = "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let both =
        raw(&demo, &format!("{second}GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"));
    assert_eq!(both.matches("HTTP/1.1 200").count(), 2, "what is not ambiguous may be pipelined: {both}");
    let long = format!("transfer-encoding: chunked\r\n\r\n{}\r\n", "F".repeat(17));
    for (what, refused, rest) in [
        ("two lengths", true, "content-length: 0\r\ncontent-length: 5\r\n\r\n"),
        ("a length and chunks", false, "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("chunks and a length", false, "transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n"),
        ("an encoding of another name", true, "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ("an encoding after chunked", true, "transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        ("a blank before the colon", true, "transfer-encoding : chunked\r\n\r\n0\r\n\r\n"),
        ("a folded header", true, "x-a: b\r\n c: d\r\n\r\n"),
        ("a signed length", true, "content-length: +5\r\n\r\n"),
        ("a negative length", true, "content-length: -1\r\n\r\n"),
        ("a chunk of any size", false, &long),
        ("a chunk of no size", false, "transfer-encoding: chunked\r\n\r\nx\r\n"),
        ("a NUL in a header", true, "x-a: b\0c\r\n\r\n"),
    ] {
        let head =
            "POST /api/v1/auth/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
        let answer = raw(&demo, &format!("{head}{rest}{second}"));
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: {answer}");
        assert!(!answer.contains(r#"{"status":"ok"}"#), "{what}: {answer}");
        let status = if refused { "HTTP/1.1 400" } else { "HTTP/1.1 4" };
        assert!(answer.starts_with(status), "{what}: {answer}");
    }
    let old = raw(
        &demo,
        &format!("POST /api/v1/auth/login HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{second}"),
    );
    assert!(
        old.starts_with("HTTP/1.") && old.contains(" 400") && old.matches("HTTP/1.").count() == 1,
        "{old}"
    );
    assert_eq!(demo.ask("GET", "/health", None, "").0, 200);
}

/// Secrets are sent in every place where there is one, and looked for in a log that leaves nothing out.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_the_log_at_any_level() {
    const PASSWORD: &str = "canary-of-a-password-61";
    let database = TestDatabase::create().await;
    let folder = Folder::new();
    let variables = [("DATABASE_URL", database.url.as_str()), ("RUST_LOG", "trace"), ("BCRYPT_COST", "10")];
    let service = Running::serve(&folder, &variables);
    let post = |path: &str, token: Option<&str>, body: Value| {
        let (status, text) = service.ask("POST", path, token, &body.to_string());
        (status, serde_json::from_str::<Value>(&text).unwrap_or_default())
    };
    let register = json!({
        "tenant_name": "Canary", "tenant_slug": "canary", "email": "canary-person@canary.test", "password": PASSWORD,
        "full_name": "Canary Fullname"
    });
    let (status, session) = post("/api/v1/auth/register", None, register);
    assert_eq!(status, 201);
    let text = |name: &str| session["data"][name].as_str().unwrap().to_owned();
    let (access, refresh) = (text("access_token"), text("refresh_token"));
    let login = |password: &str| json!({ "tenant_slug": "canary", "email": "canary-person@canary.test", "password": password });
    assert_eq!(post("/api/v1/auth/login", None, login("canary-of-a-wrong-one")).0, 401);
    let change = json!({ "current_password": PASSWORD, "new_password": "canary-of-the-next-62" });
    assert_eq!(post("/api/v1/auth/password/change", Some(&access), change).0, 200);
    let mut placed = order();
    placed["notes"] = json!("canary-in-the-notes\n{\"level\":\"ERROR\",\"message\":\"forged\"}\n\u{9}");
    assert_eq!(post("/api/v1/orders", Some(&access), placed).0, 201);
    let invited =
        json!({ "email": "canary-guest@canary.test", "full_name": "Canary Guest", "role": "viewer" });
    let (status, guest) = post("/api/v1/users", Some(&access), invited);
    assert_eq!(status, 201);
    let invitation = guest["data"]["invitation"]["token"].as_str().unwrap().to_owned();
    let accept = json!({ "token": invitation, "password": "canary-of-a-guest-63" });
    assert_eq!(post("/api/v1/auth/invitations/accept", None, accept).0, 201);
    let (status, next) = post("/api/v1/auth/refresh", None, json!({ "refresh_token": refresh }));
    assert_eq!(status, 200);
    let next = next["data"]["refresh_token"].as_str().unwrap().to_owned();
    assert_eq!(post("/api/v1/auth/refresh", None, json!({ "refresh_token": refresh })).0, 401);
    let unknown = format!("/api/v1/canary-path?access_token={access}");
    assert_eq!(service.ask("GET", &unknown, Some("tk_canary-of-a-key"), "canary-in-a-body").0, 404);
    assert_eq!(service.ask("POST", "/api/v1/orders", Some(&access), "{\"canary-in-json\":").0, 400);
    assert_eq!(service.stop(), Some(0));

    let log = std::fs::read_to_string(folder.0.join("log")).unwrap();
    let signature = access.rsplit('.').next().unwrap();
    for secret in
        [access.as_str(), signature, &refresh, &next, &invitation, "canary-", "$2b$", "Canary Fullname"]
    {
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret} stands in {}", line.unwrap_or_default());
    }
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(lines.iter().all(|line| line["timestamp"].as_str().is_some_and(|at| at.ends_with('Z'))));
    assert!(!lines.iter().any(|line| line["message"] == "forged"));
    let requests: Vec<_> = lines.iter().filter(|line| line["request_id"].is_string()).collect();
    assert_eq!(requests.len(), 10, "one a request: {requests:#?}");
    assert!(
        requests.iter().any(|line| line["code"] == "UNAUTHORIZED" && line["route"] == "/api/v1/auth/login")
    );
}
