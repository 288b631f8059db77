//! `/openapi.json` and `/docs`: the document and a page to try it. All assets come out of the binary; the page may load
//! from its own origin alone, so it works without a network.
use crate::core::Core;
use axum::{
    Router,
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use std::{borrow::Cow, sync::Arc};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerFile, serve};

/// Scripts and styles of its own origin; the interface sets styles on elements, hence `unsafe-inline` for those alone.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; \
     connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
);

const PAGE: &str = include_str!("docs/page.html");
const START: &str = include_str!("docs/start.js");

/// Everything that is answered here.
pub(crate) const PATHS: [&str; 4] = ["/", "/openapi.json", "/docs", "/docs/{file}"];

/// The document always; the page where it is on.
pub(crate) fn routes(router: Router<Core>, document: &OpenApi, page: bool) -> Router<Core> {
    let json: Arc<str> = document.to_json().unwrap_or_default().into(); // plain data always serializes
    let router = router.route("/openapi.json", get(move || answer("application/json", json.to_string())));
    if !page {
        return router;
    }
    let html: Arc<str> = PAGE.replace("{{title}}", &escaped(&document.info.title)).into();
    router
        .route("/", get(|| async { Redirect::temporary("/docs") }))
        .route("/docs", get(move || answer("text/html; charset=utf-8", html.to_string())))
        .route("/docs/{file}", get(asset))
}

async fn answer(kind: &'static str, body: String) -> Response {
    typed(kind, Cow::Owned(body.into_bytes()))
}

async fn asset(Path(file): Path<String>) -> Response {
    if file == "start.js" {
        return typed("text/javascript; charset=utf-8", START.as_bytes().into());
    }
    match serve(&file, Arc::new(Config::from("/openapi.json"))) {
        Ok(Some(SwaggerFile { bytes, content_type, .. })) => match HeaderValue::try_from(content_type) {
            Ok(kind) => {
                let mut response = bytes.into_owned().into_response();
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, POLICY);
                response
            }
            Err(_) => StatusCode::NOT_FOUND.into_response(),
        },
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn typed(kind: &'static str, body: Cow<'static, [u8]>) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, POLICY);
    response
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
