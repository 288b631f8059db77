//! Statements on SQLite: bound, run, read, and kept from taking for ever.
use crate::{
    data::{Contended, Mode, Param, Row, STATEMENT_TIMEOUT},
    error::{Error, Result},
};
use rusqlite::{Connection, ErrorCode};
use std::time::{Duration, Instant};
use tokio::runtime::{Handle, RuntimeFlavor};
use uuid::Uuid;

/// Begins or ends a transaction.
pub(super) fn control(conn: &Connection, text: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(text)?.execute([]).map(drop)
}

/// How many of its virtual machine's steps SQLite takes between two looks at the clock; some microseconds.
const STEPS: i32 = 1000;
/// For so long a read may keep a worker from its other tasks. Most take some microseconds, and giving these tasks to another
/// thread for that costs several times as much.
const AT_ONCE: Duration = Duration::from_millis(1);

/// Runs a statement that reads: where it stands, or if it takes long, once more and out of the way. A read transaction
/// has one state, so the second answer is what the first would have been.
pub(super) fn look<T>(
    conn: &mut Connection,
    sql: &str,
    tenant: Option<&Uuid>,
    params: &[&dyn Param],
    mut read: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<(Vec<T>, u64)> {
    match query(conn, AT_ONCE, Mode::Read, sql, tenant, params, &mut read) {
        Err(error) if error.is_caused_by::<Interrupted>() => {
            blocking(|| query(conn, STATEMENT_TIMEOUT, Mode::Read, sql, tenant, params, read))
        }
        answer => answer,
    }
}

/// Runs a statement, for no longer than the limit.
pub(super) fn query<T>(
    conn: &mut Connection,
    limit: Duration,
    mode: Mode,
    sql: &str,
    tenant: Option<&Uuid>,
    params: &[&dyn Param],
    read: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<(Vec<T>, u64)> {
    let began = Instant::now();
    conn.progress_handler(STEPS, Some(move || began.elapsed() > limit)).map_err(classified)?;
    let answer = answer(conn, mode, sql, tenant, params, read);
    conn.progress_handler(0, None::<fn() -> bool>).map_err(classified)?;
    answer
}

/// Parameters are bound by name: to SQLite `$2` is a name, and its number is its place of first appearance.
fn answer<T>(
    conn: &Connection,
    mode: Mode,
    sql: &str,
    tenant: Option<&Uuid>,
    params: &[&dyn Param],
    mut read: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<(Vec<T>, u64)> {
    let mut statement = conn.prepare_cached(sql).map_err(classified)?;
    if mode == Mode::Read && !statement.readonly() {
        return Err(Error::internal("a statement changes rows in a transaction that reads"));
    }
    let params: Vec<_> =
        tenant.into_iter().map(|tenant| tenant as &dyn Param).chain(params.iter().copied()).collect();
    let taken = statement.parameter_count();
    if params.len() != taken {
        let given = params.len();
        return Err(Error::internal(format!("a statement takes {taken} parameters and was given {given}")));
    }
    for (i, param) in params.into_iter().enumerate() {
        let name = format!("${}", i + 1);
        let index = statement.parameter_index(&name).map_err(classified)?;
        let index = index.ok_or_else(|| Error::internal(format!("a statement has no parameter {name}")))?;
        statement.raw_bind_parameter(index, param).map_err(classified)?;
    }
    let (mut rows, mut all) = (statement.raw_query(), Vec::new());
    while let Some(row) = rows.next().map_err(classified)? {
        all.push(read(&Row::Sqlite(row))?);
    }
    drop(rows);
    Ok((all, conn.changes()))
}

/// `block_in_place` panics on a current-thread runtime, where there is nobody to hand the other tasks to.
pub(in crate::data) fn blocking<T>(f: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(f),
        _ => f(),
    }
}

/// The cause of an error: a statement took too long.
#[derive(Debug)]
struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a statement was interrupted, since it took too long")
    }
}

impl std::error::Error for Interrupted {}

/// A full, read-only or busy disk passes, and so does a statement that took too long; the rest is a fault of ours.
pub(in crate::data) fn classified(error: rusqlite::Error) -> Error {
    use ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, OperationInterrupted, OutOfMemory, ReadOnly,
        SystemIoFailure,
    };
    match error.sqlite_error_code() {
        Some(DatabaseBusy | DatabaseLocked) => Error::unavailable(Contended::new(error)),
        Some(OperationInterrupted) => Error::unavailable(Interrupted),
        Some(CannotOpen | DiskFull | OutOfMemory | ReadOnly | SystemIoFailure) => Error::unavailable(error),
        _ => Error::internal(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was read before it was interrupted is read once more, and answered once.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_read_that_takes_long_is_run_again_and_whole() {
        const ROWS: i64 = 200_000;
        let sql = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) SELECT i FROM n"
        );
        let mut conn = Connection::open_in_memory().unwrap();
        let mut read = 0;
        let one = |row: &Row<'_>| {
            read += 1;
            row.get::<i64>(0)
        };
        let (rows, _) = look(&mut conn, &sql, None, &[], one).unwrap();
        assert!(rows.into_iter().eq(1..=ROWS));
        assert!(
            read > ROWS,
            "it was interrupted, or this machine reads {ROWS} rows in a millisecond: {read}"
        );
    }
}
