//! The platform's own domains. One uses another only through its `service` and its events.
pub mod api_keys;
pub mod audit;
pub mod auth;
pub mod billing;
pub mod health;
pub mod tenant;
pub mod users;
pub mod webhooks;
