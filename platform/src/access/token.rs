//! Access tokens: JWT (RFC 7519, RFC 9068's `at+jwt`) that say whose they are and nothing of what that person may do.
use super::Session;
use crate::{
    error::{Error, Result},
    infra::secret,
    values::Timestamp,
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// The `aud` of every access token.
const AUDIENCE: &str = "tenantry-api";
/// The `type` that tells an access token from any other.
const ACCESS: &str = "access";
/// Seconds by which clocks may differ.
const LEEWAY: i64 = 30;

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

/// The keys that sign and verify. The first signs; those before it still verify.
#[derive(Clone)]
pub struct TokenKeys(Arc<Inner>);

struct Inner {
    signing: EncodingKey,
    header: Header,
    verifying: Vec<(String, DecodingKey)>,
    issuer: String,
    lifetime: Duration,
}

/// Every fault of a credential is this one refusal; which it was, the log says.
pub(super) fn refused(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::unauthorized("Invalid or expired token").caused_by(why)
}

/// A key's name tells nothing of the key.
fn key_id(secret: &str) -> String {
    secret::encode(&secret::derive(secret, "key id")[..8])
}

impl TokenKeys {
    /// HS256 under `secret`; tokens signed under one of `previous` still verify.
    pub fn hs256(secret: &SecretString, previous: &[SecretString], issuer: &str, lifetime: Duration) -> Self {
        let signing = secret.expose_secret();
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(key_id(signing));
        let all = std::iter::once(secret).chain(previous).map(ExposeSecret::expose_secret);
        let verifying = all.map(|s| (key_id(s), DecodingKey::from_secret(s.as_bytes()))).collect();
        let signing = EncodingKey::from_secret(signing.as_bytes());
        Self(Arc::new(Inner { signing, header, verifying, issuer: issuer.to_owned(), lifetime }))
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

    /// Whose token this is.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Session> {
        let header = jsonwebtoken::decode_header(token).map_err(refused)?;
        if header.typ.as_deref().is_none_or(|typ| !typ.eq_ignore_ascii_case("at+jwt"))
            || header.crit.is_some()
        {
            return Err(refused("not an access token by its header"));
        }
        let kid = header.kid.ok_or_else(|| refused("no key id"))?;
        let (_, key) =
            self.0.verifying.iter().find(|(id, _)| *id == kid).ok_or_else(|| refused("unknown key id"))?;
        let claims = decode::<Claims>(token, key, &self.validation()).map_err(refused)?.claims;
        let now = now.as_seconds();
        let in_time = claims.exp > now - LEEWAY && claims.nbf <= now + LEEWAY && claims.iat <= now + LEEWAY;
        if claims.r#type != ACCESS || !in_time {
            return Err(refused("another type, expired or not yet valid"));
        }
        Ok(Session { tenant: claims.tenant_id, user: claims.sub, id: claims.sid })
    }

    /// One algorithm, all claims required. Times are compared by [`verify`](Self::verify) with the injected clock.
    fn validation(&self) -> Validation {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[&self.0.issuer]);
        validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation
    }
}
