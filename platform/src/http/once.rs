//! Requests that take an `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): [`Once`] reads the key and the
//! body, [`Replayable`] is the answer. What happens between the two is in `access/scope/once.rs`.
use super::{
    describe::{DescribeInput, DescribeOutput, Doc},
    json,
};
use crate::{
    core::Core,
    error::{Code, Error, Result},
    infra::secret,
    values::{Body as Members, Parse},
};
use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, MatchedPath, RawPathParams, Request},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{IF_MATCH, IF_NONE_MATCH},
        request::Parts,
    },
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};

const KEY: &str = "Idempotency-Key";
const REPLAYED: &str = "Idempotency-Replayed";
/// Characters of a key.
const LONGEST_KEY: usize = 255;

/// A request's `Idempotency-Key`, and its body: a [`body!`](crate::body) type, or `()` where it takes none. Refused is
/// what [`Json`](super::Json) refuses, and a key that is none, or two of them (400).
///
/// The key goes to `Scope::write_once`, and that makes the answer:
/// ```
/// use tenantry::{
///     access::{Permission, Role, Scope}, error::Result, http::{Bare, Once, Replayable, Routes}, values::Int,
/// };
/// struct Write;
/// impl Permission for Write {
///     const NAME: &'static str = "counters.write";
///     const MIN_ROLE: Role = Role::Member;
/// }
/// tenantry::body! {
///     /// How to count on.
///     pub struct CountOn {
///         /// By how much.
///         by: Int<1, 9>,
///     }
/// }
/// async fn count_on(scope: Scope<Write>, Once(key, body): Once<CountOn>) -> Result<Replayable<Bare<i64>>> {
///     scope.write_once(&key, async |_tx| Ok(Bare(body.by.get()))).await
/// }
/// let routes = Routes::new("counters").post("/counters", count_on, "Count on");
/// ```
pub struct Once<T>(pub OnceKey, pub T);

/// What makes a request one and the same, if it was sent with a key. Comes from [`Once`] alone.
#[derive(Clone, Debug)]
pub struct OnceKey(Option<Keyed>);

/// Everything of a request with a key but who has sent it.
#[derive(Clone, Debug)]
pub(crate) struct Keyed {
    /// SHA-256 of the method, the path and the key.
    pub operation: [u8; 32],
    /// SHA-256 of what is asked with it.
    pub fingerprint: [u8; 32],
}

impl OnceKey {
    pub(crate) fn keyed(&self) -> Option<&Keyed> {
        self.0.as_ref()
    }
}

/// What may stand in a [`Once`].
pub trait OnceBody: Sized {
    /// Refuses a body by its headers, before it is read.
    fn admit(headers: &HeaderMap) -> Result<()>;
    /// Reads it.
    fn read(bytes: &[u8]) -> Result<Self>;
    /// Writes its part of the documentation.
    fn describe(doc: &mut Doc);
}

impl<T: Members + Parse> OnceBody for T {
    fn admit(headers: &HeaderMap) -> Result<()> {
        json::media_type(headers)
    }

    fn read(bytes: &[u8]) -> Result<Self> {
        json::parse(bytes)
    }

    fn describe(doc: &mut Doc) {
        json::Json::<T>::describe(doc);
    }
}

/// It is not looked into, but it is part of the request.
impl OnceBody for () {
    fn admit(_: &HeaderMap) -> Result<()> {
        Ok(())
    }

    fn read(_: &[u8]) -> Result<Self> {
        Ok(())
    }

    fn describe(_: &mut Doc) {}
}

impl<T: OnceBody> FromRequest<Core> for Once<T> {
    type Rejection = Error;

    async fn from_request(request: Request, core: &Core) -> Result<Self> {
        let (mut parts, body) = request.into_parts();
        let key = key(&parts.headers)?;
        T::admit(&parts.headers)?;
        let bytes = json::read(body, core.settings.max_body_bytes).await?;
        let keyed = match key {
            Some(key) => Some(Keyed {
                operation: operation(&mut parts, core, &key).await,
                fingerprint: fingerprint(&parts, &bytes),
            }),
            None => None,
        };
        T::read(&bytes).map(|body| Self(OnceKey(keyed), body))
    }
}

/// The one key, if any: 1 to 255 visible ASCII characters.
fn key(headers: &HeaderMap) -> Result<Option<HeaderValue>> {
    let refused = |why| Err(Error::new(Code::BadRequest, why));
    let mut keys = headers.get_all(KEY).iter();
    let Some(key) = keys.next() else { return Ok(None) };
    if keys.next().is_some() {
        return refused("Send one Idempotency-Key, not several");
    }
    let visible = key.as_bytes().iter().all(u8::is_ascii_graphic);
    if !visible || !(1..=LONGEST_KEY).contains(&key.len()) {
        return refused("Idempotency-Key must be 1 to 255 visible ASCII characters");
    }
    Ok(Some(key.clone()))
}

/// By the route and what stands in its place for each parameter: however a path is written, it is one.
async fn operation(parts: &mut Parts, core: &Core, key: &HeaderValue) -> [u8; 32] {
    let params = RawPathParams::from_request_parts(parts, core).await.ok(); // none is UTF-8: like one that is unknown
    let route = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let mut all = vec![parts.method.as_str().as_bytes(), route.as_bytes(), key.as_bytes()];
    all.extend(params.iter().flatten().map(|(_, value)| value.as_bytes()));
    secret::digest(&all)
}

