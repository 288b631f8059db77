//! Orders that cannot be.
use super::Scene;
use crate::support::{login, order};
use serde_json::{Value, json};

const MANY: usize = 200_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_quantity_is_a_whole_number_from_1_to_1000() {
    let scene = Scene::start().await;
    let long = "9".repeat(MANY);
    let negative = format!("-{long}");
    for quantity in [
        "0",
        "-0",
        "-1",
        "1001",
        "1.5",
        "1.0",
        "1e0",
        "1E2",
        "0.1e1",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "1e400",
        "-1e400",
        "\"2\"",
        "\"\"",
        "true",
        "null",
        "[1]",
        "{\"$gt\":0}",
        &long,
        &negative,
    ] {
        scene.order_with("/items/0/quantity", quantity).await.invalid(&["items[0].quantity"]);
    }
    scene.untouched().await;
    for quantity in ["1", "1000"] {
        scene.order_with("/items/0/quantity", quantity).await.created();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_is_a_decimal_with_at_most_two_places() {
    let scene = Scene::start().await;
    let long = "9".repeat(MANY);
    let precise = format!("1.{}", "0".repeat(MANY));
    let mut prices: Vec<String> = [
        "0",
        "0.00",
        "-0.01",
        "-1",
        "0.001",
        "1.005",
        "1.000",
        "29.999",
        "1e400",
        "1e-400",
        "-1e400",
        "100000000.00",
        "9223372036854775808",
        "92233720368547758.08",
        &long,
        &precise,
    ]
    .map(str::to_owned)
    .to_vec();
    let as_strings: Vec<_> = prices.iter().map(|price| json!(price).to_string()).collect();
    prices.extend(as_strings);
    for text in [
        "", " ", "1,50", "1.", ".5", "+1", " 1", "1 ", "$1", "1_000", "0x10", "NaN", "Infinity", "١", "１",
        "--1", "1.-1",
    ] {
        prices.push(json!(text).to_string());
    }
    prices.extend(["true", "null", "[]", "{}", "[1]", r#"{"amount":"1.00"}"#].map(str::to_owned));
    for price in prices {
        scene.order_with("/items/0/unit_price", &price).await.invalid(&["items[0].unit_price"]);
    }
    scene.untouched().await;
    for (price, total) in
        [("0.01", "1.02"), ("\"0.1\"", "1.20"), ("1", "3.00"), ("\"29.99\"", "60.98"), ("1.10", "3.20")]
    {
        assert_eq!(scene.order_with("/items/0/unit_price", price).await.created()["total_amount"], total);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_has_a_limit_too() {
    let scene = Scene::start().await;
    let line = |quantity: i64, price: &str| json!({ "product_id": "a", "product_name": "a", "quantity": quantity, "unit_price": price });
    let most = "99999999.99";
    let fifty = json!(vec![line(1000, most); 50]);
    for items in [
        json!([line(2, most)]),
        json!([line(1, most), line(1, "0.01")]),
        json!([line(1000, "100000.00")]),
        fifty,
    ] {
        let document = scene.order_with("/items", &items.to_string()).await.invalid(&["items"]);
        assert!(document["detail"].as_str().unwrap().contains(most), "{document}");
    }
    // told together with whatever else is wrong
    let mut body = order();
    body["items"] = json!([line(2, most)]);
    body["currency"] = json!("XXY");
    body["colour"] = json!("red");
    scene.acme.member.post("/orders", body).await.invalid(&["items", "currency", "colour"]);
    scene.untouched().await;
    let right = scene.order_with("/items", &json!([line(1, most)]).to_string()).await.created();
    assert_eq!(right["total_amount"], most);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_has_1_to_50_lines() {
    let scene = Scene::start().await;
    let line = &order()["items"][0];
    for items in [
        json!([]),
        json!(vec![line; 51]),
        json!(vec![line; 2000]),
        json!({ "0": line }),
        json!(line),
        json!("[]"),
    ] {
        scene.order_with("/items", &items.to_string()).await.invalid(&["items"]);
    }
    for wrong in [json!([]), json!(null), json!(7), json!("x"), json!([line])] {
        scene.order_with("/items/1", &wrong.to_string()).await.invalid(&["items[1]"]);
    }
    scene.untouched().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_faults_of_an_order_are_told_at_once() {
    let scene = Scene::start().await;
    let body = json!({
        "customer_id": "C-1",
        "items": [
            { "product_id": "", "product_name": "a\u{7}", "quantity": 0, "unit_price": "1.999" },
            { "product_id": "a", "product_name": "b", "quantity": 1, "unit_price": "1.00" },
            { "product_name": " ", "quantity": "1", "discount": 1 }
        ],
        "currency": "euro",
        "notes": "x".repeat(501),
        "status": "completed"
    });
    let document = scene.acme.member.post("/orders", body).await.invalid(&[
        "customer_id",
        "items[0].product_id",
        "items[0].product_name",
        "items[0].quantity",
        "items[0].unit_price",
        "items[2].product_id",
        "items[2].product_name",
        "items[2].quantity",
        "items[2].unit_price",
        "items[2].discount",
        "currency",
        "notes",
        "status",
    ]);
    let detail = document["detail"].as_str().unwrap();
    assert!(detail.contains("items[2].unit_price: required"), "{detail}");
    // every member of every line
    let bad = json!({ "product_id": "", "product_name": "", "quantity": 0, "unit_price": 0 });
    let document =
        scene.order_with("/items", &json!(vec![bad; 50]).to_string()).await.refused(422, "VALIDATION_ERROR");
    assert_eq!(document["details"].as_array().unwrap().len(), 200);
    scene.untouched().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_currency_is_one_of_iso_4217() {
    let scene = Scene::start().await;
    for currency in
        ["XXY", "US", "USDD", "", " usd", "usd ", "U\u{0}D", "840", "€", "ＵＳＤ", "ßd", "null", "us\u{17f}"]
    {
        scene.order_with("/currency", &json!(currency).to_string()).await.invalid(&["currency"]);
    }
    scene.untouched().await;
    for (currency, kept) in [("\"usd\"", "USD"), ("\"EUR\"", "EUR"), ("\"jPy\"", "JPY"), ("null", "USD")] {
        assert_eq!(scene.order_with("/currency", currency).await.created()["currency"], kept);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_named_by_an_identifier() {
    let scene = Scene::start().await;
    for id in [
        "",
        "1",
        "0192F0C1-2A3B-7C4D-8E5F-000000000001",
        "0192f0c12a3b7c4d8e5f000000000001",
        "{0192f0c1-2a3b-7c4d-8e5f-000000000001}",
        "urn:uuid:0192f0c1-2a3b-7c4d-8e5f-000000000001",
        " 0192f0c1-2a3b-7c4d-8e5f-000000000001",
        "0192f0c1-2a3b-7c4d-8e5f-000000000001\n",
        "0192f0c1-2a3b-7c4d-8e5f-00000000000g",
        &"0".repeat(10_000),
    ] {
        scene.order_with("/customer_id", &json!(id).to_string()).await.invalid(&["customer_id"]);
    }
    scene.untouched().await;
}

/// Texts that no field takes.
const UNFIT: [&str; 9] = [
    "\"a\\u0000b\"",
    "\"\\u0000\"",
    "\"a\\u001fb\"",
    "\"a\\u007fb\"",
    "\"a\\u0085b\"",
    "\"a\\u001b[31mb\"",
    "\"a\\ud800b\"",
    "\"a\\udc00\\ud800b\"",
    "\"\\ud83d\"",
];

#[tokio::test(flavor = "multi_thread")]
async fn text_holds_no_nul_no_control_characters_and_no_lone_surrogates() {
    let scene = Scene::start().await;
    for unfit in UNFIT {
        for part in ["/items/0/product_id", "/items/0/product_name", "/notes", "/customer_id", "/currency"] {
            let field = part[1..].replace("/0/", "[0].");
            scene.order_with(part, unfit).await.invalid(&[&field]);
        }
        let body = format!("{{\"status\":\"confirmed\",\"note\":{unfit}}}");
        scene.send("PATCH", &scene.status_path(), &[], body).await.invalid(&["note"]);
        scene
            .send("PATCH", &scene.status_path(), &[], format!("{{\"status\":{unfit}}}"))
            .await
            .invalid(&["status"]);
        for (name, _) in login("acme", "member").as_object().unwrap() {
            let mut body = login("acme", "member");
            body[name] = json!("the part to exchange");
            let body = body.to_string().replace("\"the part to exchange\"", unfit);
            let answer = scene.send("POST", "/auth/login", &[], body).await;
            match (name.as_str(), unfit.contains("\\u0000") || unfit.contains("\\ud")) {
                ("password", false) => answer.refused(401, "UNAUTHORIZED"), // a password may have any other character
                _ => answer.invalid(&[name]),
            };
        }
    }
    // one line is one line, at its ends too
    for line in ["a\nb", "a\tb", "a\n", "\na", "a\r\n", "\t", "a\u{b}"] {
        scene
            .order_with("/items/0/product_name", &json!(line).to_string())
            .await
            .invalid(&["items[0].product_name"]);
        scene
            .order_with("/items/0/product_id", &json!(line).to_string())
            .await
            .invalid(&["items[0].product_id"]);
    }
    // a member's name is text as well
    for unfit in UNFIT {
        let body = format!("{{{unfit}:1,\"status\":\"confirmed\"}}");
        scene.send("PATCH", &scene.status_path(), &[], body).await.refused(422, "VALIDATION_ERROR");
    }
    scene.untouched().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_are_kept_as_they_are_line_breaks_and_tabs_included() {
    let scene = Scene::start().await;
    for notes in [
        "Ring twice.\r\n\tThank you.\n",
        "",
        " ",
        "日本語 \u{1f469}\u{200d}\u{1f4bb} e\u{301}",
        "'; DROP TABLE orders; --",
        "<b>&amp;</b>",
        "\u{feff}",
    ] {
        let placed = scene.order_with("/notes", &json!(notes).to_string()).await.created();
        let path = format!("/orders/{}", placed["id"].as_str().unwrap());
        assert_eq!(scene.acme.member.get(&path).await.ok()["notes"], notes);
        scene
            .acme
            .member
            .patch(&format!("{path}/status"), json!({ "status": "cancelled", "note": notes }))
            .await
            .ok();
        let history = scene.acme.member.get(&format!("{path}/history")).await.ok();
        assert_eq!(history["data"][1]["note"], notes);
    }
    let pair = scene.order_with("/notes", "\"\\ud83d\\ude00\"").await.created();
    assert_eq!(pair["notes"], "😀", "a pair of surrogates is a character");
    let longest = "😀".repeat(500);
    assert_eq!(scene.order_with("/notes", &json!(longest).to_string()).await.created()["notes"], longest);
    scene.order_with("/notes", &json!(format!("{longest}.")).to_string()).await.invalid(&["notes"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_to_move_to_is_one_of_four_words() {
    let scene = Scene::start().await;
    let path = scene.status_path();
    for status in [
        "pending",
        "shipped",
        "",
        "Confirmed",
        "CONFIRMED",
        " confirmed",
        "confirmed\n",
        "confirmed' OR '1'='1",
    ] {
        scene.acme.member.patch(&path, json!({ "status": status })).await.invalid(&["status"]);
    }
    let wrong: Value = json!({ "status": "shipped", "note": "x".repeat(501), "at": "now" });
    scene.acme.member.patch(&path, wrong).await.invalid(&["status", "note", "at"]);
    // a word, but no move from here
    let document = scene
        .acme
        .member
        .patch(&path, json!({ "status": "completed" }))
        .await
        .refused(422, "BUSINESS_RULE_VIOLATION");
    assert_eq!(document["detail"], "Cannot transition from pending to completed");
    assert_eq!(document["details"], json!([]));
    scene.untouched().await;
}
