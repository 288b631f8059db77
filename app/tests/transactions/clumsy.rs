//! A domain whose use cases do wrong what one can do wrong with a transaction. Each writes to the outbox, if at all.
use futures_util::poll;
use std::{future::pending, pin::pin};
use tenantry::{
    Domain,
    access::{Permission, Role, Scope, Tx},
    data::{Sql, TenantConn},
    error::{Error, Result},
    http::{Bare, NoContent, Routes},
    sql, try_join,
    uuid::Uuid,
};

/// Does things wrong.
pub struct Fumble;
impl Permission for Fumble {
    const NAME: &'static str = "clumsy.fumble";
    const MIN_ROLE: Role = Role::Member;
}

/// Looks at things wrong.
pub struct Peer;
impl Permission for Peer {
    const NAME: &'static str = "clumsy.peer";
    const MIN_ROLE: Role = Role::Viewer;
}

pub fn domain() -> Domain {
    let routes = Routes::new("clumsy")
        .post("/clumsy/silent", silent, "Sends nothing")
        .post("/clumsy/deaf", deaf, "Swallows a refusal")
        .get("/clumsy/peek", peek, "Keeps what it has seen of a refused transaction")
        .get("/clumsy/asks-again", asks_again, "Asks for more in a read that was sent at once")
        .post("/clumsy/twice", twice, "Swallows a failed statement")
        .post("/clumsy/abandons", abandons, "Drops a statement that it has begun")
        .post("/clumsy/sets-aside", sets_aside, "Polls a statement and awaits another")
        .post("/clumsy/scribbles", scribbles, "Writes where it only reads")
        .post("/clumsy/panics", panics, "Panics in the middle")
        .post("/clumsy/forgets", forgets, "Never comes to an end")
        .post("/clumsy/toils", toils, "Has a statement that takes for ever")
        .post("/clumsy/child-first", child_first, "Prepares the second of two statements before the first");
    Domain::new("clumsy").routes(routes)
}

async fn note(conn: &TenantConn, id: Uuid) -> Result<()> {
    let insert =
        sql!("INSERT INTO outbox (tenant_id, id, type, payload, created_at) VALUES ($1, $2, $3, $4, $5)");
    conn.execute(insert, &[&id, &"clumsy", &"{}", &conn.now()]).await.map(drop)
}

async fn silent(scope: Scope<Fumble>) -> Result<NoContent> {
    scope.write(async |_| Ok(NoContent)).await
}

async fn deaf(scope: Scope<Fumble>) -> Result<NoContent> {
    scope
        .write(async |tx| {
            let _ = note(tx, tx.new_id()).await;
            Ok(NoContent)
        })
        .await
}

async fn peek(scope: Scope<Peer>) -> Result<Bare<Vec<String>>> {
    let mut seen = Vec::new();
    let outcome = scope
        .read(async |tx| {
            let all = sql!("SELECT email FROM users WHERE tenant_id = $1");
            seen = tx.fetch_all(all, &[]).await.unwrap_or_default();
            Ok(())
        })
        .await;
    match outcome {
        Err(refusal) if seen.is_empty() => Err(refusal),
        _ => Ok(Bare(seen)),
    }
}

async fn asks_again(scope: Scope<Peer>) -> Result<Bare<Vec<String>>> {
    let all = sql!("SELECT email FROM users WHERE tenant_id = $1");
    let twice = scope.read_at_once(async |tx| {
        let first: Vec<String> = tx.fetch_all(all, &[]).await?;
        let second: Vec<String> = tx.fetch_all(all, &[]).await.unwrap_or_default();
        Ok(if first == second { second } else { Vec::new() })
    });
    match twice.await? {
        emails if emails.is_empty() => Err(Error::internal("the second statement was refused")),
        emails => Ok(Bare(emails)),
    }
}

async fn twice(scope: Scope<Fumble>) -> Result<NoContent> {
    scope
        .write(async |tx| {
            let id = tx.new_id();
            note(tx, id).await?;
            let _ = note(tx, id).await;
            Ok(NoContent)
        })
        .await
}

async fn abandons(scope: Scope<Fumble>) -> Result<NoContent> {
    scope
        .write(async |tx| {
            let _ = poll!(pin!(note(tx, tx.new_id())));
            Ok(NoContent)
        })
        .await
}

async fn sets_aside(scope: Scope<Fumble>) -> Result<NoContent> {
    scope
        .write(async |tx| {
            let mut first = pin!(note(tx, tx.new_id()));
            let _ = poll!(first.as_mut());
            note(tx, tx.new_id()).await?;
            first.await?;
            Ok(NoContent)
        })
        .await
}

async fn scribbles(scope: Scope<Fumble>) -> Result<NoContent> {
    scope.read(async |tx| note(tx, tx.new_id()).await.map(|()| NoContent)).await
}

async fn panics(scope: Scope<Fumble>) -> Result<NoContent> {
    scope
        .write(async |tx| {
            note(tx, tx.new_id()).await?;
            if tx.tenant_id() != Uuid::nil() {
                panic!("in the middle");
            }
            Ok(NoContent)
        })
        .await
}

async fn forgets(scope: Scope<Fumble>) -> Result<NoContent> {
    scope
        .write(async |tx| {
            note(tx, tx.new_id()).await?;
            pending().await
        })
        .await
}

/// The outbox to the fourth power: with 300 rows, eight billion.
const TOIL: Sql = sql!(
    "SELECT count(*) FROM outbox a JOIN outbox b ON b.tenant_id = $1 JOIN outbox c ON c.tenant_id = $1 \
     JOIN outbox d ON d.tenant_id = $1 WHERE a.tenant_id = $1 AND a.type <> b.payload"
);

async fn toils(scope: Scope<Fumble>) -> Result<NoContent> {
    scope
        .write(async |tx| {
            note(tx, tx.new_id()).await?;
            tx.fetch_one::<i64>(TOIL, &[]).await?;
            Ok(NoContent)
        })
        .await
}

/// A session, which the token refers to.
async fn child_first(scope: Scope<Fumble>) -> Result<NoContent> {
    let token = async |tx: &TenantConn, session: Uuid| {
        let insert = sql!(
            "INSERT INTO refresh_tokens (tenant_id, session_id, hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $4)"
        );
        tx.execute(insert, &[&session, &session.as_bytes().as_slice(), &tx.now()]).await
    };
    let session = async |tx: &Tx<Fumble>, session: Uuid| {
        let user = tx.actor().id;
        let insert = sql!(
            "INSERT INTO sessions (tenant_id, user_id, id, created_at, last_used_at, expires_at) \
             VALUES ($1, $2, $3, $4, $4, $4)"
        );
        tx.execute(insert, &[&user, &session, &tx.now()]).await
    };
    let orphan = scope.write(async |tx| token(tx, tx.new_id()).await).await;
    if orphan.is_ok() {
        return Err(Error::internal("a token without a session was written"));
    }
    // now the second statement is prepared on this connection and the first is not
    scope
        .write(async |tx| {
            let id = tx.new_id();
            try_join!(session(tx, id), token(tx, id))?;
            Ok(NoContent)
        })
        .await
}
