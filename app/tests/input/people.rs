//! People who are not who they seem, and claims that nobody is owed.
use super::Scene;
use crate::support::{belonging, belongings};
use serde_json::{Value, json};
use tenantry::uuid::Uuid;

/// What a forger might hope is read.
const CLAIMS: [&str; 8] =
    ["role", "tenant_id", "is_admin", "plan", "status", "is_active", "user_id", "created_by"];

/// Every body of the document, as its example has it, with all claims that are no members of it.
#[tokio::test(flavor = "multi_thread")]
async fn no_route_takes_a_claim_of_rank() {
    let scene = Scene::start().await;
    let document = scene.app.anyone().get("//openapi.json").await.ok();
    let rank = "SELECT count(*) FROM users WHERE role = 'owner' OR role = 'admin' OR status <> 'active'";
    let mut tried = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let content = &operation["requestBody"]["content"]["application/json"];
            if !content["example"].is_object() {
                continue;
            }
            let there = match path.contains("{id}") {
                true => path.replace("{id}", &belonging(&belongings(&scene.app, &scene.acme).await, path)),
                false => path.clone(),
            };
            let before = (scene.app.database.count("users").await, scene.app.database.number(rank).await);
            let mut body = content["example"].clone();
            let known = content["schema"]["properties"].as_object().unwrap();
            let claims: Vec<_> = CLAIMS.into_iter().filter(|claim| !known.contains_key(*claim)).collect();
            for claim in &claims {
                body[claim] = json!("owner");
            }
            let method = method.to_uppercase();
            let body = Some(body.to_string().into_bytes());
            scene.acme.owner.send(&method, &format!("/{there}"), &[], body).await.invalid(&claims);
            let after = (scene.app.database.count("users").await, scene.app.database.number(rank).await);
            assert_eq!(after, before, "{method} {path}");
            tried += 1;
        }
    }
    assert!(tried >= 14, "{tried}");
    scene.untouched_order().await;
}

fn invitation(email: &str, full_name: &str) -> Value {
    json!({ "email": email, "full_name": full_name, "role": "member" })
}

#[tokio::test(flavor = "multi_thread")]
async fn who_looks_like_somebody_else_is_not_invited() {
    let scene = Scene::start().await;
    let owner = &scene.acme.owner;
    for email in [
        "ｍember@acme.test",
        "mem\u{ad}ber@acme.test",
        "membe\u{202e}r@acme.test",
        "ﬁona@acme.test",
        "e\u{301}va@acme.test",
        "member@acme.test@acme.test",
        "member",
        "",
    ] {
        owner.post("/users", invitation(email, "Ada")).await.invalid(&["email"]);
    }
    // another spelling of an address that is taken is taken
    for email in [
        "MEMBER@acme.test",
        " member@ACME.Test ",
        "member@ａｃｍｅ.test",
        "member@acme。test",
        "member@acme.test\u{200b}", // there is no such letter in the name of a domain
    ] {
        owner.post("/users", invitation(email, "Ada")).await.refused(409, "CONFLICT");
    }
    scene.untouched().await;
    // letters of another alphabet are another address, kept as they came
    let first = owner.post("/users", invitation("mеmber@acme.test", "Ada")).await.created();
    assert_eq!(first["data"]["email"], "mеmber@acme.test");
    let again = owner.post("/users", invitation("MЕMBER@acme.test", "Ada")).await.created();
    assert_eq!(again["data"]["id"], first["data"]["id"], "renewed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_cannot_be_is_refused_wherever_it_comes() {
    let scene = Scene::start().await;
    let owner = &scene.acme.owner;
    let invited = owner.post("/users", invitation("ada@acme.test", "Ada")).await.created();
    let before = super::stored(&scene.app).await;
    for name in
        ["", " ", "\u{a0}", "a\nb", "a\0b", "\u{9b}", "a\u{1b}[31m", &"x".repeat(101), &"日".repeat(10_000)]
    {
        owner.post("/users", invitation("bob@acme.test", name)).await.invalid(&["full_name"]);
        owner.patch("/tenant", json!({ "name": name })).await.invalid(&["name"]);
        owner.post("/api-keys", json!({ "name": name, "role": "viewer" })).await.invalid(&["name"]);
        let token = &invited["data"]["invitation"]["token"];
        let accept = json!({ "token": token, "password": "a word of my own", "full_name": name });
        scene.app.anyone().post("/auth/invitations/accept", accept).await.invalid(&["full_name"]);
    }
    assert_eq!(super::stored(&scene.app).await, before);
    let accept = json!({ "token": invited["data"]["invitation"]["token"], "password": "a word of my own" });
    scene.app.anyone().post("/auth/invitations/accept", accept).await.created(); // none of that has used it up
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_tenant_or_person_opens_nothing() {
    let scene = Scene::start().await;
    let globex = scene.app.tenant("globex").await;
    let invite = async |owner: &crate::support::Person| {
        let invited = owner.post("/users", invitation("ada@acme.test", "Ada")).await.created();
        invited["data"]["invitation"]["token"].as_str().unwrap().to_owned()
    };
    let (ours, theirs) = (invite(&scene.acme.owner).await, invite(&globex.owner).await);
    let reset = format!("/users/{}/password-reset", scene.acme.member.user_id);
    let reset = scene.acme.owner.post_empty(&reset).await.ok()["data"]["token"].take();
    let reset = reset.as_str().unwrap();
    // the secret of one behind the name of another tenant: 21 characters are of the tenant alone
    let named = |prefix: &str, of: &str, secret: &str| format!("{prefix}{}{}", &of[4..25], &secret[25..]);
    let before = super::stored(&scene.app).await;
    for token in [
        named("inv_", &theirs, &ours),
        named("inv_", &ours, &theirs),
        named("inv_", &ours, reset),
        reset.to_owned(),
        scene.acme.owner.refresh_token.replace("rt_", "inv_"),
        ours.replace("inv_", "INV_"),
        ours[..ours.len() - 1].to_owned(),
        format!("inv_{}", "A".repeat(64)),
    ] {
        let accept = json!({ "token": token, "password": "a word of my own" });
        scene.app.anyone().post("/auth/invitations/accept", accept).await.invalid(&["token"]);
    }
    for token in [
        named("pwr_", &theirs, reset),
        ours.replace("inv_", "pwr_"),
        ours.clone(),
        scene.acme.member.refresh_token.replace("rt_", "pwr_"),
        format!("pwr_{}", "A".repeat(64)),
        Uuid::nil().to_string(),
    ] {
        let body = json!({ "token": token, "new_password": "a word of my own" });
        scene.app.anyone().post("/auth/password/reset", body).await.invalid(&["token"]);
    }
    assert_eq!(super::stored(&scene.app).await, before);
    scene.acme.member.get("/auth/me").await.ok();
    for token in [ours, theirs] {
        let accept = json!({ "token": token, "password": "a word of my own" });
        scene.app.anyone().post("/auth/invitations/accept", accept).await.created();
    }
    let body = json!({ "token": reset, "new_password": "a word of my own" });
    scene.app.anyone().post("/auth/password/reset", body).await.ok();
}
