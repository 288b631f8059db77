//! The one [`Error`] of the platform and its one mapping to the problem document of the contract
//! (RFC 9457 with extension members). What a client may know is in `detail` and `details`; the cause is for the
//! log alone. Nothing here logs: an error rides in the response, and the request log writes it once.
use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use serde::Serialize;
use std::{borrow::Cow, fmt, sync::Arc};

/// The result of everything that can be refused.
pub type Result<T> = std::result::Result<T, Error>;

/// Every code an answer can carry. The name of a code is its `type` in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// JSON that does not parse, a bad header.
    BadRequest,
    /// No, malformed, expired or revoked credential; wrong login.
    Unauthorized,
    /// A known caller whose role does not allow this.
    Forbidden,
    /// Nothing there, or another tenant's.
    NotFound,
    /// The path is known, the method is not.
    MethodNotAllowed,
    /// The body is over the limit.
    PayloadTooLarge,
    /// The address is over the limit.
    UriTooLong,
    /// The body is not plain JSON.
    UnsupportedMediaType,
    /// Something unique is taken.
    Conflict,
    /// `If-Match` does not match.
    PreconditionFailed,
    /// A well-formed body with wrong values.
    ValidationError,
    /// Valid, but against a rule of the domain.
    BusinessRuleViolation,
    /// Same idempotency key, other request.
    IdempotencyKeyReused,
    /// Too many requests.
    RateLimited,
    /// The headers are over the limit.
    HeadersTooLarge,
    /// A fault of ours.
    InternalError,
    /// A service we depend on failed.
    UpstreamError,
    /// No Stripe key is set.
    BillingNotConfigured,
    /// The database or the pool is out of reach, or the node is overloaded.
    ServiceUnavailable,
}

impl Code {
    /// All codes, for the OpenAPI document and for the test that lists them.
    pub const ALL: [Self; 19] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::PayloadTooLarge,
        Self::UriTooLong,
        Self::UnsupportedMediaType,
        Self::Conflict,
        Self::PreconditionFailed,
        Self::ValidationError,
        Self::BusinessRuleViolation,
        Self::IdempotencyKeyReused,
        Self::RateLimited,
        Self::HeadersTooLarge,
        Self::InternalError,
        Self::UpstreamError,
        Self::BillingNotConfigured,
        Self::ServiceUnavailable,
    ];

    /// Status, `code` and `title`, as the contract's table has them.
    const fn row(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, "BAD_REQUEST", "Bad Request"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "Unauthorized"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "FORBIDDEN", "Forbidden"),
            Self::NotFound => (StatusCode::NOT_FOUND, "NOT_FOUND", "Not Found"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "Method Not Allowed")
            }
            Self::PayloadTooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", "Payload Too Large")
            }
            Self::UriTooLong => (StatusCode::URI_TOO_LONG, "URI_TOO_LONG", "URI Too Long"),
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", "Unsupported Media Type")
            }
            Self::Conflict => (StatusCode::CONFLICT, "CONFLICT", "Conflict"),
            Self::PreconditionFailed => {
                (StatusCode::PRECONDITION_FAILED, "PRECONDITION_FAILED", "Precondition Failed")
            }
            Self::ValidationError => {
                (StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION_ERROR", "Validation Error")
            }
            Self::BusinessRuleViolation => {
                (StatusCode::UNPROCESSABLE_ENTITY, "BUSINESS_RULE_VIOLATION", "Business Rule Violation")
            }
            Self::IdempotencyKeyReused => {
                (StatusCode::UNPROCESSABLE_ENTITY, "IDEMPOTENCY_KEY_REUSED", "Idempotency Key Reused")
            }
            Self::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", "Too Many Requests"),
            Self::HeadersTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "REQUEST_HEADER_FIELDS_TOO_LARGE",
                "Request Header Fields Too Large",
            ),
            Self::InternalError => {
                (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", "Internal Server Error")
            }
            Self::UpstreamError => (StatusCode::BAD_GATEWAY, "UPSTREAM_ERROR", "Bad Gateway"),
            Self::BillingNotConfigured => {
                (StatusCode::SERVICE_UNAVAILABLE, "BILLING_NOT_CONFIGURED", "Service Unavailable")
            }
            Self::ServiceUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE", "Service Unavailable")
            }
        }
    }

    /// The HTTP status.
    pub const fn status(self) -> StatusCode {
        self.row().0
    }

    /// The `code` member, in capitals.
    pub const fn name(self) -> &'static str {
        self.row().1
    }

    /// The `title` member.
    pub const fn title(self) -> &'static str {
        self.row().2
    }

    /// The code for a status that the router or a layer answered by itself.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::REQUEST_TIMEOUT => Self::ServiceUnavailable,
            _ => Self::ALL
                .into_iter()
                .find(|code| code.status() == status)
                .unwrap_or(if status.is_client_error() { Self::BadRequest } else { Self::InternalError }),
        }
    }
}

/// One field at fault: its path (`items[2].unit_price`) and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where: a path into the body or the name of a query parameter.
    pub field: String,
    /// What is wrong, without the field's name.
    pub message: Cow<'static, str>,
}

