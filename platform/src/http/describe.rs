//! What a handler's types say of its operation. Each extractor and each answer writes its part into a [`Doc`], so the
//! OpenAPI document cannot say other than the code does.
use crate::{
    access::{Permission, Role, Scope},
    core::Core,
    error::Code,
    values::{Reference, string_schema},
};
use axum::extract::State;
use std::collections::BTreeMap;
use utoipa::{
    ToSchema,
    openapi::{
        Content, Header, Ref, RefOr, Required,
        path::{Parameter, ParameterBuilder, ParameterIn},
        request_body::{RequestBody, RequestBodyBuilder},
        response::{Response, ResponseBuilder},
        schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type},
    },
};

/// An operation, as its handler's types describe it.
#[derive(Default)]
pub struct Doc {
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<RequestBody>,
    pub(super) responses: BTreeMap<String, Response>,
    pub(super) schemas: Vec<(String, RefOr<Schema>)>,
    pub(super) errors: Vec<Code>,
    pub(super) permission: Option<Needed>,
    pub(super) query: bool,
    pub(super) conditional: bool,
    pub(super) is_read: bool,
}

/// What it takes to call an operation.
pub(super) struct Needed {
    pub permission: &'static str,
    pub min_role: Role,
    /// Whether a program with an API key may, too.
    pub api_keys: bool,
}

/// An argument of a handler.
pub trait DescribeInput {
    /// Writes its part.
    fn describe(doc: &mut Doc);
}

/// What a handler answers when it goes well.
pub trait DescribeOutput {
    /// Writes its part.
    fn describe(doc: &mut Doc);
}

impl Doc {
    /// It is for those who have this permission.
    pub(crate) fn needs<P: Permission>(&mut self) {
        let needed = Needed { permission: P::NAME, min_role: P::MIN_ROLE, api_keys: P::FOR_API_KEYS };
        self.permission = Some(needed);
        self.errors.extend([Code::Unauthorized, Code::Forbidden]);
        self.is_limited();
    }

    /// It is limited: it may answer 429, and every answer says how the caller stands.
    pub(super) fn is_limited(&mut self) {
        self.errors.push(Code::RateLimited);
    }

    /// It takes a JSON body.
    pub(super) fn takes_body(&mut self, schema: Reference, example: serde_json::Value) {
        let mut content = Content::new(Some(schema));
        content.example = Some(example);
        let body =
            RequestBodyBuilder::new().content("application/json", content).required(Some(Required::True));
        self.body = Some(body.build());
        self.errors.extend([
            Code::BadRequest,
            Code::PayloadTooLarge,
            Code::UnsupportedMediaType,
            Code::ValidationError,
        ]);
    }

    /// It takes bytes of any kind with a signature over them in this header.
    pub(super) fn takes_signed(&mut self, header: &str, description: &str, most_bytes: usize) {
        let bytes = SchemaFormat::KnownFormat(KnownFormat::Binary);
        let schema: Reference = string_schema().format(Some(bytes)).max_length(Some(most_bytes)).into();
        let body = RequestBodyBuilder::new()
            .content("*/*", Content::new(Some(schema)))
            .description(Some(description))
            .required(Some(Required::True));
        self.body = Some(body.build());
        self.errors.extend([Code::BadRequest, Code::PayloadTooLarge]);
        let header = ParameterBuilder::new()
            .name(header)
            .parameter_in(ParameterIn::Header)
            .required(Required::True)
            .description(Some("The signature over the body's bytes"))
            .schema(Some(string_schema()));
        self.parameters.push(header.build());
    }

    /// It takes these parameters of a query.
    pub(super) fn takes_query(
        &mut self,
        parameters: Vec<(&'static str, String, bool, Reference, serde_json::Value)>,
    ) {
        self.query = true;
        self.errors.push(Code::ValidationError);
        for (name, description, required, schema, _) in parameters {
            let parameter = ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Query)
                .required(if required { Required::True } else { Required::False })
                .description(Some(description))
                .schema(Some(schema));
            self.parameters.push(parameter.build());
        }
    }

    /// It takes an identifier in its path.
    pub(super) fn takes_id(&mut self, noun: &str) {
        let id = ParameterBuilder::new()
            .name("id")
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some(format!("{noun} to act on")))
            .schema(Some(<uuid::Uuid as crate::values::Parse>::schema()));
        self.parameters.push(id.build());
        self.errors.push(Code::NotFound);
    }

    /// It heeds entity tags.
    pub(super) fn takes_conditions(&mut self) {
        self.conditional = true;
        let (name, description) = if self.is_read {
            ("If-None-Match", "Entity tags that the client has: 304 if one of them is current")
        } else {
            self.errors.push(Code::PreconditionFailed);
            ("If-Match", "Entity tags on which the change is based: 412 if none of them is current")
        };
        let header = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .description(Some(description))
            .schema(Some(string_schema()));
        self.parameters.push(header.build());
    }

    /// It takes a key, so that it can be sent again.
    pub(super) fn takes_key(&mut self, name: &str, longest: usize) {
        let schema = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .min_length(Some(1))
            .max_length(Some(longest))
            .pattern(Some("^[!-~]+$"));
        let header = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .description(Some(
                "Sent again within 24 hours with the same key and the same body, the request takes effect once and is \
                 given the first answer; any other request with it is 422. While the first is under way, 409.",
            ))
            .schema(Some(schema));
        self.parameters.push(header.build());
        self.errors.extend([
            Code::BadRequest,
            Code::PayloadTooLarge,
            Code::Conflict,
            Code::IdempotencyKeyReused,
        ]);
    }

    /// Its answer is one that was given before where this header says so.
    pub(super) fn answers_again(&mut self, header: &str) {
        for response in self.responses.values_mut() {
            let mut documented = Header::new(string_schema());
            documented.description = Some("`true` where the answer was given before, else absent".to_owned());
            response.headers.insert(header.to_owned(), documented.into());
        }
    }

    pub(super) fn is_conditional_read(&self) -> bool {
        self.conditional && self.is_read
    }

    /// It answers with this body.
    pub(crate) fn answers<T: ToSchema>(&mut self, status: u16, description: &str, headers: &[&str]) {
        self.schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(&mut self.schemas);
        let content = Content::new(Some(RefOr::Ref(Ref::from_schema_name(T::name()))));
        let mut response =
            ResponseBuilder::new().description(description).content("application/json", content);
        for header in headers {
            let mut documented = Header::new(string_schema());
            documented.description = Some(
                match *header {
                    "ETag" => "The version of the resource, for If-Match and If-None-Match",
                    _ => "Where the new resource is",
                }
                .to_owned(),
            );
            response = response.header(*header, documented);
        }
        self.responses.insert(status.to_string(), response.build());
    }

    /// It answers without a body.
    pub(super) fn answers_nothing(&mut self, status: u16, description: &str) {
        self.responses.insert(status.to_string(), Response::new(description));
    }
}

impl<P: Permission> DescribeInput for Scope<P> {
    fn describe(doc: &mut Doc) {
        doc.needs::<P>();
    }
}

impl DescribeInput for super::Public {
    fn describe(_: &mut Doc) {}
}

impl DescribeInput for State<Core> {
    fn describe(_: &mut Doc) {}
}
