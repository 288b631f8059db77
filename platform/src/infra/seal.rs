//! What has to be stored and read again though it is secret: sealed with AES-256-GCM (NIST SP 800-38D) under a key that
//! comes from the configuration, and bound to where it stands, so that it opens nowhere else.
use super::secret;
use crate::error::{Error, Result};
use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};

/// Bytes of the nonce, which stands before what is sealed.
const NONCE: usize = 12;

/// Seals and opens what is stored for one purpose.
pub struct Sealer(RandomizedNonceKey);

impl Sealer {
    /// A key for one purpose, made from a configured secret.
    pub fn new(secret: &str, purpose: &str) -> Result<Self> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, &secret::derive(secret, purpose));
        key.map(Self).map_err(|_| Error::internal("a key was not accepted"))
    }

    /// Seals bytes for one place, such as a tenant's id and a row's: `place` is not stored, and opening asks for it.
    pub fn seal(&self, place: &[&[u8]], plain: &[u8]) -> Result<Vec<u8>> {
        let mut sealed = plain.to_vec();
        let nonce = self.0.seal_in_place_append_tag(Aad::from(bound(place)), &mut sealed);
        let nonce = nonce.map_err(|_| Error::internal("a secret could not be sealed"))?;
        Ok([nonce.as_ref().as_slice(), &sealed].concat())
    }

    /// Opens what was sealed under this key for this place; `None` where either is another, or a byte was changed.
    pub fn open(&self, place: &[&[u8]], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        let mut plain = sealed.to_vec();
        let opened = self.0.open_in_place(Nonce::from(nonce), Aad::from(bound(place)), &mut plain);
        opened.ok().map(|opened| opened.to_vec())
    }
}

/// Seals under the current secret, and opens also what was sealed under one before it.
pub struct Keyring(Vec<Sealer>);

impl Keyring {
    /// Keys for one purpose, made from configured secrets.
    pub fn new<'s>(
        current: &'s str,
        previous: impl IntoIterator<Item = &'s str>,
        purpose: &str,
    ) -> Result<Self> {
        let secrets = std::iter::once(current).chain(previous);
        secrets.map(|secret| Sealer::new(secret, purpose)).collect::<Result<_>>().map(Self)
    }

    /// See [`Sealer::seal`].
    pub fn seal(&self, place: &[&[u8]], plain: &[u8]) -> Result<Vec<u8>> {
        self.0.first().ok_or_else(|| Error::internal("a keyring is empty"))?.seal(place, plain)
    }

    /// See [`Sealer::open`].
    pub fn open(&self, place: &[&[u8]], sealed: &[u8]) -> Option<Vec<u8>> {
        self.0.iter().find_map(|sealer| sealer.open(place, sealed))
    }
}

/// Parts that cannot run into one another.
fn bound(place: &[&[u8]]) -> Vec<u8> {
    place.iter().flat_map(|part| [&(part.len() as u64).to_be_bytes(), *part].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_under_a_previous_secret_still_opens() {
        let ring = |current, previous: &[&'static str]| {
            Keyring::new(current, previous.iter().copied(), "a test").unwrap()
        };
        let before = ring("the first secret", &[]).seal(&[b"row"], b"plain").unwrap();
        let rotated = ring("the second secret", &["another", "the first secret"]);
        assert_eq!(rotated.open(&[b"row"], &before).as_deref(), Some(b"plain".as_slice()));
        let after = rotated.seal(&[b"row"], b"plain").unwrap();
        assert!(ring("the second secret", &[]).open(&[b"row"], &after).is_some());
        assert_eq!(ring("the first secret", &[]).open(&[b"row"], &after), None);
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_and_nowhere_else() {
        let sealer = Sealer::new("a secret of some length", "a test").unwrap();
        let place: [&[u8]; 2] = [b"tenant", b"row"];
        let sealed = sealer.seal(&place, b"whsec_1").unwrap();
        assert_eq!(sealer.open(&place, &sealed).as_deref(), Some(b"whsec_1".as_slice()));
        assert_ne!(sealer.seal(&place, b"whsec_1").unwrap(), sealed, "each has a nonce of its own");
        assert_eq!(sealer.open(&[b"tenantr", b"ow"], &sealed), None);
        assert_eq!(Sealer::new("a secret of some length", "another").unwrap().open(&place, &sealed), None);
        for i in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[i] ^= 1;
            assert_eq!(sealer.open(&place, &changed), None, "byte {i}");
        }
        assert_eq!(sealer.open(&place, b"short"), None);
    }
}
