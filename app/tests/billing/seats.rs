//! Seats: as many as the plan has, whatever happens at once.
use super::{beside, changed, start, subscribed, subscription};
use crate::support::{Person, TestApp, at_once, http::Answer, stripe::STARTER};
use serde_json::{Value, json};
use std::time::Duration;

fn invitation(name: &str) -> Value {
    json!({ "email": format!("{name}@guests.test"), "full_name": "A Guest", "role": "viewer" })
}

async fn invite(person: &Person, name: &str) -> Answer {
    person.post("/users", invitation(name)).await
}

fn count(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_as_many_as_the_plan_has() {
    let (app, stripe) = start().await;
    let acme = app.tenant("acme").await; // four people of five
    let fifth = invite(&acme.admin, "fifth").await.created()["data"].take();
    let refused = invite(&acme.admin, "sixth").await.refused(422, "BUSINESS_RULE_VIOLATION");
    assert!(refused["detail"].as_str().unwrap().contains("free plan has 5 seats"), "{refused}");
    assert_eq!(subscription(&acme.viewer).await["seats"], json!({ "used": 5, "limit": 5 }));
    // an invitation that is renewed takes no other, and whoever is there already is told so first
    invite(&acme.admin, "fifth").await.created();
    let taken = json!({ "email": "member@acme.test", "full_name": "M", "role": "viewer" });
    acme.admin.post("/users", taken).await.refused(409, "CONFLICT");
    acme.member.post("/users", invitation("sixth")).await.refused(403, "FORBIDDEN");
    // whoever is let go makes room, and comes back only while there is some
    let path = format!("/users/{}", fifth["id"].as_str().unwrap());
    acme.admin.delete(&path).await.ok();
    assert_eq!(subscription(&acme.viewer).await["seats"]["used"], 4);
    invite(&acme.admin, "sixth").await.created();
    let back = format!("{path}/reactivate");
    acme.admin.post_empty(&back).await.refused(422, "BUSINESS_RULE_VIOLATION");
    acme.admin.post_empty(&format!("/users/{}/reactivate", acme.viewer.user_id)).await.ok(); // never gone
    subscribed(&app, &stripe, &acme.owner, STARTER).await;
    acme.admin.post_empty(&back).await.ok();
    assert_eq!(subscription(&acme.viewer).await["seats"], json!({ "used": 6, "limit": 15 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_last_seat_is_taken_once_on_two_nodes() {
    let (app, stripe) = start().await;
    let other = beside(&app, &stripe).await;
    let acme = app.tenant("acme").await;
    let there = other.sign_in("acme", "owner").await;
    let gone: Vec<_> = [acme.member.user_id, acme.viewer.user_id].into();
    for id in &gone {
        acme.owner.delete(&format!("/users/{id}")).await.ok();
    }
    let answers = at_once(16, |i| {
        let person = if i % 2 == 0 { acme.owner.clone() } else { there.clone() };
        let id = gone[i % 2];
        async move {
            match i {
                0..4 => person.post_empty(&format!("/users/{id}/reactivate")).await,
                _ => invite(&person, &format!("guest-{i}")).await,
            }
        }
    })
    .await;
    for answer in &answers {
        assert!([200, 201, 422].contains(&answer.status.as_u16()), "{}: {}", answer.asked, answer.text());
    }
    let used = "SELECT count(*) FROM users WHERE status <> 'deactivated'";
    assert_eq!(app.database.number(used).await, 5, "neither more nor fewer");
    assert_eq!(subscription(&acme.owner).await["seats"], json!({ "used": 5, "limit": 5 }));
    assert!(count(&answers, 201) <= 3 && count(&answers, 422) >= 8);
}

async fn accept(app: &TestApp, invited: &Value) -> Answer {
    let accept = json!({ "token": invited["invitation"]["token"], "password": "a word of my own" });
    app.anyone().post("/auth/invitations/accept", accept).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_smaller_plan_keeps_its_people_and_invites_nobody() {
    let (app, stripe) = start().await;
    let acme = app.tenant("acme").await;
    let id = subscribed(&app, &stripe, &acme.owner, STARTER).await;
    let mut invited = Vec::new();
    for i in 0..6 {
        invited.push(invite(&acme.owner, &format!("guest-{i}")).await.created()["data"].take());
    }
    changed(&app, &stripe, &id, json!({ "status": "canceled" })).await;
    assert_eq!(subscription(&acme.owner).await["seats"], json!({ "used": 10, "limit": 5 }));
    invite(&acme.owner, "late").await.refused(422, "BUSINESS_RULE_VIOLATION");
    // who was invited has a seat already: all at once they may take it, and nobody else
    let accepted = futures_util::future::join_all(invited[..4].iter().map(|invited| accept(&app, invited)));
    let (mut answers, late, later) =
        tokio::join!(accepted, invite(&acme.owner, "late"), invite(&acme.admin, "later"));
    answers.extend([late, later]);
    assert_eq!((count(&answers, 201), count(&answers, 422)), (4, 2));
    invite(&acme.owner, "guest-5").await.created(); // again
    assert_eq!(subscription(&acme.owner).await["seats"]["used"], 10);
    acme.member.get("/orders").await.ok();
}

/// The seats of a plan whose grace period has ended are those of the free plan, before anybody has written that down.
#[tokio::test(flavor = "multi_thread")]
async fn a_grace_period_that_has_just_ended_counts() {
    let (app, stripe) = start().await;
    let acme = app.tenant("acme").await;
    let id = subscribed(&app, &stripe, &acme.owner, STARTER).await;
    changed(&app, &stripe, &id, json!({ "status": "past_due" })).await;
    invite(&acme.owner, "fifth").await.created();
    invite(&acme.owner, "sixth").await.created();
    app.clock.advance(Duration::from_secs(7 * 24 * 60 * 60));
    let owner = app.sign_in("acme", "owner").await;
    invite(&owner, "seventh").await.refused(422, "BUSINESS_RULE_VIOLATION");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenants_seats_are_nobody_elses() {
    let (app, _) = start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    invite(&acme.owner, "guest").await.created();
    invite(&acme.owner, "other").await.refused(422, "BUSINESS_RULE_VIOLATION");
    invite(&globex.owner, "guest").await.created();
}
