//! What load balancers and operators ask of the service itself.
mod api;

use crate::{domain::Domain, http::Routes};

/// The domain.
pub fn domain() -> Domain {
    Domain::new("service").routes(routes())
}

fn routes() -> Routes {
    Routes::at_root("service")
        .get("/health", api::alive, "Whether the process is alive; touches nothing")
        .get("/health/ready", api::ready, "Whether requests can be served, with the state of each dependency")
}
