//! Webhooks as the Standard Webhooks specification has them (version 1, symmetric), so that its libraries verify them:
//! secrets, signatures, and sending one message. Who is sent what, and what becomes of it, is none of this.
use super::{
    egress::{Egress, Outgoing, Undelivered},
    secret,
};
use axum::{
    body::Bytes,
    http::{HeaderName, HeaderValue, Method, header},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{sync::Arc, time::Duration};

/// Bytes of an answer that are read.
const MOST_READ: usize = 64 * 1024;

/// The secret of an endpoint.
pub type Secret = [u8; 32];

/// As its holder gets it: `whsec_…`.
pub fn shown(secret: &Secret) -> String {
    format!("whsec_{}", STANDARD.encode(secret))
}

/// `webhook-signature`: one for each secret, so that a receiver who has either of two verifies it.
fn signatures(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let signed = format!("{id}.{timestamp}.");
    let one =
        |secret: &Secret| format!("v1,{}", STANDARD.encode(secret::hmac(secret, &[signed.as_bytes(), body])));
    secrets.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// What is sent.
pub struct Message {
    /// Where to.
    pub url: String,
    /// All that sign it.
    pub secrets: Vec<Secret>,
    /// The same whenever it is sent.
    pub id: String,
    /// A JSON text.
    pub body: Arc<str>,
}

/// What came back.
pub struct Answer {
    /// Its status; of a redirect too.
    pub status: u16,
    /// Its body, or the beginning of it.
    pub body: Bytes,
    /// What it says of when to come back.
    pub retry_after: Option<String>,
}

/// Sends it once, as of this second.
pub async fn send(
    egress: &Egress,
    message: &Message,
    timestamp: i64,
    deadline: Duration,
) -> Result<Answer, Undelivered> {
    // the settings may have changed since it was taken
    let target = egress.target(&message.url);
    let target = target.map_err(|why| Undelivered::Blocked(format!("the URL {why}")))?;
    let request = Outgoing {
        target: &target,
        method: Method::POST,
        headers: headers(message, timestamp)?,
        body: Bytes::copy_from_slice(message.body.as_bytes()),
        deadline,
        most_bytes: MOST_READ,
    };
    let answer = egress.send(request).await?;
    let retry_after = answer.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.map(str::to_owned);
    Ok(Answer { status: answer.status.as_u16(), body: answer.body, retry_after })
}

fn headers(message: &Message, timestamp: i64) -> Result<Vec<(HeaderName, HeaderValue)>, Undelivered> {
    let signature = signatures(&message.secrets, &message.id, timestamp, message.body.as_bytes());
    let unfit = |_| Undelivered::Failed("its id does not fit into a header".to_owned());
    Ok(vec![
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (HeaderName::from_static("webhook-id"), HeaderValue::try_from(&message.id).map_err(unfit)?),
        (HeaderName::from_static("webhook-timestamp"), timestamp.into()),
        (HeaderName::from_static("webhook-signature"), HeaderValue::try_from(signature).map_err(unfit)?),
    ])
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
