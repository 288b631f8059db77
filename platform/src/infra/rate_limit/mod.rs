//! Limits of how often something may be done: one interface, counted in this node's memory or, where several nodes
//! have to count together, in Redis. The algorithm is GCRA (ITU-T I.371): of each key one instant is kept, that at
//! which its whole quota has come back. What is limited, and by what, is said elsewhere (`http/limits.rs`).
mod memory;
mod quota;
mod redis;

pub use self::redis::RedisUrl;
pub use quota::{Quota, RateLimit};

use self::{memory::Memory, redis::Redis};
use super::{clock::Clock, secret};
use crate::error::Result;
use ::metrics::{Counter, counter};
use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::Duration,
};

/// What is counted: a kind, and whose it is. What it says of whom is hashed, so that no address and no e-mail is kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    kind: &'static str,
    whose: [u8; 16],
}

impl Key {
    /// `kind` tells counts of different things apart; `parts` say whose it is and cannot run into one another.
    pub fn new(kind: &'static str, parts: &[&str]) -> Self {
        let mut text = Vec::new();
        for part in parts {
            text.extend((part.len() as u64).to_be_bytes());
            text.extend(part.as_bytes());
        }
        let mut whose = [0; 16];
        whose.copy_from_slice(&secret::sha256(&text)[..16]);
        Self { kind, whose }
    }
}

/// What to do with a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Take one if there is room.
    Take,
    /// Take none; see whether there is room.
    Look,
    /// Take one whether there is room or not, up to the quota.
    Count,
    /// Give one back.
    GiveBack,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted {
    /// Whether there was room for one before the step.
    room: bool,
    /// How much of the quota is spent, in microseconds until it has all come back.
    spent: i64,
}

/// How a key stands after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The quota it is counted against.
    pub quota: Quota,
    /// Whether there was room before the step.
    pub room: bool,
    spent: i64,
}

impl Standing {
    /// How many are left.
    pub fn remaining(&self) -> u32 {
        let left = (self.quota.whole() - self.spent).max(0) / self.quota.interval();
        u32::try_from(left).unwrap_or(u32::MAX).min(self.quota.count())
    }

    /// Seconds until all have come back, rounded up.
    pub fn full_in(&self) -> u32 {
        seconds(self.spent)
    }

    /// Seconds until there is room for one, rounded up and at least 1: for `Retry-After`.
    pub fn retry_after(&self) -> u32 {
        seconds(self.spent + self.quota.interval() - self.quota.whole()).max(1)
    }
}

fn seconds(micros: i64) -> u32 {
    u32::try_from(micros.max(0).unsigned_abs().div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

/// One step: the instant at which the whole quota has come back, and whether there was room. All in microseconds.
/// `step.lua` says the same to Redis. An instant beyond the quota is from a clock that was ahead, and is cut.
fn gcra(full_at: i64, now: i64, quota: Quota, step: Step) -> (i64, bool) {
    let (interval, whole) = (quota.interval(), quota.whole());
    let full_at = full_at.clamp(now, now + whole);
    let room = full_at + interval <= now + whole;
    let next = match step {
        Step::Take if room => full_at + interval,
        Step::Take | Step::Look => full_at,
        Step::Count => (full_at + interval).min(now + whole),
        Step::GiveBack => (full_at - interval).max(now),
    };
    (next, room)
}

/// Counts. Never fails: where Redis does not answer in time, this node counts by itself.
pub struct RateLimiter {
    memory: Memory,
    redis: Option<Redis>,
    clock: Clock,
    decisions: Decisions,
}

/// What was decided, counted by kind: allowed, and limited.
#[derive(Default)]
struct Decisions(RwLock<HashMap<&'static str, [Counter; 2]>>);

impl Decisions {
    fn count(&self, kind: &'static str, step: Step, room: bool) {
        // who only looks and finds room has not been let do anything yet
        let decided = step == Step::Take || (step == Step::Look && !room);
        if !decided {
            return;
        }
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(counters) = known.get(kind) {
            counters[usize::from(!room)].increment(1);
            return;
        }
        drop(known);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let counters = known.entry(kind).or_insert_with(|| {
            ["allowed", "limited"].map(|decision| {
                counter!("tenantry_rate_limit_decisions_total", "policy" => kind, "decision" => decision)
            })
        });
        counters[usize::from(!room)].increment(1);
    }
}

impl RateLimiter {
    /// In memory, by `clock`; or in Redis by its own clock, with memory to fall back on where a request has waited for it so
    /// long. Redis is reached for in a task, so with it this must be called within a runtime. Refused is a URL that cannot
    /// be used.
    pub fn start(redis: Option<(&RedisUrl, Duration)>, clock: Clock) -> Result<Self> {
        let redis = redis.map(|(url, patience)| Redis::start(url, patience)).transpose()?;
        Ok(Self { memory: Memory::new(), redis, clock, decisions: Decisions::default() })
    }

    /// Whether Redis counts; `None` where there is none.
    pub fn redis_is_up(&self) -> Option<bool> {
        self.redis.as_ref().map(Redis::is_up)
    }

    /// Takes one step for this key and says how it stands then. Takes no longer than it may wait for Redis.
    pub async fn step(&self, key: &Key, quota: Quota, step: Step) -> Standing {
        let counted = match &self.redis {
            Some(redis) => redis.step(key, quota, step).await,
            None => None,
        };
        let now = self.clock.now();
        let Counted { room, spent } = match counted {
            Some(counted) => {
                self.memory.follow(key, quota, step, counted.spent, now);
                counted
            }
            None => self.memory.step(key, quota, step, now),
        };
        self.decisions.count(key.kind, step, room);
        Standing { quota, room, spent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_key_stands() {
        let quota = Quota::new(10, 900);
        let standing = |spent| Standing { quota, room: true, spent };
        assert_eq!((standing(0).remaining(), standing(0).full_in()), (10, 0));
        let some = standing(270_000_000);
        assert_eq!((some.remaining(), some.full_in(), some.retry_after()), (7, 270, 1));
        let none = standing(899_999_999);
        assert_eq!((none.remaining(), none.full_in(), none.retry_after()), (0, 900, 90));
    }

    #[test]
    fn parts_of_a_key_cannot_run_into_one_another() {
        assert!(Key::new("a", &["bc", "d"]) != Key::new("a", &["b", "cd"]));
        assert!(Key::new("a", &["b"]) != Key::new("b", &["b"]));
        assert!(Key::new("a", &["b", "c"]) == Key::new("a", &["b", "c"]));
    }

    #[test]
    fn a_quota_of_any_count_is_kept_exactly() {
        for count in [1, 3, 7, 600, 59_999, 1_000_000] {
            let quota = Quota::per_minute(count);
            let mut full_at = 0;
            let mut taken = 0;
            while let (next, true) = gcra(full_at, 0, quota, Step::Take) {
                (full_at, taken) = (next, taken + 1);
            }
            assert_eq!(taken, count);
        }
    }
}
