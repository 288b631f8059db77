//! A database for each test: a file of its own on SQLite, a clone of a migrated template on PostgreSQL.
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::PathBuf,
    sync::Mutex,
    time::Duration,
};
use tenantry::{
    data::{DatabaseSettings, DatabaseTarget},
    uuid::Uuid,
};
use tokio_postgres::{Client, NoTls};

/// A migrated database, and a way into it past the product.
pub struct TestDatabase {
    name: String,
    /// As `DATABASE_URL` would have it.
    pub url: String,
    raw: Raw,
}

enum Raw {
    /// As a superuser: row-level security does not bind it.
    Postgres(Client),
    Sqlite(Mutex<rusqlite::Connection>, PathBuf),
}

/// Whether this run is on PostgreSQL.
pub fn on_postgres() -> bool {
    std::env::var("TENANTRY_TEST_DATABASE").is_ok_and(|database| database == "postgres")
}

/// The superuser's URL of the throw-away server.
pub fn server_url() -> String {
    std::env::var("TENANTRY_TEST_POSTGRES_URL").expect("TENANTRY_TEST_POSTGRES_URL: scripts/test sets it")
}

/// `url` with another database, user and port.
pub fn pointed_at(url: &str, database: &str, user: &str, port: Option<u16>) -> String {
    let config: tokio_postgres::Config = url.parse().unwrap();
    let port = port.unwrap_or(config.get_ports()[0]);
    format!("postgres://{user}@127.0.0.1:{port}/{database}")
}

pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the throw-away PostgreSQL");
    tokio::spawn(connection);
    client
}

/// The role that the product signs in as: it owns nothing and may only become the roles of the product.
const LOGIN: &str = "tenantry_test_login";

/// Each state of the migrations has a template of its own.
fn template_name() -> String {
    let mut hasher = DefaultHasher::new();
    for set in tenantry_app::app().migrations() {
        set.files.hash(&mut hasher);
    }
    format!("tenantry_template_{:016x}", hasher.finish())
}

/// Made once a server, whichever test comes first.
async fn template(server: &Client) -> String {
    let name = template_name();
    server.batch_execute("SELECT pg_advisory_lock(42)").await.unwrap();
    let known = server.query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&name]).await.unwrap();
    if known.is_none() {
        let building = format!("{name}_building");
        server.batch_execute(&format!("DROP DATABASE IF EXISTS {building}")).await.unwrap();
        server.batch_execute(&format!("CREATE DATABASE {building}")).await.unwrap();
        let url = pointed_at(&server_url(), &building, "postgres", None);
        tenantry_app::app().migrate(&url.parse().unwrap()).await.unwrap();
        let login = format!(
            "DO $$ BEGIN CREATE ROLE {LOGIN} LOGIN NOINHERIT; EXCEPTION WHEN duplicate_object THEN NULL; END $$; \
             GRANT tenantry_login, tenantry_tenant, tenantry_system TO {LOGIN}"
        );
        server.batch_execute(&login).await.unwrap();
        server.batch_execute(&format!("ALTER DATABASE {building} RENAME TO {name}")).await.unwrap();
    }
    server.batch_execute("SELECT pg_advisory_unlock(42)").await.unwrap();
    name
}

fn new_name() -> String {
    format!("t_{}", Uuid::new_v4().simple())
}

