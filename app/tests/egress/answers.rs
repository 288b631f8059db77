//! What is sent, and receivers of all kinds: each ends at the deadline at the latest, and none gets more than it is owed.
use super::{AMPLE, BRIEF, Names, Receiver, lenient, post, read_request, send_to};
use crate::support::at_once;
use axum::http::{HeaderValue, Method, header};
use std::{
    future::pending,
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tenantry::infra::egress::{Egress, EgressSettings, Undelivered};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_what_was_asked_for_and_nothing_of_the_one_before() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let keep = heard.clone();
    let receiver = Receiver::start("127.0.0.1:0", move |mut stream| {
        let keep = keep.clone();
        async move {
            let request = read_request(&mut stream).await?;
            keep.lock().unwrap().push(request);
            stream.write_all(b"HTTP/1.1 200 OK\r\nset-cookie: a=b\r\ncontent-length: 2\r\n\r\nok").await?;
            pending().await // who wants to keep the connection may
        }
    })
    .await;
    let lenient = lenient(Names::default());
    let target = lenient.target(&format!("{}/%7Ea?d=e&f=|", receiver.url())).unwrap();
    for _ in 0..2 {
        let mut request = post(&target, AMPLE);
        for name in [header::HOST, header::USER_AGENT, header::CONNECTION] {
            request.headers.push((name, HeaderValue::from_static("of the caller")));
        }
        let answer = lenient.send(request).await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.body[..], answer.cut), (200, &b"ok"[..], false));
    }
    let expected = format!(
        "POST /hook/%7Ea?d=e&f=| HTTP/1.1\r\ncontent-type: application/json\r\nhost: 127.0.0.1:{}\r\n\
         user-agent: Tenantry/{}\r\nconnection: close\r\ncontent-length: 7\r\n\r\n{{\"a\":1}}",
        receiver.port,
        env!("CARGO_PKG_VERSION"),
    );
    assert_eq!(*heard.lock().unwrap(), [expected.clone(), expected]);
    assert_eq!(receiver.connections().await, 2, "each attempt has a connection of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_answers_and_not_followed() {
    let other = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let lenient = lenient(Names::default());
    for status in [300, 301, 302, 303, 305, 307, 308] {
        let head =
            format!("HTTP/1.1 {status} Elsewhere\r\nlocation: {}\r\ncontent-length: 0\r\n", other.url());
        let receiver = Receiver::answering(format!("{head}refresh: 0; url={}\r\n\r\n", other.url())).await;
        let answer = send_to(&lenient, &receiver.url(), AMPLE).await.unwrap();
        assert_eq!(answer.status, status);
        assert_eq!(answer.headers[header::LOCATION], other.url());
    }
    assert_eq!(other.connections().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_read_to_its_end_or_cut_off() {
    let lenient = lenient(Names::default());
    for (length, most, kept, cut) in
        [(0, 0, 0, false), (1, 0, 0, true), (9, 10, 9, false), (10, 10, 10, false)]
            .into_iter()
            .chain([(11, 10, 10, true), (1 << 20, 65_536, 65_536, true)])
    {
        let body = "x".repeat(length);
        let plain = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
        let chunk = if length > 0 { format!("{length:x}\r\n{body}\r\n") } else { String::new() };
        let chunked = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunk}0\r\n\r\n");
        let to_the_end = format!("HTTP/1.1 200 OK\r\n\r\n{body}");
        for answer in [plain, chunked, to_the_end] {
            let receiver = Receiver::answering(answer).await;
            let target = lenient.target(&receiver.url()).unwrap();
            let mut request = post(&target, AMPLE);
            request.most_bytes = most;
            let answer = lenient.send(request).await.unwrap();
            assert_eq!((answer.status.as_u16(), answer.body.len(), answer.cut), (200, kept, cut));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_body_is_cut_off_and_its_sender_let_go() {
    let over = Arc::new(tokio::sync::Notify::new());
    let told = over.clone();
    let receiver = Receiver::start("127.0.0.1:0", move |mut stream| {
        let told = told.clone();
        async move {
            read_request(&mut stream).await?;
            stream.write_all(b"HTTP/1.1 500 Endless\r\n\r\n").await?;
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
            told.notify_one();
            Ok(())
        }
    })
    .await;
    let answer = send_to(&lenient(Names::default()), &receiver.url(), AMPLE).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.body.len(), answer.cut), (500, 65_536, true));
    tokio::time::timeout(AMPLE, over.notified()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn encodings_are_neither_asked_for_nor_undone() {
    let receiver = Receiver::answering(
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\n\x1f\x8b\x08".to_vec(),
    )
    .await;
    let answer = send_to(&lenient(Names::default()), &receiver.url(), AMPLE).await.unwrap();
    assert_eq!(&answer.body[..], b"\x1f\x8b\x08");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_body_is_one() {
    let lenient = lenient(Names::default());
    for (method, head) in [
        (Method::POST, "HTTP/1.1 204 No Content\r\n\r\n"),
        (Method::GET, "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"),
        (Method::HEAD, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
        (Method::POST, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n"),
        (Method::POST, "HTTP/1.0 200 OK\r\n\r\n"),
    ] {
        let receiver = Receiver::answering(head).await;
        let target = lenient.target(&receiver.url()).unwrap();
        let answer = lenient.send(super::Outgoing { method, ..post(&target, AMPLE) }).await.unwrap();
        assert!(answer.body.is_empty() && !answer.cut, "{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_answer_is_a_failure() {
    let many: String = (0..101).map(|i| format!("x-{i}: y\r\n")).collect();
    let long = "y".repeat(100_000);
    let lenient = lenient(Names::default());
    for (answer, why) in [
        ("", "the connection ended before the answer did"),
        ("HTTP/1.1 200 OK\r\nx: y", "the connection ended before the answer did"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", "the connection ended before the answer did"),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nx",
            "the connection ended before the answer did",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n",
            "the connection ended before the answer did",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
            "the connection ended before the answer did",
        ),
        ("SSH-2.0-OpenSSH_9.2\r\n", "the answer is not HTTP/1.1"),
        ("<html>no head</html>\r\n\r\n", "the answer is not HTTP/1.1"),
        ("HTTP/0.9 200 OK\r\n\r\n", "the answer is not HTTP/1.1"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "the answer is not HTTP/1.1"),
        ("HTTP/1.1 20 OK\r\n\r\n", "the answer is not HTTP/1.1"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx", "the answer is not HTTP/1.1"),
        ("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "the answer is not HTTP/1.1"),
        ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "the answer is not HTTP/1.1"),
        ("HTTP/1.1 200 OK\r\na\0b: c\r\n\r\n", "the answer is not HTTP/1.1"),
        (&format!("HTTP/1.1 200 OK\r\n{many}\r\n"), "the head of the answer is too large"),
        (&format!("HTTP/1.1 200 OK\r\nx: {long}\r\n\r\n"), "the head of the answer is too large"),
        (&format!("HTTP/1.1 200 {long}\r\n\r\n"), "the head of the answer is too large"),
    ] {
        let receiver = Receiver::answering(answer).await;
        let sent = send_to(&lenient, &receiver.url(), AMPLE).await;
        let shown: String = answer.chars().take(80).collect();
        assert_eq!(sent.unwrap_err(), Undelivered::Failed(why.to_owned()), "{shown:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_head_is_a_failure() {
    let receiver = Receiver::start("127.0.0.1:0", |mut stream| async move {
        read_request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
        loop {
            stream.write_all(b"x-header: of a bomb\r\n").await?;
        }
    })
    .await;
    let sent = send_to(&lenient(Names::default()), &receiver.url(), AMPLE).await;
    assert_eq!(sent.unwrap_err(), Undelivered::Failed("the head of the answer is too large".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_refuses_is_a_failure() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let sent = send_to(&lenient(Names::default()), &format!("http://{closed}/"), AMPLE).await;
    assert_eq!(sent.unwrap_err(), Undelivered::Failed("cannot connect: connection refused".to_owned()));
}

/// What is sent first, and again and again after it.
async fn dripping(mut stream: TcpStream, first: &[u8], drop: &[u8]) -> std::io::Result<()> {
    read_request(&mut stream).await?;
    stream.write_all(first).await?;
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await; // slowness is what it is about
        stream.write_all(drop).await?;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_slow_or_silent_is_left_at_the_deadline() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\n";
    let cases: [(&'static str, String, &'static str); 7] = [
        ("silence", String::new(), ""),
        ("a head byte by byte", HEAD.to_owned(), "x"),
        ("a header line after the other", HEAD.to_owned(), "x: y\r\n"),
        ("a body byte by byte", format!("{HEAD}content-length: 100000\r\n\r\n"), "x"),
        ("a chunk after the other", format!("{HEAD}transfer-encoding: chunked\r\n\r\n"), "1\r\nx\r\n"),
        ("an announced body that does not come", format!("{HEAD}content-length: 1\r\n\r\n"), ""),
        ("always to be continued", String::new(), "HTTP/1.1 100 Continue\r\n\r\n"),
    ];
    at_once(cases.len(), |i| {
        let (what, first, drop) = cases[i].clone();
        async move {
            let receiver = Receiver::start("127.0.0.1:0", move |stream| {
                let first = first.clone();
                async move { dripping(stream, first.as_bytes(), drop.as_bytes()).await }
            })
            .await;
            let began = Instant::now();
            let sent = send_to(&lenient(Names::default()), &receiver.url(), BRIEF).await;
            assert_eq!(sent.unwrap_err(), Undelivered::TimedOut, "{what}");
            assert!((BRIEF..BRIEF + Duration::from_secs(2)).contains(&began.elapsed()), "{what}");
        }
    })
    .await;
}

/// Names the receiver's port to this test when it runs as a process of its own.
const PORT_OF_CHILD: &str = "TENANTRY_TEST_EGRESS_PORT";

#[tokio::test(flavor = "multi_thread")]
async fn proxies_of_the_environment_are_not_used() {
    let egress = Egress::start(EgressSettings { allow_private: true }).unwrap();
    if let Ok(port) = std::env::var(PORT_OF_CHILD) {
        assert!(std::env::var("http_proxy").is_ok());
        for host in ["127.0.0.1", "localhost"] {
            send_to(&egress, &format!("http://{host}:{port}/"), AMPLE).await.unwrap();
        }
        let silent_about_tls = send_to(&egress, &format!("https://127.0.0.1:{port}/"), BRIEF).await;
        assert_eq!(silent_about_tls.unwrap_err(), Undelivered::TimedOut);
        return;
    }
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let proxy = Receiver::answering("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").await;
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "egress::answers::proxies_of_the_environment_are_not_used"])
        .env(PORT_OF_CHILD, receiver.port.to_string())
        .env_remove("NO_PROXY")
        .env_remove("no_proxy");
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        child.env(name, format!("http://127.0.0.1:{}", proxy.port));
    }
    let output = tokio::task::spawn_blocking(move || child.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!((receiver.connections().await, proxy.connections().await), (3, 0));
}
