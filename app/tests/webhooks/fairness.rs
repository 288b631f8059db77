//! One slow endpoint or tenant delays no other.
use super::{endpoint, endpoint_at, on_plan};
use crate::support::{
    Person, TestApp, order,
    receiver::{Manner, Receiver, refusing_url},
};
use serde_json::Value;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use tenantry::infra::jobs::JobSettings;
use tokio::sync::oneshot;

/// Places orders while a worker runs, and answers how long each took to the receiver, the shortest first.
async fn delays(app: &TestApp, who: &Person, receiver: &Receiver, orders: usize) -> Vec<Duration> {
    let worker = app.app.worker(&app.core, JobSettings::default());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(async move { worker.run(async { _ = stopped.await }, Duration::ZERO).await });
    let mut placed = HashMap::new();
    for _ in 0..orders {
        let order = who.post("/orders", order()).await.created();
        placed.insert(order["id"].clone(), Instant::now());
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let began = Instant::now();
    while receiver.count() < orders {
        assert!(began.elapsed() < Duration::from_secs(60), "{} of {orders} came", receiver.count());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.send(()).unwrap();
    running.await.unwrap();
    let delay = |body: &Value, at: Instant| at.saturating_duration_since(placed[&body["data"]["id"]]);
    let mut delays: Vec<_> = receiver.received().iter().map(|one| delay(&one.json(), one.at)).collect();
    delays.sort();
    eprintln!("median {:?}, longest {:?}", delays[orders / 2], delays[orders - 1]);
    delays
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nine_bad_endpoints_do_not_delay_the_good_one_beside_them() {
    let app = TestApp::start().await;
    let owner = on_plan(&app, "acme", "pro").await;
    let elsewhere = Receiver::of(Manner::Hangs).await;
    let says = |text: String| Manner::Says(text);
    let mut bad = Vec::new();
    for manner in [
        Manner::Hangs,
        Manner::Hangs,
        Manner::Trickles,
        Manner::Pours(200),
        says(format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", elsewhere.url())),
        says("HTTP/1.1 429 Later\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n".to_owned()),
        Manner::Answers(500),
        says("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n".to_owned()),
    ] {
        let receiver = Receiver::of(manner).await;
        endpoint(&owner, &receiver).await;
        bad.push(receiver);
    }
    endpoint_at(&owner, &refusing_url().await).await;
    let good = Receiver::start().await;
    endpoint(&owner, &good).await;
    let delays = delays(&app, &owner, &good, 100).await;
    assert!(delays[50] < Duration::from_secs(2), "median {:?}", delays[50]);
    assert!(delays[99] < Duration::from_secs(5), "longest {:?}", delays[99]);
    assert!(bad.iter().all(|receiver| receiver.count() > 0), "they were tried");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tenants_that_hang_do_not_delay_another() {
    let app = TestApp::start().await;
    let hanging = Receiver::of(Manner::Hangs).await;
    for i in 0..4 {
        let owner = on_plan(&app, &format!("slow-{i}"), "enterprise").await;
        for _ in 0..40 {
            endpoint(&owner, &hanging).await;
        }
        for _ in 0..3 {
            owner.post("/orders", order()).await.created();
        }
    }
    let owner = on_plan(&app, "acme", "free").await;
    let good = Receiver::start().await;
    endpoint(&owner, &good).await;
    let delays = delays(&app, &owner, &good, 40).await;
    assert!(hanging.count() >= 100, "all places for them are taken: {}", hanging.count());
    assert!(delays[20] < Duration::from_secs(2), "median {:?}", delays[20]);
}
