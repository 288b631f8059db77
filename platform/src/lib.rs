//! The foundation of a multi-tenant SaaS backend.
pub mod access;
pub mod app;
mod cli;
pub mod config;
pub mod core;
pub mod data;
mod docs;
pub mod domain;
pub mod domains;
pub mod error;
pub mod http;
pub mod infra;
mod scrape;
mod seed;
pub mod server;
pub mod values;

pub use app::App;
pub use domain::Domain;
pub use seed::DEMO_PASSWORD;

// What a domain's code needs of others, in the versions that fit.
pub use futures_util::{future::BoxFuture, future::try_join_all, try_join};
pub use {axum, utoipa, uuid};

/// What the macros of this crate name.
#[doc(hidden)]
pub mod reexport {
    pub use {serde, serde_json, utoipa};
}
