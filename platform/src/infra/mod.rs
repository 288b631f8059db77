//! What the domains stand on besides the database: time, randomness, password hashing, the outbox, limits, the log.
pub mod arrivals;
pub mod audit;
pub mod background;
pub mod clock;
pub mod egress;
pub mod events;
pub mod jobs;
pub mod mail;
pub mod outbox;
pub mod password;
pub mod plans;
pub mod rate_limit;
pub mod recent;
pub mod seal;
pub mod secret;
pub mod telemetry;
pub mod token;
