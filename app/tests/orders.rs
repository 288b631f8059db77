//! Orders.
use crate::support::{TestApp, order};

#[tokio::test(flavor = "multi_thread")]
async fn a_member_places_an_order_and_a_viewer_reads_it() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let placed = acme.member.post("/orders/", order()).await;
    let location = placed.header("location").to_owned();
    let placed = placed.created();
    assert_eq!(placed["total_amount"], "60.98");
    assert_eq!(placed["currency"], "EUR");
    let path = location.strip_prefix("/api/v1").unwrap();
    assert_eq!(acme.viewer.get(path).await.ok(), placed);
    acme.viewer
        .post("/orders/", order())
        .await
        .refused(403, "FORBIDDEN");
}
