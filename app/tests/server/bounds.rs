//! Deadlines, caps, and what happens when they are met.
use super::{Listening, hanging, hasty};
use crate::support::{Options, TestApp, login, order, until, wire::Wire};
use std::time::{Duration, Instant};
use tenantry::server::ServerSettings;

const CUT: &str = "tenantry_http_connections_cut_total";
const PATIENT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_says_nothing_or_too_slowly_is_closed() {
    let app = TestApp::start().await;
    let server = Listening::start(&app, ServerSettings { keep_alive: PATIENT, ..hasty() });
    let mut silent = server.wire();
    let mut half = server.wire();
    half.send("GET /health HTTP/1.1\r\nhost: loc");
    assert!(silent.is_closed());
    assert!(half.is_closed());
    // a byte now and then does not help
    let mut slow = server.wire();
    let began = Instant::now();
    while slow.try_send("G") {
        assert!(began.elapsed() < PATIENT);
        tokio::time::sleep(Duration::from_millis(50)).await; // the slowness itself
    }
    let counted = |reason: &str| server.counted(&format!("{CUT}{{reason=\"{reason}\"}}"));
    until(|| counted("silent") >= 1.0 && counted("slow_head") >= 2.0).await;
    let mut quick = server.wire();
    assert_eq!(quick.get("/health").status, 200);
    // between requests it may be silent for longer than a head may take
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(quick.get("/health").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_another_request_is_closed_in_the_end() {
    let app = TestApp::start().await;
    let server = Listening::start(&app, ServerSettings { head_timeout: PATIENT, ..hasty() });
    let mut wire = server.wire();
    assert_eq!(wire.get("/health").status, 200);
    assert!(wire.is_closed());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_an_answer_is_not_cut_off() {
    let hanging =
        Options { domains: vec![hanging()], request_timeout: Duration::from_secs(2), ..Options::default() };
    let app = TestApp::start_with(hanging).await;
    let server = Listening::start(&app, hasty());
    let mut wire = server.wire();
    wire.get("/api/v1/hangs").refused(503, "SERVICE_UNAVAILABLE");
    assert_eq!(wire.get("/health").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_too_slowly_is_a_503_and_occupies_nobody() {
    let options =
        Options { request_timeout: Duration::from_secs(1), most_in_flight: 1, ..Options::default() };
    let app = TestApp::start_with(options).await;
    let server = Listening::start(&app, ServerSettings::default());
    let head = "POST /api/v1/auth/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                content-length: 100\r\n\r\n{";
    let mut slow: Vec<_> = (0..3).map(|_| server.wire()).collect();
    slow.iter_mut().for_each(|wire| wire.send(head));
    // three are on their way where one may be worked on, and somebody else is served
    let mut other = server.wire();
    let answers: Vec<_> = (0..20).map(|_| other.get("/api/v1/auth/me").status).collect();
    assert!(answers.ends_with(&[401; 10]), "{answers:?}");
    for wire in &mut slow {
        wire.answer().refused(503, "SERVICE_UNAVAILABLE");
        assert!(wire.is_closed(), "what would be left of the body is no request");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_read_is_cut_off() {
    let app = TestApp::start().await;
    let server = Listening::start(&app, hasty());
    let mut wire = server.wire();
    let request = "GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n";
    // more than both systems keep between them
    let began = Instant::now();
    while wire.try_send(request.repeat(50))
        && server.counted(&format!("{CUT}{{reason=\"not_reading\"}}")) < 1.0
    {
        assert!(began.elapsed() < PATIENT);
    }
    until(|| server.counted(&format!("{CUT}{{reason=\"not_reading\"}}")) >= 1.0).await;
    assert_eq!(server.wire().get("/health").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_make_room_and_busy_ones_are_waited_for() {
    let hanging = Options { domains: vec![hanging()], ..Options::default() };
    let app = TestApp::start_with(hanging).await;
    let server = Listening::start(&app, ServerSettings { most_connections: 2, ..ServerSettings::default() });
    let mut idle = server.wire();
    assert_eq!(idle.get("/health").status, 200);
    let mut busy = server.wire();
    busy.send("GET /api/v1/hangs HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let mut third = server.wire();
    let answer = third.get("/health");
    assert!(answer.status == 200 && answer.closes(), "there is no room to stay: {}", answer.head);
    assert!(idle.is_closed() && third.is_closed());
    // nobody is idle now: the next waits for one of them to end
    let mut other = server.wire();
    other.send("GET /api/v1/hangs HTTP/1.1\r\nhost: localhost\r\n\r\n");
    until(|| app.core.admission.in_flight() == 2).await;
    let mut waits = server.wire();
    waits.send("GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n");
    drop(busy);
    assert_eq!(waits.answer().status, 200);
    drop((other, waits));
    until(|| app.core.admission.in_flight() == 0).await;
    let mut later = server.wire();
    until_kept(&server, &mut later).await;
}

/// Asks until the connection may be kept again.
async fn until_kept(server: &Listening<'_>, wire: &mut Wire) {
    for _ in 0..200 {
        if !wire.get("/health").closes() {
            return;
        }
        *wire = server.wire();
    }
    panic!("connections are not kept again");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_at_a_time_are_refused_at_once_and_health_is_told() {
    let hanging = Options { domains: vec![hanging()], most_in_flight: 2, ..Options::default() };
    let app = TestApp::start_with(hanging).await;
    let server = Listening::start(&app, ServerSettings::default());
    let mut holders: Vec<_> = (0..2).map(|_| server.wire()).collect();
    holders.iter_mut().for_each(|wire| wire.send("GET /api/v1/hangs HTTP/1.1\r\nhost: localhost\r\n\r\n"));
    until(|| app.core.admission.in_flight() == 2).await;
    let mut wire = server.wire();
    let began = Instant::now();
    let refused = wire.get("/api/v1/auth/me");
    refused.refused(503, "SERVICE_UNAVAILABLE");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(began.elapsed() < Duration::from_secs(5), "nobody waits");
    for path in ["/health", "/health/ready", "/metrics"] {
        assert_eq!(wire.get(path).status, 200, "{path}");
    }
    assert!(server.counted("tenantry_http_requests_shed_total") >= 1.0);
    drop(holders); // a client that goes away leaves its place
    until(|| app.core.admission.in_flight() == 0).await;
    assert_eq!(wire.get("/api/v1/auth/me").status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_answered_in_time_and_forgotten() {
    let options = Options {
        connections: 2,
        most_in_flight: 20,
        acquire_timeout: Duration::from_secs(2),
        ..Options::default()
    };
    let app = TestApp::start_with(options).await;
    let acme = app.tenant("acme").await;
    let server = Listening::start(&app, ServerSettings::default());
    let body = order().to_string();
    let request = format!(
        "POST /api/v1/orders HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        acme.member.access_token,
        body.len()
    );
    let mut wires: Vec<_> = (0..100).map(|_| server.wire()).collect();
    wires.iter_mut().for_each(|wire| wire.send(&request));
    let answers: Vec<_> = wires.iter_mut().map(Wire::answer).collect();
    let placed = answers.iter().filter(|answer| answer.status == 201).count();
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        answer.refused(503, "SERVICE_UNAVAILABLE");
    }
    assert!(placed > 0);
    app.database.settle().await;
    assert_eq!(app.database.count("orders").await, i64::try_from(placed).unwrap());
    wires[0].send(&request);
    assert_eq!(wires[0].answer().status, 201, "and then it is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_is_finished_and_what_never_ends_is_cut_off() {
    let hanging = Options { domains: vec![hanging()], ..Options::default() };
    let app = TestApp::start_with(hanging).await;
    app.tenant("acme").await;
    let grace = Duration::from_secs(2);
    let server =
        Listening::start(&app, ServerSettings { shutdown_grace: grace, ..ServerSettings::default() });
    let mut idle = server.wire();
    assert_eq!(idle.get("/health").status, 200);
    let mut hangs = server.wire();
    hangs.send("GET /api/v1/hangs HTTP/1.1\r\nhost: localhost\r\n\r\n");
    until(|| app.core.admission.in_flight() == 1).await;
    let mut late = server.wire();
    let body = login("acme", "member").to_string();
    late.send(format!(
        "POST /api/v1/auth/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    ));
    assert_eq!(server.wire().get("/health").status, 200); // by now the head before it was read
    let port = server.port;
    let closing = tokio::spawn({
        app.core.lifecycle.enter(tenantry::infra::lifecycle::Stage::Closing);
        server.server
    });
    assert!(idle.is_closed());
    until(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_err()).await;
    late.send(&body);
    let answer = late.answer();
    assert!(answer.status == 200 && answer.closes(), "{}", answer.head);
    assert!(hangs.is_closed());
    assert_eq!(closing.await.unwrap().unwrap(), 1, "one was cut off");
}
