//! Webhooks: events go to whoever wants to be told, signed, at least once each. What happens on the way is in `service`:
//! an event is dispatched to the endpoints that want it (`dispatch`), each delivery is claimed, sent and settled
//! (`worker`, `send`), and an endpoint that is gone or keeps failing is turned off (`disable`).
mod api;
mod model;
mod service;
mod store;

use crate::{
    access::{Permission, Role},
    domain::Domain,
    error::Code,
    http::Routes,
};
use std::time::Duration;

/// Manages endpoints and looks after deliveries.
pub struct Manage;
impl Permission for Manage {
    const NAME: &'static str = "webhooks.manage";
    const MIN_ROLE: Role = Role::Admin;
}

const HOUR: Duration = Duration::from_secs(60 * 60);

/// The domain.
pub fn domain() -> Domain {
    Domain::new("webhooks")
        .routes(endpoints())
        .routes(deliveries())
        .event::<model::WebhookTest>()
        .queue(service::Deliveries::new)
        .job::<service::Recovery>(|core, work| Box::pin(service::recover_some(core, work)))
        .job::<service::DisabledMail>(|core, work| Box::pin(service::mail_disabled(core, work)))
        .chore("purge of webhooks", HOUR, |core| Box::pin(service::purge(core)))
}

fn endpoints() -> Routes {
    Routes::new("webhooks")
        .post(
            "/webhooks/endpoints",
            api::create,
            "Have events sent to an address; its secret is in the answer",
        )
        .refusing(&[Code::BusinessRuleViolation])
        .get("/webhooks/endpoints", api::list, "List endpoints, newest first")
        .get("/webhooks/endpoints/{id}", api::show, "Read an endpoint")
        .patch("/webhooks/endpoints/{id}", api::change, "Change an endpoint, or turn it off or on")
        .delete(
            "/webhooks/endpoints/{id}",
            api::delete,
            "Delete an endpoint; the log of its deliveries stays",
        )
        .get("/webhooks/endpoints/{id}/secret", api::secret, "Read the secret of an endpoint")
        .post(
            "/webhooks/endpoints/{id}/rotate-secret",
            api::rotate_secret,
            "Replace the secret of an endpoint; for 24 hours the one before it signs too",
        )
        .refusing(&[Code::BusinessRuleViolation])
        .post("/webhooks/endpoints/{id}/test", api::test, "Send the endpoint an event to try it")
        .refusing(&[Code::BusinessRuleViolation])
        .post(
            "/webhooks/endpoints/{id}/recover",
            api::recover,
            "Send again all that failed at an endpoint since a time",
        )
        .refusing(&[Code::BusinessRuleViolation])
}

fn deliveries() -> Routes {
    Routes::new("webhooks")
        .get("/webhooks/event-types", api::event_types, "List the events that there are")
        .get("/webhooks/deliveries", api::deliveries, "List deliveries, newest first")
        .get("/webhooks/deliveries/{id}", api::delivery, "Read a delivery, what it brings, and its attempts")
        .post("/webhooks/deliveries/{id}/retry", api::retry, "Send a delivery again, whatever came of it")
        .refusing(&[Code::BusinessRuleViolation])
}
