//! What a session says of its user and its tenant is what those say: the database copies it, whoever makes a change, and
//! whatever else is committed at the same moment.
use crate::support::{
    TestApp, at_once,
    database::{TestDatabase, connect, on_postgres},
    login,
};
use crate::transactions::WAITING;
use serde_json::json;
use tenantry::uuid::Uuid;

/// Live sessions that say something else than what they are of.
pub const ASTRAY: &str = "SELECT count(*) FROM sessions s \
    JOIN users u ON u.tenant_id = s.tenant_id AND u.id = s.user_id JOIN tenants t ON t.id = s.tenant_id \
    WHERE s.ended_at IS NULL AND (s.user_role IS DISTINCT FROM u.role \
    OR s.user_status IS DISTINCT FROM u.status OR s.tenant_plan IS DISTINCT FROM t.plan)";

/// A session as an older version begins it.
pub fn insert_session(database: &TestDatabase, tenant: Uuid, user: Uuid) -> String {
    let [tenant, user, id] = [tenant, user, Uuid::now_v7()].map(|id| database.literal(id));
    format!(
        "INSERT INTO sessions (tenant_id, id, user_id, created_at, last_used_at, expires_at) \
         SELECT tenant_id, {id}, id, created_at, created_at, created_at FROM users \
         WHERE tenant_id = {tenant} AND id = {user}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn live_sessions_follow_whoever_makes_a_change_and_no_others_do() {
    let app = TestApp::start().await;
    let (acme, _globex) = (app.tenant("acme").await, app.tenant("globex").await);
    app.anyone().post("/auth/login", login("acme", "member")).await.ok();
    app.database.execute(&insert_session(&app.database, acme.id, acme.member.user_id)).await;
    let live = app.database.count("sessions WHERE user_role IS NOT NULL AND tenant_plan = 'free'").await;
    assert_eq!(live, app.database.count("sessions").await);
    assert_eq!(app.database.number(ASTRAY).await, 0, "as they begin");

    let (id, member) = (app.database.literal(acme.id), app.database.literal(acme.member.user_id));
    let ended = format!("UPDATE sessions SET ended_at = created_at WHERE user_id = {member}");
    app.database.execute(&ended).await;
    app.anyone().post("/auth/login", login("acme", "member")).await.ok();
    for change in [
        format!("UPDATE tenants SET plan = 'pro' WHERE id = {id}"),
        format!("UPDATE users SET role = 'viewer' WHERE id = {member}"),
        format!("UPDATE users SET status = 'deactivated' WHERE id = {member}"),
        format!("UPDATE users SET role = 'admin', status = 'active' WHERE id = {member}"),
        "UPDATE tenants SET plan = 'starter'".to_owned(),
    ] {
        app.database.execute(&change).await;
        assert_eq!(app.database.number(ASTRAY).await, 0, "after {change}");
    }
    let of_acme = format!("sessions WHERE tenant_id = {id} AND user_role = 'admin' AND user_id = {member}");
    assert_eq!(app.database.count(&of_acme).await, 1);
    let left = "sessions WHERE ended_at IS NOT NULL AND user_role = 'member' AND tenant_plan = 'free'";
    assert_eq!(app.database.count(left).await, 3, "what has ended is left as it was");
    app.database.execute("UPDATE sessions SET ended_at = NULL").await;
    assert_eq!(app.database.number(ASTRAY).await, 0, "by a hand that takes it back");
    let owner = app.database.literal(acme.owner.user_id);
    app.database.execute(&format!("UPDATE sessions SET user_id = {owner} WHERE user_id = {member}")).await;
    assert_eq!(app.database.number(ASTRAY).await, 0, "by a hand that gives it to somebody else");
}

/// Sign-ins, while roles, people and plans change: none waits in a circle with another, and none misses a change.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_begin_while_all_changes_say_what_holds_afterwards() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let role = format!("/users/{}/role", acme.member.user_id);
    for round in 0..6 {
        let plan = ["pro", "starter"][round % 2];
        let change =
            format!("UPDATE tenants SET plan = '{plan}' WHERE id = {}", app.database.literal(acme.id));
        let answers = at_once(24, |i| {
            let (anyone, owner, role) =
                (app.anyone(), app.with_token(&acme.owner.access_token), role.clone());
            let (database, change) = (app.database.clone(), change.clone());
            async move {
                match i % 4 {
                    0 => {
                        let given = ["viewer", "admin"][(round + i / 4) % 2];
                        owner.patch(&role, json!({ "role": given })).await.status.as_u16()
                    }
                    1 => {
                        let known = login("acme", "member")["email"].clone();
                        let known = json!({ "email": known, "full_name": "Known", "role": "viewer" });
                        owner.post("/users", known).await.status.as_u16()
                    }
                    2 if i < 4 => {
                        database.execute(&change).await;
                        200
                    }
                    _ => anyone.post("/auth/login", login("acme", "member")).await.status.as_u16(),
                }
            }
        });
        let answers = answers.await;
        assert!(answers.iter().all(|status| [200, 409].contains(status)), "{answers:?}");
        assert_eq!(app.database.number(ASTRAY).await, 0, "in round {round}");
    }
}

