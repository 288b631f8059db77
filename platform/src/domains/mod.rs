//! The platform's own domains. One uses another only through its `service` and its events.
pub mod auth;
pub mod health;
