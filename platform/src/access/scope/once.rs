//! What is done once, however often it is asked for with one key: key, work and answer in one transaction.
//!
//! Nothing is waited for before the work begins. The statement that claims the key leaves in one flight with the gate's
//! question, a savepoint and the first statements of the work, and the answer is written together with the COMMIT: with
//! a key a request takes no flight more than without. Where the key is known the work is undone, unseen.
use super::{Scope, Sent, Tx};
use crate::{
    access::Permission,
    data::{Contended, LOCK_TIMEOUT, Mode, TenantConn},
    error::{Code, Error, Result},
    http::{
        OnceKey, Replayable,
        once::{Answer, Keyed},
    },
    infra::{
        idempotency::{self, Request, Standing},
        secret,
    },
    values::Timestamp,
};
use axum::response::IntoResponse;
use futures_util::{
    future::{Either, join, select},
    join, poll,
};
use std::{
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

/// How long a copy waits before it looks again whether a reserved key has its answer.
const PAUSE: Duration = Duration::from_millis(100);

impl<P: Permission> Scope<P> {
    /// Like [`write`](Self::write), and once for each key: the same request again is given the first answer, and another
    /// with its key is refused (422). Without a key it is `write`.
    ///
    /// An answer is kept if it is a success, 404, 409 or the 422 of a rule; of the latter three the work is undone. With
    /// anything else, and wherever the request ends before it is answered, nothing is kept.
    ///
    /// `work` acts through its transaction alone: it may be begun and undone although the key is known, up to where it
    /// waits for its first answer.
    pub async fn write_once<A: IntoResponse>(
        &self,
        key: &OnceKey,
        work: impl AsyncFnOnce(&Tx<P>) -> Result<A>,
    ) -> Result<Replayable<A>> {
        let Some(keyed) = key.keyed() else {
            return self.write(work).await.map(Replayable::fresh);
        };
        let tx = Tx::open(self, Sent::AsAsked(Mode::Write));
        let request = of_caller(&tx, keyed);
        let outcome = claimed(&tx, async |conn| idempotency::claim(conn, &request).await, work).await;
        self.settle(tx, &request, outcome).await
    }

    /// What calls others over the network, once for each key. No transaction is open meanwhile, so it is done in three
    /// steps: `prepare` in the transaction that reserves the key, `call` with a key of its own for the other side, the
    /// same at each attempt of a request, and `finish` in the transaction that keeps the answer.
    ///
    /// A copy that comes meanwhile waits for the answer, and is 409 after two seconds. If `call` fails, the key is free
    /// at once; if its holder dies, after 60 seconds. Whoever takes it then begins with `prepare`, whose work may so be
    /// there already. A holder that was overtaken changes nothing.
    pub async fn reserve_once<A: IntoResponse, B, C>(
        &self,
        key: &OnceKey,
        prepare: impl AsyncFnOnce(&Tx<P>) -> Result<B>,
        call: impl AsyncFnOnce(B, &str) -> Result<C>,
        finish: impl AsyncFnOnce(&Tx<P>, C) -> Result<A>,
    ) -> Result<Replayable<A>> {
        let Some(keyed) = key.keyed() else {
            let prepared = self.write(prepare).await?;
            let called = call(prepared, &secret::encode(&secret::random()?)).await?;
            return self.write(async |tx| finish(tx, called).await).await.map(Replayable::fresh);
        };
        let (tx, request, since) = match self.take(keyed).await? {
            Either::Left(answer) => return Ok(answer),
            Either::Right(taken) => taken,
        };
        let (attempt, savepoint, prepared) =
            join!(idempotency::reserve(&tx, &request, since), tx.conn.savepoint(), prepare(&tx));
        let attempt = attempt?;
        savepoint?;
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return self.refuse(tx, &request, error).await,
        };
        tx.conn.commit().await?;

        let answer = match call(prepared, &request.upstream_key(since)).await {
            Err(error) if !is_kept(&error) => Err(error),
            called => self.finish(&request, attempt, async |tx| finish(tx, called?).await).await,
        };
        if let Err(error) = &answer
            && !is_kept(error)
        {
            // where this does not succeed either, the reservation ends by itself
            let _ = self.write(async |tx| idempotency::release(tx, &request, attempt).await).await;
        }
        answer
    }

    /// A transaction that may reserve the key, and since when the key is known; or the answer that is there already.
    async fn take<A>(&self, keyed: &Keyed) -> Result<Either<Replayable<A>, (Tx<P>, Request, Timestamp)>> {
        let began = Instant::now();
        loop {
            let tx = Tx::open(self, Sent::AsAsked(Mode::Write));
            let request = of_caller(&tx, keyed);
            let now = tx.now();
            if idempotency::claim(&tx, &request).await.map_err(in_flight)? {
                return Ok(Either::Right((tx, request, now)));
            }
            match idempotency::standing(&tx, &request).await? {
                Standing::Answered(sealed) => return self.again(&request, &sealed).map(Either::Left),
                Standing::Free { since } => return Ok(Either::Right((tx, request, since.unwrap_or(now)))),
                Standing::Reused => return Err(reused()),
                Standing::Held if began.elapsed() >= LOCK_TIMEOUT => return Err(under_way()),
                Standing::Held => {
                    drop(tx);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn finish<A: IntoResponse>(
        &self,
        request: &Request,
        attempt: i64,
        work: impl AsyncFnOnce(&Tx<P>) -> Result<A>,
    ) -> Result<Replayable<A>> {
        let tx = Tx::open(self, Sent::AsAsked(Mode::Write));
        let outcome =
            claimed(&tx, async |conn| idempotency::resume(conn, request, attempt).await, work).await;
        self.settle(tx, request, outcome).await
    }

    /// Commits an answer with the work, or without it; gives the one that is there already where the key is known.
    async fn settle<A: IntoResponse>(
        &self,
        tx: Tx<P>,
        request: &Request,
        outcome: Result<Option<Result<A>>>,
    ) -> Result<Replayable<A>> {
        match outcome? {
            Some(Ok(answer)) => {
                let answer = Answer::of(answer.into_response()).await?;
                let sealed = self.seal(request, &answer)?;
                tx.conn.commit_with(idempotency::ANSWER, &[&request.hash.as_slice(), &sealed]).await?;
                Ok(Replayable::first(answer))
            }
            Some(Err(error)) => self.refuse(tx, request, error).await,
            None => {
                let (undone, standing) = join!(tx.conn.undo(), idempotency::standing(&tx, request));
                undone?;
                match standing? {
                    Standing::Answered(sealed) => self.again(request, &sealed),
                    Standing::Reused => Err(reused()),
                    // one that is free was reserved, and is for `reserve_once` to take
                    Standing::Held | Standing::Free { .. } => Err(under_way()),
                }
            }
        }
    }

    /// Keeps a refusal, if it is an answer, and undoes the work.
    async fn refuse<A>(&self, tx: Tx<P>, request: &Request, error: Error) -> Result<A> {
        if is_kept(&error) {
            let id = self.origin.request_id.as_deref().unwrap_or_default();
            let sealed = self.seal(request, &Answer::of_error(&error, id).await?)?;
            tx.conn.undo_and_commit_with(idempotency::ANSWER, &[&request.hash.as_slice(), &sealed]).await?;
        }
        Err(error)
    }

    /// All of them are sealed: some show a secret, and that is not told by their type.
    fn seal(&self, request: &Request, answer: &Answer) -> Result<Vec<u8>> {
        self.core.answers.seal(&[self.caller.tenant().as_bytes(), &request.hash], &answer.to_bytes()?)
    }

    fn again<A>(&self, request: &Request, sealed: &[u8]) -> Result<Replayable<A>> {
        let opened = self.core.answers.open(&[self.caller.tenant().as_bytes(), &request.hash], sealed);
        let opened = opened.ok_or_else(|| {
            Error::conflict("This was done, but its answer can no longer be shown: read what it has made")
                .caused_by("an answer was sealed under a key that is no longer configured")
        });
        Answer::from_bytes(&opened?).map(Replayable::again)
    }
}

/// Work under a key that is claimed in the same flight; `None` where the key is known, and the work comes to nothing. What
/// the work has sent is answered once the key is claimed, so where it is known no more is sent.
async fn claimed<P, A>(
    tx: &Tx<P>,
    claim: impl AsyncFnOnce(&TenantConn) -> Result<bool>,
    work: impl AsyncFnOnce(&Tx<P>) -> Result<A>,
) -> Result<Option<Result<A>>> {
    let mut claim = pin!(join(claim(&tx.conn), tx.conn.savepoint()));
    let work = pin!(work(tx));
    // polled in this order, and sent in it
    let ((claimed, savepoint), work) = match poll!(claim.as_mut()) {
        Poll::Ready(claimed) => (claimed, Either::Left(work)),
        Poll::Pending => {
            tx.conn.hold_answers();
            match select(claim, work).await {
                Either::Left((claimed, work)) => (claimed, Either::Left(work)),
                Either::Right((outcome, claim)) => (claim.await, Either::Right(outcome)),
            }
        }
    };
    let claimed = claimed.map_err(in_flight)?;
    savepoint?;
    tx.conn.release_answers();
    if !claimed {
        return Ok(None);
    }
    Ok(Some(match work {
        Either::Left(work) => work.await,
        Either::Right(outcome) => outcome,
    }))
}

/// A request is its caller's: another's key is another key.
fn of_caller<P: Permission>(tx: &Tx<P>, Keyed { operation, fingerprint }: &Keyed) -> Request {
    let actor = tx.actor();
    let hash = secret::digest(&[actor.r#type.as_str().as_bytes(), actor.id.as_bytes(), operation]);
    Request { hash, fingerprint: *fingerprint }
}

/// Whether the same request again is told the same, instead of being tried again.
fn is_kept(error: &Error) -> bool {
    matches!(error.code(), Code::NotFound | Code::Conflict | Code::BusinessRuleViolation)
}

/// Whoever could not claim a key because another holds it.
fn in_flight(error: Error) -> Error {
    if error.is_caused_by::<Contended>() { under_way().caused_by(error) } else { error }
}

fn under_way() -> Error {
    Error::conflict("A request with this Idempotency-Key is still under way: try again in a moment")
        .retry_after(1)
}

fn reused() -> Error {
    Error::new(
        Code::IdempotencyKeyReused,
        "This Idempotency-Key was sent with another request: use a new one",
    )
}