/// Two transactions at the same moment, in both orders: the second waits for the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_and_a_change_wait_for_one_another_on_postgres() {
    if !on_postgres() {
        return;
    }
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let first = connect(&app.database.url_as("postgres")).await;
    for (session_first, [role, status, plan]) in
        [(true, ["viewer", "invited", "pro"]), (false, ["admin", "active", "starter"])]
    {
        for change in [
            format!("UPDATE users SET role = '{role}' WHERE id = '{}'", acme.member.user_id),
            format!("UPDATE users SET status = '{status}' WHERE id = '{}'", acme.member.user_id),
            format!("UPDATE tenants SET plan = '{plan}' WHERE id = '{}'", acme.id),
        ] {
            let session = insert_session(&app.database, acme.id, acme.member.user_id);
            let (former, latter) =
                if session_first { (session, change.clone()) } else { (change.clone(), session) };
            first.batch_execute(&format!("BEGIN; {former}")).await.unwrap();
            let second = connect(&app.database.url_as("postgres")).await;
            let second = tokio::spawn(async move { second.batch_execute(&latter).await });
            app.database.until(WAITING, 1).await;
            first.batch_execute("COMMIT").await.unwrap();
            second.await.unwrap().unwrap();
            assert_eq!(app.database.number(ASTRAY).await, 0, "{change}, session first: {session_first}");
        }
    }
}

/// By whoever would not see what has been committed meanwhile, or has another table of that name.
#[tokio::test(flavor = "multi_thread")]
async fn no_change_passes_the_sessions_by_on_postgres() {
    if !on_postgres() {
        return;
    }
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let changes = [
        "UPDATE public.users SET role = 'viewer' WHERE role = 'member'".to_owned(),
        "UPDATE public.tenants SET plan = 'pro'".to_owned(),
        insert_session(&app.database, acme.id, acme.member.user_id),
    ];
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        for change in &changes {
            let client = connect(&app.database.url_as("postgres")).await;
            let blind = format!("BEGIN ISOLATION LEVEL {level}; {change}");
            let refused = client.batch_execute(&blind).await.unwrap_err();
            assert!(refused.as_db_error().unwrap().message().contains("READ COMMITTED"), "{refused:?}");
        }
    }
    let client = connect(&app.database.url_as("postgres")).await;
    client.batch_execute("CREATE TEMP TABLE sessions (LIKE public.sessions)").await.unwrap();
    for change in &changes[..2] {
        client.batch_execute(change).await.unwrap();
        assert_eq!(app.database.number(ASTRAY).await, 0, "after {change}");
    }
}

/// Whoever changes a person takes them and then their tokens, and so does whoever uses a token: neither has what the other
/// waits for.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_changed_while_their_token_is_used_on_postgres() {
    if !on_postgres() {
        return;
    }
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    app.database.execute("UPDATE tenants SET plan = 'pro'").await; // so that there is room for who is invited
    let new = json!({ "email": "ada@acme.test", "full_name": "Ada", "role": "viewer" });
    let invited = acme.owner.post("/users", new).await.created()["data"].take();
    let path = format!("/users/{}/password-reset", acme.member.user_id);
    let reset = acme.owner.post_empty(&path).await.ok()["data"]["token"].clone();
    let word = "a word of my own";
    let uses = [
        ("password_reset", "/auth/password/reset", json!({ "token": reset, "new_password": word })),
        (
            "invitation",
            "/auth/invitations/accept",
            json!({ "token": invited["invitation"]["token"], "password": word }),
        ),
    ];
    for (kind, path, body) in uses {
        let changing = connect(&app.database.url_as("postgres")).await;
        changing.batch_execute("BEGIN; SELECT FROM users FOR UPDATE").await.unwrap();
        let anyone = app.anyone();
        let using = tokio::spawn(async move { anyone.post(path, body).await });
        app.database.until(WAITING, 1).await;
        let end = format!("DELETE FROM user_tokens WHERE kind = '{kind}'; COMMIT");
        changing.batch_execute(&end).await.expect(path);
        using.await.unwrap().invalid(&["token"]);
    }
}
