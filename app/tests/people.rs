//! A tenant's people: sections 2 and 3 of the contract.
use crate::support::{Options, PASSWORD, Person, TestApp, at_once, login};
use serde_json::{Value, json};
use std::time::Duration;
use tenantry::uuid::Uuid;

fn invitation(email: &str, role: &str) -> Value {
    json!({ "email": email, "full_name": "Ada Lovelace", "role": role })
}

fn role(word: &str) -> Value {
    json!({ "role": word })
}

async fn id_of(owner: &Person, email: &str) -> String {
    let found = owner.get(&format!("/users?q={email}")).await.ok();
    assert_eq!(found["total"], 1, "{email}");
    found["items"][0]["id"].as_str().unwrap().to_owned()
}

async fn actions(owner: &Person) -> Vec<String> {
    let page = owner.get("/audit?per_page=100").await.ok();
    page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["action"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_is_invited_and_joins() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let invited = acme.admin.post("/users", invitation(" Ada@Acme.test ", "member")).await.created();
    let data = &invited["data"];
    assert_eq!(
        (&data["email"], &data["status"], &data["is_active"]),
        (&json!("ada@acme.test"), &json!("invited"), &json!(false))
    );
    assert_eq!(data["invitation"]["expires_at"], "2026-02-07T12:00:00.000Z");
    let token = data["invitation"]["token"].as_str().unwrap();
    assert!(token.starts_with("inv_"));
    let mut early = login("acme", "ada");
    early["email"] = json!("ada@acme.test");
    app.anyone().post("/auth/login", early).await.refused(401, "UNAUTHORIZED");

    let accept = json!({ "token": token, "password": "a word of my own", "full_name": "Ada, Countess" });
    let session = app.anyone().post("/auth/invitations/accept", accept.clone()).await.created();
    assert_eq!(session["data"]["user"]["full_name"], "Ada, Countess");
    assert_eq!(session["data"]["user"]["status"], "active");
    let ada = app.with_token(session["data"]["access_token"].as_str().unwrap());
    assert_eq!(ada.get("/auth/me").await.ok()["data"]["role"], "member");
    app.anyone().post("/auth/invitations/accept", accept).await.invalid(&["token"]);
    let wanted = ["user.joined", "user.invited", "tenant.registered"];
    let found = actions(&acme.owner).await;
    assert!(wanted.iter().all(|action| found.contains(&(*action).to_owned())), "{found:?}");
    let mut told = app.database.texts("SELECT type FROM outbox").await;
    told.sort();
    assert_eq!(told, ["user.invited", "user.joined"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_is_renewed_expires_and_is_refused_when_it_is_not_ones_own() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let invite = || acme.owner.post("/users", invitation("ada@acme.test", "viewer"));
    let first = invite().await.created()["data"].take();
    let second = invite().await.created()["data"].take();
    assert_eq!(first["id"], second["id"], "the same person");
    let accept = |token: &Value| json!({ "token": token, "password": "a word of my own" });
    let anyone = app.anyone();
    anyone.post("/auth/invitations/accept", accept(&first["invitation"]["token"])).await.invalid(&["token"]);
    app.clock.advance(Duration::from_secs(7 * 24 * 60 * 60));
    anyone.post("/auth/invitations/accept", accept(&second["invitation"]["token"])).await.invalid(&["token"]);
    let owner = app.sign_in("acme", "owner").await;
    let third = owner.post("/users", invitation("ada@acme.test", "viewer")).await.created()["data"].take();
    let reset = json!({ "token": third["invitation"]["token"], "new_password": "a word of my own" });
    anyone.post("/auth/password/reset", reset).await.invalid(&["token"]);
    let common = json!({ "token": third["invitation"]["token"], "password": "iloveyou" });
    anyone.post("/auth/invitations/accept", common).await.invalid(&["password"]);
    anyone.post("/auth/invitations/accept", accept(&third["invitation"]["token"])).await.created();
    let taken = owner.post("/users", invitation("ada@acme.test", "viewer")).await.refused(409, "CONFLICT");
    assert_eq!(taken["details"], json!([]));
    let id = id_of(&owner, "ada@acme.test").await;
    owner.delete(&format!("/users/{id}")).await.ok();
    owner.post("/users", invitation("ada@acme.test", "viewer")).await.refused(409, "CONFLICT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_address_invited_ten_times_at_once_is_one_person() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let before = app.database.count("users").await;
    let answers = at_once(10, |_| {
        let owner = acme.owner.clone();
        async move { owner.post("/users", invitation("ada@acme.test", "member")).await }
    })
    .await;
    for answer in answers {
        answer.created();
    }
    assert_eq!(app.database.count("users").await, before + 1);
    assert_eq!(app.database.count("user_tokens").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_invitation_accepted_ten_times_at_once_is_one_session() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let invited = acme.owner.post("/users", invitation("ada@acme.test", "member")).await.created();
    let body = json!({ "token": invited["data"]["invitation"]["token"], "password": "a word of my own" });
    let answers = at_once(10, |_| {
        let (anyone, body) = (app.anyone(), body.clone());
        async move { anyone.post("/auth/invitations/accept", body).await }
    })
    .await;
    let (created, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!((created.len(), refused.len()), (1, 9));
    for answer in refused {
        answer.invalid(&["token"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_listed_by_pages_filtered_and_searched() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    app.tenant("globex").await;
    app.database.execute("UPDATE tenants SET plan = 'pro'").await; // nine people
    for i in 0..5 {
        acme.owner.post("/users", invitation(&format!("guest{i}_%@acme.test"), "viewer")).await.created();
    }
    let list = async |query: &str| acme.admin.get(&format!("/users?{query}")).await.ok();
    let all = list("").await;
    assert_eq!(
        (&all["total"], &all["page"], &all["per_page"], &all["pages"]),
        (&json!(9), &json!(1), &json!(20), &json!(1))
    );
    assert_eq!(all["items"][0]["email"], "owner@acme.test", "oldest first");
    let second = list("page=2&per_page=4").await;
    assert_eq!(
        (&second["total"], &second["pages"], second["items"].as_array().unwrap().len()),
        (&json!(9), &json!(3), 4)
    );
    assert_eq!(second["items"][0], all["items"][4]);
    let past = list("page=99").await;
    assert_eq!((&past["items"], &past["total"]), (&json!([]), &json!(9)));
    for (query, total) in [
        ("role=viewer", 6),
        ("status=invited", 5),
        ("role=viewer&status=active", 1),
        ("q=LOVELACE", 5),
        ("q=guest3", 1),
        ("q=_%25@", 5),
        ("q=%25%25", 0),
        ("q=globex", 0),
        ("q=", 9),
        ("role=owner", 1),
    ] {
        assert_eq!(list(query).await["total"], total, "{query}");
    }
    assert_eq!(list("q=globex").await["pages"], 0);
    for (query, field) in [
        ("page=0", "page"),
        ("per_page=101", "per_page"),
        ("page=x", "page"),
        ("role=king", "role"),
        ("z=1", "z"),
    ] {
        acme.admin.get(&format!("/users?{query}")).await.invalid(&[field]);
    }
    acme.member.get("/users").await.refused(403, "FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_do_what_to_whom() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let other_admin = {
        app.database.insert_user(acme.id, "second@acme.test", "admin", acme.owner.user_id).await;
        id_of(&acme.owner, "second@acme.test").await
    };
    let owner = acme.owner.user_id.to_string();
    let nobody = Uuid::new_v4().to_string();
    // an admin reaches neither for the owner nor for another admin, and makes no admin
    for target in [&owner, &other_admin] {
        acme.admin.patch(&format!("/users/{target}/role"), role("viewer")).await.refused(403, "FORBIDDEN");
        acme.admin.delete(&format!("/users/{target}")).await.refused(403, "FORBIDDEN");
        acme.admin.post_empty(&format!("/users/{target}/reactivate")).await.refused(403, "FORBIDDEN");
        acme.admin.post_empty(&format!("/users/{target}/password-reset")).await.refused(403, "FORBIDDEN");
    }
    acme.admin.patch(&format!("/users/{nobody}/role"), role("admin")).await.refused(403, "FORBIDDEN");
    acme.admin.patch(&format!("/users/{nobody}/role"), role("viewer")).await.refused(404, "NOT_FOUND");
    acme.admin.post("/users", invitation("x@acme.test", "admin")).await.refused(403, "FORBIDDEN");
    // nobody changes themselves, whatever their rank, and nobody is made an owner
    for person in [&acme.owner, &acme.admin] {
        let own = format!("/users/{}", person.user_id);
        person.patch(&format!("{own}/role"), role("admin")).await.refused(422, "BUSINESS_RULE_VIOLATION");
        person.delete(&own).await.refused(422, "BUSINESS_RULE_VIOLATION");
        person.patch(&format!("{own}/role"), role("owner")).await.invalid(&["role"]);
    }
    acme.owner.post("/users", invitation("x@acme.test", "owner")).await.invalid(&["role"]);
    // the owner does
    let changed = acme.owner.patch(&format!("/users/{other_admin}/role"), role("member")).await.ok();
    assert_eq!(changed["data"]["role"], "member");
    acme.admin.patch(&format!("/users/{other_admin}/role"), role("viewer")).await.ok();
    acme.owner.patch(&format!("/users/{other_admin}/role"), role("admin")).await.ok();
    // what holds, holds from the next request on
    acme.owner.patch(&format!("/users/{}/role", acme.admin.user_id), role("viewer")).await.ok();
    acme.admin.get("/users").await.refused(403, "FORBIDDEN");
    assert_eq!(app.database.number("SELECT count(*) FROM users WHERE role = 'owner'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_deactivated_is_out_at_once_and_comes_back_with_nothing_old() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let path = format!("/users/{}", acme.member.user_id);
    let gone = acme.admin.delete(&path).await.ok();
    assert_eq!((&gone["data"]["status"], &gone["data"]["is_active"]), (&json!("deactivated"), &json!(false)));
    let refresh = json!({ "refresh_token": acme.member.refresh_token });
    acme.member.get("/orders").await.refused(401, "UNAUTHORIZED");
    app.anyone().post("/auth/refresh", refresh.clone()).await.refused(401, "UNAUTHORIZED");
    app.anyone().post("/auth/login", login("acme", "member")).await.refused(401, "UNAUTHORIZED");
    acme.admin.delete(&path).await.ok();
    let back = acme.admin.post_empty(&format!("{path}/reactivate")).await.ok();
    assert_eq!(back["data"]["status"], "active");
    acme.member.get("/orders").await.refused(401, "UNAUTHORIZED");
    app.anyone().post("/auth/refresh", refresh).await.refused(401, "UNAUTHORIZED");
    app.sign_in("acme", "member").await.get("/orders").await.ok();
    let invited =
        acme.owner.post("/users", invitation("ada@acme.test", "viewer")).await.created()["data"].take();
    let path = format!("/users/{}", invited["id"].as_str().unwrap());
    acme.owner.delete(&path).await.ok();
    let accept = json!({ "token": invited["invitation"]["token"], "password": "a word of my own" });
    app.anyone().post("/auth/invitations/accept", accept).await.invalid(&["token"]);
    assert_eq!(acme.owner.post_empty(&format!("{path}/reactivate")).await.ok()["data"]["status"], "invited");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_changed_and_all_other_sessions_end() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let other = app.sign_in("acme", "member").await;
    let change = |current: &str, new: &str| json!({ "current_password": current, "new_password": new });
    acme.member
        .post("/auth/password/change", change("not it", "a word of my own"))
        .await
        .invalid(&["current_password"]);
    acme.member
        .post("/auth/password/change", change(PASSWORD, "member at work"))
        .await
        .invalid(&["new_password"]);
    acme.member.post("/auth/password/change", change(PASSWORD, "a word of my own")).await.ok();
    acme.member.get("/auth/me").await.ok();
    other.get("/auth/me").await.refused(401, "UNAUTHORIZED");
    app.anyone().post("/auth/login", login("acme", "member")).await.refused(401, "UNAUTHORIZED");
    let mut again = login("acme", "member");
    again["password"] = json!("a word of my own");
    app.anyone().post("/auth/login", again).await.ok();
    assert!(actions(&acme.owner).await.contains(&"auth.password_changed".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_lets_somebody_set_a_new_password() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let path = format!("/users/{}/password-reset", acme.member.user_id);
    let first = acme.admin.post_empty(&path).await.ok();
    let second = acme.admin.post_empty(&path).await.ok();
    assert_eq!(second["data"]["expires_at"], "2026-01-31T13:00:00.000Z");
    let reset = |token: &Value| json!({ "token": token, "new_password": "a word of my own" });
    let anyone = app.anyone();
    anyone.post("/auth/password/reset", reset(&first["data"]["token"])).await.invalid(&["token"]);
    for token in [json!("pwr_x"), json!("x"), json!(acme.member.refresh_token)] {
        anyone.post("/auth/password/reset", reset(&token)).await.invalid(&["token"]);
    }
    anyone.post("/auth/password/reset", reset(&second["data"]["token"])).await.ok();
    anyone.post("/auth/password/reset", reset(&second["data"]["token"])).await.invalid(&["token"]);
    acme.member.get("/auth/me").await.refused(401, "UNAUTHORIZED");
    let mut again = login("acme", "member");
    again["password"] = json!("a word of my own");
    anyone.post("/auth/login", again).await.ok();
    let late = acme.admin.post_empty(&path).await.ok();
    app.clock.advance(Duration::from_secs(60 * 60));
    anyone.post("/auth/password/reset", reset(&late["data"]["token"])).await.invalid(&["token"]);
}

/// Or an admin could keep a token of a member, and be the owner once the member is.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_given_for_a_member_ends_when_they_rise() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let reset = async |of: &Person| {
        let path = format!("/users/{}/password-reset", of.user_id);
        acme.admin.post_empty(&path).await.ok()["data"]["token"].take()
    };
    let (members, viewers) = (reset(&acme.member).await, reset(&acme.viewer).await);
    acme.owner.post("/tenant/transfer-ownership", transfer(acme.member.user_id, PASSWORD)).await.ok();
    acme.member.patch(&format!("/users/{}/role", acme.viewer.user_id), role("admin")).await.ok();
    for token in [members, viewers] {
        let body = json!({ "token": token, "new_password": "a word of my own" });
        app.anyone().post("/auth/password/reset", body).await.invalid(&["token"]);
    }
    for person in [&acme.member, &acme.viewer] {
        person.get("/auth/me").await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_forgot_is_answered_alike() {
    let app = TestApp::start().await;
    app.tenant("acme").await;
    let mut bodies = Vec::new();
    for (slug, email) in
        [("acme", "member@acme.test"), ("acme", "nobody@acme.test"), ("nobody", "a@b.test"), ("acme", "x")]
    {
        let answer =
            app.anyone().post("/auth/password/forgot", json!({ "tenant_slug": slug, "email": email })).await;
        bodies.push(answer.text());
        answer.status(202);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_and_ended_one_by_one_or_all() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let (second, third) = (app.sign_in("acme", "member").await, app.sign_in("acme", "member").await);
    let list = acme.member.get("/auth/sessions").await.ok();
    assert_eq!(list["total"], 3);
    let items = list["items"].as_array().unwrap();
    assert_eq!(
        items.iter().map(|s| s["current"] == true).collect::<Vec<_>>(),
        [false, false, true],
        "newest first"
    );
    let members: Vec<_> = items[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["created_at", "current", "expires_at", "id", "ip", "last_used_at", "user_agent"]);
    let newest = items[0]["id"].as_str().unwrap();
    acme.viewer.delete(&format!("/auth/sessions/{newest}")).await.refused(404, "NOT_FOUND");
    acme.member.delete(&format!("/auth/sessions/{newest}")).await.status(204);
    acme.member.delete(&format!("/auth/sessions/{newest}")).await.refused(404, "NOT_FOUND");
    third.get("/auth/me").await.refused(401, "UNAUTHORIZED");
    second.get("/auth/me").await.ok();
    acme.member.delete("/auth/sessions").await.status(204);
    second.get("/auth/me").await.refused(401, "UNAUTHORIZED");
    assert_eq!(acme.member.get("/auth/sessions").await.ok()["total"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_renamed() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    app.clock.advance(Duration::from_secs(60));
    let renamed = acme.admin.patch("/tenant", json!({ "name": " Acme International " })).await.ok();
    assert_eq!(
        (&renamed["data"]["name"], &renamed["data"]["slug"]),
        (&json!("Acme International"), &json!("acme"))
    );
    assert_eq!(renamed["data"]["updated_at"], "2026-01-31T12:01:00.000Z");
    assert_eq!(acme.viewer.get("/tenant").await.ok(), renamed);
    acme.member.patch("/tenant", json!({ "name": "x" })).await.refused(403, "FORBIDDEN");
    for body in [json!({ "name": "" }), json!({ "name": "a\u{7}" }), json!({ "name": "x".repeat(101) })] {
        acme.owner.patch("/tenant", body).await.invalid(&["name"]);
    }
    acme.owner
        .patch("/tenant", json!({ "name": "x", "plan": "enterprise", "slug": "y" }))
        .await
        .invalid(&["plan", "slug"]);
}

fn transfer(to: Uuid, password: &str) -> Value {
    json!({ "user_id": to, "password": password })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_given_to_somebody_else() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let path = "/tenant/transfer-ownership";
    acme.admin.post(path, transfer(acme.admin.user_id, PASSWORD)).await.refused(403, "FORBIDDEN");
    acme.owner.post(path, transfer(acme.member.user_id, "not it")).await.invalid(&["password"]);
    acme.owner.post(path, transfer(Uuid::new_v4(), PASSWORD)).await.refused(404, "NOT_FOUND");
    acme.owner.post(path, transfer(globex.member.user_id, PASSWORD)).await.refused(404, "NOT_FOUND");
    acme.owner.post(path, transfer(acme.owner.user_id, PASSWORD)).await.invalid(&["user_id"]);
    acme.owner.delete(&format!("/users/{}", acme.viewer.user_id)).await.ok();
    acme.owner.post(path, transfer(acme.viewer.user_id, PASSWORD)).await.invalid(&["user_id"]);
    acme.owner.post(path, transfer(acme.member.user_id, PASSWORD)).await.ok();
    assert_eq!(acme.owner.get("/auth/me").await.ok()["data"]["role"], "admin");
    assert_eq!(acme.member.get("/auth/me").await.ok()["data"]["role"], "owner");
    acme.owner.post(path, transfer(acme.admin.user_id, PASSWORD)).await.refused(403, "FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_tenant_has_one_owner_whatever_happens_at_once_on_two_nodes() {
    let app = TestApp::start_with(Options { connections: 20, ..Options::default() }).await;
    let other =
        TestApp::on(app.database.clone(), Options { clock: app.clock.clone(), ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let there = other.sign_in("acme", "owner").await;
    let heirs = [acme.admin.user_id, acme.member.user_id, acme.viewer.user_id];
    let answers = at_once(18, |i| {
        let owner = if i % 2 == 0 { acme.owner.clone() } else { there.clone() };
        let heir = heirs[i % 3];
        async move {
            match i % 6 {
                5 => owner.delete(&format!("/users/{heir}")).await,
                4 => owner.patch(&format!("/users/{heir}/role"), role("admin")).await,
                _ => owner.post("/tenant/transfer-ownership", transfer(heir, PASSWORD)).await,
            }
        }
    })
    .await;
    for answer in &answers {
        assert!(answer.status.as_u16() < 500, "{}: {}", answer.asked, answer.text());
    }
    let transferred = answers.iter().filter(|a| a.asked.contains("transfer") && a.status == 200).count();
    assert!(transferred <= 1, "the second finds nothing to give");
    let owners = "SELECT count(*) FROM users WHERE role = 'owner' AND status = 'active'";
    assert_eq!(app.database.number(owners).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_did_what_is_written_down_and_stays() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let headers = [("x-request-id", "the-request"), ("user-agent", "curl/8")];
    let body = Some(json!({ "name": "Acme 2" }).to_string().into_bytes());
    acme.admin.send("PATCH", "/tenant", &headers, body).await.ok();
    let mut wrong = login("acme", "member");
    wrong["password"] = json!("not it");
    app.anyone().post("/auth/login", wrong).await.refused(401, "UNAUTHORIZED");
    let page = acme.owner.get("/audit?action=tenant.renamed").await.ok();
    assert_eq!(page["total"], 1);
    let entry = &page["items"][0];
    assert_eq!(
        entry["actor"],
        json!({ "type": "user", "id": acme.admin.user_id, "email": "admin@acme.test" })
    );
    assert_eq!(entry["target"], json!({ "type": "tenant", "id": acme.id }));
    assert_eq!((&entry["request_id"], &entry["user_agent"]), (&json!("the-request"), &json!("curl/8")));
    assert_eq!(entry["details"], json!({ "from": "acme", "to": "Acme 2" }));
    let failed = acme.owner.get("/audit?action=auth.login_failed").await.ok();
    assert_eq!(
        (&failed["items"][0]["actor"], &failed["items"][0]["details"]["email"]),
        (&Value::Null, &json!("member@acme.test"))
    );
    let own = acme.owner.get(&format!("/audit?actor={}", acme.admin.user_id)).await.ok();
    assert!(own["items"].as_array().unwrap().iter().all(|e| e["actor"]["id"] == json!(acme.admin.user_id)));
    acme.member.get("/audit").await.refused(403, "FORBIDDEN");
    let theirs = globex.owner.get("/audit?per_page=100").await.ok();
    assert!(!theirs.to_string().contains(&acme.id.to_string()));
    app.database.refuses_change("audit_events").await;
}
