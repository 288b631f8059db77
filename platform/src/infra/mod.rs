//! What the domains stand on besides the database: time, randomness, password hashing, the outbox, the log.
pub mod arrivals;
pub mod audit;
pub mod background;
pub mod clock;
pub mod events;
pub mod jobs;
pub mod mail;
pub mod outbox;
pub mod password;
pub mod secret;
pub mod telemetry;
pub mod token;
