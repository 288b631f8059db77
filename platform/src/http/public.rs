//! Routes for anyone, and what is known of who calls.
use super::describe::{DescribeInput, Doc};
use crate::{core::Core, infra::audit::Origin};
use axum::{
    extract::FromRequestParts,
    http::{header::USER_AGENT, request::Parts},
};
use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Instant};

/// Stands where a `Scope` would: this route asks for no access token, and says so.
#[derive(Clone, Copy, Debug)]
pub struct Public;

impl FromRequestParts<Core> for Public {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &Core) -> Result<Self, Infallible> {
        Ok(Self)
    }
}

/// When the request reached this node, before anything was read of its body.
#[derive(Clone, Copy, Debug)]
pub struct Arrived(pub Instant);

impl FromRequestParts<Core> for Arrived {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Core) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or_else(|| Self(Instant::now())))
    }
}

impl DescribeInput for Arrived {
    fn describe(_: &mut Doc) {}
}

/// The request's id, for those who write it down.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub Arc<str>);

/// The client's address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientAddress(pub IpAddr);

const LONGEST_USER_AGENT: usize = 200;

impl FromRequestParts<Core> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Core) -> Result<Self, Infallible> {
        Ok(origin(parts))
    }
}

/// Where a request came from.
pub(crate) fn origin(parts: &Parts) -> Origin {
    let user_agent = parts.headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
    Origin {
        ip: parts.extensions.get::<ClientAddress>().map(|address| address.0.to_string()),
        user_agent: user_agent.map(|text| text.chars().take(LONGEST_USER_AGENT).collect()),
        request_id: parts.extensions.get::<RequestId>().map(|id| id.0.to_string()),
    }
}

impl DescribeInput for Origin {
    fn describe(_: &mut Doc) {}
}
