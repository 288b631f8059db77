//! Password hashes: bcrypt as any bcrypt library writes them, argon2id for what bcrypt would cut off. Hashing takes a
//! third of a second of a core, so it runs on threads of its own behind a bounded queue: when that is full, a caller gets
//! a 503 soon, and no other route gets slower.
mod bcrypt;

use crate::error::{Error, Result};
use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use secrecy::{ExposeSecret, SecretString};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};
use tokio::sync::{Semaphore, oneshot};

/// Waiting hashes per thread. At cost 12 the last of them waits about five seconds.
const QUEUE_PER_THREAD: usize = 16;
/// For whom there is no room is told so after a while: a program that tries again at once, whatever `Retry-After` says,
/// would else have most of the machine for being refused.
const REFUSAL: Duration = Duration::from_millis(250);
/// No more than so many are kept waiting for it; the others are told at once.
const KEPT_WAITING: usize = 64;

/// Which hash new passwords get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// bcrypt of this cost (each step doubles the work); argon2id where the password is over 72 bytes.
    Bcrypt(u32),
    /// argon2id for all. The cost is that of the bcrypt hashes that are still there from before.
    Argon2id(u32),
}

/// Threads that hash passwords, and the queue before them.
#[derive(Clone)]
pub struct PasswordHasherPool {
    queue: mpsc::SyncSender<Job>,
    refusing: Arc<Semaphore>,
    done: Arc<AtomicU64>,
    scheme: Scheme,
    decoys: Arc<Decoys>,
}

type Job = Box<dyn FnOnce() + Send>;

/// Hashes of nothing, to be compared with where there is no account.
struct Decoys {
    /// Of bcrypt.
    cost: u32,
    argon2: String,
}

/// How a password compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is another.
    Wrong,
    /// It is right.
    Right,
    /// It is right, and should be hashed anew by the current scheme.
    RightButOld,
}

impl PasswordHasherPool {
    /// Starts `threads` threads (at least one).
    pub fn start(scheme: Scheme, threads: usize) -> Result<Self> {
        let threads = threads.max(1);
        let (queue, jobs) = mpsc::sync_channel::<Job>(threads * QUEUE_PER_THREAD);
        let jobs = Arc::new(Mutex::new(jobs));
        for i in 0..threads {
            let jobs = jobs.clone();
            let work = move || {
                loop {
                    let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    match job {
                        Ok(job) => job(),
                        Err(_) => return, // the pool is gone
                    }
                }
            };
            thread::Builder::new().name(format!("password-{i}")).spawn(work).map_err(Error::internal)?;
        }
        let refusing = Arc::new(Semaphore::new(KEPT_WAITING));
        Ok(Self { queue, refusing, done: Arc::default(), scheme, decoys: Arc::new(Decoys::of(scheme)) })
    }

    /// How many hashes and comparisons have been done since the start.
    pub fn done(&self) -> u64 {
        self.done.load(Relaxed)
    }

    /// The hash to store.
    pub async fn hash(&self, password: &str) -> Result<String> {
        let (scheme, password) = (self.scheme, SecretString::from(password));
        self.run(move || hash(scheme, password.expose_secret())).await?
    }

    /// Compares with a stored hash, or with none. A failure takes the same work in every case, so that its time does not
    /// tell whether there is such an account.
    pub async fn verify(&self, password: &str, stored: Option<String>) -> Result<Verdict> {
        let (scheme, password, decoys) = (self.scheme, SecretString::from(password), self.decoys.clone());
        self.run(move || verify(scheme, password.expose_secret(), stored.as_deref(), &decoys)).await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (send, receive) = oneshot::channel();
        let done = self.done.clone();
        let job = Box::new(move || {
            if !send.is_closed() {
                let outcome = work();
                done.fetch_add(1, Relaxed);
                let _ = send.send(outcome); // the client may have gone away
            }
        });
        if self.queue.try_send(job).is_err() {
            if let Ok(_kept) = self.refusing.try_acquire() {
                tokio::time::sleep(REFUSAL).await;
            }
            return Err(Error::unavailable("the queue for password hashing is full").retry_after(5));
        }
        receive.await.map_err(|_| Error::internal("a password hash was lost"))
    }
}

/// OWASP's parameters: 19 MiB, 2 passes, 1 lane.
fn argon2id() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default())
}

fn hash(scheme: Scheme, password: &str) -> Result<String> {
    match scheme {
        Scheme::Bcrypt(cost) if password.len() <= bcrypt::BYTES => {
            bcrypt::Hash::of(password, cost).map(|hash| hash.to_string())
        }
        _ => argon2id()
            .hash_password(password.as_bytes())
            .map(|hash| hash.to_string())
            .map_err(|e| Error::internal(e.to_string())),
    }
}

