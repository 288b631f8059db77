//! The API keys that this node has met. A key names its tenant, and nobody has signed that: only one that was found
//! in the database lately, and held, counts against its tenant's limit before the database is asked again.
use super::recent::Recent;
use crate::values::Timestamp;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Keys in each of two generations; a key that is forgotten is looked up again.
const MOST_KEYS: usize = 50_000;

/// How often at most the use of a key is written down.
const NOTED_EVERY: Duration = Duration::from_secs(60);

/// By the hash of a key: when its use is to be written down again.
pub struct KnownKeys(Mutex<Recent<Vec<u8>, Timestamp>>);

impl Default for KnownKeys {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(MOST_KEYS)))
    }
}

impl KnownKeys {
    fn all(&self) -> MutexGuard<'_, Recent<Vec<u8>, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this key was found in the database lately.
    pub fn knows(&self, hash: &Vec<u8>) -> bool {
        self.all().get(hash).is_some()
    }

    /// It was found there now.
    pub fn learn(&self, hash: &[u8], now: Timestamp) {
        self.all().put(hash.to_vec(), now);
    }

    /// It holds no longer.
    pub fn forget(&self, hash: &Vec<u8>) {
        self.all().remove(hash);
    }

    /// Whether the use of a known key is to be written down now: true once in each minute.
    pub fn is_due(&self, hash: &Vec<u8>, now: Timestamp) -> bool {
        let mut all = self.all();
        let due = all.get(hash).is_some_and(|due| due <= now);
        if due {
            all.put(hash.clone(), now.plus(NOTED_EVERY));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_noted_once_a_minute() {
        let (keys, key) = (KnownKeys::default(), vec![7]);
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        assert!(!keys.knows(&key) && !keys.is_due(&key, at(0)));
        keys.learn(&key, at(0));
        assert!(keys.knows(&key));
        let noted: Vec<_> = [0, 1, 59, 60, 61, 119, 200].map(|s| keys.is_due(&key, at(s))).to_vec();
        assert_eq!(noted, [true, false, false, true, false, false, true]);
        keys.forget(&key);
        assert!(!keys.knows(&key));
    }
}
