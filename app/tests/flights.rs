//! How many times a request waits for the network on its way to PostgreSQL and back.
use crate::support::{Options, TestApp, database::on_postgres, order, proxy::Proxy};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_keeps_its_budget_of_flights_on_postgres() {
    if !on_postgres() {
        return;
    }
    let proxy = Proxy::start().await;
    let through = Some(proxy.port);
    let app = TestApp::start_with(Options { connections: 1, through, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let one =
        format!("/orders/{}", acme.member.post("/orders", order()).await.created()["id"].as_str().unwrap());
    let (status, history) = (format!("{one}/status"), format!("{one}/history"));
    let requests = [
        ("GET", &*one, "", 1),
        ("GET", "/orders", "", 1),
        ("GET", "/orders?status=pending", "", 1),
        ("POST", "/orders", "", 2),
        ("POST", "/orders", "once", 2), // a key costs none
        ("POST", "/orders", "once", 2),
        ("PATCH", &status, "", 3),
        ("GET", &history, "", 1),
        ("GET", "/auth/me", "", 1),
        ("GET", "/orders/0192f0c1-2a3b-7c4d-8e5f-000000000009", "", 1),
    ];
    for next in ["confirmed", "processing"] {
        let cold = next == "confirmed"; // the first round prepares the statements
        for (method, path, key, budget) in &requests {
            let body = match *method {
                "PATCH" => Some(json!({ "status": next })),
                "POST" => Some(order()),
                _ => None,
            };
            let key = (!key.is_empty()).then(|| format!("{key}-{next}"));
            let headers: Vec<_> = key.iter().map(|key| ("idempotency-key", key.as_str())).collect();
            app.database.settle().await; // the COMMIT of a read before it has run
            proxy.quiet().await; // and is answered
            let before = proxy.answered();
            let body = body.map(|body| body.to_string().into_bytes());
            let answer = acme.member.send(method, path, &headers, body).await;
            let awaited = proxy.answered() - before;
            assert!(answer.status.is_success() || answer.status == 404, "{method} {path}: {}", answer.text());
            if !cold {
                assert_eq!(awaited, *budget, "flights of {method} {path} {key:?}");
            }
        }
    }
    assert_eq!(app.database.count("orders").await, 5);
}
