//! Access tokens: JWT (RFC 7519, RFC 9068's `at+jwt`) that say whose they are and nothing of what that person may do.
use super::{
    Session,
    key::{PublicKey, SigningKey, VerifyingKey},
};
use crate::{
    error::{Error, Result},
    infra::{recent::Recent, secret},
    values::Timestamp,
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use uuid::Uuid;

/// The `aud` of every access token.
const AUDIENCE: &str = "tenantry-api";
/// The `type` that tells an access token from any other.
const ACCESS: &str = "access";
/// Seconds by which clocks may differ.
const LEEWAY: i64 = 30;
/// Tokens in each of two generations that need not be verified again: a client sends one until it expires, and a signature
/// costs more than all else that is asked of a request before the database.
const MOST_KNOWN: usize = 10_000;

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: Uuid,
    tenant_id: Uuid,
    sid: Uuid,
    r#type: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: String,
    iss: String,
    aud: String,
}

/// What a token says under a good signature. It always will; only the time is another.
#[derive(Clone, Copy)]
struct Verified {
    session: Session,
    /// In seconds since 1970, as the claims have it.
    from: i64,
    until: i64,
}

/// The keys that sign and verify. The first signs; those before it still verify.
#[derive(Clone)]
pub struct TokenKeys(Arc<Inner>);

struct Inner {
    signing: EncodingKey,
    header: Header,
    /// By their names, each with what is asked of a token under it.
    verifying: Vec<(String, Validation, DecodingKey)>,
    public: Vec<PublicKey>,
    issuer: String,
    lifetime: Duration,
    /// By the SHA-256 of the token, so that no token that works is kept in memory.
    known: Mutex<Recent<[u8; 32], Verified>>,
}

/// Every fault of a credential is this one refusal; which it was, the log says.
pub(super) fn refused(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::unauthorized("Invalid or expired token").caused_by(why)
}

impl TokenKeys {
    /// Signs under one key; tokens that were signed under one of `previous` still verify.
    pub fn new(signing: &SigningKey, previous: &[VerifyingKey], issuer: &str, lifetime: Duration) -> Self {
        let mut all = vec![signing.verifying()];
        for key in previous {
            if all.iter().all(|known| known.id() != key.id()) {
                all.push(key.clone());
            }
        }
        let mut header = Header::new(all[0].algorithm());
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(all[0].id());
        Self(Arc::new(Inner {
            signing: signing.encoding(),
            header,
            verifying: all
                .iter()
                .map(|key| (key.id(), validation(key.algorithm(), issuer), key.decoding()))
                .collect(),
            public: all.iter().filter_map(VerifyingKey::public).copied().collect(),
            issuer: issuer.to_owned(),
            lifetime,
            known: Mutex::new(Recent::new(MOST_KNOWN)),
        }))
    }

    /// The public ones, with which others can verify tokens.
    pub fn public(&self) -> &[PublicKey] {
        &self.0.public
    }

    /// How long a token lives.
    pub fn lifetime(&self) -> Duration {
        self.0.lifetime
    }

    /// A token for this session.
    pub fn issue(&self, session: Session, now: Timestamp) -> Result<String> {
        let iat = now.as_seconds();
        let claims = Claims {
            sub: session.user,
            tenant_id: session.tenant,
            sid: session.id,
            r#type: ACCESS.to_owned(),
            iat,
            nbf: iat,
            exp: now.plus(self.0.lifetime).as_seconds(),
            jti: secret::encode(&secret::random()?[..16]),
            iss: self.0.issuer.clone(),
            aud: AUDIENCE.to_owned(),
        };
        encode(&self.0.header, &claims, &self.0.signing).map_err(Error::internal)
    }

    /// Whose token this is. Whether that session still is, each transaction asks.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Session> {
        let digest = secret::sha256(token.as_bytes());
        let known = self.known().get(&digest);
        let verified = match known {
            Some(verified) => verified,
            None => self.read(token)?,
        };
        let now = now.as_seconds();
        if verified.until <= now - LEEWAY || verified.from > now + LEEWAY {
            return Err(refused("expired or not yet valid"));
        }
        if known.is_none() {
            self.known().put(digest, verified);
        }
        Ok(verified.session)
    }

    fn known(&self) -> MutexGuard<'_, Recent<[u8; 32], Verified>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner) // nothing panics under it
    }

    fn read(&self, token: &str) -> Result<Verified> {
        let header = jsonwebtoken::decode_header(token).map_err(refused)?;
        if header.typ.as_deref().is_none_or(|typ| !typ.eq_ignore_ascii_case("at+jwt"))
            || header.crit.is_some()
        {
            return Err(refused("not an access token by its header"));
        }
        let kid = header.kid.ok_or_else(|| refused("no key id"))?;
        let known = self.0.verifying.iter().find(|(id, ..)| *id == kid);
        let (_, validation, key) = known.ok_or_else(|| refused("unknown key id"))?;
        let claims = decode::<Claims>(token, key, validation).map_err(refused)?.claims;
        if claims.r#type != ACCESS {
            return Err(refused("another type of token"));
        }
        let session = Session { tenant: claims.tenant_id, user: claims.sub, id: claims.sid };
        Ok(Verified { session, from: claims.nbf.max(claims.iat), until: claims.exp })
    }
}

/// One algorithm, all claims required. Times are compared by [`TokenKeys::verify`] with the injected clock.
fn validation(algorithm: Algorithm, issuer: &str) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[issuer]);
    validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation
}
