//! Keys, passwords, and how long sessions live.
use super::reader::Reader;
use crate::{
    access::{PrivateKey, PublicKey, VerifyingKey},
    infra::password::Scheme,
};
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;

const SHORTEST_SECRET: usize = 32;
/// Of a secret that only the demo makes by itself.
pub(super) const REQUIRED: &str = "required: `openssl rand -base64 48` makes one";
/// Of the key that signs where `JWT_ALGORITHM` asks for one.
pub(super) const PRIVATE_KEY_REQUIRED: &str =
    "required with EdDSA: `openssl genpkey -algorithm ed25519` makes one";
const DAY: u64 = 24 * 60 * 60;

/// Keys.
#[derive(Clone, Debug)]
pub struct SecretSettings {
    /// `SECRET_KEY`; in demo mode made at the first start.
    pub secret_key: Option<SecretString>,
    /// `JWT_PRIVATE_KEY`, with `JWT_ALGORITHM=EdDSA`; otherwise the secret key signs tokens.
    pub private_key: Option<PrivateKey>,
    /// `JWT_PREVIOUS_KEYS`.
    pub previous_keys: Vec<VerifyingKey>,
}

/// How long sessions live.
#[derive(Clone, Debug)]
pub struct AuthSettings {
    /// An access token.
    pub access_token: Duration,
    /// A refresh token, from each rotation.
    pub refresh_token: Duration,
    /// A session, from its sign-in.
    pub session: Duration,
    /// How long the direct parent of an unused refresh token may be used again.
    pub reuse_grace: Duration,
}

/// Examples that are in public, in this and in other projects' documentation.
const KNOWN: [&str; 6] = ["change-me", "changeme", "your-secret", "your_secret", "supersecret", "example"];

fn secret_fault(secret: &str) -> Option<String> {
    let lower = secret.to_ascii_lowercase();
    let digits = secret.bytes().all(|b| b.is_ascii_digit());
    let distinct = secret.chars().collect::<std::collections::BTreeSet<_>>().len();
    if secret.chars().count() < SHORTEST_SECRET {
        Some(format!("must be at least {SHORTEST_SECRET} characters: `openssl rand -base64 48` makes one"))
    } else if digits || distinct < 8 || KNOWN.iter().any(|known| lower.contains(known)) {
        Some("is an example or too simple: `openssl rand -base64 48` makes a good one".to_owned())
    } else {
        None
    }
}

/// A secret that everybody has to set; the demo makes its own.
pub(super) fn required_secret(
    r: &mut Reader<'_>,
    name: &'static str,
    others: &[&'static str],
    demo: bool,
) -> Option<SecretString> {
    let secret = r.secret(name, others);
    let fault = match &secret {
        None if demo => None,
        None => Some(REQUIRED.to_owned()),
        Some(secret) => secret_fault(secret.expose_secret()),
    };
    if let Some(why) = fault {
        r.fault(name, why);
    }
    secret
}

pub(super) fn secrets(r: &mut Reader<'_>, demo: bool) -> SecretSettings {
    let secret_key = required_secret(r, "SECRET_KEY", &["JWT_SECRET"], demo);
    let algorithm = r.parsed("JWT_ALGORITHM", "HS256".to_owned(), |text| match text {
        "HS256" | "EdDSA" => Ok(text.to_owned()),
        _ => Err(format!("must be HS256 or EdDSA, not {text:?}")),
    });
    let private_key = private_key(r, algorithm == "EdDSA");
    SecretSettings { secret_key, private_key, previous_keys: previous_keys(r) }
}

fn private_key(r: &mut Reader<'_>, asked: bool) -> Option<PrivateKey> {
    match r.secret("JWT_PRIVATE_KEY", &[]) {
        None if asked => {
            r.fault("JWT_PRIVATE_KEY", PRIVATE_KEY_REQUIRED);
            None
        }
        None => None,
        Some(_) if !asked => {
            r.fault("JWT_PRIVATE_KEY", "is not used with HS256: set JWT_ALGORITHM=EdDSA");
            None
        }
        Some(text) => match PrivateKey::from_pem(text.expose_secret()) {
            Ok(key) => Some(key),
            Err(why) => {
                r.fault("JWT_PRIVATE_KEY", why);
                None
            }
        },
    }
}

fn previous_keys(r: &mut Reader<'_>) -> Vec<VerifyingKey> {
    let all = r.secret("JWT_PREVIOUS_KEYS", &[]);
    let all = all.as_ref().map_or("", |all| all.expose_secret());
    let mut keys = Vec::new();
    for key in all.split(',').map(str::trim).filter(|key| !key.is_empty()) {
        let read = match key.starts_with("-----BEGIN") {
            true => PublicKey::from_pem(key).map(VerifyingKey::Ed25519).map_err(str::to_owned),
            false => secret_fault(key).map_or(Ok(VerifyingKey::Secret(SecretString::from(key))), Err),
        };
        match read {
            Ok(key) => keys.push(key),
            Err(why) => r.fault("JWT_PREVIOUS_KEYS", format!("one of them {why}")),
        }
    }
    keys
}

pub(super) fn auth(r: &mut Reader<'_>) -> AuthSettings {
    AuthSettings {
        access_token: Duration::from_secs(60 * r.number("ACCESS_TOKEN_EXPIRE_MINUTES", 30, 1, 24 * 60)),
        refresh_token: Duration::from_secs(DAY * r.number("REFRESH_TOKEN_EXPIRE_DAYS", 7, 1, 365)),
        session: Duration::from_secs(DAY * r.number("SESSION_MAX_DAYS", 60, 1, 3650)),
        reuse_grace: Duration::from_secs(r.number("REFRESH_REUSE_GRACE_SECONDS", 0, 0, 10)),
    }
}

pub(super) fn passwords(r: &mut Reader<'_>, demo: bool) -> Scheme {
    let scheme = r.parsed("PASSWORD_SCHEME", "bcrypt".to_owned(), |text| match text {
        "bcrypt" | "argon2id" => Ok(text.to_owned()),
        _ => Err(format!("must be bcrypt or argon2id, not {text:?}")),
    });
    let least = if demo { 4 } else { 10 };
    let cost = r.number("BCRYPT_COST", 12, least, 16);
    if scheme == "bcrypt" { Scheme::Bcrypt(cost) } else { Scheme::Argon2id(cost) }
}