fn bcrypt_matches(password: &str, stored: &str) -> bool {
    #[cfg(test)]
    tests::bcrypt_is_computed(stored);
    // the length is looked at after the work: a longer password would match by its first 72 bytes
    bcrypt::Hash::parse(stored).is_some_and(|hash| hash.matches(password)) && password.len() <= bcrypt::BYTES
}

fn argon2_matches(password: &str, stored: &str) -> bool {
    let parsed = PasswordHash::new(stored);
    #[cfg(test)]
    tests::argon2_is_computed(parsed.is_ok());
    parsed.is_ok_and(|parsed| argon2id().verify_password(password.as_bytes(), &parsed).is_ok())
}

fn verify(scheme: Scheme, password: &str, stored: Option<&str>, decoys: &Decoys) -> Verdict {
    let by_argon2 = stored.is_some_and(|stored| stored.starts_with("$argon2"));
    let right = stored.is_some_and(|stored| {
        if by_argon2 { argon2_matches(password, stored) } else { bcrypt_matches(password, stored) }
    });
    if right {
        return if stored.is_some_and(|stored| is_current(scheme, password, stored)) {
            Verdict::Right
        } else {
            Verdict::RightButOld
        };
    }
    // what it takes for one bcrypt of the current cost and one argon2id to have been computed, whatever there was
    match stored {
        Some(stored) if !by_argon2 => decoys.make_up_for(password, stored),
        _ => decoys.compare_bcrypt(password, decoys.cost),
    }
    if !by_argon2 {
        argon2_matches(password, &decoys.argon2);
    }
    Verdict::Wrong
}

fn is_current(scheme: Scheme, password: &str, stored: &str) -> bool {
    match scheme {
        Scheme::Bcrypt(cost) if password.len() <= bcrypt::BYTES => {
            bcrypt::Hash::parse(stored).is_some_and(|hash| hash.cost() == cost)
        }
        _ => stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
    }
}

impl Decoys {
    /// Any salt and sum of the right form: what counts is the work of comparing with them.
    fn of(scheme: Scheme) -> Self {
        let (Scheme::Bcrypt(cost) | Scheme::Argon2id(cost)) = scheme;
        Self {
            cost,
            argon2: "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
                .to_owned(),
        }
    }

    fn compare_bcrypt(&self, password: &str, cost: u32) {
        let decoy = format!("$2b${cost:02}$abcdefghijklmnopqrstuu5Lo0g67CiD3M4RpN1BmBb4Crp5w7dbK");
        bcrypt_matches(password, &decoy);
    }

