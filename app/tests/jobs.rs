//! The worker: what is written is done, once where nothing goes wrong, and never where it was rolled back.
use crate::support::{Options, TestApp, database::TestDatabase, until};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tenantry::{
    Domain,
    access::{Permission, Role, Scope},
    error::{Error, Result},
    http::{NoContent, Routes},
    infra::jobs::{Failure, Job, JobSettings, Outcome, Work, Worker},
};
use tokio::sync::Semaphore;

#[derive(Serialize, Deserialize)]
struct Note {
    text: String,
}

impl Job for Note {
    const KIND: &'static str = "notes.note";
}

struct Write;
impl Permission for Write {
    const NAME: &'static str = "notes.write";
    const MIN_ROLE: Role = Role::Viewer;
}

async fn note(scope: Scope<Write>) -> Result<NoContent> {
    scope.write(async |tx| tx.enqueue(&Note { text: "x".to_owned() }).await).await?;
    Ok(NoContent)
}

async fn rolled_back(scope: Scope<Write>) -> Result<NoContent> {
    scope
        .write(async |tx| {
            tx.enqueue(&Note { text: "x".to_owned() }).await?;
            Err::<NoContent, _>(Error::business_rule("not today"))
        })
        .await
}

/// What a handler of the test sees and is told.
#[derive(Clone)]
struct Watched {
    done: Arc<Mutex<Vec<String>>>,
    begun: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
    answer: Arc<Mutex<Outcome>>,
}

impl Watched {
    fn new() -> Self {
        Self {
            done: Arc::default(),
            begun: Arc::default(),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            answer: Arc::new(Mutex::new(Ok(()))),
        }
    }

    fn domain(&self) -> Domain {
        let this = self.clone();
        let routes = Routes::new("notes").post("/notes", note, "Write a note").post(
            "/notes/rolled-back",
            rolled_back,
            "Write none",
        );
        Domain::new("notes").routes(routes).job::<Note>(move |_, work: Work<Note>| {
            let this = this.clone();
            Box::pin(async move {
                this.begun.fetch_add(1, SeqCst);
                drop(this.gate.acquire().await.unwrap());
                this.done.lock().unwrap().push(format!("{} {}", work.id, work.job.text));
                this.answer.lock().unwrap().clone()
            })
        })
    }

    fn begun(&self) -> usize {
        self.begun.load(SeqCst)
    }

    async fn start(&self) -> TestApp {
        TestApp::start_with(Options { domains: vec![self.domain()], ..Options::default() }).await
    }

    /// Another node on the database of the first.
    async fn beside(&self, database: &Arc<TestDatabase>) -> TestApp {
        let options = Options { domains: vec![self.domain()], ..Options::default() };
        TestApp::on(database.clone(), options).await
    }
}

