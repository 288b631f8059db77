//! The floor: the routes that are measured, as fast as they can simply be written over the same libraries. It checks the
//! token's signature and claims, runs the statements that the product's domain runs, prepared and in one flight, and
//! answers the same bodies. There is no row-level security, no look at the session, no validation, no error document, no
//! log, and none of the product's layers. What the product costs beyond this is the price of all that.
mod rows;
mod sql;
mod token;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use rows::{CreateOrder, Order, Page};
use serde::Serialize;
use std::{error::Error, sync::Arc};
use token::Tokens;
use uuid::Uuid;

struct Floor {
    database: sql::Database,
    tokens: Tokens,
}

type Shared = State<Arc<Floor>>;

/// Whatever goes wrong is a 500: what is measured does not.
struct Failed(Box<dyn Error + Send + Sync>);

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        eprintln!("{}", self.0);
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

type Answer = Result<Response, Failed>;

fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let body = Body::from(serde_json::to_vec(body)?);
    Ok((status, [(header::CONTENT_TYPE, "application/json")], body).into_response())
}

async fn health() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], r#"{"status":"ok"}"#).into_response()
}

async fn me(State(floor): Shared, headers: HeaderMap) -> Answer {
    let claims = floor.tokens.verify(&headers)?;
    let me = floor.database.me(claims.tenant_id, claims.sub).await?;
    json(StatusCode::OK, &rows::Data { success: true, data: me })
}

async fn show(State(floor): Shared, headers: HeaderMap, Path(id): Path<Uuid>) -> Answer {
    let claims = floor.tokens.verify(&headers)?;
    let order = floor.database.order(claims.tenant_id, id).await?;
    json(StatusCode::OK, &order)
}

/// Rows in a page.
const LIMIT: usize = 20;

async fn list(State(floor): Shared, headers: HeaderMap) -> Answer {
    let claims = floor.tokens.verify(&headers)?;
    let mut data = floor.database.page(claims.tenant_id, i64::try_from(LIMIT + 1)?).await?;
    let has_more = data.len() > LIMIT;
    data.truncate(LIMIT);
    let last = data.last().filter(|_| has_more);
    let next_cursor = last.map(|order| floor.tokens.cursor(claims.tenant_id, order.id));
    json(StatusCode::OK, &Page { data, next_cursor, has_more })
}

async fn create(State(floor): Shared, headers: HeaderMap, body: Bytes) -> Answer {
    let claims = floor.tokens.verify(&headers)?;
    let order = Order::of(serde_json::from_slice::<CreateOrder>(&body)?)?;
    let event = serde_json::to_string(&order)?;
    floor.database.insert(claims.tenant_id, claims.sub, &order, &event).await?;
    json(StatusCode::CREATED, &order)
}

/// `floor DATABASE_URL PORT CONNECTIONS`, and the key of the tokens in `SECRET_KEY`.
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, port, connections] = arguments.as_slice() else {
        return Err("floor DATABASE_URL PORT CONNECTIONS".into());
    };
    #[expect(clippy::disallowed_methods, reason = "it has no configuration but this")]
    let secret = std::env::var("SECRET_KEY")?;
    let floor =
        Floor { database: sql::Database::new(url, connections.parse()?)?, tokens: Tokens::new(&secret) };
    let router = Router::new()
        .route("/health", get(health))
        .route("/api/v1/auth/me", get(me))
        .route("/api/v1/orders", get(list).post(create))
        .route("/api/v1/orders/{id}", get(show))
        .with_state(Arc::new(floor));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
    println!("listening on {}", listener.local_addr()?);
    Ok(axum::serve(listener, router).await?)
}
