//! What goes wrong between here and PostgreSQL, and which of it passes.
use super::connect::Conn;
use crate::{
    data::Contended,
    error::{Error, Result},
};
use deadpool::managed::PoolError;
use std::time::Duration;
use tokio_postgres::error::SqlState;

/// A server that stands still keeps its connections, and none of its own limits holds.
pub(super) async fn within<T>(limit: Duration, answer: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| Err(Error::unavailable(Silent)))
}

/// The cause of an error: no answer came.
#[derive(Debug)]
pub(super) struct Silent;

impl std::fmt::Display for Silent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the database does not answer")
    }
}

impl std::error::Error for Silent {}

/// There is no connection.
pub(super) fn out_of_reach(error: PoolError<tokio_postgres::Error>) -> Error {
    match error {
        // also where it lets nobody in: a password that was changed, a database that is being restored
        PoolError::Backend(error) => Error::unavailable(error),
        other => Error::unavailable(other),
    }
}

/// A statement failed. If the schema has changed under it, this connection prepares its statements anew.
pub(super) fn failed(conn: &Conn, error: tokio_postgres::Error) -> Error {
    if stale(&error) {
        conn.statement_cache.clear();
    }
    classified(error)
}

fn stale(error: &tokio_postgres::Error) -> bool {
    let cached_plan = error.as_db_error().is_some_and(|e| e.message().starts_with("cached plan"));
    cached_plan || error.code() == Some(&SqlState::INVALID_SQL_STATEMENT_NAME)
}

/// What passes by itself is a 503: the server away, a time-out, a deadlock, no room. The rest is a fault of ours.
pub(in crate::data) fn classified(error: tokio_postgres::Error) -> Error {
    if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) {
        return Error::unavailable(Contended::new(error));
    }
    let passing = match error.code() {
        None => true, // the connection
        Some(code) => {
            matches!(code.code().get(..2), Some("08" | "53" | "57" | "58"))
                || [
                    &SqlState::T_R_SERIALIZATION_FAILURE,
                    &SqlState::T_R_DEADLOCK_DETECTED,
                    &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                    &SqlState::READ_ONLY_SQL_TRANSACTION,
                ]
                .contains(&code)
                || stale(&error)
        }
    };
    // conversions of our own values have no code either
    let ours = error.code().is_none()
        && std::error::Error::source(&error)
            .is_some_and(|cause| cause.is::<tokio_postgres::types::WrongType>());
    if passing && !ours { Error::unavailable(error) } else { Error::internal(error) }
}

/// An error and what caused it, in one line: the driver's own text says no more than "db error".
pub(in crate::data) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
