//! The parameters of a query.
use super::describe::{DescribeInput, Doc};
use crate::{
    core::Core,
    error::{Error, Result},
    values::{At, Body, Faults, Input, Object},
};
use axum::{extract::FromRequestParts, http::request::Parts};

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

/// For routes that take no parameters.
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
