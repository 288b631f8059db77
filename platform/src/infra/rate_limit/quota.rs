//! How many in what time, as configured: `10/15m`, `100/1h`, `600/1m`, or `off`.
use std::{fmt, str::FromStr};

/// So many in a period. All of them may come at once; after that they come back one by one, evenly over the period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    count: u32,
    seconds: u32,
}

/// The most that a quota may count, and the longest period, in seconds: the time between two is a whole number of
/// microseconds above zero.
const MOST: u32 = 1_000_000;
const LONGEST: u32 = 24 * 60 * 60;

impl Quota {
    /// `count` in so many seconds, both at least 1 and `count` at most a million.
    pub const fn new(count: u32, seconds: u32) -> Self {
        assert!(count >= 1 && count <= MOST && seconds >= 1 && seconds <= LONGEST);
        Self { count, seconds }
    }

    /// So many in a minute.
    pub const fn per_minute(count: u32) -> Self {
        Self::new(count, 60)
    }

    /// How many.
    pub const fn count(self) -> u32 {
        self.count
    }

    /// In how many seconds.
    pub const fn seconds(self) -> u32 {
        self.seconds
    }

    /// Microseconds after which one comes back.
    pub(super) fn interval(self) -> i64 {
        i64::from(self.seconds) * 1_000_000 / i64::from(self.count)
    }

    /// Microseconds after which all have come back.
    pub(super) fn whole(self) -> i64 {
        self.interval() * i64::from(self.count)
    }

    /// Its period as it is written: the largest unit that fits.
    fn period(self) -> (u32, char) {
        match self.seconds {
            s if s % 3600 == 0 => (s / 3600, 'h'),
            s if s % 60 == 0 => (s / 60, 'm'),
            s => (s, 's'),
        }
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (length, unit) = self.period();
        write!(f, "{}/{length}{unit}", self.count)
    }
}

/// A quota, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit(pub Option<Quota>);

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(quota) => quota.fmt(f),
            None => f.write_str("off"),
        }
    }
}

/// `N/period` or `off`. The period is a whole number and `s`, `m` or `h`, at most a day; `N` is at most a million. The
/// error says so.
impl FromStr for RateLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("off") {
            return Ok(Self(None));
        }
        let read = || {
            let (count, period) = text.split_once('/')?;
            let (length, unit) = period.split_at_checked(period.len().checked_sub(1)?)?;
            let unit = match unit {
                "s" => 1,
                "m" => 60,
                "h" => 3600,
                _ => return None,
            };
            let number = |digits: &str| {
                digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u32>().ok()).flatten()
            };
            let (count, seconds) = (number(count)?, number(length)?.checked_mul(unit)?);
            let fits = (1..=MOST).contains(&count) && (1..=LONGEST).contains(&seconds);
            fits.then(|| Self(Some(Quota::new(count, seconds))))
        };
        read().ok_or_else(|| {
            format!(
                "must be such as 10/15m, 100/1h or off (at most {MOST}, within at most 24h), not {text:?}"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_read_as_it_is_written() {
        for text in ["10/15m", "100/1h", "600/1m", "1/1s", "1000000/24h", "7/90s", "off"] {
            assert_eq!(text.parse::<RateLimit>().unwrap().to_string(), text);
        }
        assert_eq!("60/60s".parse::<RateLimit>().unwrap().to_string(), "60/1m");
        assert_eq!("60/60m".parse::<RateLimit>().unwrap().to_string(), "60/1h");
    }

    #[test]
    fn what_is_no_quota() {
        for text in [
            "",
            "10",
            "10/",
            "/15m",
            "10/15",
            "10/m",
            "0/15m",
            "10/0m",
            "-1/1m",
            "+1/1m",
            "1/+1m",
            "1.5/1m",
            "10/15d",
            "10/15 m",
            "10 /15m",
            "1000001/1h",
            "1/25h",
            "1/99999999999999999999h",
            "none",
            "10/1µ",
        ] {
            assert!(text.parse::<RateLimit>().is_err(), "{text}");
        }
    }
}
