//! Where webhooks may go, and how they are delivered.
use super::{accounts::required_secret, reader::Reader};
use crate::infra::egress::EgressSettings;
use secrecy::SecretString;
use std::{fmt, str::FromStr, time::Duration};

const DAY: u64 = 24 * 60 * 60;

/// How webhooks are delivered.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// How long to wait between attempts.
    pub schedule: RetrySchedule,
    /// Attempts after the first.
    pub max_retries: u32,
    /// How long an attempt may take, the answer's body included.
    pub timeout: Duration,
    /// How long deliveries and what was delivered are kept.
    pub retention: Duration,
}

/// `WEBHOOK_RETRY_SCHEDULE`: how long to wait after each attempt that failed. The last step repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrySchedule(Vec<Duration>);

impl RetrySchedule {
    /// These steps; `None` if there are none.
    pub fn new(steps: Vec<Duration>) -> Option<Self> {
        (!steps.is_empty()).then_some(Self(steps))
    }

    /// The wait after this attempt, counted from 1.
    pub fn step(&self, attempt: u32) -> Duration {
        let index = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
        self.0.get(index).or(self.0.last()).copied().unwrap_or_default()
    }
}

impl Default for RetrySchedule {
    fn default() -> Self {
        const HOUR: u64 = 60 * 60;
        Self([5, 5 * 60, 30 * 60, 2 * HOUR, 5 * HOUR, 10 * HOUR].map(Duration::from_secs).into())
    }
}

impl FromStr for RetrySchedule {
    type Err = String;

    /// `5s,5m,2h`, with `ms`, `s`, `m`, `h` and `d`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("must be times such as 5s,5m,30m,2h from 1ms to 30d, not {text:?}");
        let step = |text: &str| {
            let text = text.trim();
            let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            let millis = match &text[end..] {
                "ms" => 1,
                "s" => 1000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 1000 * DAY,
                _ => return None,
            };
            let step = text[..end].parse::<u64>().ok()?.checked_mul(millis)?;
            (1..=30_000 * DAY).contains(&step).then_some(Duration::from_millis(step))
        };
        text.split(',').map(step).collect::<Option<_>>().and_then(Self::new).ok_or_else(wrong)
    }
}

impl fmt::Display for RetrySchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            let millis = step.as_millis();
            let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")];
            let (size, unit) = units.into_iter().find(|(size, _)| millis % size == 0).unwrap_or((1, "ms"));
            write!(f, "{}{}{unit}", if i == 0 { "" } else { "," }, millis / size)?;
        }
        Ok(())
    }
}

pub(super) fn egress(r: &mut Reader<'_>, demo: bool) -> EgressSettings {
    EgressSettings { allow_private: r.flag("WEBHOOK_ALLOW_PRIVATE_TARGETS", demo) }
}

/// Under it the secrets of endpoints are sealed.
pub(super) fn signing_secret(r: &mut Reader<'_>, demo: bool) -> Option<SecretString> {
    required_secret(r, "WEBHOOK_SIGNING_SECRET", &[], demo)
}

pub(super) fn webhooks(r: &mut Reader<'_>) -> WebhookSettings {
    WebhookSettings {
        schedule: r.parsed("WEBHOOK_RETRY_SCHEDULE", RetrySchedule::default(), str::parse),
        max_retries: r.number("WEBHOOK_MAX_RETRIES", 5, 0, 100),
        timeout: Duration::from_millis(r.number("WEBHOOK_TIMEOUT_MS", 15_000, 100, 60_000)),
        retention: Duration::from_secs(DAY * r.number("WEBHOOK_RETENTION_DAYS", 90, 1, 3650)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_step_repeats_and_a_schedule_is_shown_as_it_was_written() {
        let schedule = RetrySchedule::default();
        assert_eq!(schedule.to_string(), "5s,5m,30m,2h,5h,10h");
        assert_eq!(schedule.to_string().parse(), Ok(schedule.clone()));
        let hours = |attempt| schedule.step(attempt).as_secs() / 3600;
        assert_eq!((schedule.step(1), hours(5), hours(6), hours(99)), (Duration::from_secs(5), 5, 10, 10));
        assert_eq!("1ms, 2d".parse::<RetrySchedule>().unwrap().step(2), Duration::from_secs(2 * DAY));
        for wrong in ["", "5", "s", "5s,", "0s", "-1s", "1.5s", "5 s", "31d", "18446744073709551615d", "5S"] {
            assert!(wrong.parse::<RetrySchedule>().is_err(), "{wrong}");
        }
    }
}
