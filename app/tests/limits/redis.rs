//! Counting in Redis: together while it is there, alone while it is not, and never not at all.
use super::{asked_until_limited, fresh_address, limits, until_limited, wrong};
use crate::support::{
    Options, TestApp,
    database::TestDatabase,
    http::Client,
    redis::{OwnRedis, shared_url},
    until,
};
use futures_util::future::join_all;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use tenantry::{
    core::LimitSettings,
    infra::{password::Scheme, plans::TenantLimit},
};

fn counted_in(url: &str) -> Options {
    let limits = LimitSettings { redis: Some(url.parse().unwrap()), ..limits() };
    Options { limits, ..Options::default() }
}

/// Where each count matters: a request waits for Redis however busy this machine is, and no node counts by itself.
fn waits_for(url: &str) -> Options {
    let options = counted_in(url);
    let limits = LimitSettings { redis_patience: Duration::from_secs(2), ..options.limits };
    Options { limits, ..options }
}

/// Two nodes on one database and one Redis.
async fn two_nodes(options: impl Fn() -> Options) -> (TestApp, TestApp) {
    let database = Arc::new(TestDatabase::create().await);
    let one = TestApp::on(database.clone(), options()).await;
    (one, TestApp::on(database, options()).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_on_one_redis_count_together() {
    let (one, two) = two_nodes(|| waits_for(&shared_url())).await;
    let address = fresh_address();
    let (first, second) = (one.anyone().at(&address), two.anyone().at(&address));
    for _ in 0..5 {
        first.post("/auth/login", wrong()).await.refused(401, "UNAUTHORIZED");
        second.post("/auth/login", wrong()).await.refused(401, "UNAUTHORIZED");
    }
    first.post("/auth/login", wrong()).await.refused(429, "RATE_LIMITED");
    let answer = second.post("/auth/login", wrong()).await;
    assert!(answer.header("ratelimit").starts_with("\"auth\";r=0;t="), "{}", answer.header("ratelimit"));
    assert!((1..=90).contains(&answer.header("retry-after").parse::<u32>().unwrap()));
    answer.refused(429, "RATE_LIMITED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_one_quota_on_two_nodes() {
    let redis = OwnRedis::start();
    let (one, two) = two_nodes(|| waits_for(&redis.url())).await;
    let acme = one.tenant("acme").await;
    for _ in 0..300 {
        acme.member.get("/auth/me").await.ok();
    }
    let began = Instant::now();
    let left = asked_until_limited(&two.with_token(&acme.member.access_token)).await;
    let came_back = usize::try_from(began.elapsed().as_millis() / 100).unwrap() + 100;
    assert!((300..=300 + came_back).contains(&left), "{left}");
}

/// What an account has failed on one node keeps it from being hashed for on another.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_limited_is_not_hashed_for() {
    let redis = OwnRedis::start();
    let database = Arc::new(TestDatabase::create().await);
    let quick = TestApp::on(database.clone(), waits_for(&redis.url())).await;
    let scheme = (Scheme::Bcrypt(15), 1); // seconds
    let slow = TestApp::on(database, Options { scheme, ..waits_for(&redis.url()) }).await;
    for n in 0..100 {
        let client = quick.anyone().at(&format!("2001:db8:{n:x}::1"));
        client.post("/auth/login", wrong()).await.refused(401, "UNAUTHORIZED");
    }
    let began = Instant::now();
    slow.anyone().at("203.0.113.1").post("/auth/login", wrong()).await.refused(429, "RATE_LIMITED");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

/// Many clients for a while; how many of each address were let through, and the slowest answer. No 5xx.
async fn load(client: &Client, addresses: &[String], rounds: usize) -> (Vec<usize>, Duration) {
    let mut passed = vec![0; addresses.len()];
    let mut slowest = Duration::ZERO;
    for _ in 0..rounds {
        for (passed, address) in passed.iter_mut().zip(addresses) {
            let began = Instant::now();
            // a body that does not parse: no hashing that would hide what Redis costs
            let answer = client.at(address).send("POST", "/auth/login", &[], Some(b"{".to_vec())).await;
            slowest = slowest.max(began.elapsed());
            match answer.status.as_u16() {
                400 => *passed += 1,
                429 => {}
                status => panic!("{status}: {}", answer.text()),
            }
        }
    }
    (passed, slowest)
}

fn addresses(count: usize) -> Vec<String> {
    (0..count).map(|_| fresh_address()).collect()
}

/// As slow as a test's machine may make an answer that waits for nothing.
const SLOW: Duration = Duration::from_millis(300);

/// Waits until this node counts in Redis again: then an address that was spent elsewhere is spent here.
async fn until_back(app: &TestApp, other: &TestApp) {
    let began = Instant::now();
    loop {
        let address = fresh_address();
        assert!(until_limited(&other.anyone().at(&address)).await <= 20, "once here and once there at most");
        if until_limited(&app.anyone().at(&address)).await == 0 {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "Redis is back, and the node has not found it");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_stopped_under_load_leaves_limits_and_answers() {
    let mut redis = OwnRedis::start();
    let (app, other) = two_nodes(|| counted_in(&redis.url())).await;
    let spent = addresses(3);
    assert_eq!(load(&app.anyone(), &spent, 12).await.0, [10; 3]);
    redis.stop();
    let (passed, slowest) = load(&app.anyone(), &spent, 5).await;
    assert_eq!(passed, [0; 3], "what was counted in Redis is gone on from");
    assert!(slowest < SLOW, "{slowest:?}");
    let (passed, slowest) = load(&app.anyone(), &addresses(3), 15).await;
    assert_eq!(passed, [10; 3], "and what is new is limited");
    assert!(slowest < SLOW, "{slowest:?}");
    redis.start_again();
    until_back(&app, &other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_paused_under_load_leaves_limits_and_answers() {
    let redis = OwnRedis::start();
    let (app, other) = two_nodes(|| counted_in(&redis.url())).await;
    assert_eq!(load(&app.anyone(), &addresses(3), 12).await.0, [10; 3]);
    redis.pause();
    let began = Instant::now();
    let mut rounds = 0;
    while began.elapsed() < Duration::from_secs(3) {
        let (passed, slowest) = load(&app.anyone(), &addresses(4), 15).await;
        assert_eq!(passed, [10; 4]);
        assert!(slowest < SLOW, "{slowest:?}");
        rounds += 1;
    }
    assert!(rounds >= 3, "60 requests that wait for Redis take 3 seconds: {rounds}");
    redis.go_on();
    until_back(&app, &other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_flushed_under_load_counts_anew() {
    let redis = OwnRedis::start();
    let (app, _) = two_nodes(|| counted_in(&redis.url())).await;
    let spent = addresses(3);
    for _ in 0..5 {
        let (passed, _) = load(&app.anyone(), &spent, 15).await;
        assert_eq!(passed, [10; 3]);
        redis.flush();
        redis.flush_scripts();
    }
}

/// What is done to Redis while requests are under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    Stopped,
    Paused,
    Flushed,
}

/// Eight programs of one tenant ask as fast as they can, and eight clients sign in, while Redis is struck. Nobody gets a
/// 5xx, and nobody more than the quota once in Redis and once in the node's memory, if the machine is so slow that Redis
/// seems to be away before it is; or once more where Redis has forgotten.
async fn struck_under_load(blow: Blow) {
    const QUOTA: usize = 200;
    let mut redis = OwnRedis::start();
    let tenant = TenantLimit::Fixed("200/1h".parse().unwrap());
    let limits = LimitSettings { redis: Some(redis.url().parse().unwrap()), tenant, ..limits() };
    let app = TestApp::start_with(Options { connections: 20, limits, ..Options::default() }).await;
    let owner = app.tenant_of_one("acme").await;
    while !redis.counts() {
        until_limited(&app.anyone().at(&fresh_address())).await; // it has just started, and this node may not have found it
    }
    let (sent, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let ask = |i: usize| {
        let (sent, stop) = (sent.clone(), stop.clone());
        let (owner, anyone) = (owner.clone(), app.anyone().at("203.0.113.1"));
        async move {
            let mut passed = 0;
            while !stop.load(SeqCst) {
                let answer = match i % 2 {
                    0 => owner.get("/orders").await,
                    _ => anyone.send("POST", "/auth/login", &[], Some(b"{".to_vec())).await,
                };
                match answer.status.as_u16() {
                    200 | 400 => passed += 1,
                    429 => {}
                    status => panic!("{status}: {}", answer.text()),
                }
                sent.fetch_add(usize::from(i.is_multiple_of(2)), SeqCst); // the tenant's: those of an address are quicker
            }
            passed
        }
    };
    let load: Vec<_> = (0..16).map(|i| tokio::spawn(ask(i))).collect();
    until(|| sent.load(SeqCst) > 60).await;
    match blow {
        Blow::Stopped => redis.stop(),
        Blow::Paused => redis.pause(),
        Blow::Flushed => redis.flush(),
    }
    let struck = sent.load(SeqCst);
    until(|| sent.load(SeqCst) > struck + 5 * QUOTA).await;
    if blow == Blow::Paused {
        redis.go_on();
    }
    stop.store(true, SeqCst);
    let passed: Vec<usize> = join_all(load).await.into_iter().map(Result::unwrap).collect();
    let [tenants, addresses] = [0, 1].map(|kind| passed.iter().skip(kind).step_by(2).sum::<usize>());
    // of those that were on their way when it was struck Redis may have counted what this node was not told
    let quotas = if blow == Blow::Flushed { 3 } else { 2 };
    assert!((QUOTA / 2..=quotas * QUOTA + 16).contains(&tenants), "{blow:?}: {tenants}");
    assert!((5..=quotas * 10 + 16).contains(&addresses), "{blow:?}: {addresses}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn redis_struck_while_requests_are_under_way_leaves_limits_and_answers() {
    for blow in [Blow::Stopped, Blow::Paused, Blow::Flushed] {
        struck_under_load(blow).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_never_was_there_is_no_reason_not_to_serve() {
    let mut redis = OwnRedis::start();
    redis.stop();
    let (app, other) = two_nodes(|| counted_in(&redis.url())).await;
    let (passed, slowest) = load(&app.anyone(), &addresses(3), 12).await;
    assert_eq!(passed, [10; 3]);
    assert!(slowest < SLOW, "{slowest:?}");
    redis.start_again();
    until_back(&app, &other).await;
}
