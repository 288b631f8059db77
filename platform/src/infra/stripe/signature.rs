//! The signature of what Stripe sends (`Stripe-Signature: t=…,v1=…,v1=…`): HMAC-SHA256 over the time, a full stop and the
//! body's bytes as they came, in hexadecimal. During a roll of the secret Stripe signs with both.
use crate::{infra::secret, values::Timestamp};
use secrecy::{ExposeSecret, SecretString};

/// How far the time of a signature may be from ours, in seconds, to both sides.
const TOLERANCE: u64 = 300;

/// Whether one of the header's signatures is of one of our secrets, for these bytes, and of now. The reason why not is for
/// the log.
pub(super) fn verify(
    header: Option<&str>,
    body: &[u8],
    secrets: &[SecretString],
    now: Timestamp,
) -> Result<(), &'static str> {
    let (mut time, mut signatures) = (None, Vec::new());
    for element in header.ok_or("there is no one Stripe-Signature")?.split(',') {
        match element.trim().split_once('=') {
            Some(("t", text)) if time.is_none() => time = Some(text),
            Some(("t", _)) => return Err("the signature has two times"),
            Some(("v1", hex)) => signatures.extend(unhex(hex)),
            _ => {} // other schemes are for other readers
        }
    }
    let time = time.ok_or("the signature has no time")?;
    let digits = !time.is_empty() && time.bytes().all(|byte| byte.is_ascii_digit());
    let at: i64 =
        Some(time).filter(|_| digits).and_then(|text| text.parse().ok()).ok_or("its time is no number")?;
    let is_ours = |secret: &SecretString| {
        let expected = secret::hmac(secret.expose_secret().as_bytes(), &[time.as_bytes(), b".", body]);
        signatures.iter().any(|signature| secret::equal(signature, &expected))
    };
    if !secrets.iter().any(is_ours) {
        return Err("no signature is of a secret of ours");
    }
    if now.as_seconds().abs_diff(at) > TOLERANCE { Err("the signature is not of now") } else { Ok(()) }
}

/// 32 bytes of hexadecimal digits.
fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = [0; 32];
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `openssl dgst -sha256 -hmac whsec_test` says of `1769860800.{"id": "evt_1"}`.
    const SIGNED: &str = "11c94c7cb97b8251e44b3ec9f078f3d72505f7d55c5e2a8805254aaa8a96b0c8";
    const BODY: &[u8] = br#"{"id": "evt_1"}"#;

    fn verdict(header: &str, body: &[u8], after: i64) -> Result<(), &'static str> {
        let secrets = ["whsec_old", "whsec_test"].map(SecretString::from);
        verify(Some(header), body, &secrets, Timestamp::from_micros((1_769_860_800 + after) * 1_000_000))
    }

    #[test]
    fn any_of_several_signatures_by_any_of_several_secrets_will_do() {
        let other = "0".repeat(64);
        for header in [
            format!("t=1769860800,v1={SIGNED}"),
            format!("v1={other}, v1={SIGNED}, t=1769860800"),
            format!("t=1769860800,v1=zz,v0={other},v1={SIGNED},v2=x,,="),
            format!("t=1769860800,v1={}", SIGNED.to_uppercase()),
        ] {
            for after in [-300, 0, 300] {
                assert_eq!(verdict(&header, BODY, after), Ok(()), "{header} {after}");
            }
            for after in [-301, 301, 1_000_000_000] {
                assert!(verdict(&header, BODY, after).is_err(), "{header} {after}");
            }
        }
    }

    #[test]
    fn anything_else_is_none() {
        for header in [
            String::new(),
            format!("v1={SIGNED}"),
            "t=1769860800".to_owned(),
            format!("t=1769860800,v0={SIGNED}"),
            format!("t=1769860801,v1={SIGNED}"),
            format!("t=1769860800,t=1769860800,v1={SIGNED}"),
            format!("t=+1769860800,v1={SIGNED}"),
            format!("t=,v1={SIGNED}"),
            format!("t=99999999999999999999,v1={SIGNED}"),
            format!("t=1769860800,v1={}", &SIGNED[..62]),
            format!("t=1769860800,v1={SIGNED}00"),
            format!("t=1769860800;v1={SIGNED}"),
        ] {
            assert!(verdict(&header, BODY, 0).is_err(), "{header}");
        }
        let header = format!("t=1769860800,v1={SIGNED}");
        for body in [br#"{"id":"evt_1"}"#.as_slice(), br#"{"id": "evt_2"}"#, b"", br#"{"id": "evt_1"} "#] {
            assert!(verdict(&header, body, 0).is_err());
        }
        assert!(verify(None, BODY, &[SecretString::from("whsec_test")], Timestamp::from_micros(0)).is_err());
        assert!(verify(Some(&header), BODY, &[], Timestamp::from_micros(1_769_860_800_000_000)).is_err());
    }
}
