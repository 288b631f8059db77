//! Accounts.
use crate::support::{PASSWORD, TestApp, login};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_signs_up_signs_in_and_out() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let me = acme.member.get("/auth/me").await.ok();
    assert_eq!(me["data"]["email"], "member@acme.test");
    assert_eq!(me["data"]["tenant"]["slug"], "acme");
    assert_eq!(me["data"]["role"], "member");

    let body = json!({ "refresh_token": acme.member.refresh_token });
    let session = app.anyone().post("/auth/refresh", body.clone()).await.ok();
    assert_ne!(session["data"]["refresh_token"], body["refresh_token"]);
    let wrong =
        json!({ "tenant_slug": "acme", "email": "member@acme.test", "password": format!("{PASSWORD}!") });
    app.anyone()
        .post("/auth/login", wrong)
        .await
        .refused(401, "UNAUTHORIZED");
    app.anyone()
        .post("/auth/login", login("acme", "member"))
        .await
        .ok();
}
