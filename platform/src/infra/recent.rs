//! A map of bounded size that forgets what was not used lately.
use std::{collections::HashMap, hash::Hash};

/// Two generations: what is used moves into the younger one, and when that is full the older one is dropped. So each
/// step takes the same short time, however many entries somebody makes.
pub struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    most: usize,
}

impl<K: Hash + Eq + Clone, V: Copy> Recent<K, V> {
    /// At most twice `most` entries; the `most` that were used last are always there.
    pub fn new(most: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), most }
    }

    /// The value of a key, which is thereby used.
    pub fn get(&mut self, key: &K) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(*value);
        }
        let value = self.old.remove(key)?;
        self.put(key.clone(), value);
        Some(value)
    }

    /// Another value for a key.
    pub fn put(&mut self, key: K, value: V) {
        if self.young.len() >= self.most && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// Forgets a key.
    pub fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let mut recent = Recent::new(10);
        recent.put(0, 'x');
        for key in 1..1000 {
            recent.put(key, 'y');
            assert_eq!(recent.get(&0), Some('x'), "after {key}");
            assert!(recent.young.len() <= 10 && recent.old.len() <= 10);
        }
        assert_eq!(recent.get(&1), None);
        assert_eq!(recent.get(&999), Some('y'));
        recent.remove(&0);
        assert_eq!(recent.get(&0), None);
    }
}
