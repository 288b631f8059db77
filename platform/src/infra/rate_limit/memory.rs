//! Counting in this node's memory.
use super::{Counted, Key, Quota, Step, gcra};
use crate::{infra::recent::Recent, values::Timestamp};
use std::sync::{Mutex, PoisonError};

/// Keys in each of two generations. Whoever is refused is used, so a refusal is not forgotten by asking again.
const MOST_KEYS: usize = 100_000;

/// For each key the instant at which its whole quota has come back, in microseconds.
pub(super) struct Memory(Mutex<Recent<Key, i64>>);

impl Memory {
    pub fn new() -> Self {
        Self(Mutex::new(Recent::new(MOST_KEYS)))
    }

    pub fn step(&self, key: &Key, quota: Quota, step: Step, now: Timestamp) -> Counted {
        let now = now.as_micros();
        let mut full_at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, room) = gcra(full_at.get(key).unwrap_or(now), now, quota, step);
        full_at.put(*key, next);
        Counted { room, spent: next - now }
    }

    /// The same step where it was counted elsewhere, so that counting goes on from there should that be out of reach.
    /// What was counted here meanwhile is not forgotten: whoever finds the other in reach only now and then would
    /// otherwise give the quota anew each time.
    pub fn follow(&self, key: &Key, quota: Quota, step: Step, spent: i64, now: Timestamp) {
        let now = now.as_micros();
        let mut full_at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (own, _) = gcra(full_at.get(key).unwrap_or(now), now, quota, step);
        full_at.put(*key, own.max(now + spent.max(0)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("test", &[name])
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn the_quota_at_once_then_one_by_one() {
        let (memory, quota) = (Memory::new(), Quota::new(10, 900));
        let take = |name: &str, seconds| memory.step(&key(name), quota, Step::Take, at(seconds)).room;
        assert_eq!((0..12).filter(|_| take("a", 1000)).count(), 10);
        assert!(take("b", 1000), "another key is another count");
        assert!(!take("a", 1089) && take("a", 1090) && !take("a", 1090), "one comes back in 90 seconds");
        assert_eq!((0..12).filter(|_| take("a", 9000)).count(), 10, "and all in 900");
        assert_eq!((0..12).filter(|_| take("a", 8000)).count(), 0, "a clock that was set back gives nothing");
        assert_eq!((0..12).filter(|_| take("a", 8900)).count(), 10, "but does not keep it for ever");
    }

    #[test]
    fn looking_counts_nothing_and_giving_back_gives_no_more_than_was_taken() {
        let (memory, quota) = (Memory::new(), Quota::new(3, 60));
        let step = |step| memory.step(&key("a"), quota, step, at(1000)).room;
        for _ in 0..9 {
            assert!(step(Step::Look));
            step(Step::GiveBack);
        }
        assert_eq!((0..9).filter(|_| step(Step::Take)).count(), 3);
        assert!(!step(Step::Look));
        step(Step::GiveBack);
        assert!(step(Step::Look) && step(Step::Take) && !step(Step::Take));
        for _ in 0..99 {
            step(Step::Count);
        }
        let later = |seconds| memory.step(&key("a"), quota, Step::Look, at(seconds)).room;
        assert!(!later(1019) && later(1020), "counting does not go beyond the quota");
    }

    #[test]
    fn what_was_counted_elsewhere_is_gone_on_from() {
        let (memory, quota) = (Memory::new(), Quota::new(2, 60));
        memory.follow(&key("a"), quota, Step::Take, 30_000_000, at(1000));
        assert!(memory.step(&key("a"), quota, Step::Take, at(1000)).room);
        assert!(!memory.step(&key("a"), quota, Step::Take, at(1000)).room);
    }

    #[test]
    fn what_is_counted_elsewhere_now_and_then_gives_no_quota_anew() {
        let (memory, quota) = (Memory::new(), Quota::new(10, 600));
        let (mut here, mut elsewhere) = (0, 0);
        for _ in 0..20 {
            here += i64::from(memory.step(&key("a"), quota, Step::Take, at(1000)).room);
            if elsewhere < 10 {
                elsewhere += 1;
                memory.follow(&key("a"), quota, Step::Take, elsewhere * 60_000_000, at(1000));
            }
        }
        assert_eq!((here, elsewhere), (5, 10), "each step that was counted elsewhere counts here, too");
        memory.follow(&key("a"), quota, Step::GiveBack, 0, at(1000));
        assert!(
            memory.step(&key("a"), quota, Step::Take, at(1000)).room,
            "and what is given back is given back"
        );
    }
}
