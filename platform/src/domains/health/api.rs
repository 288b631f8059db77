//! The routes of health.
use crate::{
    core::Core,
    error::{Code, Error, Fault, Result},
    http::{Bare, Public},
};
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

/// Alive.
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    status: &'static str,
}

/// Requests can be served.
#[derive(Serialize, ToSchema)]
pub struct Readiness {
    /// Always `ready`: where a dependency is down the answer is a 503 that names it in `details`.
    status: &'static str,
    /// What is needed, one by one.
    dependencies: Vec<Dependency>,
}

/// Something that requests need.
#[derive(Serialize, ToSchema)]
pub struct Dependency {
    /// `database`.
    name: &'static str,
    /// Which one it is.
    kind: &'static str,
    /// Always `up`.
    state: &'static str,
}

pub async fn alive(_: Public) -> Result<Bare<Health>> {
    Ok(Bare(Health { status: "ok" }))
}

pub async fn ready(_: Public, State(core): State<Core>) -> Result<Bare<Readiness>> {
    let (name, kind) = ("database", core.db.kind());
    match core.db.ping().await {
        Ok(()) => Ok(Bare(Readiness {
            status: "ready",
            dependencies: vec![Dependency { name, kind, state: "up" }],
        })),
        Err(error) => {
            let down = Fault { field: name.to_owned(), message: "down".into() };
            let refusal = Error::new(Code::ServiceUnavailable, "Not ready: a dependency is down");
            Err(refusal.with_details(vec![down]).caused_by(error))
        }
    }
}
