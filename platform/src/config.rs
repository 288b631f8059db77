//! The configuration: read once at the start, from the environment, a `.env` file (the environment wins) and files
//! that hold secrets (`SECRET_KEY_FILE`). Every wrong value is found in one go and named; nothing falls back silently.
mod accounts;
mod billing;
mod limits;
mod listen;
mod log;
mod mail;
mod production;
mod reader;
mod server;
mod settings;
#[cfg(test)]
mod tests;
mod traces;
mod webhooks;

pub use accounts::{AuthSettings, SecretSettings};
pub use listen::ListenSettings;
pub use reader::{Environment, Setting};
pub use settings::{Config, DEMO_DATABASE};
pub use webhooks::{RetrySchedule, WebhookSettings};
