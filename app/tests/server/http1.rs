//! What HTTP/1.1 allows, what it forbids, and what is neither: nothing hangs, and no fault of a client is a 5xx.
use super::Listening;
use crate::support::TestApp;
use tenantry::server::ServerSettings;

async fn listening(app: &TestApp) -> Listening<'_> {
    Listening::start(app, ServerSettings::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_gets_an_error_document_and_the_end() {
    let app = TestApp::start().await;
    let server = listening(&app).await;
    for wrong in [
        "nonsense\r\n\r\n",
        "GET\r\n\r\n",
        "GET /health\r\n\r\n",
        "GET /health HTTP/1.1\r\nhost localhost\r\n\r\n",
        "GET /health HTTP/1.1\r\nhost: a\r\n folded: b\r\n\r\n",
        "GET /health HTTP/1.1\r\nhost: a\r\nx: \0\r\n\r\n",
        "GET /hea lth HTTP/1.1\r\nhost: a\r\n\r\n",
        "G\u{e9}T /health HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET /health HTTP/3.7\r\nhost: a\r\n\r\n",
        "POST /health HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        "POST /health HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "POST /health HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\r\n\r\n",
    ] {
        let mut wire = server.wire();
        wire.send(wrong);
        let answer = wire.answer();
        assert_eq!(answer.status, 400, "{wrong:?}");
        answer.refused(400, "BAD_REQUEST");
        assert!(answer.closes() && wire.is_closed(), "{wrong:?}");
    }
    assert!(
        server.counted(r#"tenantry_http_requests_total{method="other",route="unmatched",status="400"}"#)
            >= 10.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_one_host_is_named() {
    let app = TestApp::start().await;
    let server = listening(&app).await;
    for hosts in ["", "host: a\r\nhost: b\r\n"] {
        let mut wire = server.wire();
        wire.send(format!("GET /health HTTP/1.1\r\n{hosts}\r\n"));
        wire.answer().refused(400, "BAD_REQUEST");
        assert_eq!(wire.get("/health").status, 200, "the connection is as good as before");
    }
    let mut old = server.wire();
    old.send("GET /health HTTP/1.0\r\n\r\n");
    assert_eq!(old.answer().status, 200);
    assert!(old.is_closed());
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_are_bounded() {
    let app = TestApp::start().await;
    let server = listening(&app).await;
    let many = "x: y\r\n".repeat(200);
    let large = format!("x: {}\r\n", "y".repeat(40_000));
    let endless = format!("x: {}", "y".repeat(300_000));
    for headers in [many, large, endless] {
        let mut wire = server.wire();
        wire.try_send(format!("GET /health HTTP/1.1\r\nhost: a\r\n{headers}\r\n"));
        let answer = wire.answer();
        answer.refused(431, "REQUEST_HEADER_FIELDS_TOO_LARGE");
        assert!(answer.closes() && wire.is_closed());
    }
    let mut wire = server.wire();
    wire.get(&format!("/health?{}", "q".repeat(9000))).refused(414, "URI_TOO_LONG");
    let fits = "x: y\r\n".repeat(90);
    wire.send(format!("GET /health HTTP/1.1\r\nhost: a\r\nlong: {}\r\n{fits}\r\n", "y".repeat(20_000)));
    assert_eq!(wire.answer().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_come_together_are_answered_in_their_order() {
    let app = TestApp::start().await;
    let server = listening(&app).await;
    let mut wire = server.wire();
    let mut all = String::new();
    for i in 0..50 {
        let path = if i % 2 == 0 { "/health" } else { "/health/ready" };
        all += &format!("GET {path} HTTP/1.1\r\nhost: a\r\nx-request-id: {i}\r\n\r\n");
    }
    let body = r#"{"refresh_token":"rt_x"}"#;
    all += &format!(
        "POST /api/v1/auth/refresh HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nx-request-id: 50\r\n\
         content-length: {}\r\n\r\n{body}GET /nothing HTTP/1.1\r\nhost: a\r\nx-request-id: 51\r\n\r\nwhat is this\r\n\r\n",
        body.len()
    );
    wire.send(all);
    for i in 0..50 {
        let answer = wire.answer();
        assert_eq!((answer.status, answer.header("x-request-id")), (200, Some(&*i.to_string())));
    }
    for (id, status, code) in [("50", 401, "UNAUTHORIZED"), ("51", 404, "NOT_FOUND")] {
        let answer = wire.answer();
        answer.refused(status, code);
        assert_eq!(answer.header("x-request-id"), Some(id));
    }
    wire.answer().refused(400, "BAD_REQUEST");
    assert!(wire.is_closed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_asked_for_before_it_is_sent() {
    let app = TestApp::start().await;
    let server = listening(&app).await;
    let head = |length: usize| {
        format!(
            "POST /api/v1/auth/logout HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
             expect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    let body = r#"{"refresh_token":"rt_x"}"#;
    let mut wire = server.wire();
    wire.send(head(body.len()));
    assert_eq!(wire.answer().status, 100);
    wire.send(body);
    assert_eq!(wire.answer().status, 200);
    // what would be too large is not asked for
    wire.send(head(10_000_000));
    wire.answer().refused(413, "PAYLOAD_TOO_LARGE");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_too_much_sees_why_it_was_refused() {
    let app = TestApp::start().await;
    let server = listening(&app).await;
    let head = "POST /api/v1/auth/logout HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n";
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    for (length, body) in [
        ("content-length: 2000000\r\n\r\n", " ".repeat(2_000_000)),
        ("transfer-encoding: chunked\r\n\r\n", chunk.repeat(30)),
    ] {
        let mut wire = server.wire();
        wire.send(format!("{head}{length}"));
        wire.try_send(body);
        wire.answer().refused(413, "PAYLOAD_TOO_LARGE");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_are_read_and_wrong_ones_are_the_clients_fault() {
    let app = TestApp::start().await;
    let server = listening(&app).await;
    let send = |rest: &str| {
        let mut wire = server.wire();
        wire.send(format!(
            "POST /api/v1/auth/logout HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
             transfer-encoding: chunked\r\n\r\n{rest}"
        ));
        wire
    };
    let mut good = send("8\r\n{\"refres\r\n10;name=value\r\nh_token\":\"rt_x\"}\r\n0\r\ntrailer: x\r\n\r\n");
    assert_eq!(good.answer().status, 200);
    assert_eq!(good.get("/health").status, 200);
    for wrong in ["zz\r\n{}\r\n0\r\n\r\n", "2\r\n{}}}\r\n0\r\n\r\n", "ffffffffffffffffff\r\n{}"] {
        send(wrong).answer().refused(400, "BAD_REQUEST");
    }
    let mut cut = send("5\r\n{\"re");
    cut.end();
    cut.answer().refused(400, "BAD_REQUEST");
    assert!(cut.is_closed());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_a_target_and_every_method_has_an_answer() {
    let app = TestApp::start().await;
    let server = listening(&app).await;
    let mut wire = server.wire();
    wire.send("HEAD /health HTTP/1.1\r\nhost: a\r\n\r\n");
    let head = wire.answer_to("HEAD");
    assert_eq!((head.status, head.header("content-length")), (200, Some("15")));
    wire.send("HEAD /nothing HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(wire.answer_to("HEAD").status, 404);
    assert_eq!(wire.get("http://elsewhere.example/health").status, 200, "the absolute form");
    wire.get("/%2e%2e/health").refused(404, "NOT_FOUND");
    for (line, status) in [
        ("GET health HTTP/1.1", 400),
        ("GET * HTTP/1.1", 400),
        ("CONNECT elsewhere.example:443 HTTP/1.1", 404),
        ("BREW /health HTTP/1.1", 405),
        ("TRACE /health HTTP/1.1", 405),
        ("GET /%00 HTTP/1.1", 404),
        ("GET /%ff%fe HTTP/1.1", 404),
    ] {
        let mut wire = server.wire();
        wire.send(format!("{line}\r\nhost: a\r\n\r\n"));
        let code = match status {
            400 => "BAD_REQUEST",
            404 => "NOT_FOUND",
            _ => "METHOD_NOT_ALLOWED",
        };
        wire.answer().refused(status, code);
    }
    wire.send("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(wire.answer().status, 200);
}

/// A request that two servers could read as two different ones.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_smuggled() {
    let app = TestApp::start().await;
    let server = listening(&app).await;
    for headers in [
        "content-length: 6\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 6\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding : chunked\r\n",
        "transfer-encoding: xchunked\r\n",
        "content-length: 0\r\ncontent-length: 44\r\n",
        "content-length: +44\r\n",
    ] {
        let mut wire = server.wire();
        wire.send(format!(
            "POST /api/v1/auth/logout HTTP/1.1\r\nhost: a\r\n{headers}\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"
        ));
        let first = wire.answer();
        assert!((400..500).contains(&first.status), "{headers:?}: {}", first.head);
        assert!(first.closes() && wire.is_closed(), "{headers:?}: {}", first.head);
    }
    server.close().await;
}
