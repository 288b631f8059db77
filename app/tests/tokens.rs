//! Access tokens: what is wrong with a credential, however it came to be, is told in one and the same answer.
mod ed25519;

use crate::support::{SECRET_KEY, Tenant, TestApp, order};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Sha256, Sha384, Sha512};
use std::time::Duration;

const EVERY_CLAIM: [&str; 10] = ["sub", "tenant_id", "sid", "type", "iat", "nbf", "exp", "jti", "iss", "aud"];
/// Seconds by which clocks may differ.
const LEEWAY: i64 = 30;
const LIFETIME: i64 = 30 * 60;

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// The header and the claims of a token.
pub fn parts(token: &str) -> (Value, Value) {
    let mut parts = token.split('.');
    (decode(parts.next().unwrap()), decode(parts.next().unwrap()))
}

/// `over` with these members set; `null` takes one away.
fn with(over: &Value, changes: &Value) -> Value {
    let mut object = over.clone();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => _ = object.as_object_mut().unwrap().remove(name),
            value => object[name] = value.clone(),
        }
    }
    object
}

pub fn hs256(key: &[u8], signed: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(signed.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hs384(key: &[u8], signed: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha384>::new_from_slice(key).unwrap();
    mac.update(signed.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hs512(key: &[u8], signed: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha512>::new_from_slice(key).unwrap();
    mac.update(signed.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

pub fn token(header: &Value, claims: &Value, sign: impl Fn(&[u8], &str) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let signature = sign(SECRET_KEY.as_bytes(), &signed);
    format!("{signed}.{}", encode(signature))
}

/// A product, a member's real token taken apart, and the one answer that every fault of a token gets.
struct Forge {
    app: TestApp,
    acme: Tenant,
    header: Value,
    claims: Value,
}

impl Forge {
    async fn start() -> Self {
        let app = TestApp::start().await;
        let acme = app.tenant("acme").await;
        let (header, claims) = parts(&acme.member.access_token);
        let this = Self { app, acme, header, claims };
        // what is changed below is all that is wrong
        this.accepted(&this.signed(&json!({}), &json!({}))).await;
        this
    }

    fn signed(&self, header: &Value, claims: &Value) -> String {
        token(&with(&self.header, header), &with(&self.claims, claims), hs256)
    }

    async fn accepted(&self, token: &str) {
        self.app.with_token(token).get("/auth/me").await.ok();
    }

    /// The one refusal, on a route that reads and on one that writes.
    async fn refused(&self, what: &str, authorization: &[&str]) {
        let headers: Vec<_> = authorization.iter().map(|value| ("authorization", *value)).collect();
        for (method, path, body) in
            [("GET", "/auth/me", None), ("POST", "/orders", Some(order().to_string().into_bytes()))]
        {
            let answer = self.app.anyone().send(method, path, &headers, body).await;
            assert_eq!(answer.header("www-authenticate"), "Bearer", "{what}");
            let mut document = answer.refused(401, "UNAUTHORIZED");
            document["request_id"].take();
            let one = json!({
                "type": "unauthorized", "title": "Unauthorized", "status": 401, "success": false, "code": "UNAUTHORIZED",
                "detail": "Invalid or expired token", "message": "Invalid or expired token", "details": [],
                "request_id": null
            });
            assert_eq!(document, one, "{what}");
        }
    }

    async fn refuses(&self, what: &str, token: &str) {
        self.refused(what, &[&format!("Bearer {token}")]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_says_whose_it_is_and_nothing_of_what_they_may_do() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    for (_, person) in acme.people() {
        let (header, claims) = parts(&person.access_token);
        assert_eq!((&header["alg"], &header["typ"]), (&json!("HS256"), &json!("at+jwt")));
        assert!(header["kid"].as_str().is_some_and(|kid| !kid.is_empty() && !SECRET_KEY.contains(kid)));
        let mut names: Vec<_> = claims.as_object().unwrap().keys().map(String::as_str).collect();
        let mut every = EVERY_CLAIM.to_vec();
        names.sort_unstable();
        every.sort_unstable();
        assert_eq!(names, every, "every claim, and no role");
        assert_eq!(claims["sub"], json!(person.user_id));
        assert_eq!(claims["tenant_id"], json!(acme.id));
        assert_eq!(claims["type"], "access");
        assert!(claims["aud"].is_string() && claims["iss"] == "Test API");
        let now = app.clock.now().as_seconds();
        assert_eq!((&claims["iat"], &claims["nbf"]), (&json!(now), &json!(now)));
        assert_eq!(claims["exp"], json!(now + LIFETIME));
    }
    let [one, other] = [&acme.owner, &acme.admin].map(|person| parts(&person.access_token).1["jti"].clone());
    assert_ne!(one, other);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_algorithm_or_another_key_is_refused() {
    let forge = Forge::start().await;
    for alg in ["none", "None", "NONE", ""] {
        let header = with(&forge.header, &json!({ "alg": alg }));
        let unsigned = token(&header, &forge.claims, |_, _| Vec::new());
        forge.refuses(&format!("alg {alg}, unsigned"), &unsigned).await;
        forge.refuses(&format!("alg {alg}, signed"), &forge.signed(&json!({ "alg": alg }), &json!({}))).await;
    }
    let hs384 = token(&with(&forge.header, &json!({ "alg": "HS384" })), &forge.claims, hs384);
    forge.refuses("HS384 under the same secret", &hs384).await;
    let hs512 = token(&with(&forge.header, &json!({ "alg": "HS512" })), &forge.claims, hs512);
    forge.refuses("HS512 under the same secret", &hs512).await;
    for alg in ["RS256", "ES256", "EdDSA", "PS256", "hs256", "XX"] {
        forge.refuses(alg, &forge.signed(&json!({ "alg": alg }), &json!({}))).await;
    }
    forge.refuses("no alg", &forge.signed(&json!({ "alg": null }), &json!({}))).await;

    let other_key = token(&forge.header, &forge.claims, |_, signed| {
        hs256(b"another secret of sufficient length!", signed)
    });
    forge.refuses("another secret", &other_key).await;
    let empty_key = token(&forge.header, &forge.claims, |_, signed| hs256(b"", signed));
    forge.refuses("an empty secret", &empty_key).await;
    let jwk = json!({ "kty": "oct", "k": encode("another secret of sufficient length!"), "alg": "HS256" });
    let own_key = token(&with(&forge.header, &json!({ "jwk": jwk })), &forge.claims, |_, signed| {
        hs256(b"another secret of sufficient length!", signed)
    });
    forge.refuses("a key that the token brings along", &own_key).await;
    // nobody fetches a key from where a token says it is, or takes it for a file or a query
    for (name, value) in [
        ("jku", json!("http://127.0.0.1:9/jwks.json")),
        ("x5u", json!("http://127.0.0.1:9/cert.pem")),
        ("x5c", json!(["MIIB"])),
        ("kid", json!("../../dev/null")),
        ("kid", json!("' OR '1'='1")),
        ("kid", json!("http://127.0.0.1:9/key")),
    ] {
        let pointed = token(&with(&forge.header, &json!({ name: value })), &forge.claims, |_, signed| {
            hs256(b"", signed)
        });
        forge.refuses(&format!("{name}: {value}"), &pointed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_claim_and_header_that_is_missing_or_wrong_is_refused() {
    let forge = Forge::start().await;
    for claim in EVERY_CLAIM {
        for (what, value) in
            [("no", json!(null)), ("empty", json!("")), ("a list for", json!([forge.claims[claim]]))]
        {
            if claim == "jti" && what == "empty" {
                continue; // a name like any other
            }
            forge
                .refuses(&format!("{what} {claim}"), &forge.signed(&json!({}), &json!({ claim: value })))
                .await;
        }
    }
    let other = uuid::Uuid::new_v4();
    for (claim, value) in [
        ("aud", json!("another-api")),
        ("aud", json!(["tenantry-api", "another-api"])),
        ("iss", json!("Another API")),
        ("type", json!("refresh")),
        ("type", json!("ACCESS")),
        ("sub", json!("member@acme.test")),
        ("sub", json!(other)),
        ("sid", json!(other)),
        ("tenant_id", json!(other)),
        ("tenant_id", json!("acme")),
        ("exp", json!("9999999999")),
        ("exp", json!(9.9e300)),
        ("exp", json!(-1)),
        ("exp", json!(u64::MAX)),
        ("nbf", json!(i64::MAX)),
        ("iat", json!(i64::MAX)),
    ] {
        forge
            .refuses(&format!("{claim}: {value}"), &forge.signed(&json!({}), &json!({ claim: value })))
            .await;
    }
    for (name, value) in [
        ("typ", json!(null)),
        ("typ", json!("JWT")),
        ("typ", json!("rt+jwt")),
        ("kid", json!(null)),
        ("kid", json!("")),
        ("kid", json!("another")),
        ("kid", json!("../../etc/passwd")),
        ("crit", json!(["exp"])),
    ] {
        forge.refuses(&format!("{name}: {value}"), &forge.signed(&json!({ name: value }), &json!({}))).await;
    }
    // claims that a forger might hope are read change nothing
    let forged = forge.signed(&json!({}), &json!({ "role": "owner", "is_admin": true }));
    assert_eq!(forge.app.with_token(&forged).get("/auth/me").await.ok()["data"]["role"], "member");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_of_another_tenant_is_refused() {
    let forge = Forge::start().await;
    let globex = forge.app.tenant("globex").await;
    let acme_member = json!(forge.acme.member.user_id);
    let (_, theirs) = parts(&globex.owner.access_token);
    forge
        .refuses("sub not in its tenant", &forge.signed(&json!({}), &json!({ "tenant_id": globex.id })))
        .await;
    forge
        .refuses("sub of another tenant", &forge.signed(&json!({}), &json!({ "sub": globex.owner.user_id })))
        .await;
    forge.refuses("sid of another tenant", &forge.signed(&json!({}), &json!({ "sid": theirs["sid"] }))).await;
    let in_theirs = with(&theirs, &json!({ "sub": acme_member }));
    forge.refuses("their session, our person", &token(&forge.header, &in_theirs, hs256)).await;
    let (_, admins) = parts(&forge.acme.admin.access_token);
    let of_a_colleague = forge.signed(&json!({}), &json!({ "sid": admins["sid"] }));
    forge.refuses("a colleague's session", &of_a_colleague).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_may_differ_by_thirty_seconds_both_ways() {
    let forge = Forge::start().await;
    let now = forge.app.clock.now().as_seconds();
    for (claim, at, fine) in [
        ("exp", now - LEEWAY, false),
        ("exp", now - LEEWAY + 1, true),
        ("nbf", now + LEEWAY, true),
        ("nbf", now + LEEWAY + 1, false),
        ("iat", now + LEEWAY, true),
        ("iat", now + LEEWAY + 1, false),
    ] {
        let token = forge.signed(&json!({}), &json!({ claim: at }));
        match fine {
            true => forge.accepted(&token).await,
            false => forge.refuses(&format!("{claim} {} s from now", at - now), &token).await,
        }
    }
    // and a real token, as time goes by
    let token = &forge.acme.member.access_token;
    forge.app.clock.advance(Duration::from_secs((LIFETIME + LEEWAY - 1).unsigned_abs()));
    forge.accepted(token).await;
    forge.app.clock.advance(Duration::from_secs(1));
    forge.refuses("expired", token).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_tampered_with_is_refused() {
    let forge = Forge::start().await;
    let token = &forge.acme.member.access_token;
    forge.accepted(token).await; // a node that knows it by now knows no other by it
    let dots: Vec<_> = token.match_indices('.').map(|(at, _)| at).collect();
    for at in [dots[0] / 2, dots[0] + 20, dots[1] - 1, dots[1] + 1, dots[1] + 20, token.len() - 1] {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'Q' } else { b'A' };
        forge.refuses(&format!("byte {at}"), &String::from_utf8(bytes).unwrap()).await;
    }
    // the last character holds two bits that no byte of the signature needs: they must be zero
    let last = token.as_bytes()[token.len() - 1];
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let value = alphabet.bytes().position(|c| c == last).unwrap();
    let twin = format!("{}{}", &token[..token.len() - 1], char::from(alphabet.as_bytes()[value | 1]));
    forge.refuses("another spelling of the same signature", &twin).await;
    let (header, rest) = token.split_once('.').unwrap();
    let (claims, signature) = rest.split_once('.').unwrap();
    let (_, owners) = parts(&forge.acme.owner.access_token);
    let of_the_owner = encode(owners.to_string());
    for (what, tampered) in [
        ("other claims under this signature", format!("{header}.{of_the_owner}.{signature}")),
        ("no signature", format!("{header}.{claims}.")),
        ("two parts", format!("{header}.{claims}")),
        ("four parts", format!("{token}.{signature}")),
        ("padded", format!("{token}==")),
        ("cut off", token[..token.len() - 2].to_owned()),
        ("nothing", String::new()),
        ("dots", "..".to_owned()),
        ("not a token", "x".to_owned()),
        ("no JSON", format!("{}.{}.{signature}", encode("{"), encode("}"))),
        ("not UTF-8", format!("{}.{claims}.{signature}", encode(b"\xff\xfe"))),
        ("long", "a.".repeat(4000)),
        ("a refresh token", forge.acme.member.refresh_token.clone()),
    ] {
        forge.refuses(what, &tampered).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_authorization_header_of_the_bearer_scheme() {
    let forge = Forge::start().await;
    let token = &forge.acme.member.access_token;
    let bearer = format!("Bearer {token}");
    forge.refused("two headers", &[&bearer, &bearer]).await;
    forge.refused("two headers, one of them empty", &[bearer.as_str(), ""]).await;
    forge.refused("two tokens", &[&format!("{bearer}, {bearer}")]).await;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("member@acme.test:{token}"));
    forge.refused("Basic", &[&format!("Basic {basic}")]).await;
    forge.refused("the token alone", &[token]).await;
    forge.refused("the scheme alone", &["Bearer"]).await;
    forge.refused("the scheme and a space", &["Bearer "]).await;
    forge.refused("run together", &[&format!("Bearer{token}")]).await;
    forge.refused("not ASCII", &["Bearer é"]).await;
    // RFC 9110, 11.1: the scheme is compared without regard to case
    for scheme in ["bearer", "BEARER"] {
        let header = format!("{scheme} {token}");
        forge.app.anyone().get_with("/auth/me", &[("authorization", &header)]).await.ok();
    }
    // who sends none is told what to send
    let answer = forge.app.anyone().get("/auth/me").await;
    assert_eq!(answer.header("www-authenticate"), "Bearer");
    let document = answer.refused(401, "UNAUTHORIZED");
    assert!(document["detail"].as_str().unwrap().contains("Authorization: Bearer"), "{document}");
    // a token has no place but the header
    forge.app.anyone().get(&format!("/auth/me?access_token={token}")).await.refused(422, "VALIDATION_ERROR");
    forge
        .app
        .anyone()
        .get_with("/auth/me", &[("cookie", &format!("access_token={token}"))])
        .await
        .refused(401, "UNAUTHORIZED");
}
