//! People and tenants that cannot be.
use super::{Scene, register};
use crate::support::{PASSWORD, http::Answer, login};
use serde_json::{Value, json};

impl Scene {
    async fn register_with(&self, changes: Value) -> Answer {
        let mut body = register();
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        self.app.anyone().post("/auth/register", body).await
    }

    async fn sign_in(&self, slug: &str, email: &str, password: &str) -> Answer {
        let body = json!({ "tenant_slug": slug, "email": email, "password": password });
        self.app.anyone().post("/auth/login", body).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_has_8_to_128_characters_and_no_nul() {
    let scene = Scene::start().await;
    let (short, long) = ("🐎".repeat(7), "🐎".repeat(129));
    for password in [
        "",
        "1234567",
        "       ",
        &"x".repeat(129),
        &"x".repeat(100_000),
        &short,
        &long,
        "correct\0horse",
        "\0\0\0\0\0\0\0\0",
    ] {
        scene.register_with(json!({ "password": password })).await.invalid(&["password"]);
    }
    scene.untouched().await;
    for (i, password) in [
        "8 chars!".to_owned(),
        "🐎".repeat(8),
        "🐎".repeat(128),
        "q".repeat(128),
        "  with spaces  ".to_owned(),
        "tab\tand\nline break \u{1b}".to_owned(),
        "e\u{301} is not \u{e9}".to_owned(),
    ]
    .into_iter()
    .enumerate()
    {
        let slug = format!("tenant-{i}");
        scene.register_with(json!({ "tenant_slug": slug, "password": password })).await.created();
        scene.sign_in(&slug, "ada@initech.test", &password).await.ok();
        // taken as it is: not trimmed, not normalized, not in another case, not cut off
        let last = password.char_indices().last().unwrap().0;
        for other in [
            password.trim().to_owned(),
            password[..last].to_owned(),
            format!("{password} "),
            password.to_uppercase(),
            password.replace("e\u{301}", "\u{e9}"),
        ] {
            if other != password && other.chars().count() <= 128 {
                scene.sign_in(&slug, "ada@initech.test", &other).await.refused(401, "UNAUTHORIZED");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_73rd_byte_of_a_password_counts() {
    let scene = Scene::start().await;
    let bytes_72 = "horse battery staple, ".repeat(4)[..72].to_owned();
    let bytes_73 = format!("{bytes_72}!");
    let emoji = "🐎".repeat(18); // 72 bytes in 18 characters
    for (slug, password, others) in [
        ("bytes-72", &bytes_72, [&bytes_73, &bytes_72[..71]]),
        ("bytes-73", &bytes_73, [&bytes_72, &format!("{bytes_72}?")]),
        ("emoji-72", &emoji, [&format!("{emoji}🐎"), &format!("{emoji}!")]),
        ("emoji-76", &format!("{emoji}🐎"), [&emoji, &format!("{emoji}🐴")]),
    ] {
        scene.register_with(json!({ "tenant_slug": slug, "password": password })).await.created();
        scene.sign_in(slug, "ada@initech.test", password).await.ok();
        for other in others {
            scene.sign_in(slug, "ada@initech.test", other).await.refused(401, "UNAUTHORIZED");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_common_password_or_one_with_ones_own_name_is_refused() {
    let scene = Scene::start().await;
    for common in ["password", "PassWord", "12345678", "iloveyou", "sunshine", "baseball"] {
        scene.register_with(json!({ "password": common })).await.invalid(&["password"]);
    }
    for (email, password) in [
        ("grace.hopper@initech.test", "grace.hopper"),
        ("grace.hopper@initech.test", "xx-Grace.Hopper-xx"),
        ("GRACE@initech.test", "amazing grace"),
        ("  grace@initech.test ", "DISGRACEFUL"),
        ("jürgen@initech.test", "JÜRGEN 1234"),
    ] {
        scene.register_with(json!({ "email": email, "password": password })).await.invalid(&["password"]);
    }
    // with whatever else is wrong
    let wrong = json!({ "email": "grace@initech.test", "password": "amazing grace", "tenant_slug": "api", "full_name": "", "role": "owner" });
    scene.register_with(wrong).await.invalid(&["password", "tenant_slug", "full_name", "role"]);
    for password in
        ["initech1", "Initech-2026", "!!INITECH!!", "2026.initech.2026", "tenantry", "Tenantry123"]
    {
        scene.register_with(json!({ "password": password })).await.invalid(&["password"]);
        let made = json!({ "tenant_slug": null, "tenant_name": "Ini Tech", "password": password });
        scene.register_with(made).await.invalid(&["password"]);
    }
    scene.untouched().await;
    let session =
        scene.register_with(json!({ "tenant_slug": "initech-one", "password": "initech and more" })).await;
    let owner = scene.app.with_token(session.created()["data"]["access_token"].as_str().unwrap());
    let change = |to: &str| json!({ "current_password": "initech and more", "new_password": to });
    for to in ["Initech-One-1", "tenantry!"] {
        owner.post("/auth/password/change", change(to)).await.invalid(&["new_password"]);
    }
    let invitation = json!({ "email": "bo@initech.test", "full_name": "Bo", "role": "viewer" });
    let invited = owner.post("/users", invitation).await.created();
    let token = &invited["data"]["invitation"]["token"];
    let accept = |password: &str| json!({ "token": token, "password": password });
    let anyone = scene.app.anyone();
    anyone.post("/auth/invitations/accept", accept("initechone")).await.invalid(&["password"]);
    anyone.post("/auth/invitations/accept", accept("initech one, and so on")).await.created();
    let id = invited["data"]["id"].as_str().unwrap();
    let reset = owner.post_empty(&format!("/users/{id}/password-reset")).await.ok()["data"]["token"].clone();
    let body = |password: &str| json!({ "token": reset, "new_password": password });
    anyone.post("/auth/password/reset", body("initech-one-77")).await.invalid(&["new_password"]);
    anyone.post("/auth/password/reset", body("another of my own")).await.ok();
    // three characters may well occur
    scene
        .register_with(json!({ "email": "ada@initech.test", "password": "a cascade of adages" }))
        .await
        .created();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_with_a_password_that_never_could_be_is_422() {
    let scene = Scene::start().await;
    for password in ["", "a\0b", &"x".repeat(129), &format!("{PASSWORD}\0")] {
        scene.sign_in("acme", "member@acme.test", password).await.invalid(&["password"]);
    }
    for (name, wrong) in [
        ("tenant_slug", "x".repeat(101)),
        ("email", "x".repeat(321)),
        ("tenant_slug", String::new()),
        ("email", "a\0@x".to_owned()),
    ] {
        let mut body = login("acme", "member");
        body[name] = json!(wrong);
        scene.app.anyone().post("/auth/login", body).await.invalid(&[name]);
    }
    // of the right form, and nobody's
    for email in
        ["member", "member@acme.test@acme.test", "' OR '1'='1", "%", "_____@acme.test", "ﬁn@acme.test"]
    {
        scene.sign_in("acme", email, PASSWORD).await.refused(401, "UNAUTHORIZED");
        scene.sign_in(email, "member@acme.test", PASSWORD).await.refused(401, "UNAUTHORIZED");
    }
    scene.untouched().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slug_is_a_slug_and_no_reserved_word() {
    let scene = Scene::start().await;
    for slug in [
        "",
        "a",
        "ab",
        "Acme",
        "ACME-2",
        "-acme",
        "acme-",
        "ac me",
        "ac_me",
        "ac.me",
        "acmé",
        "а-с-m-е",
        "acme\n",
        " acme",
        "ac/me",
        "ac\0me",
        "%61cme",
        &"a".repeat(64),
        &"a".repeat(10_000),
        "ａｃｍｅ",
        "١٢٣",
    ] {
        scene.register_with(json!({ "tenant_slug": slug })).await.invalid(&["tenant_slug"]);
    }
    for reserved in ["www", "api", "admin", "login", "health", "docs", "support", "billing"] {
        scene.register_with(json!({ "tenant_slug": reserved })).await.invalid(&["tenant_slug"]);
    }
    let document = scene.register_with(json!({ "tenant_slug": "acme" })).await.refused(409, "CONFLICT");
    assert!(document["detail"].as_str().unwrap().contains("acme"), "{document}");
    scene.untouched().await;
    for slug in ["abc", "a-1", "0-0", &"a".repeat(63), "a--b"] {
        let session = scene.register_with(json!({ "tenant_slug": slug })).await.created();
        assert_eq!(session["data"]["tenant"]["slug"], slug);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_one_form_and_no_double() {
    let scene = Scene::start().await;
    for email in [
        "",
        "ada",
        "@",
        "ada@",
        "@initech.test",
        "ada@initech",
        "a da@initech.test",
        "ada@@initech.test",
        "a..da@initech.test",
        "ada.@initech.test",
        "ada@initech..test",
        "ada@-initech.test",
        "ada@127.0.0.1",
        "ada@[127.0.0.1]",
        "<ada@initech.test>",
        "Ada <ada@initech.test>",
        "ada@initech.test, bob@initech.test",
        "ada\0@initech.test",
        "ada@initech.test\0",
        "ada@initech.test\nBcc: bob@initech.test",
        "ada@initech.test\n",
        "\tada@initech.test",
        // what looks like another's address
        "ａda@initech.test",
        "ﬁona@initech.test",
        "a\u{200b}da@initech.test",
        "ada\u{ad}@initech.test",
        "ada\u{202e}@initech.test",
        "e\u{301}va@initech.test",
        "①@initech.test",
        "ada²@initech.test",
        &format!("{}@initech.test", "a".repeat(65)),
        &format!("a@{}initech.test", "b.".repeat(150)),
    ] {
        scene.register_with(json!({ "email": email })).await.invalid(&["email"]);
    }
    scene.untouched().await;
    for (i, (email, kept, also)) in [
        (" Ada@INITECH.Test ", "ada@initech.test", "ADA@initech.TEST"),
        ("ada+news@initech.test", "ada+news@initech.test", "Ada+News@Initech.Test"),
        ("\u{212a}ai@initech.test", "kai@initech.test", "kai@initech.test"), // the sign for kelvin is a k
        ("jürgen@Bücher.example", "jürgen@xn--bcher-kva.example", "JÜRGEN@xn--bcher-kva.example"),
        ("ada@ｉｎｉｔｅｃｈ.test", "ada@initech.test", "ada@initech。test"),
    ]
    .into_iter()
    .enumerate()
    {
        let slug = format!("tenant-{i}");
        let session = scene.register_with(json!({ "tenant_slug": slug, "email": email })).await.created();
        assert_eq!(session["data"]["user"]["email"], kept);
        for email in [email, kept, also] {
            scene.sign_in(&slug, email, "correct horse battery").await.ok();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_has_1_to_100_characters_after_trimming() {
    let scene = Scene::start().await;
    for name in ["", " ", "\u{a0}\u{3000}", "a\nb", "a\0b", "Ada\n", "\r\nAda", "a\u{9b}b", &"x".repeat(101)]
    {
        for field in ["full_name", "tenant_name"] {
            scene.register_with(json!({ field: name })).await.invalid(&[field]);
        }
    }
    scene.untouched().await;
    let longest = "日".repeat(100);
    let session = scene
        .register_with(json!({ "full_name": format!("  {longest} "), "tenant_name": " A & B " }))
        .await
        .created();
    assert_eq!(session["data"]["user"]["full_name"], longest);
    assert_eq!(session["data"]["tenant"]["name"], "A & B");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gives_themselves_more_than_they_are_given() {
    let scene = Scene::start().await;
    for (name, value) in [
        ("role", json!("owner")),
        ("tenant_id", json!(scene.acme.id)),
        ("is_admin", json!(true)),
        ("plan", json!("enterprise")),
        ("status", json!("active")),
        ("id", json!(scene.acme.owner.user_id)),
        ("user", json!({ "role": "owner" })),
    ] {
        scene.register_with(json!({ name: value })).await.invalid(&[name]);
        let mut body = login("acme", "member");
        body[name] = value;
        scene.app.anyone().post("/auth/login", body).await.invalid(&[name]);
    }
    scene.untouched().await;
    let session = scene.register_with(json!({})).await.created();
    assert_eq!(
        (&session["data"]["tenant"]["plan"], &session["data"]["user"]["role"]),
        (&json!("free"), &json!("owner"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_refresh_token_is_401_and_signs_nobody_out() {
    let scene = Scene::start().await;
    let token = &scene.acme.member.refresh_token;
    let globex = scene.app.tenant_of_one("globex").await;
    let of_another_tenant = format!("{}{}", &globex.refresh_token[..24], &token[24..]);
    for wrong in [
        "x",
        "rt_",
        "rt_x",
        &token[3..],
        &token[..token.len() - 1],
        &format!("{token}A"),
        &format!("{token} "),
        &token.to_uppercase(),
        &token.replace("rt_", "tk_"),
        &of_another_tenant,
        &scene.acme.member.access_token[..200],
        &"A".repeat(200),
    ] {
        scene
            .app
            .anyone()
            .post("/auth/refresh", json!({ "refresh_token": wrong }))
            .await
            .refused(401, "UNAUTHORIZED");
        scene.app.anyone().post("/auth/logout", json!({ "refresh_token": wrong })).await.ok();
    }
    for wrong in ["", "rt_\0", "rt_\n", &"A".repeat(201), &"A".repeat(100_000)] {
        for path in ["/auth/refresh", "/auth/logout"] {
            scene
                .app
                .anyone()
                .post(path, json!({ "refresh_token": wrong }))
                .await
                .invalid(&["refresh_token"]);
        }
    }
    scene.app.anyone().post("/auth/refresh", json!({ "refresh_token": token })).await.ok();
}
