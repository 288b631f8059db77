//! Identifiers: UUIDv7 (RFC 9562), so `id` orders as creation does.
use crate::{
    error::{Error, Result},
    values::Timestamp,
};
use std::sync::Mutex;
use uuid::{ContextV7, Uuid};

/// Shared by all that this process makes: within one millisecond a counter keeps their order.
static CONTEXT: Mutex<ContextV7> = Mutex::new(ContextV7::new());

/// A new identifier for something made at this instant.
pub fn new_id(now: Timestamp) -> Uuid {
    let seconds = u64::try_from(now.as_seconds()).unwrap_or_default();
    let nanos = u32::try_from(now.as_micros().rem_euclid(1_000_000) * 1000).unwrap_or_default();
    #[expect(clippy::disallowed_methods, reason = "this is where identifiers are made")]
    Uuid::new_v7(uuid::Timestamp::from_unix(&CONTEXT, seconds, nanos))
}

/// An identifier for something that was made at an earlier instant, such as what the demo shows.
pub fn id_at(instant: Timestamp) -> Result<Uuid> {
    let mut random = [0; 10];
    getrandom::fill(&mut random).map_err(Error::internal)?;
    let millis = u64::try_from(instant.as_millis()).unwrap_or_default();
    Ok(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
}

/// When the bearer of this identifier was made, to the millisecond.
pub fn made_at(id: Uuid) -> Timestamp {
    let millis = id.as_bytes()[..6].iter().fold(0_i64, |sum, byte| sum << 8 | i64::from(*byte));
    Timestamp::from_micros(millis * 1000)
}

/// The smallest identifier of what is made at this instant or later, to the millisecond, rounded up.
pub fn first_at(instant: Timestamp) -> Uuid {
    let millis = instant.as_micros().div_euclid(1000) + i64::from(instant.as_micros().rem_euclid(1000) > 0);
    let millis = u128::try_from(millis.clamp(0, (1 << 48) - 1)).unwrap_or_default();
    Uuid::from_u128(millis << 80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_order_as_creation_does() {
        let now = Timestamp::from_rfc3339("2026-01-31T09:30:00.123456Z").unwrap();
        let ids: Vec<_> = (0..1000).map(|_| new_id(now)).collect();
        assert!(ids.is_sorted() && ids.iter().all(|id| id.get_version_num() == 7));
        assert_eq!(made_at(ids[0]).to_string(), "2026-01-31T09:30:00.123Z");
        let ms = made_at(ids[0]);
        assert!(first_at(ms) <= ids[0] && ids[999] < first_at(now));
    }
}