type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Why a request is refused. `Clone`, because all statements that left in one flight share its outcome.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: Code,
    detail: Cow<'static, str>,
    details: Vec<Fault>,
    retry_after: Option<u32>,
    cause: Option<Cause>,
}

impl Error {
    /// An error of any code, in words that a client may read.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let retry_after = matches!(code, Code::ServiceUnavailable | Code::RateLimited).then_some(1);
        Self(Box::new(Inner { code, detail: detail.into(), details: Vec::new(), retry_after, cause: None }))
    }

    /// 401. `WWW-Authenticate` is added by the mapping.
    pub fn unauthorized(detail: &'static str) -> Self {
        Self::new(Code::Unauthorized, detail)
    }

    /// 403 for a role that lacks the permission of this name.
    pub fn forbidden(permission: &'static str) -> Self {
        Self::new(Code::Forbidden, format!("Your role does not allow this ({permission})"))
    }

    /// 403, whatever the role: this takes a person.
    pub fn not_for_api_keys(permission: &'static str) -> Self {
        Self::new(Code::Forbidden, format!("An API key cannot do this ({permission}): sign in as a person"))
    }

    /// 404: `Order '…' not found`, the same for what is not there and for what is another tenant's.
    pub fn not_found(noun: &str, id: impl fmt::Display) -> Self {
        Self::new(Code::NotFound, format!("{noun} '{id}' not found"))
    }

    /// 409.
    pub fn conflict(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Conflict, detail)
    }

    /// 422 for what is valid in itself but against a rule of the domain.
    pub fn business_rule(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::BusinessRuleViolation, detail)
    }

    /// 412.
    pub fn precondition_failed() -> Self {
        Self::new(Code::PreconditionFailed, "The resource has changed: read it again for its current ETag")
    }

    /// 422 with every field at fault.
    pub fn validation(details: Vec<Fault>) -> Self {
        let detail =
            details.iter().map(|f| format!("{}: {}", f.field, f.message)).collect::<Vec<_>>().join("; ");
        Self::new(Code::ValidationError, detail).with_details(details)
    }

    /// Names the parts that are at fault.
    #[must_use]
    pub fn with_details(mut self, details: Vec<Fault>) -> Self {
        self.0.details = details;
        self
    }

    /// 422 on one field.
    pub fn field(field: impl Into<String>, message: impl Into<Cow<'static, str>>) -> Self {
        Self::validation(vec![Fault { field: field.into(), message: message.into() }])
    }

    /// 500. The cause goes to the log, never to the client.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(Code::InternalError, "Something went wrong on our side").caused_by(cause)
    }

    /// 503 with `Retry-After`: what is needed is out of reach, and the same request may succeed in a moment.
    pub fn unavailable(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(Code::ServiceUnavailable, "The service is busy or starting: try again in a moment")
            .caused_by(cause)
    }

    /// Attaches what the log should say.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.cause = Some(Arc::from(cause.into()));
        self
    }

    /// Sets `Retry-After`, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What the client is told.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The fields at fault.
    pub fn details(&self) -> &[Fault] {
        &self.0.details
    }

    /// Whether its cause is of this type.
    pub(crate) fn is_caused_by<T: std::error::Error + 'static>(&self) -> bool {
        self.0.cause.as_deref().is_some_and(|cause| cause.is::<T>())
    }

    /// The cause and what caused it, for the log.
    pub fn cause_chain(&self) -> Option<String> {
        use fmt::Write;
        let first: &dyn std::error::Error = self.0.cause.as_deref()?;
        let mut chain = first.to_string();
        let mut next = first.source();
        while let Some(cause) = next {
            let _ = write!(chain, ": {cause}");
            next = cause.source();
        }
        Some(chain)
    }

    /// The problem document, as bytes. It names the trace where there is one.
    pub fn document(&self, request_id: &str, trace_id: Option<&str>) -> Vec<u8> {
        #[derive(Serialize)]
        struct Document<'a> {
            r#type: String,
            title: &'a str,
            status: u16,
            detail: &'a str,
            success: bool,
            code: &'a str,
            message: &'a str,
            details: &'a [Fault],
            request_id: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            trace_id: Option<&'a str>,
        }
        let code = self.0.code;
        let document = Document {
            r#type: code.name().to_ascii_lowercase(),
            title: code.title(),
            status: code.status().as_u16(),
            detail: self.detail(),
            success: false,
            code: code.name(),
            message: self.detail(),
            details: self.details(),
            request_id,
            trace_id,
        };
        serde_json::to_vec(&document).unwrap_or_default() // strings and numbers always serialize
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.name(), self.0.detail)?;
        match self.cause_chain() {
            Some(chain) => write!(f, " ({chain})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Error {}

/// Status and headers. The body needs the request's id, so the outermost layer writes it from the error that rides in the
/// response's extensions.
impl IntoResponse for Error {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.0.code.status();
        let headers = response.headers_mut();
        if self.0.code == Code::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.0.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(self);
        response
    }
}
