//! The OpenAPI 3.1 document, made from the routes.
use super::{
    describe::Needed,
    routes::{Route, Routes},
};
use crate::{
    error::Code,
    infra::events::EventType,
    values::{described, string_schema},
};
use serde_json::json;
use utoipa::openapi::{
    ComponentsBuilder, Content, Header, Info, OpenApi, OpenApiBuilder, PathsBuilder, Ref, RefOr, Required,
    Tag,
    extensions::Extensions,
    path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathItem},
    request_body::RequestBodyBuilder,
    response::{Response, ResponseBuilder},
    schema::{ArrayItems, Schema},
    security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};

const PROBLEM: &str = "Problem";
const BEARER: &str = "bearer";

/// The whole document. `title` is the product's name.
pub(crate) fn document(title: &str, version: &str, groups: &[&Routes], events: &[EventType]) -> OpenApi {
    let mut paths = PathsBuilder::new();
    let mut components = ComponentsBuilder::new().schema(PROBLEM, problem_schema());
    let mut tags: Vec<&str> = Vec::new();
    for route in groups.iter().flat_map(|group| &group.routes) {
        for (name, schema) in &route.doc.schemas {
            let mut schema = schema.clone();
            move_words_in(&mut schema);
            components = components.schema(name, schema);
        }
        if !tags.contains(&route.tag) {
            tags.push(route.tag);
        }
        paths = paths.path(&route.path, PathItem::new(http_method(route), operation(route)));
    }
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
        "The access_token of a session (POST /api/v1/auth/login), or an API key (POST /api/v1/api-keys)",
    ));
    components = components.security_scheme(BEARER, SecurityScheme::Http(bearer.build()));
    let mut info = Info::new(title, version);
    info.description = Some(
        "Sign in with `POST /api/v1/auth/login` and paste its `access_token` under *Authorize*, or an API key. Two planes: `auth` answers in the envelope `{\"success\": true, \"data\": …}`; resources are bare objects, \
         their lists cursor pages. A request with an `Idempotency-Key` can be sent again: it takes effect once. Every error is one document (RFC 9457), with all fields at fault in `details`."
            .to_owned(),
    );
    OpenApiBuilder::new()
        .info(info)
        .paths(paths)
        .webhooks(Some(webhooks(events)))
        .components(Some(components.build()))
        .tags(Some(tags.into_iter().map(Tag::new)))
        .build()
}

/// What endpoints are sent, an entry for each event.
fn webhooks(events: &[EventType]) -> PathsBuilder {
    events.iter().fold(PathsBuilder::new(), |paths, event| {
        paths.path(event.name, PathItem::new(HttpMethod::Post, told(event)))
    })
}

fn told(event: &EventType) -> OperationBuilder {
    let mut content = Content::new(Some(event_schema(event)));
    content.example = event.example_body().ok().and_then(|body| serde_json::from_str(body.get()).ok());
    let body = RequestBodyBuilder::new().content("application/json", content).required(Some(Required::True));
    let header = |name: &str, description: &str| {
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::True)
            .description(Some(description))
            .schema(Some(string_schema()))
    };
    OperationBuilder::new()
        .operation_id(Some(format!("told_{}", event.name.replace('.', "_"))))
        .summary(Some(event.description))
        .description(Some("Signed as the Standard Webhooks specification says; its libraries verify it."))
        .parameter(header("webhook-id", "The event's `id`: the same at every attempt"))
        .parameter(header("webhook-timestamp", "When the attempt was made, in seconds since 1970"))
        .parameter(header(
            "webhook-signature",
            "`v1,` and base64 of HMAC-SHA256, several separated by spaces",
        ))
        .request_body(Some(body.build()))
        .response("2XX", ResponseBuilder::new().description("Taken: it is not sent again"))
        .response("410", ResponseBuilder::new().description("Gone: the endpoint is turned off"))
        .response(
            "default",
            ResponseBuilder::new().description("Anything else, or nothing in time: sent again later"),
        )
}

fn event_schema(event: &EventType) -> RefOr<Schema> {
    let schema = json!({
        "type": "object",
        "description": event.description,
        "required": ["id", "type", "timestamp", "tenant_id", "data"],
        "properties": {
            "id": { "type": "string", "pattern": "^evt_[0-9a-f]{32}$", "description": "The event's identifier" },
            "type": { "type": "string", "enum": [event.name], "description": "What has happened" },
            "timestamp": { "type": "string", "format": "date-time", "description": "When it happened" },
            "tenant_id": { "type": "string", "format": "uuid", "description": "Whose it is" },
            "data": { "type": "object", "description": "The object as the API shows it" }
        }
    });
    serde_json::from_value(schema).unwrap_or_else(|_| string_schema().into()) // a constant: tested
}

/// Of an inlined property utoipa's derive says that it is `allOf` its own schema and an object that has nothing but the
/// words which describe it. No string is an object, so nothing would fit: the words move into the schema itself.
fn move_words_in(schema: &mut RefOr<Schema>) {
    let RefOr::T(inner) = schema else { return };
    match inner {
        Schema::Object(object) => object.properties.values_mut().for_each(move_words_in),
        Schema::Array(array) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                move_words_in(items);
            }
        }
        Schema::AllOf(all) => {
            all.items.iter_mut().for_each(move_words_in);
            if let [RefOr::T(own), RefOr::T(Schema::Object(words))] = all.items.as_slice()
                && words.properties.is_empty()
                && let Some(text) = &words.description
            {
                *schema = described(RefOr::T(own.clone()), text.clone());
            }
        }
        _ => {}
    }
}

