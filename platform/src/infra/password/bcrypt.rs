//! bcrypt (N. Provos and D. Mazières, "A Future-Adaptable Password Scheme", USENIX 1999) over the cipher of the `blowfish`
//! crate, in short pieces of work with rests between them.
//!
//! A kernel shares cores out by slices of milliseconds, and between groups of processes by more than that. A thread that
//! computes for a third of a second would have others wait that long, where there are few cores. See decision 0022.
use crate::{
    error::{Error, Result},
    infra::secret,
};
use base64::{
    Engine,
    alphabet::BCRYPT,
    engine::{GeneralPurpose, general_purpose::NO_PAD},
};
use blowfish::Blowfish;
use secrecy::zeroize::Zeroizing;
use std::{
    fmt, thread,
    time::{Duration, Instant},
};

/// Bytes of a password that bcrypt takes into account; it ignores the rest without a word.
pub(super) const BYTES: usize = 72;
const SALT: usize = 16;
/// All implementations leave out the last of the 24 bytes that are computed.
const SUM: usize = 23;
/// What is encrypted with the key.
const MAGIC: [u32; 6] = [0x4f72_7068, 0x6561_6e42, 0x6568_6f6c, 0x6465_7253, 0x6372_7944, 0x6f75_6274];
const BASE_64: GeneralPurpose = GeneralPurpose::new(&BCRYPT, NO_PAD);

/// Others have waited long enough after so much of work.
const WORK: Duration = Duration::from_micros(250);
/// How long they have the core; the kernel adds some 50 µs. A hash takes about two fifths longer by this.
const REST: Duration = Duration::from_micros(50);
/// Who has not come further in so long had the core taken away, and others have had their turn already.
const TAKEN: Duration = Duration::from_millis(2);

/// A hash as it is stored: `$2b$12$`, the salt, and what is computed from it and the password.
pub(super) struct Hash {
    cost: u32,
    salt: [u8; SALT],
    sum: [u8; SUM],
}

impl Hash {
    /// With a new salt. The cost is the binary logarithm of the number of rounds.
    pub fn of(password: &str, cost: u32) -> Result<Self> {
        let mut salt = [0; SALT];
        getrandom::fill(&mut salt).map_err(Error::internal)?;
        Ok(Self { cost, salt, sum: sum(password.as_bytes(), cost, salt, &mut Pace::new()) })
    }

    /// Of what is stored, also with the prefixes `2a`, `2x` and `2y`, under which other libraries write the same.
    pub fn parse(text: &str) -> Option<Self> {
        let (prefix, rest) = text.split_at_checked(4)?;
        let (cost, rest) = rest.split_at_checked(3)?;
        let (salt, sum) = rest.split_at_checked(22)?;
        let cost = cost.strip_suffix('$').filter(|cost| cost.bytes().all(|b| b.is_ascii_digit()))?;
        let cost = cost.parse().ok()?;
        if !matches!(prefix, "$2a$" | "$2b$" | "$2x$" | "$2y$") || !(4..=31).contains(&cost) {
            return None;
        }
        Some(Self { cost, salt: decoded(salt)?, sum: decoded(sum)? })
    }

    /// Whether it is that of the password, or of another with the same first 72 bytes.
    pub fn matches(&self, password: &str) -> bool {
        let sum = sum(password.as_bytes(), self.cost, self.salt, &mut Pace::new());
        secret::equal(&sum, &self.sum)
    }

    pub fn cost(&self) -> u32 {
        self.cost
    }
}

fn decoded<const N: usize>(text: &str) -> Option<[u8; N]> {
    BASE_64.decode(text).ok()?.try_into().ok()
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "$2b${:02}${}{}", self.cost, BASE_64.encode(self.salt), BASE_64.encode(self.sum))
    }
}

