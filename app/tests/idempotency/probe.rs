//! A domain that ends in every way in which a handler can end, with a note in the outbox for each time that it ran; and
//! one that calls another service, which the test plays.
use std::{
    collections::HashMap,
    future::pending,
    sync::{LazyLock, Mutex},
};
use tenantry::{
    Domain,
    access::{Permission, Role, Scope, Tx},
    body, choice,
    data::TenantConn,
    error::{Code, Error, Result},
    http::{Bare, Created, Id, Named, NoContent, Once, Replayable, Routes},
    sql,
    uuid::Uuid,
    values::Line,
};
use tokio::sync::{mpsc, oneshot};

/// Tries things.
pub struct Probe;
impl Permission for Probe {
    const NAME: &'static str = "probe.try";
    const MIN_ROLE: Role = Role::Member;
}

pub struct Thing;
impl Named for Thing {
    const NOUN: &'static str = "Thing";
}

choice! {
    /// How a handler ends.
    pub enum End {
        /// 201.
        Created = "created",
        /// 404.
        NotFound = "not_found",
        /// 409.
        Conflict = "conflict",
        /// 422 of a rule.
        Rule = "rule",
        /// 422 on a field, found late.
        Invalid = "invalid",
        /// 403, found late.
        Forbidden = "forbidden",
        /// 412.
        Stale = "stale",
        /// 503.
        Unavailable = "unavailable",
        /// 500.
        Internal = "internal",
        /// 502.
        Upstream = "upstream",
        /// A statement fails and nobody minds.
        Swallows = "swallows",
        /// A statement fails, and a rule is what is told.
        Excuses = "excuses",
        /// It panics.
        Panics = "panics",
        /// It never ends.
        Hangs = "hangs",
    }
}

body! {
    /// How to end.
    pub struct Try {
        /// The end.
        end: End,
    }
}

body! {
    /// Whom to call.
    pub struct Call {
        /// The name of the other side.
        whom: Line<1, 100>,
    }
}

pub fn domain() -> Domain {
    let routes = Routes::new("probe")
        .post("/probe", ends, "Ends as it is told")
        .post("/probe/{id}/touch", touch, "Takes no body")
        .post("/probe/call", call, "Calls another service");
    Domain::new("probe").routes(routes)
}

static HANGING: LazyLock<Mutex<HashMap<Uuid, usize>>> = LazyLock::new(Mutex::default);

/// How many requests of this tenant have come to hang.
pub fn hanging(tenant: Uuid) -> usize {
    HANGING.lock().unwrap().get(&tenant).copied().unwrap_or_default()
}

/// The handler ran.
async fn note(conn: &TenantConn, id: Uuid) -> Result<()> {
    let insert =
        sql!("INSERT INTO outbox (tenant_id, id, type, payload, created_at) VALUES ($1, $2, $3, $4, $5)");
    conn.execute(insert, &[&id, &"probe", &"{}", &conn.now()]).await.map(drop)
}

async fn ends(scope: Scope<Probe>, Once(key, body): Once<Try>) -> Result<Replayable<Created<String>>> {
    scope
        .write_once(&key, async |tx| {
            let id = tx.new_id();
            note(tx, id).await?;
            end(tx, id, body.end).await?;
            Ok(Created::at(format!("/api/v1/probe/{id}"), 7, id.to_string()))
        })
        .await
}

async fn end(tx: &Tx<Probe>, id: Uuid, end: End) -> Result<()> {
    match end {
        End::Created => Ok(()),
        End::NotFound => Err(Error::not_found("Thing", id)),
        End::Conflict => Err(Error::conflict("taken").retry_after(9)),
        End::Rule => Err(Error::business_rule(format!("not for {id}"))),
        End::Invalid => Err(Error::field("end", "is not the end")),
        End::Forbidden => Err(Error::forbidden("probe.more")),
        End::Stale => Err(Error::precondition_failed()),
        End::Unavailable => Err(Error::unavailable("it is told so")),
        End::Internal => Err(Error::internal("it is told so")),
        End::Upstream => Err(Error::new(Code::UpstreamError, "the other side failed")),
        End::Swallows => {
            let _ = note(tx, id).await;
            Ok(())
        }
        End::Excuses => note(tx, id).await.map_err(|_| Error::business_rule("once is enough")),
        End::Panics => panic!("it is told so"),
        End::Hangs => {
            *HANGING.lock().unwrap().entry(tx.tenant_id()).or_default() += 1;
            pending().await
        }
    }
}

async fn touch(scope: Scope<Probe>, id: Id<Thing>, Once(key, ()): Once<()>) -> Result<Replayable<NoContent>> {
    scope
        .write_once(&key, async |tx| {
            note(tx, tx.new_id()).await?;
            if id.uuid().is_nil() { Err(id.not_found()) } else { Ok(NoContent) }
        })
        .await
}

/// The other side: what it is asked, and how the test answers.
pub struct OtherSide {
    pub name: String,
    asked: mpsc::UnboundedReceiver<(String, oneshot::Sender<Result<String>>)>,
}

type Calls = mpsc::UnboundedSender<(String, oneshot::Sender<Result<String>>)>;
static LINES: LazyLock<Mutex<HashMap<String, Calls>>> = LazyLock::new(Mutex::default);

/// A call that waits for its answer.
pub struct Asked {
    /// The idempotency key that came with it.
    pub key: String,
    answer: oneshot::Sender<Result<String>>,
}

impl OtherSide {
    pub fn new() -> Self {
        let (line, asked) = mpsc::unbounded_channel();
        let name = Uuid::new_v4().to_string();
        LINES.lock().unwrap().insert(name.clone(), line);
        Self { name, asked }
    }

    /// The next call.
    pub async fn asked(&mut self) -> Asked {
        let (key, answer) = self.asked.recv().await.unwrap();
        Asked { key, answer }
    }

    /// Whether there was no other.
    pub fn is_quiet(&mut self) -> bool {
        self.asked.try_recv().is_err()
    }
}

impl Asked {
    pub fn answers(self, answer: Result<String>) {
        let _ = self.answer.send(answer); // nobody may be there any more
    }
}

async fn call(scope: Scope<Probe>, Once(key, body): Once<Call>) -> Result<Replayable<Bare<String>>> {
    let whom = body.whom.into_string();
    scope
        .reserve_once(
            &key,
            async |tx| {
                note(tx, tx.new_id()).await?;
                match whom.as_str() {
                    "nobody" => Err(Error::business_rule("there is nobody to call")),
                    _ => Ok(whom),
                }
            },
            async |whom, upstream| {
                let (answer, answered) = oneshot::channel();
                let line = LINES.lock().unwrap()[&whom].clone();
                line.send((upstream.to_owned(), answer)).map_err(|_| Error::internal("nobody listens"))?;
                answered.await.map_err(Error::internal)?
            },
            async |tx, called| {
                note(tx, tx.new_id()).await?;
                if called == "panic" {
                    panic!("it is told so");
                }
                Ok(Bare(called))
            },
        )
        .await
}
