//! Identifiers in paths.
use super::describe::{DescribeInput, Doc};
use crate::{
    core::Core,
    error::{Error, Result},
};
use axum::{
    extract::{FromRequestParts, Path, rejection::PathRejection::FailedToDeserializePathParams},
    http::request::Parts,
};
use std::{fmt, marker::PhantomData};
use uuid::Uuid;

/// What an identifier is of, as its 404 calls it.
pub trait Named {
    /// `Order` in `Order '…' not found`.
    const NOUN: &'static str;
}

/// The `{id}` of a path. What is no identifier at all is looked up like one that never was, so that it gets the same
/// answer at the same point: after the caller's role was asked.
#[derive(Clone)]
pub struct Id<T> {
    uuid: Uuid,
    text: String,
    of: PhantomData<fn() -> T>,
}

impl<T: Named> Id<T> {
    /// The identifier to look up.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// 404, in the words of the contract.
    pub fn not_found(&self) -> Error {
        Error::not_found(T::NOUN, self)
    }
}

impl<T> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<T: Named> FromRequestParts<Core> for Id<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, core: &Core) -> Result<Self> {
        let mut text = match Path::<String>::from_request_parts(parts, core).await {
            Ok(Path(text)) => text,
            Err(FailedToDeserializePathParams(e)) if e.status().is_client_error() => String::new(), // not UTF-8
            Err(e) => return Err(Error::internal(e)),
        };
        let uuid = Uuid::try_parse(&text).ok().filter(|id| id.as_hyphenated().to_string() == text);
        if let Some((end, _)) = text.char_indices().nth(64) {
            text.truncate(end); // an answer does not grow with what was asked
        }
        Ok(Self { uuid: uuid.unwrap_or_default(), text, of: PhantomData })
    }
}

impl<T: Named> DescribeInput for Id<T> {
    fn describe(doc: &mut Doc) {
        doc.takes_id(T::NOUN);
    }
}