/// The bytes of the body, and what else changes what is meant.
fn fingerprint(parts: &Parts, body: &[u8]) -> [u8; 32] {
    let mut all = vec![body, parts.uri.query().unwrap_or_default().as_bytes()];
    for name in [&IF_MATCH, &IF_NONE_MATCH] {
        all.push(name.as_str().as_bytes());
        all.extend(parts.headers.get_all(name).iter().map(HeaderValue::as_bytes));
    }
    secret::digest(&all)
}

impl<T: OnceBody> DescribeInput for Once<T> {
    fn describe(doc: &mut Doc) {
        T::describe(doc);
        doc.takes_key(KEY, LONGEST_KEY);
    }
}

/// An answer of which a copy is kept for requests that come again with their key. Made by `Scope::write_once` and
/// `Scope::reserve_once` alone.
pub struct Replayable<A>(Inner<A>);

enum Inner<A> {
    /// Without a key.
    Fresh(A),
    First(Answer),
    Again(Answer),
}

impl<A> Replayable<A> {
    /// To a request without a key.
    pub(crate) fn fresh(answer: A) -> Self {
        Self(Inner::Fresh(answer))
    }

    /// As it is kept.
    pub(crate) fn first(answer: Answer) -> Self {
        Self(Inner::First(answer))
    }

    /// As it was kept.
    pub(crate) fn again(answer: Answer) -> Self {
        Self(Inner::Again(answer))
    }
}

/// The mark of an answer that is given again: it is whole, and no error document is to be written over it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Replayed;

impl<A: IntoResponse> IntoResponse for Replayable<A> {
    fn into_response(self) -> Response {
        match self.0 {
            Inner::Fresh(answer) => answer.into_response(),
            Inner::First(answer) => answer.into_response(),
            Inner::Again(answer) => {
                let mut response = answer.into_response();
                response.headers_mut().insert(
                    HeaderName::from_static("idempotency-replayed"),
                    HeaderValue::from_static("true"),
                );
                response.extensions_mut().insert(Replayed);
                response
            }
        }
    }
}

impl<A: DescribeOutput> DescribeOutput for Replayable<A> {
    fn describe(doc: &mut Doc) {
        A::describe(doc);
        doc.answers_again(REPLAYED);
    }
}

/// An answer as it is kept: status, the handler's own headers, body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// What stands before the body, on a line of its own.
#[derive(Serialize, Deserialize)]
struct Head {
    status: u16,
    headers: Vec<(String, String)>,
}

impl Answer {
    /// Of a handler's answer. Errs where there is none: what could not be written as JSON is a fault of ours.
    pub(crate) async fn of(mut response: Response) -> Result<Self> {
        if let Some(error) = response.extensions_mut().remove::<Error>() {
            return Err(error);
        }
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(Error::internal)?.to_bytes();
        Ok(Self { status: parts.status, headers: parts.headers, body })
    }

    /// Of a refusal, as the request of this id is told it.
    pub(crate) async fn of_error(error: &Error, request_id: &str) -> Result<Self> {
        let mut response = error.clone().into_response();
        response.extensions_mut().remove::<Error>();
        super::frame::write_document(&mut response, error, request_id, None);
        Self::of(response).await
    }

    /// For the store.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut headers = Vec::new();
        for (name, value) in &self.headers {
            headers.push((name.to_string(), value.to_str().map_err(Error::internal)?.to_owned()));
        }
        let head = Head { status: self.status.as_u16(), headers };
        let mut bytes = serde_json::to_vec(&head).map_err(Error::internal)?;
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.body);
        Ok(bytes)
    }

    /// From the store.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let end = end.ok_or_else(|| Error::internal("a stored answer has no head"))?;
        let head: Head = serde_json::from_slice(&bytes[..end]).map_err(Error::internal)?;
        let mut headers = HeaderMap::new();
        for (name, value) in head.headers {
            let name = HeaderName::try_from(name).map_err(Error::internal)?;
            headers.append(name, HeaderValue::try_from(value).map_err(Error::internal)?);
        }
        let status = StatusCode::from_u16(head.status).map_err(Error::internal)?;
        Ok(Self { status, headers, body: Bytes::copy_from_slice(&bytes[end + 1..]) })
    }

    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_and_visible() {
        let read = |keys: &[&str]| {
            let mut headers = HeaderMap::new();
            for key in keys {
                let value = HeaderValue::from_bytes(key.as_bytes()).unwrap();
                headers.append(HeaderName::from_static("idempotency-key"), value);
            }
            key(&headers)
        };
        let (longest, too_long) = ("k".repeat(255), "k".repeat(256));
        assert!(read(&[]).unwrap().is_none());
        for fits in ["k", "!", "~", "a,b", "\"quoted\"", &longest] {
            assert_eq!(read(&[fits]).unwrap().unwrap(), fits);
        }
        for refused in [&["a", "a"][..], &[""], &["a b"], &["a\t"], &["schlüssel"], &[&too_long]] {
            assert_eq!(read(refused).unwrap_err().code(), Code::BadRequest, "{refused:?}");
        }
    }

    #[test]
    fn an_answer_is_kept_whole() {
        let mut headers = HeaderMap::new();
        headers.insert("location", HeaderValue::from_static("/api/v1/notes/1"));
        headers.insert("etag", HeaderValue::from_static("\"1\""));
        for body in ["", "{\"a\":\n1}", "\n"] {
            let answer = Answer { status: StatusCode::CREATED, headers: headers.clone(), body: body.into() };
            assert_eq!(Answer::from_bytes(&answer.to_bytes().unwrap()).unwrap(), answer);
        }
        assert!(Answer::from_bytes(b"{}").is_err());
    }
}
