//! Mail, from the request that causes it to the token in it that works.
use crate::support::{
    Options, PASSWORD, TestApp,
    smtp::{Manner, Smtp},
};
use serde_json::{Value, json};

async fn started() -> (TestApp, Smtp) {
    let smtp = Smtp::start().await;
    let app = TestApp::start_with(Options { mail: smtp.mail(), ..Options::default() }).await;
    (app, smtp)
}

fn invitation(name: &str) -> Value {
    json!({ "email": "ada@acme.test", "full_name": name, "role": "member" })
}

fn forgot(email: &str) -> Value {
    json!({ "tenant_slug": "acme", "email": email })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_arrives_and_its_token_works() {
    let (app, smtp) = started().await;
    let acme = app.tenant("acme").await;
    let invited = acme.owner.post("/users", invitation("<b>Ada</b> \"&\" Co")).await.created();
    assert!(invited["data"]["invitation"].get("token").is_none(), "{invited}");
    assert_eq!(app.run_jobs().await, 1);
    let [mail] = &smtp.received()[..] else { panic!("{:?}", smtp.received()) };
    assert_eq!(mail.to, "ada@acme.test");
    assert!(mail.raw.contains("From: Example <no-reply@example.test>"), "{}", mail.raw);
    assert!(mail.raw.contains("multipart/alternative") && mail.raw.contains("Message-ID: <"), "{}", mail.raw);
    let parts = mail.parts();
    assert!(parts[0].contains("https://app.example.test/accept-invitation?token=inv_"), "{}", parts[0]);
    assert!(parts[0].contains("<b>Ada</b>"), "{}", parts[0]);
    assert!(parts[1].contains("&lt;b&gt;Ada&lt;/b&gt;") && !parts[1].contains("<b>Ada"), "{}", parts[1]);
    assert_eq!(app.database.count("jobs").await, 0);
    let accept = json!({ "token": mail.token(), "password": "a word of my own" });
    app.anyone().post("/auth/invitations/accept", accept).await.created();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_forgot_gets_a_mail_and_nobody_else() {
    let (app, smtp) = started().await;
    app.tenant("acme").await;
    app.anyone().post("/auth/password/forgot", forgot("nobody@acme.test")).await.status(202);
    app.anyone().post("/auth/password/forgot", forgot("member@acme.test")).await.status(202);
    app.database.until("SELECT count(*) FROM jobs", 1).await;
    assert_eq!(app.run_jobs().await, 1);
    let [mail] = &smtp.received()[..] else { panic!("{:?}", smtp.received()) };
    assert_eq!(mail.to, "member@acme.test");
    assert!(mail.parts()[0].contains("https://app.example.test/reset-password?token=pwr_"));
    let reset = json!({ "token": mail.token(), "new_password": "a word of my own" });
    app.anyone().post("/auth/password/reset", reset).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_or_busy_loses_no_mail() {
    let (app, smtp) = started().await;
    let acme = app.tenant("acme").await;
    acme.owner.post("/users", invitation("Ada")).await.created();
    for (attempt, manner) in
        [Manner::Down, Manner::Refuses("451 later"), Manner::Refuses("535 not you")].into_iter().enumerate()
    {
        smtp.be(manner);
        assert_eq!(app.run_jobs().await, 1, "one attempt, and the next is late");
        assert_eq!(app.run_jobs().await, 0);
        let waiting = format!(
            "SELECT count(*) FROM jobs WHERE state = 'waiting' AND attempt = {} AND leased_until IS NULL \
             AND run_at > created_at AND last_error IS NOT NULL",
            attempt + 1
        );
        assert_eq!(app.database.number(&waiting).await, 1, "{manner:?}");
        app.database.execute("UPDATE jobs SET run_at = created_at").await;
    }
    let error = app.database.texts("SELECT last_error FROM jobs").await;
    assert_eq!(error, ["the mail server did not take the mail: 535"]);
    smtp.be(Manner::Takes);
    assert_eq!(app.run_jobs().await, 1);
    let accept = json!({ "token": smtp.received()[0].token(), "password": "a word of my own" });
    app.anyone().post("/auth/invitations/accept", accept).await.created();
    assert_eq!(app.database.count("jobs").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_who_is_refused_is_given_up_at_once() {
    let (app, smtp) = started().await;
    let acme = app.tenant("acme").await;
    acme.owner.post("/users", invitation("Ada")).await.created();
    smtp.be(Manner::Refuses("550 no ada@acme.test here"));
    assert_eq!(app.run_jobs().await, 1);
    let dead = app.database.texts("SELECT last_error FROM jobs WHERE state = 'dead' AND attempt = 1").await;
    assert_eq!(dead, ["the mail server refused the mail: 550"], "and nobody is named");
    app.database.execute("UPDATE jobs SET run_at = created_at").await;
    assert_eq!(app.run_jobs().await, 0, "the dead stay dead");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_joined_meanwhile_gets_no_invitation() {
    let (app, smtp) = started().await;
    let acme = app.tenant("acme").await;
    acme.owner.post("/users", invitation("Ada")).await.created();
    acme.owner.post("/users", invitation("Ada")).await.created();
    app.worker().drain().await.unwrap();
    let [first, second] = &smtp.received()[..] else { panic!("{:?}", smtp.received()) };
    let accept = |token: String| json!({ "token": token, "password": PASSWORD });
    let anyone = app.anyone();
    let mut statuses = [
        anyone.post("/auth/invitations/accept", accept(first.token())).await.status.as_u16(),
        anyone.post("/auth/invitations/accept", accept(second.token())).await.status.as_u16(),
    ];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 422], "the last token that was made holds");
}