    /// What is left to do of a comparison at the current cost after one at a lower cost: each step doubles the work, so
    /// `2^c + (2^c + 2^(c+1) + … + 2^(cost-1))` is `2^cost`.
    fn make_up_for(&self, password: &str, stored: &str) {
        if let Some(hash) = bcrypt::Hash::parse(stored) {
            (hash.cost()..self.cost).for_each(|cost| self.compare_bcrypt(password, cost));
        } else {
            self.compare_bcrypt(password, self.cost); // what is no hash took no time
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        /// Rounds of bcrypt and sums of argon2id that were computed on this thread.
        static WORK: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
    }

    pub(super) fn bcrypt_is_computed(stored: &str) {
        let cost = bcrypt::Hash::parse(stored).map_or(0, |hash| 1 << hash.cost());
        WORK.set((WORK.get().0 + cost, WORK.get().1));
    }

    pub(super) fn argon2_is_computed(is_hash: bool) {
        WORK.set((WORK.get().0, WORK.get().1 + u64::from(is_hash)));
    }

    /// Only so many are kept waiting for their refusal: whoever comes beyond that would fill the places of requests.
    #[tokio::test(start_paused = true)]
    async fn a_refusal_takes_its_time_and_holds_no_more_than_a_few() {
        let pool = PasswordHasherPool::start(Scheme::Bcrypt(4), 1).unwrap();
        let (release, held) = mpsc::channel::<()>();
        let (begun, has_begun) = mpsc::channel();
        let mut first = Box::pin(pool.run(move || {
            begun.send(()).unwrap();
            let _ = held.recv(); // until the test is over
        }));
        assert!(futures_util::poll!(&mut first).is_pending());
        has_begun.recv().unwrap();
        let queued: Vec<_> = (0..QUEUE_PER_THREAD).map(|_| Box::pin(pool.run(|| ()))).collect();
        let mut queued = futures_util::future::join_all(queued);
        assert!(futures_util::poll!(&mut queued).is_pending());

        let began = tokio::time::Instant::now();
        let refused = (0..KEPT_WAITING + 5).map(|_| async {
            let error = pool.run(|| ()).await.unwrap_err();
            assert_eq!(error.code(), crate::error::Code::ServiceUnavailable);
            began.elapsed()
        });
        let took = futures_util::future::join_all(refused).await;
        assert_eq!(took.iter().filter(|took| took.is_zero()).count(), 5);
        assert_eq!(took.iter().filter(|took| **took >= REFUSAL).count(), KEPT_WAITING);
        drop(release);
        first.await.unwrap();
        assert!(queued.await.into_iter().all(|done| done.is_ok()));
    }

    /// Whatever there is to compare with, a failure takes one bcrypt of the configured cost and one argon2id.
    #[test]
    fn every_failure_takes_the_same_work() {
        for (cost, scheme) in [(6, Scheme::Bcrypt(6)), (6, Scheme::Argon2id(6)), (4, Scheme::Bcrypt(4))] {
            let decoys = Decoys::of(scheme);
            let mut stored = vec![None, Some("no hash".to_owned()), Some("$2b$06$short".to_owned())];
            for cost in 4..=cost {
                stored.push(Some(hash(Scheme::Bcrypt(cost), "right").unwrap()));
            }
            stored.push(Some(hash(Scheme::Argon2id(cost), "right").unwrap()));
            for stored in stored {
                for wrong in ["wrong", "", &"x".repeat(72), &"x".repeat(73), &"🐎".repeat(128)] {
                    WORK.set((0, 0));
                    assert_eq!(verify(scheme, wrong, stored.as_deref(), &decoys), Verdict::Wrong);
                    assert_eq!(WORK.get(), (1 << cost, 1), "{scheme:?}: {wrong:.10} against {stored:?}");
                }
            }
        }
    }

    #[test]
    fn the_73rd_byte_counts() {
        let long = "a".repeat(72);
        let stored = hash(Scheme::Bcrypt(4), &long).unwrap();
        let decoys = Decoys::of(Scheme::Bcrypt(4));
        assert_eq!(verify(Scheme::Bcrypt(4), &long, Some(&stored), &decoys), Verdict::Right);
        assert_eq!(verify(Scheme::Bcrypt(4), &format!("{long}b"), Some(&stored), &decoys), Verdict::Wrong);
        let longer = hash(Scheme::Bcrypt(4), &format!("{long}b")).unwrap();
        assert!(longer.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{longer}");
        assert_eq!(verify(Scheme::Bcrypt(4), &format!("{long}b"), Some(&longer), &decoys), Verdict::Right);
        assert_eq!(verify(Scheme::Bcrypt(4), &format!("{long}c"), Some(&longer), &decoys), Verdict::Wrong);
        assert_eq!(verify(Scheme::Bcrypt(4), &long, Some(&longer), &decoys), Verdict::Wrong);
    }

    #[test]
    fn hashes_of_other_libraries_verify_and_are_renewed() {
        let decoys = Decoys::of(Scheme::Bcrypt(5));
        for stored in [
            // written by Python's bcrypt with the prefixes 2a and 2b
            "$2a$04$hVoaZ2QC.8rVXPSY4EVpKuzfphEnk/V4zjHWjp32A5ObqoHv4zVmu",
            "$2b$04$2PLci4ktDB7aj1DUtZ/he.H4aXjtVHZBwgYiy2IK8gxS4wgwExI.e",
        ] {
            assert_eq!(
                verify(Scheme::Bcrypt(5), "correct horse", Some(stored), &decoys),
                Verdict::RightButOld
            );
            assert_eq!(
                verify(Scheme::Argon2id(5), "correct horse", Some(stored), &decoys),
                Verdict::RightButOld
            );
            assert_eq!(verify(Scheme::Bcrypt(5), "correct horsf", Some(stored), &decoys), Verdict::Wrong);
        }
        for broken in ["", "$2b$", "$2b$04$short", "plain", "$argon2id$v=19$m=1"] {
            assert_eq!(verify(Scheme::Bcrypt(4), "plain", Some(broken), &decoys), Verdict::Wrong, "{broken}");
        }
        assert!(hash(Scheme::Bcrypt(4), "correct horse").unwrap().starts_with("$2b$04$"));
    }

    #[test]
    fn the_decoys_take_the_work_of_real_hashes() {
        let decoys = Decoys::of(Scheme::Bcrypt(4));
        let decoy = format!("$2b${:02}$abcdefghijklmnopqrstuu5Lo0g67CiD3M4RpN1BmBb4Crp5w7dbK", decoys.cost);
        assert!(bcrypt::Hash::parse(&decoy).is_some(), "not refused for its form");
        assert!(PasswordHash::new(&decoys.argon2).is_ok());
    }
}
