//! What can be done with webhooks, and what workers do with them.
mod deliveries;
mod disable;
mod dispatch;
mod endpoints;
mod purge;
mod secrets;
mod send;
mod worker;

pub use deliveries::{Recovery, deliveries, delivery, event_types, recover, recover_some, retry, test};
pub use disable::{DisabledMail, mail_disabled};
pub use endpoints::{Change, NewEndpoint, change, create, delete, list, read};
pub use purge::purge;
pub use secrets::{rotate_secret, secret};
pub use worker::Deliveries;
