//! The keys of access tokens: secrets for HS256 (RFC 7518), and Ed25519 (RFC 8032, RFC 8037) for EdDSA, as PEM has them.
use crate::infra::secret;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer, pem::PemObject};
use secrecy::{ExposeSecret, SecretString};
use std::fmt;

/// What stands before the 32 bytes of the key in a `SubjectPublicKeyInfo` of Ed25519 (RFC 8410, section 4).
const ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Signs tokens.
#[derive(Clone)]
pub enum SigningKey {
    /// HS256.
    Secret(SecretString),
    /// EdDSA.
    Ed25519(PrivateKey),
}

/// Verifies tokens.
#[derive(Clone, Debug)]
pub enum VerifyingKey {
    /// HS256.
    Secret(SecretString),
    /// EdDSA.
    Ed25519(PublicKey),
}

/// A private key of Ed25519.
#[derive(Clone)]
pub struct PrivateKey {
    signing: EncodingKey,
    public: PublicKey,
}

/// A public key of Ed25519.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PrivateKey {
    /// Reads `-----BEGIN PRIVATE KEY-----` (PKCS#8, RFC 5958), as `openssl genpkey -algorithm ed25519` writes it.
    pub fn from_pem(text: &str) -> Result<Self, &'static str> {
        let wrong = "must be a private key of Ed25519 as PKCS#8 in PEM: `openssl genpkey -algorithm ed25519` makes one";
        let der = PrivatePkcs8KeyDer::from_pem_slice(unfolded(text).as_bytes()).map_err(|_| wrong)?;
        let der = der.secret_pkcs8_der();
        let pair = Ed25519KeyPair::from_pkcs8(der).map_err(|_| wrong)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| wrong)?;
        Ok(Self { signing: EncodingKey::from_ed_der(der), public: PublicKey(public) })
    }
}

impl PublicKey {
    /// Reads `-----BEGIN PUBLIC KEY-----`, as `openssl pkey -pubout` writes it.
    pub fn from_pem(text: &str) -> Result<Self, &'static str> {
        let wrong =
            "must be a public key of Ed25519 in PEM: `openssl pkey -pubout` makes one of the private key";
        let der = SubjectPublicKeyInfoDer::from_pem_slice(unfolded(text).as_bytes()).map_err(|_| wrong)?;
        let key = der.as_ref().strip_prefix(&ED25519).and_then(|key| key.try_into().ok());
        key.map(Self).ok_or(wrong)
    }

    /// The `x` of its JWK.
    pub fn x(&self) -> String {
        secret::encode(&self.0)
    }

    /// Its name: the thumbprint of its JWK (RFC 7638).
    pub fn id(&self) -> String {
        let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, self.x());
        secret::encode(&secret::sha256(jwk.as_bytes()))
    }
}

/// In a `.env` file the lines of a key may be told apart by `\n`.
fn unfolded(text: &str) -> String {
    text.replace("\\n", "\n")
}

/// The name of a secret tells nothing of it.
fn id_of_secret(secret: &SecretString) -> String {
    secret::encode(&secret::derive(secret.expose_secret(), "key id")[..8])
}

impl SigningKey {
    /// What verifies its signatures.
    pub fn verifying(&self) -> VerifyingKey {
        match self {
            Self::Secret(secret) => VerifyingKey::Secret(secret.clone()),
            Self::Ed25519(key) => VerifyingKey::Ed25519(key.public),
        }
    }

    pub(super) fn encoding(&self) -> EncodingKey {
        match self {
            Self::Secret(secret) => EncodingKey::from_secret(secret.expose_secret().as_bytes()),
            Self::Ed25519(key) => key.signing.clone(),
        }
    }
}

impl VerifyingKey {
    /// The public key, if it is one.
    pub fn public(&self) -> Option<&PublicKey> {
        match self {
            Self::Secret(_) => None,
            Self::Ed25519(key) => Some(key),
        }
    }

    /// The secret, if it is one: what was sealed under it still opens.
    pub fn secret(&self) -> Option<&str> {
        match self {
            Self::Secret(secret) => Some(secret.expose_secret()),
            Self::Ed25519(_) => None,
        }
    }

    /// Its `kid`.
    pub(super) fn id(&self) -> String {
        match self {
            Self::Secret(secret) => id_of_secret(secret),
            Self::Ed25519(key) => key.id(),
        }
    }

    /// The one algorithm that it is for.
    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Secret(_) => Algorithm::HS256,
            Self::Ed25519(_) => Algorithm::EdDSA,
        }
    }

    pub(super) fn decoding(&self) -> DecodingKey {
        match self {
            Self::Secret(secret) => DecodingKey::from_secret(secret.expose_secret().as_bytes()),
            Self::Ed25519(key) => DecodingKey::from_ed_der(&key.0),
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PrivateKey").field(&self.public.id()).finish()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.verifying()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // made with openssl; the key of RFC 8037, appendix A
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
                           -----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\
                          -----END PUBLIC KEY-----\n";

    #[test]
    fn the_key_of_rfc_8037_is_read_and_named_as_it_says() {
        let private = PrivateKey::from_pem(PRIVATE).unwrap();
        let public = PublicKey::from_pem(PUBLIC).unwrap();
        assert_eq!(private.public, public);
        assert_eq!(public.x(), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(public.id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert!(PrivateKey::from_pem(&PRIVATE.replace('\n', "\\n")).is_ok());
        assert!(!format!("{private:?}").contains("nWGxne"));
    }

    #[test]
    fn what_is_no_such_key_is_refused() {
        let short = PUBLIC.replace("MCow", "MCowBQYD");
        for text in ["", "x", PUBLIC, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert!(PrivateKey::from_pem(text).is_err(), "{text}");
        }
        for text in ["", "x", PRIVATE, &short, "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"] {
            assert!(PublicKey::from_pem(text).is_err(), "{text}");
        }
    }
}
