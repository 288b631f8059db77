//! Whatever the order, the number and the fate of events: what is stored in the end is what Stripe says.
use super::{beside, customer, deliver, paid, start, stored, subscribed, subscription};
use crate::support::{
    TestApp, at_once,
    stripe::{ENTERPRISE, Event, PRO, STARTER, Stripe},
    until,
};
use proptest::{
    collection::vec,
    prelude::{Just, Strategy},
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

/// The life of a subscription: what happens at Stripe, and the event that tells of it.
const LIFE: [(&str, &str); 5] = [
    ("incomplete", "customer.subscription.created"),
    ("active", "customer.subscription.updated"),
    ("past_due", "invoice.payment_failed"),
    ("active", "invoice.paid"),
    ("canceled", "customer.subscription.deleted"),
];

/// A subscription that lives step by step, of a tenant of its own.
struct Life<'a> {
    nodes: &'a [TestApp],
    stripe: &'a Stripe,
    slug: String,
    id: String,
    events: Vec<Event>,
}

static LIVES: AtomicUsize = AtomicUsize::new(0);

impl<'a> Life<'a> {
    async fn begin(nodes: &'a [TestApp], stripe: &'a Stripe) -> Self {
        let slug = format!("life-{}", LIVES.fetch_add(1, SeqCst));
        let owner = nodes[0].tenant_of_one(&slug).await;
        let customer = customer(&owner, stripe).await;
        let id = stripe.state().subscribe(&customer, PRO);
        Self { nodes, stripe, slug, id, events: Vec::new() }
    }

