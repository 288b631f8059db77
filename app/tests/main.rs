//! All tests that need the whole product. `TENANTRY_TEST_DATABASE` says on which database they run (`sqlite` or
//! `postgres`); `scripts/test` runs them on both.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic, start tasks and read its environment; clippy knows #[test] functions alone for tests"
)]
mod api_keys;
mod architecture;
mod auth;
mod billing;
mod cli;
mod crash;
mod deployment;
mod documents;
mod egress;
mod errors;
mod flights;
mod guards;
mod hardening;
mod idempotency;
mod input;
mod isolation;
mod jobs;
mod limits;
mod logins;
mod mail;
mod metrics;
mod migrations;
mod openapi;
mod orders;
mod outages;
mod people;
mod seed;
mod server;
mod service;
mod sessions;
mod skew;
mod support;
mod tokens;
mod traces;
mod transactions;
mod webhooks;
