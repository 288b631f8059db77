//! The configuration: read once at the start, from the environment, a `.env` file (the environment wins) and files
//! that hold secrets (`SECRET_KEY_FILE`). Every wrong value is found in one go and named; nothing falls back silently.
mod reader;
mod settings;

pub use reader::{Environment, Setting};
pub use settings::{AuthSettings, Config, DEMO_DATABASE, ListenSettings, SecretSettings};
