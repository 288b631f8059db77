//! The parameters of a query.
use super::describe::{DescribeInput, Doc};
use crate::{
    core::Core,
    error::{Error, Result},
    values::{At, Body, Faults, Input, Object},
};
use axum::{
    extract::{FromRequestParts, Request},
    handler::Handler,
    http::request::Parts,
    response::{IntoResponse, Response},
};
use futures_util::future::{Either, Ready, ready};

/// The query as a [`body!`](crate::body) type; an unknown or repeated parameter is 422.
pub struct Query<T>(pub T);

impl<T: Body> FromRequestParts<Core> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &Core) -> Result<Self> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).collect();
        let mut faults = Faults::default();
        let members = pairs.iter().map(|(name, value)| (name, Input::Text(value)));
        let object = Object::sort(members, T::MEMBERS, &At::ROOT, &mut faults);
        let value = T::from_object(object, &At::ROOT, &mut faults);
        faults.check(value).map(Self)
    }
}

impl<T: Body> DescribeInput for Query<T> {
    fn describe(doc: &mut Doc) {
        doc.takes_query(T::parameters());
    }
}

/// A handler that takes no parameters: any is 422. It stands within its route, so a wrong method is 405 whatever the query.
#[derive(Clone)]
pub(super) struct WithoutQuery<H>(pub H);

impl<T, S, H: Handler<T, S>> Handler<T, S> for WithoutQuery<H> {
    type Future = Either<Ready<Response>, H::Future>;

    fn call(self, request: Request, state: S) -> Self::Future {
        match refuse(request.uri().query().unwrap_or_default()) {
            Ok(()) => Either::Right(self.0.call(request, state)),
            Err(refusal) => Either::Left(ready(refusal.into_response())),
        }
    }
}

pub(super) fn refuse(query: &str) -> Result<()> {
    let mut faults = Faults::default();
    Object::sort(
        url::form_urlencoded::parse(query.as_bytes()).map(|(name, _)| (name, Input::Text(""))),
        &[],
        &At::ROOT,
        &mut faults,
    );
    faults.check(Some(()))
}
