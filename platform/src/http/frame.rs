//! What goes around every request: its id, its time limit, the error document, and the headers of every answer. The
//! order of these layers stands in `app.rs`.
use super::{
    Arrived,
    client_address::client_address,
    limits::Standings,
    once::Replayed,
    public::{ClientAddress, RequestId},
    request_log::Asked,
    trace::Trace,
};
use crate::{
    access::Caller,
    core::Core,
    error::{Code, Error},
    infra::secret,
};
use axum::{
    body::{Body, Bytes},
    extract::{ConnectInfo, MatchedPath, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use std::{
    any::Any,
    convert::Infallible,
    net::SocketAddr,
    panic::AssertUnwindSafe,
    sync::{
        Arc, LazyLock, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_http::cors::CorsLayer;

/// A request that the server has found to be none: refused with this, and framed like others.
#[derive(Clone)]
pub(crate) struct Unfit(pub Error);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST_REQUEST_ID: usize = 128;

/// Filled by the extractor that finds out who calls, read by the log.
#[derive(Clone, Default)]
pub(crate) struct Who(Arc<OnceLock<Caller>>);

impl Who {
    pub(crate) fn is(&self, caller: Caller) {
        let _ = self.0.set(caller); // once a request
    }
}

/// What answers a request: a route, or a layer around it.
pub(crate) trait Answers:
    Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}
impl<S> Answers for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// Puts an async function around what answers. Unlike axum's `from_fn` it puts nothing on the heap, for which each request
/// would pay at each layer.
pub(crate) fn around<S: Answers, F: Future<Output = Response> + Send>(
    core: Core,
    inner: S,
    layer: impl Fn(Core, Request, S) -> F + Clone + Send + Sync + 'static,
) -> impl Answers {
    service_fn(move |request| layer(core.clone(), request, inner.clone()).map(Ok))
}

/// The outermost layer.
pub(crate) async fn frame<S: Answers>(core: Core, mut request: Request, inner: S) -> Response {
    let began = Instant::now();
    let id = request_id(request.headers());
    let who = Who::default();
    request.extensions_mut().insert(who.clone());
    request.extensions_mut().insert(Arrived(began));
    request.extensions_mut().insert(RequestId(id.as_str().into()));
    let standings = Standings::default();
    request.extensions_mut().insert(standings.clone());
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    let client = peer.map(|peer| client_address(peer, request.headers(), &core.settings.trusted_proxies));
    if let Some(address) = client {
        request.extensions_mut().insert(ClientAddress(address));
    }
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let trace = Trace::begin(&request, route.as_deref(), &id);
    let asked = Asked {
        method: Some(request.method().clone()),
        route,
        id,
        client,
        versioned: request.uri().path().starts_with(super::routes::BASE),
        trace,
    };
    let mut response = match request.extensions_mut().remove::<Unfit>() {
        Some(Unfit(error)) => error.into_response(),
        None => asked.within(answered(inner, request)).await,
    };
    standings.write(response.headers_mut());
    finish(&core, &asked, &mut response, who.0.get(), began);
    response
}

/// The whole answer to what could not be read as a request.
pub(crate) fn unread(core: &Core, error: Error, peer: SocketAddr) -> Response<Bytes> {
    let (began, id) = (Instant::now(), request_id(&HeaderMap::new()));
    let client = Some(peer.ip());
    let asked = Asked { method: None, route: None, id, client, versioned: false, trace: Trace::none() };
    let document = error.document(&asked.id, None);
    let mut response = error.into_response();
    finish(core, &asked, &mut response, None, began);
    response.map(|_| document.into())
}

/// The document, the headers, the line in the log, and what is counted.
fn finish(core: &Core, asked: &Asked, response: &mut Response, who: Option<&Caller>, began: Instant) {
    let error = as_document(response, asked);
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::try_from(&asked.id) {
        headers.insert(REQUEST_ID, id);
    }
    add_security_headers(headers, asked.versioned, core.settings.hsts);
    asked.note(core, response, who, began.elapsed(), error.as_ref());
}

/// The innermost layer, within CORS, so that a page can read its answers like any other: a panic is answered like any fault
/// of ours, and so is what takes longer than a request may. What a panic said goes to the log.
pub(crate) async fn guard<S: Answers>(core: Core, request: Request, inner: S) -> Response {
    let limit = core.settings.request_timeout;
    let admitted = core.admission.clone().admit(request, |request| answered(inner, request));
    match AssertUnwindSafe(tokio::time::timeout(limit, admitted)).catch_unwind().await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => Error::unavailable(format!("took longer than {limit:?}")).into_response(),
        Err(panic) => Error::internal(format!("panicked: {}", said(&*panic))).into_response(),
    }
}

async fn answered<S: Answers>(inner: S, request: Request) -> Response {
    let Ok(response) = inner.oneshot(request).await;
    response
}

/// The caller's own, if it is 1 to 128 visible ASCII characters, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let own = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let fits =
        |id: &&str| (1..=LONGEST_REQUEST_ID).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    own.filter(fits).map_or_else(new_request_id, str::to_owned)
}

/// Of its own, among all that any node has made, and telling nothing of how many there are. Random bytes for each would be
/// a system call for each.
fn new_request_id() -> String {
    static KEY: LazyLock<[u8; 32]> = LazyLock::new(|| secret::random().unwrap_or_default());
    static MADE: AtomicU64 = AtomicU64::new(0);
    let number = MADE.fetch_add(1, Relaxed).to_be_bytes();
    secret::encode(&secret::digest(&[&*KEY, &number])[..16])
}

/// Writes the body of whatever is no success, the router's own answers included; not of an answer that is given again,
/// which is the first one's to the byte.
fn as_document(response: &mut Response, asked: &Asked) -> Option<Error> {
    if response.extensions().get::<Replayed>().is_some() {
        return None;
    }
    let status = response.status();
    let error = match response.extensions_mut().remove::<Error>() {
        Some(error) => error,
        None if status.is_client_error() || status.is_server_error() => {
            let code = Code::of_status(status);
            let detail = match code {
                Code::NotFound => "There is nothing at this address",
                Code::MethodNotAllowed => "This address does not take this method: see Allow",
                code => code.title(),
            };
            Error::new(code, detail)
        }
        None => return None,
    };
    write_document(response, &error, &asked.id, asked.trace.id.as_deref());
    Some(error)
}

/// The error document, as the request of this id is told it, and of this trace where there is one.
pub(super) fn write_document(response: &mut Response, error: &Error, id: &str, trace_id: Option<&str>) {
    *response.status_mut() = error.code().status();
    let document = error.document(id, trace_id);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CONTENT_LENGTH, document.len().into());
    *response.body_mut() = Body::from(document);
}

fn add_security_headers(headers: &mut HeaderMap, versioned: bool, hsts: bool) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // a page has one of its own
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; base-uri 'none'"));
    if versioned {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if hsts {
        let two_years = HeaderValue::from_static("max-age=63072000; includeSubDomains");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, two_years);
    }
}

/// The message of a panic.
fn said(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default()
}

/// Tells the browser of a page of another origin what that page may do and read. An origin that is not listed gets no CORS
/// header at all. Nor does a request that names none, as those of programs do not: caches are told that it makes a difference.
pub(crate) async fn share<S: Answers>(cors: Arc<CorsLayer>, request: Request, inner: S) -> Response {
    if !request.headers().contains_key(header::ORIGIN) && request.method() != Method::OPTIONS {
        let mut response = answered(inner, request).await;
        response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
        return response;
    }
    let mut response = answered(cors.layer(inner), request).await;
    let headers = response.headers_mut();
    if !headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        for name in [
            header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            header::ACCESS_CONTROL_ALLOW_METHODS,
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            header::ACCESS_CONTROL_MAX_AGE,
        ] {
            headers.remove(name);
        }
    }
    response
}