fn http_method(route: &Route) -> HttpMethod {
    match route.method.as_str() {
        "POST" => HttpMethod::Post,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

fn operation(route: &Route) -> OperationBuilder {
    let doc = &route.doc;
    let mut operation = OperationBuilder::new()
        .tag(route.tag)
        .operation_id(Some(&route.operation_id))
        .summary(Some(route.summary))
        .request_body(doc.body.clone());
    if !doc.parameters.is_empty() {
        operation = operation.parameters(Some(doc.parameters.clone()));
    }
    let limited = doc.errors.contains(&Code::RateLimited);
    for (status, response) in &doc.responses {
        let mut response = response.clone();
        if limited {
            tell_limits(&mut response);
        }
        operation = operation.response(status, response);
    }
    match doc.permission {
        Some(Needed { permission, min_role, api_keys }) => {
            let required = json!({ "permission": permission, "min_role": min_role, "api_keys": api_keys });
            let who = if api_keys { "people and API keys" } else { "people, no API key" };
            operation = operation
                .description(Some(format!("Permission `{permission}`: {min_role} and above; {who}.")))
                .security(SecurityRequirement::new::<_, _, &str>(BEARER, []))
                .extensions(Some(Extensions::from_iter([("x-permission", required)])));
        }
        None => {
            operation =
                operation.description(Some("For anyone: no access token is asked for.")).securities(Some([]))
        }
    }
    let mut codes = doc.errors.clone();
    codes.extend([Code::InternalError, Code::ServiceUnavailable]);
    for code in Code::ALL.iter().filter(|code| codes.contains(code)) {
        operation = error_response(operation, *code, &codes);
    }
    operation
}

/// One answer a status; where several codes share it, it names them all.
fn error_response(operation: OperationBuilder, code: Code, codes: &[Code]) -> OperationBuilder {
    let names: Vec<_> = Code::ALL
        .iter()
        .filter(|c| c.status() == code.status() && codes.contains(c))
        .map(|c| c.name())
        .collect();
    let content = Content::new(Some(RefOr::Ref(Ref::from_schema_name(PROBLEM))));
    let response = ResponseBuilder::new()
        .description(format!("{} (`{}`)", code.title(), names.join("`, `")))
        .content("application/problem+json", content);
    let mut response = response.build();
    if code == Code::RateLimited {
        tell_limits(&mut response);
        tell(&mut response, "Retry-After", "Seconds until there is room for one more");
    }
    if code == Code::Conflict && codes.contains(&Code::IdempotencyKeyReused) {
        tell(&mut response, "Retry-After", "Seconds, where a request with the same key is under way");
    }
    operation.response(code.status().as_str(), response)
}

/// What every answer of a limited route has.
fn tell_limits(response: &mut Response) {
    tell(
        response,
        "RateLimit-Policy",
        "The limits that were met: `\"auth\";q=10;w=900` is 10 in 900 seconds",
    );
    tell(
        response,
        "RateLimit",
        "How the caller stands with each: `\"auth\";r=7;t=270` is 7 left, and all of them in 270 seconds",
    );
}

fn tell(response: &mut Response, name: &str, description: &str) {
    let mut header = Header::new(string_schema());
    header.description = Some(description.to_owned());
    response.headers.insert(name.to_owned(), header.into());
}

/// The error document, as `error.rs` writes it.
fn problem_schema() -> RefOr<Schema> {
    let codes: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
    let types: Vec<_> = codes.iter().map(|code| code.to_ascii_lowercase()).collect();
    let schema = json!({
        "type": "object",
        "description": "Every answer that is no success, whoever gives it (RFC 9457 with extension members).",
        "required": ["type", "title", "status", "detail", "success", "code", "message", "details", "request_id"],
        "properties": {
            "type": { "type": "string", "enum": types, "description": "The code in lower case" },
            "title": { "type": "string", "description": "The kind of error in words" },
            "status": { "type": "integer", "minimum": 400, "maximum": 599, "description": "The HTTP status" },
            "detail": { "type": "string", "description": "What is wrong this time" },
            "success": { "type": "boolean", "enum": [false], "description": "Always false" },
            "code": { "type": "string", "enum": codes, "description": "For programs to branch on" },
            "message": { "type": "string", "description": "The same as detail" },
            "details": {
                "type": "array",
                "description": "Every field at fault; empty where none is",
                "items": {
                    "type": "object",
                    "required": ["field", "message"],
                    "properties": {
                        "field": { "type": "string", "description": "A path such as items[2].unit_price" },
                        "message": { "type": "string", "description": "What is wrong with it" }
                    }
                }
            },
            "request_id": { "type": "string", "description": "Tell it to support: the log has it" }
        }
    });
    serde_json::from_value(schema).unwrap_or_else(|_| RefOr::Ref(Ref::from_schema_name(PROBLEM))) // a constant: tested
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_problem_schema_is_one() {
        assert!(matches!(super::problem_schema(), utoipa::openapi::RefOr::T(_)));
    }
}
