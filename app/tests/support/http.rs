//! Requests as clients send them, and answers as tests read them.
use axum::{
    body::{Body, Bytes},
    extract::ConnectInfo,
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use http_body_util::BodyExt;
use serde_json::Value;
use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};
use tenantry::app::Service;
use tower::ServiceExt;

/// Somebody who sends requests, with or without a token.
#[derive(Clone)]
pub struct Client {
    service: Service,
    token: Option<String>,
    peer: Option<SocketAddr>,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub asked: String,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Bytes,
}

impl Client {
    pub fn new(service: Service, token: Option<String>) -> Self {
        Self { service, token, peer: None }
    }

    /// The same, from this address.
    pub fn at(&self, address: &str) -> Self {
        Self { peer: Some((address.parse::<IpAddr>().unwrap(), 4711).into()), ..self.clone() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, &[], Some(body.to_string().into_bytes())).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], None).await
    }

    pub async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        self.send("POST", path, headers, Some(body.to_string().into_bytes())).await
    }

    /// A POST with this `Idempotency-Key`.
    pub async fn post_once(&self, path: &str, key: &str, body: Value) -> Answer {
        self.post_with(path, &[("idempotency-key", key)], body).await
    }

    /// A POST that takes no body.
    pub async fn post_empty(&self, path: &str) -> Answer {
        self.send("POST", path, &[], None).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send("PATCH", path, &[], Some(body.to_string().into_bytes())).await
    }

    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers, None).await
    }

    pub async fn patch_with(&self, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        self.send("PATCH", path, headers, Some(body.to_string().into_bytes())).await
    }

    /// `path` under `/api/v1`, or the whole of it where it begins with two slashes.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Answer {
        self.request(self.build(method, path, headers, body)).await
    }

    pub fn build(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Request<Body> {
        let uri = path
            .strip_prefix('/')
            .filter(|p| p.starts_with('/'))
            .map_or(format!("/api/v1{path}"), str::to_owned);
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(uri);
        if let Some(token) = &self.token
            && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"))
        {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(body.map_or_else(Body::empty, Body::from)).unwrap()
    }

    /// A JSON request that counts itself when its body is read: by then the product has it.
    pub fn build_counted(
        &self,
        method: &str,
        path: &str,
        body: &Value,
        read: Arc<AtomicUsize>,
    ) -> Request<Body> {
        let request = self.build(method, path, &[("content-type", "application/json")], None);
        let bytes = Bytes::from(body.to_string());
        let stream = futures_util::stream::once(async move {
            read.fetch_add(1, SeqCst);
            Ok::<_, std::io::Error>(bytes)
        });
        request.map(|_| Body::from_stream(stream))
    }

    pub async fn request(&self, mut request: Request<Body>) -> Answer {
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        let asked = format!("{} {}", request.method(), request.uri());
        let response = self.service.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer { asked, status: parts.status, headers: parts.headers, bytes }
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub fn status(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}: {}", self.asked, self.text());
        self.json()
    }

    #[track_caller]
    pub fn ok(self) -> Value {
        self.status(200)
    }

    #[track_caller]
    pub fn created(self) -> Value {
        self.status(201)
    }

    /// An error document of this status and code, whole and consistent; answers it.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}: {}", self.asked, self.text());
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.asked);
        let document = self.json();
        let members: Vec<_> = document.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(
            members,
            ["code", "detail", "details", "message", "request_id", "status", "success", "title", "type"],
            "{}",
            self.asked
        );
        assert_eq!(document["status"], status);
        assert_eq!(document["code"], code, "{}: {}", self.asked, self.text());
        assert_eq!(document["type"], code.to_ascii_lowercase());
        assert_eq!(document["success"], false);
        assert_eq!(document["message"], document["detail"]);
        assert_eq!(document["request_id"], self.header("x-request-id"));
        if status == 401 {
            assert!(self.header("www-authenticate").starts_with("Bearer"), "{}", self.asked);
        }
        if ["SERVICE_UNAVAILABLE", "RATE_LIMITED"].contains(&code) {
            assert!(self.header("retry-after").parse::<u32>().is_ok(), "{}", self.asked);
        }
        document
    }

    /// 422 `VALIDATION_ERROR` with exactly these fields at fault, in any order.
    #[track_caller]
    pub fn invalid(self, fields: &[&str]) -> Value {
        let asked = self.asked.clone();
        let document = self.refused(422, "VALIDATION_ERROR");
        let mut found: Vec<_> =
            document["details"].as_array().unwrap().iter().map(|d| d["field"].as_str().unwrap()).collect();
        let mut expected = fields.to_vec();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{asked}: {document}");
        document
    }
}
