//! Bringing a schema up to date: by many at once, by whoever may, and never by a node that was not asked to.
use crate::sessions::{ASTRAY, insert_session};
use crate::support::{
    at_once,
    database::{TestDatabase, connect, on_postgres, server_url},
};
use crate::transactions::WAITING;
use std::process::{Command, Output};
use tenantry::{
    data::{self, DatabaseTarget, Migrations},
    uuid::Uuid,
};

const SECRET: &str = "c2VjcmV0IG9mIGEgdGVzdCwgbG9uZyBlbm91Z2ggMTIzNDU2";

/// The binary on this database.
pub fn tenantry(url: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tenantry"))
        .args(arguments)
        .env_clear()
        .env("DATABASE_URL", url)
        .env("SECRET_KEY", SECRET)
        .env("WEBHOOK_SIGNING_SECRET", SECRET)
        .env("PORT", "0")
        .envs(variables.iter().copied())
        .current_dir(std::env::temp_dir())
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_nodes_migrate_an_empty_database_at_once() {
    let database = TestDatabase::empty().await;
    let target: DatabaseTarget = database.url.parse().unwrap();
    let sets = tenantry_app::app().migrations();
    let before = data::states(&target, &sets).await.unwrap();
    assert!(before.len() >= 2 && before.iter().all(|state| !state.applied));
    for outcome in at_once(8, |_| {
        let target = target.clone();
        async move { tenantry_app::app().migrate(&target).await }
    })
    .await
    {
        outcome.unwrap();
    }
    let after = data::states(&target, &sets).await.unwrap();
    assert!(after.iter().all(|state| state.applied), "{after:?}");
    for set in &sets {
        let applied = database.count(&format!("{}_migrations", set.set)).await;
        assert_eq!(applied, set.files.len() as i64, "{} once each", set.set);
    }
    assert_eq!(database.count("tenants").await, 0);
}

/// Also where each makes the roles of the server at the same moment.
#[tokio::test(flavor = "multi_thread")]
async fn several_databases_of_a_server_are_migrated_at_once() {
    let databases = [(); 4].map(|()| TestDatabase::empty());
    let databases = futures_util::future::join_all(databases).await;
    let targets: Vec<DatabaseTarget> = databases.iter().map(|d| d.url.parse().unwrap()).collect();
    for outcome in at_once(targets.len(), |i| {
        let target = targets[i].clone();
        async move { tenantry_app::app().migrate(&target).await }
    })
    .await
    {
        outcome.unwrap();
    }
}

const FIRST: (&str, &str, &str) = ("V1__first", "CREATE TABLE first (id INT)", "CREATE TABLE first (id INT)");
const SECOND: (&str, &str, &str) =
    ("V2__second", "CREATE TABLE second (id INT)", "CREATE TABLE second (id INT)");
const BROKEN: (&str, &str, &str) = ("V3__broken", "CREATE TABL third (id INT)", "CREATE TABL third (id INT)");

/// It cannot be noted as applied.
const UNNOTED: (&str, &str, &str) = (
    "V2__unnoted",
    "CREATE TABLE second (id INT); DROP TABLE trial_migrations",
    "CREATE TABLE second (id INT); DROP TABLE trial_migrations",
);

fn set(files: &'static [(&'static str, &'static str, &'static str)]) -> [Migrations; 1] {
    [Migrations { set: "trial", files }]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_starts_on_a_database_that_a_newer_one_has_migrated() {
    let database = TestDatabase::empty().await;
    let target: DatabaseTarget = database.url.parse().unwrap();
    data::migrate(&target, &set(&[FIRST])).await.unwrap();
    data::migrate(&target, &set(&[FIRST, SECOND])).await.unwrap();
    data::migrate(&target, &set(&[FIRST])).await.unwrap();
    assert_eq!(database.count("second").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_fails_is_named_and_leaves_nothing_half_done() {
    let database = TestDatabase::empty().await;
    let target: DatabaseTarget = database.url.parse().unwrap();
    let error = data::migrate(&target, &set(&[FIRST, SECOND, BROKEN])).await.unwrap_err();
    let cause = error.cause_chain().unwrap();
    assert!(cause.contains("trial") && cause.contains("V3__broken") && cause.contains("TABL"), "{cause}");
    let states = data::states(&target, &set(&[FIRST, SECOND, BROKEN])).await.unwrap();
    assert_eq!(states.iter().map(|state| state.applied).collect::<Vec<_>>(), [true, true, false]);
}

/// As if the node were killed in between.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_is_applied_and_noted_or_neither() {
    let database = TestDatabase::empty().await;
    let target: DatabaseTarget = database.url.parse().unwrap();
    data::migrate(&target, &set(&[FIRST, UNNOTED])).await.unwrap_err();
    data::migrate(&target, &set(&[FIRST, SECOND])).await.unwrap();
    assert_eq!(database.count("trial_migrations").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_that_is_behind_is_refused_until_it_is_migrated_on_postgres() {
    if !on_postgres() {
        return;
    }
    let database = TestDatabase::empty().await;
    let refused = tenantry(&database.url, &["serve"], &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("`tenantry migrate`"), "{}", stderr(&refused));
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(database.number(tables).await, 0, "it was left as it is");

    // seeding migrates as a start does
    let migrated = tenantry(&database.url, &["seed"], &[("AUTO_MIGRATE", "true")]);
    assert_eq!(migrated.status.code(), Some(0), "{}", stderr(&migrated));
    assert!(database.count("orders").await > 0);
    let status = tenantry(&database.url, &["migrate", "--status"], &[]);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(
        status.lines().count() >= 2 && status.lines().all(|line| line.starts_with("applied ")),
        "{status}"
    );
}

/// A role of this test's own that owns an empty database.
async fn owner(rights: &str) -> (TestDatabase, String) {
    let database = TestDatabase::empty().await;
    let role = format!("owner_{}", Uuid::new_v4().simple());
    let server = connect(&server_url()).await;
    server.batch_execute(&format!("CREATE ROLE {role} LOGIN {rights}")).await.unwrap();
    database
        .execute(&format!(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO {role}', current_database()); END $$"
        ))
        .await;
    (database, role)
}

async fn drop_role(database: TestDatabase, role: &str) {
    drop(database);
    let server = connect(&server_url()).await;
    server.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_make_roles_migrates_and_serves_on_postgres() {
    if !on_postgres() {
        return;
    }
    let (database, role) = owner("CREATEROLE").await;
    // since PostgreSQL 16 only whoever made the three may hand them on; on this server that may have been another test
    let as_their_maker = format!(
        "DO $$ DECLARE name text; BEGIN \
           FOR name IN SELECT rolname FROM pg_roles \
             WHERE rolname IN ('tenantry_login', 'tenantry_tenant', 'tenantry_system') \
               AND current_setting('server_version_num')::int >= 160000 \
           LOOP EXECUTE format('GRANT %I TO {role} WITH ADMIN OPTION', name); END LOOP; \
         END $$"
    );
    database.execute(&as_their_maker).await;
    let url = database.url_as(&role);
    let migrated = tenantry(&url, &["migrate"], &[]);
    assert_eq!(migrated.status.code(), Some(0), "{}", stderr(&migrated));
    let seeded = tenantry(&url, &["seed"], &[]); // through the three roles
    assert_eq!(seeded.status.code(), Some(0), "{}", stderr(&seeded));
    assert_eq!(database.count("tenants").await, 2);
    drop_role(database, &role).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_is_told_what_to_do_and_it_works_on_postgres() {
    if !on_postgres() {
        return;
    }
    // the roles may be there already, on this server: then it is the GRANT that is refused
    let (database, role) = owner("NOCREATEROLE").await;
    let url = database.url_as(&role);
    let refused = tenantry(&url, &["migrate"], &[]);
    assert_eq!(refused.status.code(), Some(1));
    let said = stderr(&refused);
    let grant = format!("GRANT tenantry_login, tenantry_tenant, tenantry_system TO {role}");
    assert!(said.contains("CREATEROLE") && said.contains(&grant), "{said}");
    let tables =
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'tenantry_migrations'";
    assert_eq!(database.number(tables).await, 0, "nothing is left half done");

    tenantry_app::app().migrate(&TestDatabase::empty().await.url.parse().unwrap()).await.unwrap(); // makes them
    database.execute(&grant).await;
    let migrated = tenantry(&url, &["migrate"], &[]);
    assert_eq!(migrated.status.code(), Some(0), "{}", stderr(&migrated));
    let seeded = tenantry(&url, &["seed"], &[]);
    assert_eq!(seeded.status.code(), Some(0), "{}", stderr(&seeded));
    drop_role(database, &role).await;
}

/// Sessions of before `V7` to `V9` are given what their users and tenants say, and keep what is changed meanwhile. By an owner
/// of the tables whom row-level security binds, and who has them in a schema of its own name.
#[tokio::test(flavor = "multi_thread")]
async fn people_stay_signed_in_over_an_upgrade() {
    let (database, role) = if on_postgres() {
        let (database, role) = owner("NOCREATEROLE").await;
        tenantry_app::app().migrate(&TestDatabase::empty().await.url.parse().unwrap()).await.unwrap();
        let own = format!(
            "GRANT tenantry_login, tenantry_tenant, tenantry_system TO {role}; \
             CREATE SCHEMA {role} AUTHORIZATION {role}; SET search_path = {role}"
        );
        database.execute(&own).await;
        (database, Some(role))
    } else {
        (TestDatabase::empty().await, None)
    };
    let url = role.as_ref().map_or(database.url.clone(), |role| database.url_as(role));
    let target: DatabaseTarget = url.parse().unwrap();
    let sets = tenantry_app::app().migrations();
    let until = move |version: usize| [Migrations { set: sets[0].set, files: &sets[0].files[..version] }];
    data::migrate(&target, &until(6)).await.unwrap();
    for plan in ["free", "pro"] {
        signed_in_twice(&database, plan).await;
    }
    data::migrate(&target, &until(8)).await.unwrap();
    assert_eq!(database.number(ASTRAY).await, 4, "they are not filled yet");
    if role.is_some() {
        // it looks at the sessions, and waits for one whose user is being changed
        database.execute("BEGIN; UPDATE users SET role = 'viewer' WHERE email = 'pro@x.test'").await;
        let filling = tokio::spawn(async move { data::migrate(&target, &until(9)).await });
        database.until(WAITING, 1).await;
        database.execute("COMMIT").await;
        filling.await.unwrap().unwrap();
        assert_eq!(database.count("sessions WHERE user_role = 'viewer' AND tenant_plan = 'pro'").await, 2);
    } else {
        data::migrate(&target, &until(9)).await.unwrap();
    }
    assert_eq!(database.number(ASTRAY).await, 0);
    if let Some(role) = role {
        drop_role(database, &role).await;
    }
}

/// A tenant of one person who has two sessions of before `V7`.
async fn signed_in_twice(database: &TestDatabase, plan: &str) {
    let (tenant, user) = (Uuid::now_v7(), Uuid::now_v7());
    let [id, user_id] = [tenant, user].map(|id| database.literal(id));
    let instant = if on_postgres() { "now()" } else { "0" };
    let people = format!(
        "INSERT INTO tenants (id, name, slug, plan, created_at, updated_at) \
         VALUES ({id}, 'x', '{plan}', '{plan}', {instant}, {instant}); \
         INSERT INTO users (tenant_id, id, email, full_name, role, status, created_at, updated_at) \
         VALUES ({id}, {user_id}, '{plan}@x.test', 'x', 'admin', 'active', {instant}, {instant})"
    );
    database.execute(&people).await;
    for _ in 0..2 {
        database.execute(&insert_session(database, tenant, user)).await;
    }
}
