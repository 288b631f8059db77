//! Access tokens under Ed25519, and keys that follow one another.
use super::{encode, hs256, parts, with};
use crate::support::{Options, SECRET_KEY, TestApp};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tenantry::access::{PrivateKey, PublicKey, VerifyingKey};

/// Keys as OpenSSL writes them, and their public halves.
const FIRST: (&str, &str) = (
    "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g",
    "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
);
const SECOND: (&str, &str) = (
    "MC4CAQAwBQYDK2VwBCIEIEzNCJso/5baa9KbMmlGKZrPt0pgcHbsVkM4Rzd6zWuP",
    "MCowBQYDK2VwAyEAmXolfGn/+jgXdQypIDsyAzivuTmsSpSXwrMg05Of38I=",
);

fn pem(kind: &str, base64: &str) -> String {
    format!("-----BEGIN {kind} KEY-----\n{base64}\n-----END {kind} KEY-----\n")
}

fn private(key: (&str, &str)) -> Option<PrivateKey> {
    Some(PrivateKey::from_pem(&pem("PRIVATE", key.0)).unwrap())
}

fn public(key: (&str, &str)) -> VerifyingKey {
    VerifyingKey::Ed25519(PublicKey::from_pem(&pem("PUBLIC", key.1)).unwrap())
}

async fn signing_under(key: (&str, &str)) -> TestApp {
    TestApp::start_with(Options { private_key: private(key), ..Options::default() }).await
}

/// Another node on the same database, with these keys.
async fn node(app: &TestApp, private_key: Option<PrivateKey>, previous_keys: Vec<VerifyingKey>) -> TestApp {
    let options = Options { private_key, previous_keys, clock: app.clock.clone(), ..Options::default() };
    TestApp::on(app.database.clone(), options).await
}

async fn jwks(app: &TestApp) -> BTreeMap<String, String> {
    let set = app.anyone().get("//.well-known/jwks.json").await.ok();
    let text = |key: &Value, member: &str| key[member].as_str().unwrap().to_owned();
    let keys = set["keys"].as_array().unwrap().iter();
    keys.map(|key| {
        for (member, value) in [("kty", "OKP"), ("crv", "Ed25519"), ("alg", "EdDSA"), ("use", "sig")] {
            assert_eq!(key[member], value);
        }
        assert_eq!(key.as_object().unwrap().len(), 6, "nothing private: {key}");
        (text(key, "kid"), text(key, "x"))
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn anybody_can_verify_a_token_by_the_published_key() {
    let app = signing_under(FIRST).await;
    let acme = app.tenant("acme").await;
    let token = &acme.member.access_token;
    let (header, claims) = parts(token);
    assert_eq!((&header["alg"], &header["typ"]), (&json!("EdDSA"), &json!("at+jwt")));
    let keys = jwks(&app).await;
    assert_eq!(keys.len(), 1);
    let x = &keys[header["kid"].as_str().unwrap()];
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&["tenantry-api"]);
    validation.set_issuer(&["Test API"]);
    validation.validate_exp = false; // the clock of the test stands still
    let key = DecodingKey::from_ed_components(x).unwrap();
    let verified = jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap();
    assert_eq!(verified.claims, claims);
    assert_eq!(acme.member.get("/auth/me").await.ok()["data"]["role"], "member");
    assert_eq!(jwks(&TestApp::start().await).await, BTreeMap::new(), "a secret is not published");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_previous_key_still_verifies_and_one_that_is_taken_out_does_not() {
    let old = TestApp::start().await; // HS256
    let acme = old.tenant("acme").await;
    let secret = || VerifyingKey::Secret(SecretString::from(SECRET_KEY));
    let first = node(&old, private(FIRST), vec![secret()]).await;
    let second = node(&old, private(SECOND), vec![public(FIRST), public(SECOND)]).await;
    let of_first = first.sign_in("acme", "member").await.access_token;
    let of_second = second.sign_in("acme", "member").await.access_token;
    let of_old = &acme.member.access_token;
    for (node, token, fine) in [
        (&first, of_old, true),
        (&first, &of_first, true),
        (&first, &of_second, false),
        (&second, of_old, false),
        (&second, &of_first, true),
        (&second, &of_second, true),
        (&old, &of_first, false),
    ] {
        let answer = node.with_token(token).get("/auth/me").await;
        match fine {
            true => _ = answer.ok(),
            false => _ = answer.refused(401, "UNAUTHORIZED"),
        }
    }
    let published = jwks(&second).await;
    assert_eq!(published.len(), 2, "each once: {published:?}");
    assert!(published.contains_key(parts(&of_first).0["kid"].as_str().unwrap()));
    assert_eq!(jwks(&first).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_key_is_for_one_algorithm() {
    let app = signing_under(FIRST).await;
    let acme = app.tenant("acme").await;
    let (header, claims) = parts(&acme.member.access_token);
    let both = node(&app, private(FIRST), vec![VerifyingKey::Secret(SecretString::from(SECRET_KEY))]).await;
    let x = URL_SAFE_NO_PAD.decode(&jwks(&app).await[header["kid"].as_str().unwrap()]).unwrap();
    let in_pem = pem("PUBLIC", FIRST.1);
    let forged = |header: &Value, key: &[u8]| {
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        format!("{signed}.{}", encode(hs256(key, &signed)))
    };
    let as_hs256 = with(&header, &json!({ "alg": "HS256" }));
    for key in [&x[..], in_pem.as_bytes(), FIRST.1.as_bytes(), SECRET_KEY.as_bytes(), b""] {
        for header in [&as_hs256, &header, &with(&as_hs256, &json!({ "kid": null }))] {
            for node in [&app, &both] {
                node.with_token(&forged(header, key)).get("/auth/me").await.refused(401, "UNAUTHORIZED");
            }
        }
    }
    // of another pair, under the name of ours
    let other = EncodingKey::from_ed_der(&STANDARD.decode(SECOND.0).unwrap());
    let mut head = Header::new(Algorithm::EdDSA);
    head.typ = Some("at+jwt".to_owned());
    head.kid = header["kid"].as_str().map(str::to_owned);
    let token = jsonwebtoken::encode(&head, &claims, &other).unwrap();
    app.with_token(&token).get("/auth/me").await.refused(401, "UNAUTHORIZED");
    let ours = EncodingKey::from_ed_der(&STANDARD.decode(FIRST.0).unwrap());
    let token = jsonwebtoken::encode(&head, &claims, &ours).unwrap();
    app.with_token(&token).get("/auth/me").await.ok();
    // the name of the secret, signed as if it were a key of Ed25519
    let by_secret = parts(&TestApp::start().await.tenant("globex").await.owner.access_token).0;
    head.kid = by_secret["kid"].as_str().map(str::to_owned);
    let token = jsonwebtoken::encode(&head, &claims, &ours).unwrap();
    both.with_token(&token).get("/auth/me").await.refused(401, "UNAUTHORIZED");
}
