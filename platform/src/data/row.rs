//! What goes into a statement and comes out of a row, on either database.
use crate::{
    error::{Error, Result},
    values::Timestamp,
};
use rusqlite::types::{FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use std::error::Error as StdError;
use tokio_postgres::types::{IsNull, Type, accepts, private::BytesMut, to_sql_checked};

/// What can be bound to a statement on either database.
pub trait Param: tokio_postgres::types::ToSql + rusqlite::ToSql + Send + Sync {}
impl<T: tokio_postgres::types::ToSql + rusqlite::ToSql + Send + Sync> Param for T {}

/// What can be read from a row of either database.
pub trait Column: for<'a> tokio_postgres::types::FromSql<'a> + rusqlite::types::FromSql {}
impl<T: for<'a> tokio_postgres::types::FromSql<'a> + rusqlite::types::FromSql> Column for T {}

/// A row of an answer.
pub enum Row<'r> {
    /// From PostgreSQL.
    Postgres(&'r tokio_postgres::Row),
    /// From SQLite.
    Sqlite(&'r rusqlite::Row<'r>),
}

impl Row<'_> {
    /// The value in this column, counted from 0.
    pub fn get<T: Column>(&self, column: usize) -> Result<T> {
        match self {
            Row::Postgres(row) => row.try_get(column).map_err(Error::internal),
            Row::Sqlite(row) => row.get(column).map_err(Error::internal),
        }
    }

    /// The value in this text column as one of a closed set of words.
    pub fn word<T>(&self, column: usize, from_word: impl FnOnce(&str) -> Option<T>) -> Result<T> {
        let word = match self {
            Row::Postgres(row) => row.try_get(column).map_err(Error::internal)?,
            Row::Sqlite(row) => {
                let word = row.get_ref(column).map_err(Error::internal)?.as_str();
                word.map_err(|e| Error::internal(format!("column {column}: {e}")))?
            }
        };
        from_word(word).ok_or_else(|| Error::internal(format!("a stored word is not known: {word}")))
    }
}

/// What a row is turned into.
pub trait FromRow: Sized + Send {
    /// Reads the columns by their place.
    fn from_row(row: &Row<'_>) -> Result<Self>;
}

impl FromRow for () {
    fn from_row(_: &Row<'_>) -> Result<Self> {
        Ok(())
    }
}

macro_rules! one_column {
    ($($type:ty),*) => { $(
        impl FromRow for $type {
            fn from_row(row: &Row<'_>) -> Result<Self> {
                row.get(0)
            }
        }
    )* };
}
one_column!(String, i64, uuid::Uuid, Timestamp);

/// PostgreSQL's epoch, 2000-01-01, in microseconds since 1970.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// `TIMESTAMPTZ` on PostgreSQL.
impl tokio_postgres::types::ToSql for Timestamp {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn StdError + Sync + Send>> {
        out.extend_from_slice(&self.as_micros().saturating_sub(POSTGRES_EPOCH).to_be_bytes());
        Ok(IsNull::No)
    }
    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl tokio_postgres::types::FromSql<'_> for Timestamp {
    fn from_sql(_: &Type, raw: &[u8]) -> std::result::Result<Self, Box<dyn StdError + Sync + Send>> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        Ok(Self::from_micros(micros.saturating_add(POSTGRES_EPOCH)))
    }
    accepts!(TIMESTAMPTZ);
}

/// `INTEGER` on SQLite: microseconds since 1970.
impl rusqlite::ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_micros().into())
    }
}

impl rusqlite::types::FromSql for Timestamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Integer(micros) => Ok(Self::from_micros(micros)),
            _ => Err(FromSqlError::InvalidType),
        }
    }
}
