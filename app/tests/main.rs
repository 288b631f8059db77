//! All tests that need the whole product. `TENANTRY_TEST_DATABASE` says on which database they run (`sqlite` or
//! `postgres`); `scripts/test` runs them on both.
mod architecture;
mod auth;
mod cli;
mod flights;
mod guards;
mod isolation;
mod migrations;
mod orders;
mod outages;
mod support;
mod transactions;