/// A password ends with a zero byte, as a string of C does, where there is room for it.
fn sum(password: &[u8], cost: u32, salt: [u8; SALT], pace: &mut Pace) -> [u8; SUM] {
    let mut key = Zeroizing::new([0; BYTES]);
    let length = password.len().min(BYTES);
    key[..length].copy_from_slice(&password[..length]);
    let key = &key[..(length + 1).min(BYTES)];

    let mut cipher = Blowfish::bc_init_state();
    cipher.salted_expand_key(&salt, key);
    for _ in 0..1_u32 << cost {
        cipher.bc_expand_key(key);
        cipher.bc_expand_key(&salt);
        pace.rest_where_due();
    }

    let mut text = MAGIC;
    for pair in text.as_chunks_mut().0 {
        (0..64).for_each(|_| *pair = cipher.bc_encrypt(*pair));
    }
    let mut sum = [0; SUM];
    sum.iter_mut().zip(text.iter().flat_map(|word| word.to_be_bytes())).for_each(|(to, byte)| *to = byte);
    sum
}

/// When it is time to rest.
struct Pace {
    since: Instant,
    rounds: u64,
    rests: u64,
}

impl Pace {
    fn new() -> Self {
        Self { since: Instant::now(), rounds: 0, rests: 0 }
    }

    fn rest_where_due(&mut self) {
        self.rounds += 1;
        let worked = self.since.elapsed();
        if worked < WORK {
            return;
        }
        if rests_after(worked) {
            thread::sleep(REST);
            self.rests += 1;
        }
        self.since = Instant::now();
    }
}

fn rests_after(worked: Duration) -> bool {
    (WORK..TAKEN).contains(&worked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    /// The same bytes by the `bcrypt` crate, whatever the password: empty, with zero bytes, cut off.
    fn is_bcrypt(password: &[u8], cost: u32, salt: [u8; SALT]) {
        let mut pace = Pace::new();
        let sum = sum(password, cost, salt, &mut pace);
        let hash = Hash { cost, salt, sum }.to_string();
        assert_eq!(hash, bcrypt::hash_with_salt(password, cost, salt).unwrap().to_string());
        assert_eq!(pace.rounds, 1 << cost);
        let parsed = Hash::parse(&hash).unwrap();
        assert_eq!((parsed.cost, parsed.salt, parsed.sum), (cost, salt, sum));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn hashes_are_those_of_bcrypt(password in vec(any::<u8>(), 0..100), cost in 4_u32..7, salt: [u8; SALT]) {
            is_bcrypt(&password, cost, salt);
        }

        /// What is taken for a hash, and what is not, is what the `bcrypt` crate takes for one it can compare with.
        #[test]
        fn forms_are_those_of_bcrypt(
            text in r"\$2[abxyz]\$(0[3-9]|[123][0-9]|[+ -]5)[\$.][./A-Za-z0-9]{20}[A-Zé=][./Oeux][./A-Za-z0-9]{30}[./Oex]?"
        ) {
            let theirs = text.parse::<bcrypt::HashParts>().ok().filter(|parts| (4..=31).contains(&parts.get_cost()));
            // they take a sign before the number
            let theirs = theirs.filter(|_| !text.contains('+'));
            prop_assert_eq!(Hash::parse(&text).map(|hash| hash.to_string()), theirs.map(|parts| parts.to_string()));
        }

        #[test]
        fn no_text_is_too_strange(text in any::<String>()) {
            prop_assert!(Hash::parse(&text).is_none());
        }
    }

    #[test]
    fn hashes_at_the_bounds_are_those_of_bcrypt() {
        for length in [0, 1, 71, 72, 73, 200] {
            is_bcrypt(&vec![b'x'; length], 4, [7; SALT]);
        }
        is_bcrypt(b"a\0b", 5, [0; SALT]);
        is_bcrypt("Пароль 🐎".as_bytes(), 8, [255; SALT]);
    }

    #[test]
    fn who_was_held_up_does_not_rest_as_well() {
        let just_before = |limit: Duration| limit - Duration::from_nanos(1);
        assert!(rests_after(WORK) && rests_after(just_before(TAKEN)));
        assert!(
            !rests_after(just_before(WORK)) && !rests_after(TAKEN) && !rests_after(Duration::from_secs(1))
        );
    }

    /// A hash that takes long gives way, after no less than a piece of work each time.
    #[test]
    fn work_comes_in_pieces() {
        let mut pace = Pace::new();
        let began = Instant::now();
        sum(b"password", 10, [1; SALT], &mut pace);
        let most = began.elapsed().as_micros() / WORK.as_micros();
        assert!(pace.rests > 0 && u128::from(pace.rests) <= most, "{} rests of {most}", pace.rests);
    }
}
