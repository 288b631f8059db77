//! Answers in the contract's two envelopes.
use super::{
    describe::{DescribeOutput, Doc},
    etag,
};
use crate::{error::Error, values::Reference};
use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Ref,
        schema::{ObjectBuilder, SchemaType, Type},
    },
};

/// Most answers fit into that many bytes; one that grows beyond them is copied a few times, not from its first byte on.
const USUAL: usize = 2048;

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let mut bytes = Vec::with_capacity(USUAL);
    match serde_json::to_writer(&mut bytes, body) {
        Ok(()) => {
            let mut response = Response::new(Body::from(bytes));
            *response.status_mut() = status;
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(e) => Error::internal(e).into_response(),
    }
}

/// The schema of a wrapper is called after what it wraps, and brings that one's along.
macro_rules! named_after_its_content {
    ($wrapper:ident, $suffix:literal) => {
        impl<T: utoipa::ToSchema> utoipa::ToSchema for $wrapper<T> {
            fn name() -> std::borrow::Cow<'static, str> {
                format!("{}{}", T::name(), $suffix).into()
            }

            fn schemas(schemas: &mut Vec<(String, $crate::values::Reference)>) {
                schemas.push((T::name().into_owned(), T::schema()));
                T::schemas(schemas);
            }
        }
    };
}

/// A list is its own answer: 200 with the page as it stands.
macro_rules! list_answer {
    ($page:ident, $suffix:literal, $description:literal) => {
        $crate::http::answer::named_after_its_content!($page, $suffix);

        impl<T: serde::Serialize> axum::response::IntoResponse for $page<T> {
            fn into_response(self) -> axum::response::Response {
                $crate::http::answer::json(axum::http::StatusCode::OK, &self)
            }
        }

        impl<T: utoipa::ToSchema> $crate::http::DescribeOutput for $page<T> {
            fn describe(doc: &mut $crate::http::Doc) {
                doc.answers::<Self>(200, $description, &[]);
            }
        }
    };
}

pub(super) use {list_answer, named_after_its_content};

/// Account plane: `{"success": true, "data": …}`.
#[derive(Serialize)]
pub struct DataOf<T> {
    /// Always true: errors have a document of their own.
    success: bool,
    /// The object.
    data: T,
}

impl<T: ToSchema> PartialSchema for DataOf<T> {
    fn schema() -> Reference {
        let always = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::Boolean))
            .enum_values(Some([true]))
            .description(Some("Always true: errors have a document of their own"));
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::Object))
            .property("success", always)
            .property("data", Ref::from_schema_name(T::name()))
            .required("success")
            .required("data")
            .into()
    }
}

named_after_its_content!(DataOf, "Data");

/// 200 in the account plane's envelope.
pub struct Data<T>(pub T);

impl<T: Serialize> IntoResponse for Data<T> {
    fn into_response(self) -> Response {
        json(StatusCode::OK, &DataOf { success: true, data: self.0 })
    }
}

impl<T: ToSchema> DescribeOutput for Data<T> {
    fn describe(doc: &mut Doc) {
        doc.answers::<DataOf<T>>(200, "Done", &[]);
    }
}

/// 201 in the account plane's envelope.
pub struct CreatedData<T>(pub T);

impl<T: Serialize> IntoResponse for CreatedData<T> {
    fn into_response(self) -> Response {
        json(StatusCode::CREATED, &DataOf { success: true, data: self.0 })
    }
}

impl<T: ToSchema> DescribeOutput for CreatedData<T> {
    fn describe(doc: &mut Doc) {
        doc.answers::<DataOf<T>>(201, "Created", &[]);
    }
}

/// 202 in the account plane's envelope.
pub struct Accepted<T>(pub T);

impl<T: Serialize> IntoResponse for Accepted<T> {
    fn into_response(self) -> Response {
        json(StatusCode::ACCEPTED, &DataOf { success: true, data: self.0 })
    }
}

impl<T: ToSchema> DescribeOutput for Accepted<T> {
    fn describe(doc: &mut Doc) {
        doc.answers::<DataOf<T>>(202, "Accepted", &[]);
    }
}

/// Resource plane: 200 with the bare object.
pub struct Bare<T>(pub T);

impl<T: Serialize> IntoResponse for Bare<T> {
    fn into_response(self) -> Response {
        json(StatusCode::OK, &self.0)
    }
}

impl<T: ToSchema> DescribeOutput for Bare<T> {
    fn describe(doc: &mut Doc) {
        doc.answers::<T>(200, "Done", &[]);
    }
}

/// Resource plane: 202 with the bare object.
pub struct Taken<T>(pub T);

impl<T: Serialize> IntoResponse for Taken<T> {
    fn into_response(self) -> Response {
        json(StatusCode::ACCEPTED, &self.0)
    }
}

impl<T: ToSchema> DescribeOutput for Taken<T> {
    fn describe(doc: &mut Doc) {
        doc.answers::<T>(202, "Accepted", &[]);
    }
}

/// Resource plane: 201 with the bare object, its `Location` and its `ETag`.
pub struct Created<T> {
    location: String,
    version: i64,
    body: T,
}

impl<T> Created<T> {
    /// Where the new resource is, and which version of it this is.
    pub fn at(location: String, version: i64, body: T) -> Self {
        Self { location, version, body }
    }
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let mut response = json(StatusCode::CREATED, &self.body);
        if let Ok(location) = HeaderValue::try_from(self.location) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response.headers_mut().insert(header::ETAG, etag::header_value(self.version));
        response
    }
}

impl<T: ToSchema> DescribeOutput for Created<T> {
    fn describe(doc: &mut Doc) {
        doc.answers::<T>(201, "Created", &["Location", "ETag"]);
    }
}

/// 204.
pub struct NoContent;

impl IntoResponse for NoContent {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

impl DescribeOutput for NoContent {
    fn describe(doc: &mut Doc) {
        doc.answers_nothing(204, "Done");
    }
}
