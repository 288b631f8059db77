//! URLs and names: what a target may look like, and that what was checked is what is connected to.
use super::{
    AMPLE, BRIEF, Names, Receiver, addresses::NOWHERE, lenient, post, read_request, send_to, strict,
};
use std::{
    io,
    net::IpAddr,
    time::{Duration, Instant},
};
use tenantry::{
    BoxFuture,
    infra::egress::{Egress, EgressSettings, Resolve, Target, Undelivered},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

const EMPTY: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

#[test]
fn what_is_wrong_with_a_url_is_told() {
    let strict = strict(Names::default());
    let long = format!("https://example.com/{}", "a".repeat(2048));
    for (url, why) in [
        ("", "not a URL"),
        ("hooks.example", "not a URL"),
        ("/hook", "not a URL"),
        ("https://", "not a URL"),
        ("https://[::1", "not a URL"),
        ("https://[fe80::1%25lo]/", "not a URL"),
        ("https://[fe80::1%lo]/", "not a URL"),
        ("https://256.1.1.1/", "not a URL"),
        ("https://1.2.3.4.5/", "not a URL"),
        ("https://a b/", "must not contain spaces or control characters"),
        (" https://example.com/", "must not contain spaces or control characters"),
        ("https://exa\tmple.com/", "must not contain spaces or control characters"),
        ("https://example.com/\r\nX-A: b", "must not contain spaces or control characters"),
        ("http://example.com/", "must begin with https://"),
        ("ftp://example.com/", "must begin with https://"),
        ("file:///etc/passwd", "must begin with https://"),
        ("gopher://example.com/", "must begin with https://"),
        ("https://user@example.com/", "must not contain a user name or a password"),
        ("https://:word@example.com/", "must not contain a user name or a password"),
        ("https://example.com:443@127.0.0.1/", "must not contain a user name or a password"),
        ("https://example.com/#a", "must not have a fragment (#)"),
        ("https://example.com/#", "must not have a fragment (#)"),
        ("https://example.com:0/", "has no valid port"),
        ("https://example.com:22/", "must use port 443, 80 or one from 8000 to 65535"),
        ("https://example.com:6379/", "must use port 443, 80 or one from 8000 to 65535"),
        ("https://example.com:7999/", "must use port 443, 80 or one from 8000 to 65535"),
        ("https://example.com:65536/", "not a URL"),
        (&long, "must be at most 2048 bytes long"),
    ] {
        assert_eq!(strict.target(url).unwrap_err(), why, "{url}");
    }
    for port in [80, 443, 8000, 65535] {
        assert!(strict.target(&format!("https://example.com:{port}/")).is_ok());
    }
}

#[test]
fn what_differs_in_the_demo_is_scheme_port_and_network_alone() {
    let lenient = lenient(Names::default());
    for url in
        ["http://127.0.0.1:22/", "http://localhost:3000/a?b=c", "https://[fd00::1]/", "http://db.internal/"]
    {
        assert!(lenient.target(url).is_ok(), "{url}");
        assert!(Target::configured(url).is_ok(), "{url}");
    }
    for url in
        ["ftp://127.0.0.1/", "http://user@127.0.0.1/", "http://127.0.0.1/#a", "http://127.0.0.1:0/", "x"]
    {
        assert!(lenient.target(url).is_err(), "{url}");
        assert!(Target::configured(url).is_err(), "{url}");
    }
}

#[test]
fn a_target_is_its_normal_form_and_hides_its_path_in_logs() {
    let target = strict(Names::default()).target("HTTPS://EXAMPLE.com:443/a/../b?token=hunter2").unwrap();
    assert_eq!(target.as_str(), "https://example.com/b?token=hunter2");
    assert_eq!(format!("{target:?}"), "Target(https://example.com)");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_stands_in_a_path_can_be_sent() {
    let receiver = Receiver::answering(EMPTY).await;
    let lenient = lenient(Names::default());
    let visible: String = ('!'..='~').filter(|c| !matches!(c, '#' | '?')).collect();
    let target = lenient.target(&format!("{}/{visible}ü?{visible}ü?", receiver.url())).unwrap();
    assert_eq!(lenient.send(post(&target, AMPLE)).await.unwrap().status, 204);
}

/// Two receivers with one port on two addresses of this machine.
async fn twins() -> (Receiver, Receiver) {
    let serve = |mut stream: TcpStream| async move {
        read_request(&mut stream).await?;
        stream.write_all(EMPTY).await
    };
    let first = Receiver::start("127.0.0.1:0", serve).await;
    let second = Receiver::start(("127.0.0.2", first.port), serve).await;
    (first, second)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_resolved_once_an_attempt_and_that_address_is_connected_to() {
    let (first, second) = twins().await;
    let names = Names::default().with("hooks.example", &[&["127.0.0.1"], &["127.0.0.2"]]);
    let lenient = lenient(names.clone());
    let url = format!("http://hooks.example:{}/", first.port);
    send_to(&lenient, &url, AMPLE).await.unwrap();
    let peers = |receiver: &Receiver| receiver.peers.lock().unwrap().len();
    assert_eq!((names.asked(), peers(&first), peers(&second)), (1, 1, 0));
    send_to(&lenient, &url, AMPLE).await.unwrap();
    assert_eq!((names.asked(), peers(&first), peers(&second)), (2, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_elsewhere_after_the_check_is_not_followed_there() {
    let receiver = Receiver::answering(EMPTY).await;
    let names = Names::default().with("hooks.example", &[&[NOWHERE], &["127.0.0.1"]]);
    let strict = strict(names.clone());
    let url = format!("https://hooks.example:{}/", receiver.port);
    let sent = send_to(&strict, &url, BRIEF).await;
    assert!(matches!(sent, Err(Undelivered::Failed(_) | Undelivered::TimedOut)), "{sent:?}");
    assert_eq!((names.asked(), receiver.connections().await), (1, 0), "what was checked is what was tried");
    let sent = send_to(&strict, &url, BRIEF).await;
    assert!(matches!(sent, Err(Undelivered::Blocked(_))), "{sent:?}");
    assert_eq!((names.asked(), receiver.connections().await), (2, 0), "and the next attempt checks anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_configures_may_be_anywhere() {
    let receiver = Receiver::answering(EMPTY).await;
    let strict = strict(Names::of("stripe.internal", &["127.0.0.1"]));
    for host in ["127.0.0.1", "stripe.internal"] {
        let target = Target::configured(&format!("http://{host}:{}/v1", receiver.port)).unwrap();
        assert_eq!(strict.send(post(&target, AMPLE)).await.unwrap().status, 204);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_one_address_refuses_the_next_is_tried() {
    let receiver = Receiver::answering(EMPTY).await;
    let lenient = lenient(Names::of("hooks.example", &["127.0.0.9", "127.0.0.1"]));
    send_to(&lenient, &format!("http://hooks.example:{}/", receiver.port), AMPLE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_without_an_address_is_a_failure() {
    let lenient = lenient(Names::of("empty.example", &[]));
    for name in ["empty.example", "unknown.example"] {
        let sent = send_to(&lenient, &format!("http://{name}/"), AMPLE).await.unwrap_err();
        assert_eq!(sent, Undelivered::Failed("the name of the host cannot be resolved".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_system_resolves_names() {
    let receiver = Receiver::answering(EMPTY).await;
    let egress = Egress::start(EgressSettings { allow_private: true }).unwrap();
    send_to(&egress, &format!("http://localhost:{}/", receiver.port), AMPLE).await.unwrap();
    let sent = send_to(&egress, "http://no-such-name.invalid/", AMPLE).await;
    assert!(matches!(sent, Err(Undelivered::Failed(_))), "{sent:?}");
}

struct NeverResolves;

impl Resolve for NeverResolves {
    fn resolve(&self, _: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_up_counts_for_the_deadline() {
    let settings = EgressSettings { allow_private: false };
    let egress =
        Egress::start_with(settings, Box::new(NeverResolves), rustls::RootCertStore::empty()).unwrap();
    let began = Instant::now();
    assert_eq!(send_to(&egress, "https://hooks.example/", BRIEF).await.unwrap_err(), Undelivered::TimedOut);
    assert!(began.elapsed() < BRIEF + Duration::from_secs(2));
}
