//! Instants.
use super::{At, Faults, Input, Parse, Reference, digits::Digits, string_schema};
use jiff::{SignedDuration, civil::DateTime, fmt::temporal::Pieces};
use serde::{Serialize, Serializer};
use std::{fmt, time::Duration};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::schema::{KnownFormat, SchemaFormat},
};

/// An instant in microseconds since 1970-01-01T00:00:00Z, as both databases keep it. On the wire RFC 3339 in UTC with
/// milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since 1970, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Whole seconds since 1970, rounded down.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// That much later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// That much earlier.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// RFC 3339 has the years from 0 to 9999; what is beyond them is shown as their end or beginning.
    fn text(self) -> Digits<24> {
        let instant = EPOCH.saturating_add(SignedDuration::from_millis(self.as_millis())).max(FIRST);
        let number = |part: i8| u64::from(part.unsigned_abs());
        Digits::new()
            .number(u64::from(instant.year().unsigned_abs()), 4)
            .then(b'-')
            .number(number(instant.month()), 2)
            .then(b'-')
            .number(number(instant.day()), 2)
            .then(b'T')
            .number(number(instant.hour()), 2)
            .then(b':')
            .number(number(instant.minute()), 2)
            .then(b':')
            .number(number(instant.second()), 2)
            .then(b'.')
            .number(u64::from(instant.millisecond().unsigned_abs()), 3)
            .then(b'Z')
    }

    /// Reads RFC 3339 with any offset, to the end of the year 9999 (`jiff::Timestamp` ends a day before, and that very
    /// evening is what people write for "never").
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let shaped = text.len() >= 20 && text.as_bytes()[10].eq_ignore_ascii_case(&b'T');
        let pieces =
            Pieces::parse(text).ok().filter(|pieces| shaped && pieces.time_zone_annotation().is_none())?;
        let local = pieces.date().to_datetime(pieces.time()?);
        let offset = pieces.to_numeric_offset()?.seconds();
        let since = local.duration_since(EPOCH) - SignedDuration::from_secs(offset.into());
        i64::try_from(since.as_micros()).ok().map(Self)
    }
}

/// What timestamps count from.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
/// Where the years of RFC 3339 begin.
const FIRST: DateTime = DateTime::constant(0, 1, 1, 0, 0, 0, 0);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text().as_str())
    }
}

impl Parse for Timestamp {
    fn parse(input: Input<'_>, at: &At<'_>, faults: &mut Faults) -> Option<Self> {
        let text = input.string(at, faults)?;
        let instant = Self::from_rfc3339(&text);
        if instant.is_none() {
            faults.add(at, "not a time as RFC 3339 has it, such as 2026-01-31T09:30:00Z");
        }
        instant
    }
    fn schema() -> Reference {
        <Self as PartialSchema>::schema()
    }
    fn example() -> serde_json::Value {
        "2026-01-31T09:30:00.000Z".into()
    }
}

impl PartialSchema for Timestamp {
    fn schema() -> Reference {
        string_schema().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))).into()
    }
}
impl ToSchema for Timestamp {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// As jiff has it, within the years of RFC 3339.
        #[test]
        fn times_are_those_of_the_calendar(micros in -62_167_219_200_000_000_i64..253_402_300_800_000_000) {
            let at = Timestamp(micros);
            let instant = EPOCH.checked_add(SignedDuration::from_millis(at.as_millis())).unwrap();
            prop_assert_eq!(at.to_string(), format!("{instant:.3}Z"));
            prop_assert_eq!(serde_json::to_value(at).unwrap(), at.to_string());
        }
    }

    #[test]
    fn milliseconds_in_utc() {
        let at = Timestamp::from_rfc3339("2026-01-31T10:30:00.123456+01:00").unwrap();
        assert_eq!(at.to_string(), "2026-01-31T09:30:00.123Z");
        assert_eq!(Timestamp::from_micros(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_micros(i64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::from_micros(i64::MIN).to_string(), "0000-01-01T00:00:00.000Z");
        for (text, shown) in [
            ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
            ("2026-01-31T23:30:00-00:30", "2026-02-01T00:00:00.000Z"),
            ("1969-12-31t23:59:59.9999z", "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp::from_rfc3339(text).unwrap().to_string(), shown);
        }
        for text in [
            "",
            "2026-01-31T10:30:00Z[UTC]",
            "2026-01-31T10:30:00+01:00[Europe/Paris]",
            "2026-01-31",
            "2026-01-31 10:30:00Z",
            "2026-13-31T10:30:00Z",
            "now",
            "2026-01-31T10:30:00",
        ] {
            assert_eq!(Timestamp::from_rfc3339(text), None, "{text}");
        }
    }
}
