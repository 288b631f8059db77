//! Routes for anyone, and what is known of who calls.
use super::describe::{DescribeInput, Doc};
use crate::{core::Core, error::Error};
use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{header::USER_AGENT, request::Parts},
};
use std::{convert::Infallible, net::SocketAddr, time::Instant};

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
        Ok(parts
            .extensions
            .get()
            .copied()
            .unwrap_or_else(|| Self(Instant::now())))
    }
}

impl DescribeInput for Arrived {
    fn describe(_: &mut Doc) {}
}

/// What a session remembers of the client that made it.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// Its address.
    pub ip: Option<String>,
    /// What it calls itself, cut to 200 characters.
    pub user_agent: Option<String>,
}

impl FromRequestParts<Core> for Client {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &Core) -> Result<Self, Error> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let user_agent = parts
            .headers
            .get(USER_AGENT)
            .and_then(|value| value.to_str().ok());
        Ok(Self {
            ip: peer.map(|ConnectInfo(address)| address.ip().to_canonical().to_string()),
            user_agent: user_agent.map(|text| text.chars().take(200).collect()),
        })
    }
}

impl DescribeInput for Client {
    fn describe(_: &mut Doc) {}
}
