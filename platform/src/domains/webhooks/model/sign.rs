//! Signatures as the Standard Webhooks specification has them (version 1, symmetric), so that its libraries verify them.
use crate::infra::secret;
use base64::{Engine, engine::general_purpose::STANDARD};

/// The secret of an endpoint.
pub type Secret = [u8; 32];

/// As its holder gets it: `whsec_…`.
pub fn shown(secret: &Secret) -> String {
    format!("whsec_{}", STANDARD.encode(secret))
}

/// `webhook-signature`: one for each secret, so that a receiver who has either of two verifies it.
pub fn signatures(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let signed = format!("{id}.{timestamp}.");
    let one =
        |secret: &Secret| format!("v1,{}", STANDARD.encode(secret::hmac(secret, &[signed.as_bytes(), body])));
    secrets.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with OpenSSL: `printf 'msg_1.1700000000.{"a":"é"}' | openssl dgst -sha256 -mac HMAC -macopt hexkey:…`.
    #[test]
    fn a_signature_is_that_of_another_implementation() {
        let secret = std::array::from_fn(|i| u8::try_from(i).unwrap());
        assert_eq!(shown(&secret), "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
        let signed = signatures(&[secret, [7; 32]], "msg_1", 1_700_000_000, r#"{"a":"é"}"#.as_bytes());
        let (first, second) = signed.split_once(' ').unwrap();
        assert_eq!(first, "v1,SXH+qmndEVuxj7BqXHHmdBfxQS+7TlPQ2/Ojqu9B6AE=");
        assert!(second.starts_with("v1,") && second != first);
    }
}