impl TestDatabase {
    /// With the product's schema.
    pub async fn create() -> Self {
        if !on_postgres() {
            let this = Self::empty().await;
            tenantry_app::app().migrate(&this.url.parse().unwrap()).await.unwrap();
            return this;
        }
        let server = connect(&server_url()).await;
        let template = template(&server).await;
        let name = new_name();
        server.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}")).await.unwrap();
        Self::of_server(name, LOGIN).await
    }

    /// Without any schema; on PostgreSQL as a superuser, who may make one.
    pub async fn empty() -> Self {
        let name = new_name();
        if on_postgres() {
            connect(&server_url()).await.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
            return Self::of_server(name, "postgres").await;
        }
        let folder = std::env::temp_dir().join(&name);
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("test.db");
        let url = format!("sqlite://{}", path.display());
        let raw = rusqlite::Connection::open(&path).unwrap();
        raw.busy_timeout(Duration::from_secs(5)).unwrap();
        Self { name, url, raw: Raw::Sqlite(Mutex::new(raw), folder) }
    }

    async fn of_server(name: String, user: &str) -> Self {
        let raw = connect(&pointed_at(&server_url(), &name, "postgres", None)).await;
        Self { url: pointed_at(&server_url(), &name, user, None), name, raw: Raw::Postgres(raw) }
    }

    /// A URL as another user.
    pub fn url_as(&self, user: &str) -> String {
        pointed_at(&self.url, &self.name, user, None)
    }

    pub fn settings(&self, connections: usize, through: Option<u16>) -> DatabaseSettings {
        let url = match through {
            Some(port) => pointed_at(&self.url, &self.name, LOGIN, Some(port)),
            None => self.url.clone(),
        };
        settings_of(&url, connections)
    }

    /// An identifier as a literal of this database.
    pub fn literal(&self, id: Uuid) -> String {
        match self.raw {
            Raw::Postgres(_) => format!("'{id}'"),
            Raw::Sqlite(..) => format!("X'{}'", id.simple()),
        }
    }

    /// Runs statements past the product.
    pub async fn execute(&self, sql: &str) {
        match &self.raw {
            Raw::Postgres(client) => client.batch_execute(sql).await.unwrap(),
            Raw::Sqlite(conn, _) => conn.lock().unwrap().execute_batch(sql).unwrap(),
        }
    }

    /// One number, past the product.
    pub async fn number(&self, sql: &str) -> i64 {
        match &self.raw {
            Raw::Postgres(client) => client.query_one(sql, &[]).await.unwrap().get(0),
            Raw::Sqlite(conn, _) => conn.lock().unwrap().query_row(sql, [], |row| row.get(0)).unwrap(),
        }
    }

    /// The first column of all rows, past the product.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        match &self.raw {
            Raw::Postgres(client) => {
                client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
            }
            Raw::Sqlite(conn, _) => {
                let conn = conn.lock().unwrap();
                let mut statement = conn.prepare(sql).unwrap();
                statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
            }
        }
    }

    /// Shows that the rows of a table can neither be changed nor deleted by the product.
    pub async fn refuses_change(&self, table: &str) {
        let before = self.count(table).await;
        assert!(before > 0);
        for statement in [format!("UPDATE {table} SET action = 'x'"), format!("DELETE FROM {table}")] {
            match &self.raw {
                Raw::Postgres(client) => {
                    let as_tenant = format!("BEGIN; SET LOCAL ROLE tenantry_tenant; {statement}");
                    let refused = client.batch_execute(&as_tenant).await.unwrap_err();
                    assert_eq!(
                        refused.code(),
                        Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE)
                    );
                    client.batch_execute("ROLLBACK").await.unwrap();
                }
                Raw::Sqlite(conn, _) => assert!(conn.lock().unwrap().execute_batch(&statement).is_err()),
            }
        }
        assert_eq!(self.count(table).await, before);
    }

    /// Waits until a query answers this number; panics if it has not after ten seconds.
    pub async fn until(&self, sql: &str, expected: i64) {
        for _ in 0..1000 {
            if on_postgres() {
                self.execute("SELECT pg_stat_clear_snapshot()").await; // in a transaction it shows who was there before
            }
            if self.number(sql).await == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("waited ten seconds for {expected} from {sql}");
    }

    pub async fn count(&self, table: &str) -> i64 {
        self.number(&format!("SELECT count(*) FROM {table}")).await
    }

    /// Keeps everybody from changing a table until it is released.
    pub async fn hold(&self, table: &str) -> Hold<'_> {
        match &self.raw {
            Raw::Postgres(_) => {
                self.execute(&format!("BEGIN; LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")).await
            }
            Raw::Sqlite(..) => self.execute("BEGIN IMMEDIATE").await,
        }
        Hold(self)
    }

    /// The superuser's connection; on SQLite there is none.
    pub fn superuser(&self) -> &Client {
        match &self.raw {
            Raw::Postgres(client) => client,
            Raw::Sqlite(..) => panic!("SQLite has no superuser"),
        }
    }

    /// Waits until no connection of the product is in a transaction; panics if one stays.
    pub async fn settle(&self) {
        let Raw::Postgres(client) = &self.raw else { return };
        let open = "SELECT count(*) FROM pg_stat_activity \
                    WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'";
        for _ in 0..600 {
            if client.query_one(open, &[]).await.unwrap().get::<_, i64>(0) == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("a transaction was left open on a pooled connection");
    }

    /// A person with the password of `like`, who is there already.
    pub async fn insert_user(&self, tenant: Uuid, email: &str, role: &str, like: Uuid) {
        let (tenant, like, id) = (self.literal(tenant), self.literal(like), self.literal(Uuid::now_v7()));
        self.execute(&format!(
            "INSERT INTO users (tenant_id, id, email, full_name, role, status, password_hash, created_at, updated_at) \
             SELECT tenant_id, {id}, '{email}', 'A {role}', '{role}', 'active', password_hash, created_at, updated_at \
             FROM users WHERE tenant_id = {tenant} AND id = {like}"
        ))
        .await;
    }
}

/// See [`TestDatabase::hold`].
pub struct Hold<'a>(&'a TestDatabase);

impl Hold<'_> {
    pub async fn release(self) {
        self.0.execute("COMMIT").await;
    }
}

pub fn settings_of(url: &str, connections: usize) -> DatabaseSettings {
    DatabaseSettings {
        target: url.parse::<DatabaseTarget>().unwrap(),
        connections,
        acquire_timeout: Duration::from_secs(5),
        durable: false,
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        match &self.raw {
            Raw::Sqlite(_, folder) => _ = std::fs::remove_dir_all(folder),
            Raw::Postgres(_) => {
                let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
                // a test's own runtime may be the one that is going down
                let _ = std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(async { connect(&server_url()).await.batch_execute(&drop).await })
                })
                .join();
            }
        }
    }
}
