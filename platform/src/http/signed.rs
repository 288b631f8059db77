//! What another service sends: bytes with a signature over them, which is verified before anything is made of them.
use super::{
    describe::{DescribeInput, Doc},
    json::read,
};
use crate::{core::Core, error::Error};
use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::HeaderMap,
};
use std::marker::PhantomData;

/// A service that sends.
pub trait Sender: Send + Sync + 'static {
    /// The header that has the signature.
    const SIGNATURE: &'static str;
    /// What the body is, for the documentation.
    const DESCRIPTION: &'static str;
    /// The largest body, in bytes.
    const MOST_BYTES: usize;
}

/// A body of any media type as it came, and its signature. Refused is what is too large (413) alone: what it is worth
/// the signature says.
pub struct Signed<S> {
    /// `None` where there is none, more than one, or none that is text.
    pub signature: Option<String>,
    /// The bytes that are signed.
    pub body: Bytes,
    sender: PhantomData<fn() -> S>,
}

impl<S: Sender> FromRequest<Core> for Signed<S> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &Core) -> Result<Self, Error> {
        let signature = one(request.headers(), S::SIGNATURE);
        let body = read(request.into_body(), S::MOST_BYTES).await?;
        Ok(Self { signature, body, sender: PhantomData })
    }
}

fn one(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut all = headers.get_all(name).iter();
    let only = all.next().filter(|_| all.next().is_none())?;
    only.to_str().ok().map(str::to_owned)
}

impl<S: Sender> DescribeInput for Signed<S> {
    fn describe(doc: &mut Doc) {
        doc.takes_signed(S::SIGNATURE, S::DESCRIPTION, S::MOST_BYTES);
    }
}
