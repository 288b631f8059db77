//! Entity tags and conditional requests (RFC 9110, sections 8.8.3 and 13.1).
use super::{
    answer::json,
    describe::{DescribeInput, DescribeOutput, Doc},
};
use crate::{
    core::Core,
    error::{Error, Result},
};
use axum::{
    extract::FromRequestParts,
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{ETAG, IF_MATCH, IF_NONE_MATCH},
        request::Parts,
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

/// `If-Match` and `If-None-Match` as they were sent.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    if_match: Option<String>,
    if_none_match: Option<String>,
}

impl Conditions {
    /// 412 unless `If-Match` is absent, `*`, or names the version that is stored.
    pub fn check(&self, version: i64) -> Result<()> {
        match &self.if_match {
            Some(tags) if !names(tags, version, false) => Err(Error::precondition_failed()),
            _ => Ok(()),
        }
    }

    fn unchanged(&self, version: i64) -> bool {
        self.if_none_match.as_deref().is_some_and(|tags| names(tags, version, true))
    }
}

/// The tag of a version.
fn tag(version: i64) -> String {
    format!("\"{version}\"")
}

/// Whether a list of tags names a version. `If-Match` compares strongly, so a weak tag never matches there.
pub(super) fn names(tags: &str, version: i64, weakly: bool) -> bool {
    let own = tag(version);
    tags.split(',').map(str::trim).any(|one| {
        let one = if weakly { one.strip_prefix("W/").unwrap_or(one) } else { one };
        one == "*" || one == own
    })
}

impl FromRequestParts<Core> for Conditions {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &Core) -> Result<Self> {
        Ok(Self {
            if_match: header(&parts.headers, IF_MATCH)?,
            if_none_match: header(&parts.headers, IF_NONE_MATCH)?,
        })
    }
}

/// Several lines of a list are one list.
fn header(headers: &HeaderMap, name: HeaderName) -> Result<Option<String>> {
    let mut list: Option<String> = None;
    for value in headers.get_all(&name) {
        let unreadable = |_| Error::new(crate::error::Code::BadRequest, format!("{name} is not readable"));
        let text = value.to_str().map_err(unreadable)?;
        list = Some(list.map_or_else(|| text.to_owned(), |list| format!("{list}, {text}")));
    }
    Ok(list)
}

impl DescribeInput for Conditions {
    fn describe(doc: &mut Doc) {
        doc.takes_conditions();
    }
}

/// A resource with its `ETag`; 304 without a body where the client has this version.
pub struct Tagged<T> {
    body: T,
    version: i64,
    unchanged: bool,
}

impl<T> Tagged<T> {
    /// The answer to a read: `If-None-Match` is heeded.
    pub fn read(body: T, version: i64, conditions: &Conditions) -> Self {
        Self { body, version, unchanged: conditions.unchanged(version) }
    }

    /// The answer to a change.
    pub fn changed(body: T, version: i64) -> Self {
        Self { body, version, unchanged: false }
    }
}

/// The header of a version.
pub(super) fn header_value(version: i64) -> HeaderValue {
    HeaderValue::try_from(tag(version)).unwrap_or(HeaderValue::from_static("\"\"")) // digits and quotes always are one
}

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let mut response = if self.unchanged {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            json(StatusCode::OK, &self.body)
        };
        response.headers_mut().insert(ETAG, header_value(self.version));
        response
    }
}

impl<T: ToSchema> DescribeOutput for Tagged<T> {
    fn describe(doc: &mut Doc) {
        doc.answers::<T>(200, "The resource, as it is now", &["ETag"]);
        if doc.is_conditional_read() {
            doc.answers_nothing(304, "The client has this version");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_as_the_rfc_says() {
        for (tags, strong, weak) in [
            ("\"3\"", true, true),
            ("W/\"3\"", false, true),
            ("\"2\", \"3\"", true, true),
            ("*", true, true),
            ("\"2\"", false, false),
            ("3", false, false),
            ("", false, false),
        ] {
            assert_eq!((names(tags, 3, false), names(tags, 3, true)), (strong, weak), "{tags}");
        }
    }
}
