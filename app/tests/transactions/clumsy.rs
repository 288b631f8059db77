//! A domain whose use cases do wrong what one can do wrong with a transaction. Each writes to the outbox, if at all.
use futures_util::poll;
use std::{future::pending, pin::pin, task::Poll};
use tenantry::{
    Domain,
    access::{Permission, Role, Scope, Tx},
    data::{Param, Sql, TenantConn},
    error::{Error, Result},
    http::{Bare, NoContent, Routes},
    sql, try_join, try_join_all,
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
        .get("/clumsy/asks-much", asks_much, "Asks for much in a read that is sent at once")
        .get("/clumsy/mistakes", mistakes, "Binds a text to an identifier in a read that is sent at once")
        .get("/clumsy/leaves-behind", leaves_behind, "Polls two statements of such a read and awaits one")
        .post("/clumsy/scribbles", scribbles, "Writes where it only reads")
        .post("/clumsy/scribbles-at-once", scribbles_at_once, "Writes in a read that is sent at once")
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

async fn scribbles_at_once(scope: Scope<Fumble>) -> Result<NoContent> {
    scope.read_at_once(async |tx| note(tx, tx.new_id()).await.map(|()| NoContent)).await
}

/// More statements than a task may poll in one go, with more parameters than the driver sends at once, and answers that are
/// longer than what PostgreSQL keeps back.
async fn asks_much(scope: Scope<Peer>) -> Result<Bare<Vec<String>>> {
    let long = "x".repeat(10_000);
    let all = sql!("SELECT email || CAST($2 AS TEXT) FROM users WHERE tenant_id = $1 ORDER BY id");
    let many = scope.read_at_once(async |tx| {
        let params: [&dyn Param; 1] = [&long];
        try_join_all((0..200).map(|_| tx.fetch_all::<String>(all, &params))).await
    });
    let many: Vec<Vec<String>> = many.await?;
    let same = many.iter().all(|answer| answer == &many[0]);
    let whole = many[0].iter().all(|text| text.ends_with(&long));
    if !same || !whole {
        return Err(Error::internal("one of many statements was answered otherwise"));
    }
    Ok(Bare(many[0].iter().map(|text| text.trim_end_matches('x').to_owned()).collect()))
}

/// The driver refuses to send the second, and the database to compare with it, if that is SQLite.
async fn mistakes(scope: Scope<Peer>) -> Result<Bare<Vec<String>>> {
    let all = sql!("SELECT email FROM users WHERE tenant_id = $1");
    let one = sql!("SELECT email FROM users WHERE tenant_id = $1 AND id = $2");
    let emails = scope.read_at_once(async |tx| {
        let (all, none) = try_join!(tx.fetch_all(all, &[]), tx.fetch_all::<String>(one, &[&"nobody"]))?;
        Ok(if none.is_empty() { all } else { none })
    });
    emails.await.map(Bare)
}

async fn leaves_behind(scope: Scope<Peer>) -> Result<Bare<Vec<String>>> {
    let all = sql!("SELECT email FROM users WHERE tenant_id = $1");
    let emails = scope.read_at_once(async |tx| {
        let (mut first, mut second) = (pin!(tx.fetch_all(all, &[])), pin!(tx.fetch_all::<String>(all, &[])));
        let (one, other) = (poll!(first.as_mut()), poll!(second.as_mut()));
        let emails = match one {
            Poll::Ready(emails) => emails?,
            Poll::Pending => first.await?,
        };
        if other.is_pending() {
            second.await?;
        }
        Ok(emails)
    });
    emails.await.map(Bare)
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
