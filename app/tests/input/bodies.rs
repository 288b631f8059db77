//! Bodies that are none: what holds for every route that takes one.
use super::Scene;
use crate::support::order;
use axum::body::{Body, Bytes};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn json_that_does_not_parse_is_400() {
    let scene = Scene::start().await;
    for (method, path, right) in scene.bodies() {
        let right = right.to_string();
        let without_quotes = right.replace('"', "");
        let with_single_quotes = right.replace('"', "'");
        let trailing_comma = right.replace('}', ",}");
        let cut_off = &right[..right.len() - 1];
        let twice = format!("{right}{right}");
        let commented = format!("/* an order */ {right}");
        for body in [
            "",
            " ",
            "{",
            "}",
            "nul",
            "undefined",
            "NaN",
            "<order/>",
            "a=b",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":01}",
            "{\"a\":+1}",
            "{\"a\":.5}",
            "{\"a\":0x1}",
            "{\"a\":1e}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\u12\"}",
            "{\"a\":\"",
            &without_quotes,
            &with_single_quotes,
            &trailing_comma,
            cut_off,
            &twice,
            &commented,
        ] {
            let document = scene.send(method, &path, &[], body).await.refused(400, "BAD_REQUEST");
            assert_eq!(document["details"], json!([]), "{body}");
        }
    }
    scene.untouched().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_utf8_is_400() {
    let scene = Scene::start().await;
    for bytes in [&b"\xff"[..], b"\xc3\x28", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"\xe2\x82"] {
        for (method, path, right) in scene.bodies() {
            let right = right.to_string().into_bytes();
            let within = [&right[..right.len() - 1], &b",\"note\":\""[..], bytes, &b"\"}"[..]].concat();
            let as_a_name = [&b"{\""[..], bytes, &b"\":1}"[..]].concat();
            for body in [bytes.to_vec(), within, as_a_name, [bytes, right.as_slice()].concat()] {
                scene.send(method, &path, &[], body).await.refused(400, "BAD_REQUEST");
            }
        }
    }
    let utf16: Vec<u8> = order().to_string().encode_utf16().flat_map(u16::to_le_bytes).collect();
    scene.send("POST", "/orders", &[], utf16).await.refused(400, "BAD_REQUEST");
    scene.untouched().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_json_but_no_object_is_422() {
    let scene = Scene::start().await;
    for (method, path, right) in scene.bodies() {
        let members: Vec<_> = right.as_object().unwrap().values().collect();
        let in_an_array = json!([right]).to_string();
        let its_members = json!(members).to_string(); // what a derived struct would take
        let in_a_string = json!(right.to_string()).to_string();
        for body in [
            "[]",
            "null",
            "true",
            "0",
            "1e400",
            "\"\"",
            "\"x\"",
            "[[]]",
            &in_an_array,
            &its_members,
            &in_a_string,
        ] {
            let document = scene.send(method, &path, &[], body).await.refused(422, "VALIDATION_ERROR");
            assert_eq!(document["details"], json!([]), "{body}: no field is at fault");
            assert!(document["detail"].as_str().unwrap().contains("object"), "{document}");
        }
    }
    scene.untouched().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_repeated_members_are_named() {
    let scene = Scene::start().await;
    for (method, path, right) in scene.bodies() {
        let text = right.to_string();
        let rest = &text[1..];
        // none of these can be given by a client
        for name in [
            "role",
            "tenant_id",
            "is_admin",
            "plan",
            "id",
            "user_id",
            "created_at",
            "__proto__",
            "Status",
            "",
            " ",
        ] {
            let body = format!("{{\"{name}\":\"owner\",{rest}");
            scene.send(method, &path, &[], body).await.invalid(&[name]);
        }
        for name in right.as_object().unwrap().keys() {
            let body = format!("{{\"{name}\":{},{rest}", right[name]);
            let document = scene.send(method, &path, &[], body).await.invalid(&[name]);
            assert!(document["detail"].as_str().unwrap().contains("more than once"), "{document}");
            // the same name, spelt otherwise
            let escaped = format!("\\u{:04x}{}", name.as_bytes()[0], &name[1..]);
            let body = format!("{{\"{escaped}\":{},{rest}", right[name]);
            scene.send(method, &path, &[], body).await.invalid(&[name]);
            let shouted = format!("{{\"{}\":{},{rest}", name.to_uppercase(), right[name]);
            scene.send(method, &path, &[], shouted).await.invalid(&[&name.to_uppercase()]);
        }
    }
    let line =
        r#"{"product_id":"a","product_id":"a","product_name":"a","quantity":1,"unit_price":1,"total":0}"#;
    scene.order_with("/items/1", line).await.invalid(&["items[1].product_id", "items[1].total"]);
    scene.untouched().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_name_is_not_told_back_at_any_length() {
    let scene = Scene::start().await;
    let name = "ä".repeat(60_000);
    let answer =
        scene.send("POST", "/auth/logout", &[], format!("{{\"{name}\":1,\"refresh_token\":\"x\"}}")).await;
    assert!(answer.bytes.len() < 2000, "{}", answer.bytes.len());
    answer.refused(422, "VALIDATION_ERROR");
    let many: String = (0..20_000).map(|i| format!("\"{i}\":0,")).collect();
    let answer = scene.send("POST", "/auth/logout", &[], format!("{{{many}\"refresh_token\":\"x\"}}")).await;
    assert!(answer.bytes.len() < 100_000, "{}", answer.bytes.len());
    answer.refused(422, "VALIDATION_ERROR");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_types_are_named() {
    let scene = Scene::start().await;
    for (method, path, right) in scene.bodies() {
        for (name, member) in right.as_object().unwrap() {
            for wrong in [json!(7), json!(true), json!({}), json!([]), json!(["x"]), json!("x"), json!(null)]
            {
                let is_optional =
                    ["tenant_slug", "notes", "currency"].contains(&name.as_str()) && path != "/auth/login";
                let same_type =
                    member.is_string() && wrong.is_string() || member.is_array() && wrong.is_array();
                if same_type || wrong.is_null() && is_optional {
                    continue;
                }
                let mut body = right.clone();
                body[name] = wrong;
                scene.send(method, &path, &[], body.to_string()).await.invalid(&[name]);
            }
        }
        let mut faulty: Vec<_> = right.as_object().unwrap().keys().map(String::as_str).collect();
        if path != "/auth/login" {
            faulty.retain(|name| !["tenant_slug", "notes", "currency"].contains(name));
        }
        scene.send(method, &path, &[], "{}").await.invalid(&faulty); // required, all told at once
    }
    scene.untouched().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_nested_deep_is_refused_and_harms_nothing() {
    let scene = Scene::start().await;
    let arrays = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let objects = format!("{}0{}", "{\"a\":".repeat(40_000), "}".repeat(40_000));
    let open = "[".repeat(200_000);
    for (method, path, right) in scene.bodies() {
        let text = right.to_string();
        let rest = &text[1..];
        scene.send(method, &path, &[], arrays.as_str()).await.refused(422, "VALIDATION_ERROR");
        scene.send(method, &path, &[], objects.as_str()).await.refused(422, "VALIDATION_ERROR");
        scene.send(method, &path, &[], open.as_str()).await.refused(400, "BAD_REQUEST");
        scene.send(method, &path, &[], format!("{{\"deep\":{arrays},{rest}")).await.invalid(&["deep"]);
    }
    for part in [
        "customer_id",
        "items[0]",
        "notes",
        "items[0].quantity",
        "items[0].unit_price",
        "items[0].product_name",
    ] {
        let pointer = format!("/{}", part.replace("[0]", "/0").replace('.', "/"));
        scene.order_with(&pointer, &arrays).await.invalid(&[part]);
    }
    scene.untouched().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_413() {
    let scene = Scene::start().await;
    for (method, path, right) in scene.bodies() {
        let text = right.to_string();
        let largest = text.clone() + &" ".repeat(256 * 1024 - text.len());
        let answer = scene.send(method, &path, &[], largest.clone()).await;
        assert_ne!(answer.status, 413, "256 KiB are not over the limit");
        assert!(!answer.status.is_server_error(), "{}", answer.text());
    }
    let scene = Scene::start().await;
    for (method, path, right) in scene.bodies() {
        let text = right.to_string();
        for size in [256 * 1024 + 1, 300 * 1024] {
            let large = Bytes::from(text.clone() + &" ".repeat(size - text.len()));
            scene.send(method, &path, &[], large.clone()).await.refused(413, "PAYLOAD_TOO_LARGE");
            // in pieces, and without a word of how many will come
            let request =
                scene.acme.member.build(method, &path, &[("content-type", "application/json")], None);
            let pieces: Vec<_> = large
                .chunks(4096)
                .map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)))
                .collect();
            let request = request.map(|_| Body::from_stream(futures_util::stream::iter(pieces)));
            assert!(!request.headers().contains_key("content-length"));
            scene.acme.member.request(request).await.refused(413, "PAYLOAD_TOO_LARGE");
        }
    }
    scene.untouched().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_end_is_cut_off_at_the_limit() {
    let scene = Scene::start().await;
    let piece = Bytes::from_static(&[b' '; 1024]);
    let endless = futures_util::stream::repeat_with(move || Ok::<_, std::io::Error>(piece.clone()));
    let request = scene.acme.member.build("POST", "/orders", &[("content-type", "application/json")], None);
    let answer = scene.acme.member.request(request.map(|_| Body::from_stream(endless))).await;
    answer.refused(413, "PAYLOAD_TOO_LARGE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_is_400() {
    let scene = Scene::start().await;
    let text = Bytes::from(order().to_string());
    let broken = futures_util::stream::iter([Ok(text), Err(std::io::Error::other("connection reset"))]);
    let request = scene.acme.member.build("POST", "/orders", &[("content-type", "application/json")], None);
    let answer = scene.acme.member.request(request.map(|_| Body::from_stream(broken))).await;
    answer.refused(400, "BAD_REQUEST");
    scene.untouched().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_plain_json_is_415() {
    let scene = Scene::start().await;
    for (method, path, right) in scene.bodies() {
        let body = right.to_string();
        for kind in [
            "",
            "text/plain",
            "text/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/jsonp",
            "application/xml",
            "application/problem+json",
            "application/json, text/plain",
            "json",
            "*/*",
            "application/json; charset=utf-16",
            "application/json; charset=iso-8859-1",
            "é",
        ] {
            scene
                .send(method, &path, &[("content-type", kind)], body.clone())
                .await
                .refused(415, "UNSUPPORTED_MEDIA_TYPE");
        }
        for encoding in ["gzip", "br", "deflate", "zstd", "GZIP", "identity, gzip", "x", "é"] {
            let headers = [("content-encoding", encoding)];
            scene.send(method, &path, &headers, body.clone()).await.refused(415, "UNSUPPORTED_MEDIA_TYPE");
        }
        let both = [("content-encoding", "identity"), ("content-encoding", "gzip")];
        scene.send(method, &path, &both, body.clone()).await.refused(415, "UNSUPPORTED_MEDIA_TYPE");
        let mut without = scene.acme.member.build(method, &path, &[], Some(body.into_bytes()));
        without.headers_mut().remove("content-type");
        scene.acme.member.request(without).await.refused(415, "UNSUPPORTED_MEDIA_TYPE");
        // nothing at all: first of all it is not said to be JSON
        scene.acme.member.send(method, &path, &[], None).await.refused(415, "UNSUPPORTED_MEDIA_TYPE");
        let said = [("content-type", "application/json")];
        scene.acme.member.send(method, &path, &said, None).await.refused(400, "BAD_REQUEST");
    }
    scene.untouched().await;
    for kind in
        ["application/json; charset=utf-8", "Application/JSON;charset=\"UTF-8\"", "application/json ; q=1"]
    {
        let headers = [("content-type", kind), ("content-encoding", "identity")];
        scene.send("POST", "/orders", &headers, order().to_string()).await.created();
    }
}