    /// Everything up to this step happens at Stripe, if it has not.
    fn reach(&mut self, step: usize) {
        while self.events.len() <= step {
            let (status, r#type) = LIFE[self.events.len()];
            let mut stripe = self.stripe.state();
            stripe
                .change(&self.id, json!({ "status": status, "cancel_at_period_end": status == "past_due" }));
            self.events.push(stripe.event_of(r#type, &self.id));
        }
    }

    /// All at once, half of them at each node.
    async fn deliver(&mut self, steps: &[usize]) {
        steps.iter().for_each(|step| self.reach(*step));
        let sent = steps.iter().enumerate().map(|(i, step)| deliver(&self.nodes[i % 2], &self.events[*step]));
        for answer in futures_util::future::join_all(sent).await {
            answer.ok();
        }
    }

    /// What is stored of it.
    async fn stored(&self) -> String {
        let rows = stored(&self.nodes[0]).await;
        let own: Vec<_> = rows.iter().filter(|row| row.contains(&format!(" {} ", self.id))).collect();
        assert_eq!(own.len(), 1, "{}: {rows:?}", self.slug);
        own[0].replace(&self.id, "sub")
    }
}

async fn two_nodes() -> ([TestApp; 2], Stripe) {
    let (app, stripe) = start().await;
    let other = beside(&app, &stripe).await;
    ([app, other], stripe)
}

/// What the end of each step looks like where everything comes once and in its order.
async fn expected(nodes: &[TestApp], stripe: &Stripe) -> Vec<String> {
    let mut life = Life::begin(nodes, stripe).await;
    let mut states = Vec::new();
    for step in 0..LIFE.len() {
        life.deliver(&[step]).await;
        states.push(life.stored().await);
    }
    for (state, plan) in states.iter().zip(["free", "pro", "pro", "pro", "free"]) {
        assert!(state.starts_with(&format!("{plan} pro ")), "{states:?}");
    }
    states
}

/// Every order of so many.
fn permutations(of: usize) -> Vec<Vec<usize>> {
    match of {
        0 => vec![Vec::new()],
        _ => permutations(of - 1)
            .into_iter()
            .flat_map(|shorter| {
                (0..of).map(move |at| {
                    let mut longer = shorter.clone();
                    longer.insert(at, of - 1);
                    longer
                })
            })
            .collect(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_order_of_a_life_ends_in_the_same_state() {
    let (nodes, stripe) = two_nodes().await;
    let end = expected(&nodes, &stripe).await.pop().unwrap();
    let orders = permutations(LIFE.len());
    assert_eq!(orders.len(), 120);
    for order in orders {
        let mut life = Life::begin(&nodes, &stripe).await;
        for step in order.iter().chain(order.iter().rev()) {
            life.deliver(&[*step]).await;
        }
        assert_eq!(life.stored().await, end, "{order:?}");
    }
}

/// Each event twice, in any order, some at once, while the life goes on, and wherever it is looked at.
#[test]
fn whatever_is_sent_when_a_life_ends_in_the_state_that_stripe_has() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (nodes, stripe) = runtime.block_on(two_nodes());
    let states = runtime.block_on(expected(&nodes, &stripe));
    let lives = (1..=LIFE.len()).prop_flat_map(|steps| {
        let twice: Vec<_> = (0..steps).chain(0..steps).collect();
        (Just(steps), Just(twice).prop_shuffle(), vec(1..=4_usize, 2 * LIFE.len()), 0..=steps)
    });
    let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&lives, |(steps, mut order, at_once, ahead)| {
        runtime.block_on(async {
            let mut life = Life::begin(&nodes, &stripe).await;
            if let Some(last) = ahead.checked_sub(1) {
                life.reach(last); // Stripe is ahead of what it tells
            }
            for count in at_once {
                let batch: Vec<_> = order.drain(..count.min(order.len())).collect();
                life.deliver(&batch).await;
            }
            life.deliver(&order).await;
            assert_eq!(life.stored().await, states[steps - 1]);
        });
        Ok(())
    });
    runtime.block_on(async move { drop((outcome.unwrap(), nodes)) });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twenty_copies_at_once_on_two_nodes_are_one() {
    let ([app, other], stripe) = two_nodes().await;
    let acme = app.tenant("acme").await;
    let (_, event) = paid(&stripe, &acme.owner, PRO).await;
    stripe.hold(); // until all of them have asked, and so have seen that the event is new
    let asked = stripe.asked().len();
    let copies = at_once(20, |i| {
        let (client, now) = (if i % 2 == 0 { app.anyone() } else { other.anyone() }, app.clock.now());
        let signature = crate::support::stripe::signature(&event.body, &[super::SECRET], now);
        let (body, database) = (event.body.clone(), app.database.clone());
        async move {
            let headers = [("stripe-signature", signature.as_str())];
            let answer = client.send("POST", "/billing/webhook", &headers, Some(body)).await;
            (answer, database.count("stripe_events").await, database.number(PRO_TENANTS).await)
        }
    });
    let release = async {
        let watched = stripe.clone();
        until(move || watched.asked().len() == asked + 20).await;
        stripe.let_out();
    };
    let (copies, ()) = tokio::join!(copies, release);
    for (answer, events, tenants) in copies {
        answer.ok();
        assert_eq!((events, tenants), (1, 1), "answered before it was committed");
    }
    assert_eq!(
        app.database.number("SELECT count(*) FROM outbox WHERE type = 'subscription.updated'").await,
        1
    );
    let audited = "SELECT count(*) FROM audit_events WHERE action = 'billing.subscription_changed'";
    assert_eq!(app.database.number(audited).await, 1);
    let asked = stripe.asked().len();
    deliver(&other, &event).await.ok();
    assert_eq!(stripe.asked().len(), asked, "what is known is not asked for again");
}

const PRO_TENANTS: &str = "SELECT count(*) FROM tenants WHERE plan = 'pro'";

/// The handler ends between the fetch and the commit, as if its process was killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_killed_process_left_is_repaired_by_the_repeat() {
    let (app, stripe) = start().await;
    let acme = app.tenant("acme").await;
    let (_, event) = paid(&stripe, &acme.owner, PRO).await;
    let before = stored(&app).await;
    for during_the_fetch in [true, false] {
        let (answered, asked) = (stripe.answered(), stripe.asked().len());
        let hold = if during_the_fetch {
            stripe.hold();
            None
        } else {
            Some(app.database.hold("stripe_events").await) // it has its answer, and cannot commit
        };
        let (client, body, now) = (app.anyone(), event.body.clone(), app.clock.now());
        let handler = tokio::spawn(async move {
            let signature = crate::support::stripe::signature(&body, &[super::SECRET], now);
            client.send("POST", "/billing/webhook", &[("stripe-signature", &signature)], Some(body)).await
        });
        let watched = stripe.clone();
        match during_the_fetch {
            true => until(move || watched.asked().len() > asked).await,
            false => until(move || watched.answered() > answered).await,
        }
        handler.abort();
        match handler.await {
            Err(ended) => assert!(ended.is_cancelled()),
            // SQLite waits in a thread, which cannot be ended; it has waited in vain
            Ok(answer) => _ = answer.refused(503, "SERVICE_UNAVAILABLE"),
        }
        match hold {
            Some(hold) => hold.release().await,
            None => stripe.let_out(),
        }
        app.database.settle().await;
        assert_eq!((app.database.count("stripe_events").await, stored(&app).await), (0, before.clone()));
    }
    deliver(&app, &event).await.ok();
    assert_eq!(subscription(&acme.owner).await["plan"], "pro");
    assert_eq!(app.database.count("stripe_events").await, 1);
}

/// Two events, and the answer to the first comes after that to the second: what was asked for first is not the last word.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_fetch_that_comes_back_late_changes_nothing() {
    let ([app, other], stripe) = two_nodes().await;
    let acme = app.tenant("acme").await;
    let id = subscribed(&app, &stripe, &acme.owner, STARTER).await;
    let early = stripe.state().event_of("customer.subscription.updated", &id);
    let asked = stripe.asked().len();
    stripe.hold();
    let late = tokio::spawn(async move { deliver(&other, &early).await });
    let watched = stripe.clone();
    until(move || watched.asked().len() == asked + 1).await; // and is about to be told of the old state
    stripe.pass();
    stripe.state().set_price(&id, ENTERPRISE);
    let event = stripe.state().event_of("customer.subscription.updated", &id);
    deliver(&app, &event).await.ok();
    assert_eq!(subscription(&acme.owner).await["plan"], "enterprise");
    stripe.let_out();
    late.await.unwrap().ok();
    assert_eq!(subscription(&acme.owner).await["plan"], "enterprise");
    assert_eq!(app.database.count("stripe_events").await, 3, "it is known, and changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_subscriptions_the_one_that_grants_most_counts() {
    let (app, stripe) = start().await;
    let acme = app.tenant("acme").await;
    let old = subscribed(&app, &stripe, &acme.owner, ENTERPRISE).await;
    let customer = stripe.state().customers.keys().next().unwrap().clone();
    super::changed(&app, &stripe, &old, json!({ "status": "canceled" })).await;
    assert_eq!(subscription(&acme.owner).await["plan"], "free");
    let (new, more) = {
        let mut stripe = stripe.state();
        (stripe.subscribe(&customer, STARTER), stripe.subscribe(&customer, PRO))
    };
    let late = stripe.state().event_of("customer.subscription.deleted", &old);
    deliver(&app, &late).await.ok();
    assert_eq!(subscription(&acme.owner).await["plan"], "pro", "whichever the event is about");
    super::changed(&app, &stripe, &more, json!({ "status": "canceled" })).await;
    assert_eq!(subscription(&acme.owner).await["plan"], "starter");
    super::changed(&app, &stripe, &new, json!({ "status": "past_due" })).await;
    assert_eq!(subscription(&acme.owner).await["status"], "past_due");
    // more of them than fit in a page
    for _ in 0..230 {
        let ended = stripe.state().subscribe(&customer, ENTERPRISE);
        stripe.state().change(&ended, json!({ "status": "canceled" }));
    }
    super::changed(&app, &stripe, &new, json!({ "status": "active" })).await;
    assert_eq!(subscription(&acme.owner).await["plan"], "starter");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_the_list_does_not_have_is_asked_for_by_itself() {
    let (app, stripe) = start().await;
    let acme = app.tenant("acme").await;
    let id = subscribed(&app, &stripe, &acme.owner, PRO).await;
    // a customer that was deleted: its list is closed, what it had is told one by one
    stripe.state().change(&id, json!({ "status": "canceled" }));
    let event = stripe.state().event_of("customer.subscription.deleted", &id);
    stripe.state().customers.clear();
    deliver(&app, &event).await.ok();
    assert_eq!(subscription(&acme.owner).await["plan"], "free");
    let next = stripe.state().event_of("customer.subscription.updated", &id);
    stripe.state().forget_subscription(&id);
    // nothing of it is there: that says nothing, the key may be another account's
    deliver(&app, &next).await.refused(502, "UPSTREAM_ERROR");
}

/// Limits are those of the plan from the next request on.
#[tokio::test(flavor = "multi_thread")]
async fn limits_follow_the_plan_at_once() {
    let stripe = Stripe::start().await;
    let mut limits = crate::support::no_limits();
    limits.tenant = tenantry::infra::plans::TenantLimit::ByPlan;
    let options = crate::support::Options { billing: stripe.settings(), limits, ..Default::default() };
    let app = TestApp::start_with(options).await;
    let acme = app.tenant("acme").await;
    let policy = async || acme.member.get("/orders").await.header("ratelimit-policy").to_owned();
    let endpoint = || acme.owner.post("/webhooks/endpoints", json!({ "url": "https://hooks.example.test/" }));
    assert_eq!(policy().await, "\"tenant\";q=600;w=60");
    endpoint().await.created();
    endpoint().await.refused(422, "BUSINESS_RULE_VIOLATION");
    let id = subscribed(&app, &stripe, &acme.owner, PRO).await;
    assert_eq!(policy().await, "\"tenant\";q=12000;w=60");
    endpoint().await.created();
    super::changed(&app, &stripe, &id, json!({ "status": "unpaid" })).await;
    assert_eq!(policy().await, "\"tenant\";q=600;w=60");
    endpoint().await.refused(422, "BUSINESS_RULE_VIOLATION");
    app.clock.advance(Duration::from_secs(1));
    let tenant = acme.viewer.get("/tenant").await.ok();
    assert_eq!(tenant["data"]["plan"], Value::from("free"));
}
