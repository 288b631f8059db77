//! When a delivery that failed is tried again.
use crate::values::Timestamp;
use std::time::{Duration, UNIX_EPOCH};

/// How long to wait where the schedule says `step`: up to a fifth more or less, by `random`, so that what failed together
/// does not come back together. A receiver that asks for more is heeded up to twice the step.
pub fn delay(step: Duration, random: u8, asked: Option<Duration>) -> Duration {
    let spread = step.mul_f64(0.8 + 0.4 * f64::from(random) / 255.0);
    spread.max(asked.unwrap_or_default().min(2 * step))
}

/// What `Retry-After` asks for (RFC 9110, section 10.2.3): seconds, or a date in any of HTTP's three forms. What is
/// neither says nothing.
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if value.bytes().all(|b| b.is_ascii_digit()) && !value.is_empty() {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let date = httpdate::parse_http_date(value).ok()?.duration_since(UNIX_EPOCH).ok()?;
    let now = Duration::from_micros(u64::try_from(now.as_micros()).ok()?);
    Some(date.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_secs(100);

    #[test]
    fn a_step_is_spread_by_a_fifth() {
        assert_eq!((delay(STEP, 0, None), delay(STEP, 255, None)), (STEP.mul_f64(0.8), STEP.mul_f64(1.2)));
        assert_eq!(delay(Duration::ZERO, 255, Some(STEP)), Duration::ZERO);
    }

    #[test]
    fn a_receiver_is_heeded_up_to_twice_the_step() {
        let asked = |seconds| delay(STEP, 128, Some(Duration::from_secs(seconds))).as_secs();
        assert_eq!((asked(0), asked(50), asked(150), asked(200), asked(201)), (100, 100, 150, 200, 200));
        assert_eq!(asked(u64::MAX), 200);
    }

    #[test]
    fn seconds_dates_and_garbage() {
        let now = Timestamp::from_rfc3339("2026-01-31T12:00:00Z").unwrap();
        let seconds = |value: &str| retry_after(value, now).map(|asked| asked.as_secs());
        for (value, expected) in [
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("0", Some(0)),
            ("99999999999999999999999999", Some(u64::from(u32::MAX))),
            ("Sat, 31 Jan 2026 12:02:00 GMT", Some(120)),
            ("Saturday, 31-Jan-26 12:02:00 GMT", Some(120)),
            ("Sat Jan 31 12:02:00 2026", Some(120)),
            ("Sat, 31 Jan 2026 11:00:00 GMT", Some(0)),
            ("", None),
            ("soon", None),
            ("-5", None),
            ("1.5", None),
            ("2026-01-31T12:02:00Z", None),
            ("Sat, 31 Jan 2026 12:02:00 CET", None),
        ] {
            assert_eq!(seconds(value), expected, "{value:?}");
        }
    }
}
