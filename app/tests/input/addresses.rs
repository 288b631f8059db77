//! Identifiers, cursors and parameters that are none.
use super::Scene;
use crate::support::order;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_identifier_is_404() {
    let scene = Scene::start().await;
    let id = &scene.placed;
    let globex = scene.app.tenant("globex").await;
    let foreign = globex.member.post("/orders", order()).await.created();
    let ids = [
        id.to_uppercase(),
        id.replace('-', ""),
        format!("{{{id}}}"),
        format!("%7B{id}%7D"),
        format!("urn:uuid:{id}"),
        format!("%20{id}"),
        format!("{id}%0A"),
        format!("{id}%00"),
        format!("{id}%2F"),
        format!("{id}%2Fhistory"),
        format!("..%2F{id}"),
        format!("{id}'%20OR%20'1'='1"),
        id[..35].to_owned(),
        format!("{id}0"),
        "0".to_owned(),
        "-1".to_owned(),
        "null".to_owned(),
        "%00".to_owned(),
        "%2F".to_owned(),
        "%ff".to_owned(),
        "%c3%28".to_owned(),
        "%ed%a0%80".to_owned(),
        "%".to_owned(),
        "%zz".to_owned(),
        "0".repeat(10_000),
        "%F0%9F%90%8E".repeat(1000),
        "00000000-0000-0000-0000-000000000000".to_owned(),
        "ffffffff-ffff-ffff-ffff-ffffffffffff".to_owned(),
        "3f333df6-90a4-4fda-8dd3-9485d27cee36".to_owned(),
        foreign["id"].as_str().unwrap().to_owned(),
    ];
    for id in &ids {
        let change = json!({ "status": "confirmed" });
        for answer in [
            scene.acme.member.get(&format!("/orders/{id}")).await,
            scene.acme.member.get(&format!("/orders/{id}/history")).await,
            scene.acme.member.patch(&format!("/orders/{id}/status"), change.clone()).await,
        ] {
            assert!(answer.bytes.len() < 2000, "an answer does not grow with what was asked");
            let document = answer.refused(404, "NOT_FOUND");
            let detail = document["detail"].as_str().unwrap();
            assert!(detail.starts_with("Order '") && detail.ends_with("' not found"), "{detail}");
            assert_eq!(document["details"], json!([]));
        }
        // whoever may not write learns nothing of what there is
        scene.acme.viewer.patch(&format!("/orders/{id}/status"), change).await.refused(403, "FORBIDDEN");
        scene.app.anyone().get(&format!("/orders/{id}")).await.refused(401, "UNAUTHORIZED");
    }
    let document = scene.acme.member.get("/orders/0").await.json();
    assert_eq!(document["detail"], "Order '0' not found");
    // dots are an address of their own, not a way out
    for path in ["/orders/.", "/orders/..", "/orders/../auth/me", "/orders/%2e%2e/auth/me"] {
        scene.acme.member.get(path).await.refused(404, "NOT_FOUND");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_was_not_issued_here_is_422() {
    let scene = Scene::start().await;
    let globex = scene.app.tenant("globex").await;
    for _ in 0..2 {
        scene.acme.member.post("/orders", order()).await.created();
        globex.member.post("/orders", order()).await.created();
    }
    let cursor_of = |page: serde_json::Value| page["next_cursor"].as_str().unwrap().to_owned();
    let cursor = cursor_of(scene.acme.member.get("/orders?limit=1").await.ok());
    let theirs = cursor_of(globex.member.get("/orders?limit=1").await.ok());
    scene.acme.viewer.get(&format!("/orders?cursor={cursor}")).await.ok(); // a colleague's is as good
    let mut wrong: Vec<String> = (0..cursor.len())
        .map(|i| {
            format!(
                "{}{}{}",
                &cursor[..i],
                if cursor.as_bytes()[i] == b'A' { 'B' } else { 'A' },
                &cursor[i + 1..]
            )
        })
        .collect();
    wrong.extend([
        theirs,
        String::new(),
        "x".to_owned(),
        "null".to_owned(),
        "0".to_owned(),
        scene.placed.clone(),
        URL_SAFE_NO_PAD.encode([0; 32]),
        URL_SAFE_NO_PAD.encode([0xff; 32]),
        URL_SAFE_NO_PAD.encode(json!({ "id": scene.placed }).to_string()),
        cursor[1..].to_owned(),
        cursor[..cursor.len() - 1].to_owned(),
        format!("{cursor}A"),
        format!("{cursor}="),
        format!("{cursor}%00"),
        format!("%20{cursor}"),
        cursor.to_lowercase(),
        "%00".to_owned(),
        "%ff".to_owned(),
        "'%20OR%20'1'='1".to_owned(),
        "A".repeat(10_000),
    ]);
    for cursor in wrong {
        let answer = scene.acme.member.get(&format!("/orders?cursor={cursor}")).await;
        assert!(answer.bytes.len() < 2000);
        answer.invalid(&["cursor"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_1_to_100() {
    let scene = Scene::start().await;
    for limit in [
        "0",
        "101",
        "-1",
        "-0",
        "abc",
        "",
        "1.5",
        "1.0",
        "1e1",
        "%2B5",
        "+5",
        "%205",
        "5%20",
        "0x5",
        "1_0",
        "%D9%A5",
        "%00",
        "%ff",
        "9223372036854775808",
        "18446744073709551617",
        &"9".repeat(10_000),
    ] {
        scene.acme.member.get(&format!("/orders?limit={limit}")).await.invalid(&["limit"]);
    }
    scene.acme.member.get("/orders?limit").await.invalid(&["limit"]);
    for limit in ["1", "100", "%31%30"] {
        scene.acme.member.get(&format!("/orders?limit={limit}")).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_that_are_unknown_repeated_or_wrong_are_named() {
    let scene = Scene::start().await;
    let id = &scene.placed;
    for (query, fields) in [
        ("limit=1&limit=1", vec!["limit"]),
        ("limit=1&%6cimit=2", vec!["limit"]),
        ("page=1", vec!["page"]),
        ("Limit=1", vec!["Limit"]),
        ("limit[]=1", vec!["limit[]"]),
        ("tenant_id=0", vec!["tenant_id"]),
        ("=1", vec![""]),
        ("%00=1", vec!["\0"]),
        ("status=shipped", vec!["status"]),
        ("status=Pending", vec!["status"]),
        ("status=pending,confirmed", vec!["status"]),
        ("status=pending&status=confirmed", vec!["status"]),
        ("status=null", vec!["status"]),
        ("status=", vec!["status"]),
        ("customer_id=0192F0C1-2A3B-7C4D-8E5F-000000000001", vec!["customer_id"]),
        ("customer_id=%00", vec!["customer_id"]),
        ("created_after=yesterday", vec!["created_after"]),
        ("created_after=2026-01-31", vec!["created_after"]),
        ("created_before=2026-02-30T00:00:00Z", vec!["created_before"]),
        ("created_before=2026-01-31T09:30:00", vec!["created_before"]),
        ("created_after=2026-02-01T00:00:00Z&created_before=2026-01-31T00:00:00Z", vec!["created_before"]),
        (
            "limit=0&status=x&customer_id=y&created_after=z&page=2&page=3",
            vec!["limit", "status", "customer_id", "created_after", "page", "page"],
        ),
    ] {
        scene.acme.member.get(&format!("/orders?{query}")).await.invalid(&fields);
    }
    for edge in [
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
        "1969-12-31T23:59:59Z",
        "2026-01-31T09:30:00%2B14:00",
    ] {
        scene.acme.member.get(&format!("/orders?created_after={edge}")).await.ok();
        scene.acme.member.get(&format!("/orders?created_before={edge}")).await.ok();
    }
    for path in
        [&format!("/orders/{id}"), &format!("/orders/{id}/history"), "/auth/me", "//health", "//health/ready"]
    {
        scene.acme.member.get(&format!("{path}?expand=items")).await.invalid(&["expand"]);
    }
    for (method, path, body) in scene.bodies() {
        scene.send(method, &format!("{path}?dry_run=1"), &[], body.to_string()).await.invalid(&["dry_run"]);
    }
    scene.untouched().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_cannot_be_read_are_400() {
    let scene = Scene::start().await;
    let path = format!("/orders/{}", scene.placed);
    scene.acme.member.get_with(&path, &[("if-none-match", "é")]).await.refused(400, "BAD_REQUEST");
    let change = json!({ "status": "confirmed" });
    scene
        .acme
        .member
        .patch_with(&format!("{path}/status"), &[("if-match", "é")], change.clone())
        .await
        .refused(400, "BAD_REQUEST");
    for tag in ["", "1", "W/\"1\"", "\"", "\"9223372036854775808\"", "'1'", ","] {
        let stale = scene
            .acme
            .member
            .patch_with(&format!("{path}/status"), &[("if-match", tag)], change.clone())
            .await;
        stale.refused(412, "PRECONDITION_FAILED");
    }
    scene.untouched().await;
}