/// All attempts at once.
fn hasty(app: &TestApp) -> Worker {
    let settings =
        JobSettings { first_delay: Duration::ZERO, longest_delay: Duration::ZERO, ..JobSettings::default() };
    app.app.worker(&app.core, settings)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_commits_is_done_and_what_is_rolled_back_is_not() {
    let watched = Watched::new();
    let app = watched.start().await;
    let acme = app.tenant("acme").await;
    acme.member.post_empty("/notes/rolled-back").await.refused(422, "BUSINESS_RULE_VIOLATION");
    assert_eq!(app.run_jobs().await, 0);
    acme.member.post_empty("/notes").await.status(204);
    assert_eq!(app.run_jobs().await, 1);
    assert_eq!(watched.done.lock().unwrap().len(), 1);
    assert_eq!(app.database.count("jobs").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_woken_by_a_commit_and_gives_back_what_it_cannot_end() {
    let watched = Watched::new();
    let app = watched.start().await;
    let acme = app.tenant("acme").await;
    // it would not ask by itself in the time of a test
    let settings = JobSettings { poll: Duration::from_secs(600), ..JobSettings::default() };
    let worker = app.app.worker(&app.core, settings);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(async move {
        worker.run(async { _ = stopped.await }, Duration::from_millis(50)).await;
    });
    acme.member.post_empty("/notes").await.status(204);
    app.database.until("SELECT count(*) FROM jobs", 0).await;
    watched.gate.forget_permits(Semaphore::MAX_PERMITS);
    acme.member.post_empty("/notes").await.status(204);
    until(|| watched.begun() == 2).await;
    stop.send(()).unwrap();
    running.await.unwrap();
    let given_back = "SELECT count(*) FROM jobs WHERE leased_until IS NULL AND state = 'waiting'";
    assert_eq!(app.database.number(given_back).await, 1);
    watched.gate.add_permits(10);
    assert_eq!(app.run_jobs().await, 1);
    assert_eq!(watched.done.lock().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_workers_do_each_job_once() {
    let watched = Watched::new();
    let app = watched.start().await;
    let other = watched.beside(&app.database).await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    for _ in 0..15 {
        acme.member.post_empty("/notes").await.status(204);
        globex.member.post_empty("/notes").await.status(204);
    }
    let (one, two) = tokio::join!(app.run_jobs(), other.run_jobs());
    assert_eq!(one + two, 30);
    let mut done = watched.done.lock().unwrap().clone();
    done.sort();
    done.dedup();
    assert_eq!(done.len(), 30);
    assert_eq!(app.database.count("jobs").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_is_overtaken_changes_nothing() {
    for slow_outcome in [Ok(()), Err(Failure::Permanent("slow".to_owned()))] {
        let (slow, quick) = (Watched::new(), Watched::new());
        let app = slow.start().await;
        let other = quick.beside(&app.database).await;
        let acme = app.tenant("acme").await;
        acme.member.post_empty("/notes").await.status(204);
        slow.gate.forget_permits(Semaphore::MAX_PERMITS);
        *slow.answer.lock().unwrap() = slow_outcome;
        *quick.answer.lock().unwrap() = Err(Failure::Passing("quick".to_owned()));
        let worker = app.worker();
        let holder = tokio::spawn(async move { worker.drain().await.unwrap() });
        until(|| slow.begun() == 1).await;
        assert_eq!(other.run_jobs().await, 0, "it is held");
        app.database.execute("UPDATE jobs SET leased_until = created_at").await;
        assert_eq!(other.run_jobs().await, 1, "the lease has ended");
        slow.gate.add_permits(1);
        assert_eq!(holder.await.unwrap(), 1);
        let kept =
            "SELECT count(*) FROM jobs WHERE state = 'waiting' AND attempt = 2 AND last_error = 'quick'";
        assert_eq!(app.database.number(kept).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_eight_times_is_dead() {
    let watched = Watched::new();
    let app = watched.start().await;
    let acme = app.tenant("acme").await;
    acme.member.post_empty("/notes").await.status(204);
    *watched.answer.lock().unwrap() = Err(Failure::Passing("no luck".to_owned()));
    assert_eq!(hasty(&app).drain().await.unwrap(), 8);
    let dead = app.database.texts("SELECT last_error FROM jobs WHERE state = 'dead' AND attempt = 8").await;
    assert_eq!(dead, ["no luck"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_nobody_knows_stays() {
    let watched = Watched::new();
    let app = watched.start().await;
    app.tenant("acme").await.member.post_empty("/notes").await.status(204);
    let plain = TestApp::on(app.database.clone(), Options::default()).await;
    assert_eq!(plain.run_jobs().await, 0);
    assert_eq!(app.database.number("SELECT count(*) FROM jobs WHERE attempt = 0").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_takes_only_what_is_over() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    acme.owner
        .post("/users", json!({ "email": "a@b.test", "full_name": "A", "role": "viewer" }))
        .await
        .created();
    let first =
        acme.owner.get("/auth/sessions").await.ok()["items"][0]["id"].as_str().unwrap().parse().unwrap();
    app.anyone().post("/auth/logout", json!({ "refresh_token": acme.viewer.refresh_token })).await.ok();
    assert_eq!(app.worker().chores().await.unwrap(), 0);
    app.clock.advance(DAY * 29);
    app.sign_in("acme", "owner").await;
    assert_eq!(app.worker().chores().await.unwrap(), 1, "the invitation");
    app.clock.advance(DAY);
    assert_eq!(app.worker().chores().await.unwrap(), 2, "the session that was ended, and its token");
    app.clock.advance(DAY * 7);
    let kept = app.sign_in("acme", "member").await;
    app.clock.advance(DAY * 28);
    app.worker().chores().await.unwrap();
    let of_first = format!("SELECT count(*) FROM sessions WHERE id = {}", app.database.literal(first));
    assert_eq!(app.database.number(&of_first).await, 0, "it was over a month ago");
    assert_eq!(app.database.count("sessions").await, 2, "theirs are not a month over");
    assert_eq!(app.database.count("refresh_tokens").await, 2);
    let refresh = json!({ "refresh_token": kept.refresh_token });
    app.anyone().post("/auth/refresh", refresh).await.refused(401, "UNAUTHORIZED");
}
