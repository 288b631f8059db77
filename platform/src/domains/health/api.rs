//! The routes of health.
use crate::{
    core::Core,
    error::{Code, Error, Fault, Result},
    http::{Bare, Public},
    infra::lifecycle::Stage,
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
    /// `ready`, or `degraded` where something is down that requests can do without. Where they cannot, and while it is
    /// being stopped, the answer is a 503 that names it in `details`.
    status: &'static str,
    /// What is needed, one by one.
    dependencies: Vec<Dependency>,
}

/// Something that requests need.
#[derive(Serialize, ToSchema)]
pub struct Dependency {
    /// `database`, or `redis` where limits are counted there.
    name: &'static str,
    /// Which one it is.
    kind: &'static str,
    /// `up` or `down`.
    state: &'static str,
}

pub async fn alive(_: Public) -> Result<Bare<Health>> {
    Ok(Bare(Health { status: "ok" }))
}

pub async fn ready(_: Public, State(core): State<Core>) -> Result<Bare<Readiness>> {
    if core.lifecycle.stage() > Stage::Serving {
        return Err(not_ready("Not ready: it is being stopped", "service", "stopping"));
    }
    if let Err(error) = core.db.ping().await {
        let refusal = not_ready("Not ready: a dependency is down", "database", "down");
        return Err(refusal.caused_by(error));
    }
    let mut dependencies = vec![Dependency { name: "database", kind: core.db.kind(), state: "up" }];
    // without Redis this node counts limits by itself, and serves
    let redis = core.limiter.redis_is_up();
    if let Some(up) = redis {
        dependencies.push(Dependency { name: "redis", kind: "redis", state: if up { "up" } else { "down" } });
    }
    let status = if redis == Some(false) { "degraded" } else { "ready" };
    Ok(Bare(Readiness { status, dependencies }))
}

fn not_ready(detail: &'static str, field: &str, message: &'static str) -> Error {
    let fault = Fault { field: field.to_owned(), message: message.into() };
    Error::new(Code::ServiceUnavailable, detail).with_details(vec![fault])
}
