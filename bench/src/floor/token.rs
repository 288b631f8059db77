//! The token check, and cursors that a client cannot make.
use axum::http::{HeaderMap, header::AUTHORIZATION};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;
use sha2::Sha256;
use std::error::Error;
use uuid::Uuid;

#[derive(Deserialize)]
pub struct Claims {
    pub sub: Uuid,
    pub tenant_id: Uuid,
}

pub struct Tokens {
    key: DecodingKey,
    validation: Validation,
    cursors: Hmac<Sha256>,
}

impl Tokens {
    pub fn new(secret: &str) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&["tenantry-api"]);
        validation.set_issuer(&["SaaS API"]);
        validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = 30;
        let mut cursor_key = [0; 64];
        for (to, from) in cursor_key.iter_mut().zip(secret.bytes()) {
            *to = from;
        }
        Self {
            key: DecodingKey::from_secret(secret.as_bytes()),
            validation,
            cursors: <Hmac<Sha256> as KeyInit>::new(&cursor_key.into()),
        }
    }

    /// Whose request this is.
    pub fn verify(&self, headers: &HeaderMap) -> Result<Claims, Box<dyn Error + Send + Sync>> {
        let header = headers.get(AUTHORIZATION).ok_or("no token")?.to_str()?;
        let token = header.strip_prefix("Bearer ").ok_or("no bearer token")?;
        Ok(decode::<Claims>(token, &self.key, &self.validation)?.claims)
    }

    /// As long as the product's: the identifier and 128 bits of a seal.
    pub fn cursor(&self, tenant: Uuid, last: Uuid) -> String {
        let mut mac = self.cursors.clone();
        mac.update(tenant.as_bytes());
        mac.update(last.as_bytes());
        let seal = mac.finalize().into_bytes();
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(last.as_bytes());
        bytes[16..].copy_from_slice(&seal[..16]);
        URL_SAFE_NO_PAD.encode(bytes)
    }
}
