//! A file that may not grow, or not be written at all: the disk is full, or has turned read-only.
use crate::support::{
    SECRET_KEY,
    binary::{Folder, Running},
    database::on_postgres,
    order,
};
use serde_json::Value;

/// A service on a file of its own, and somebody who has signed up.
struct Product {
    running: Running,
    token: String,
    folder: Folder,
}

impl Product {
    fn start() -> Self {
        let folder = Folder::new();
        let url = format!("sqlite://{}", folder.0.join("own.db").display());
        let variables = [
            ("DATABASE_URL", url.as_str()),
            ("SECRET_KEY", SECRET_KEY),
            ("WEBHOOK_SIGNING_SECRET", SECRET_KEY),
            ("BCRYPT_COST", "10"),
            ("TENANT_RATE_LIMIT", "off"),
        ];
        let running = Running::serve_within_limits(&folder, &variables);
        let token = running.register();
        Self { running, token, folder }
    }

    /// Whether it was placed; if not, it is a 503 that says so.
    #[track_caller]
    fn places(&self) -> bool {
        let (status, body) =
            self.running.ask("POST", "/api/v1/orders", Some(&self.token), &order().to_string());
        if status != 201 {
            assert_eq!(status, 503, "{body}");
            let document: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(document["code"], "SERVICE_UNAVAILABLE");
        }
        status == 201
    }

    #[track_caller]
    fn reads(&self) {
        assert_eq!(self.running.ask("GET", "/api/v1/orders", Some(&self.token), "").0, 200);
        assert_eq!(self.running.ask("GET", "/health/ready", None, "").0, 200);
    }

    fn size_of(&self, file: &str) -> u64 {
        std::fs::metadata(self.folder.0.join(file)).map_or(0, |metadata| metadata.len())
    }

    /// Stops it, and looks whether everything is in order and all of these are there, each with its event.
    fn ends_well_with(self, orders: i64) {
        let Self { running, folder, .. } = self;
        assert_eq!(running.stop(), Some(0));
        let conn = rusqlite::Connection::open(folder.0.join("own.db")).unwrap();
        let text = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
        let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(text("PRAGMA integrity_check"), "ok");
        let broken: Vec<String> = conn
            .prepare("PRAGMA foreign_key_check")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .flatten()
            .collect();
        assert_eq!(broken, Vec::<String>::new());
        assert_eq!(number("SELECT count(*) FROM orders"), orders);
        assert_eq!(number("SELECT count(*) FROM outbox WHERE type = 'order.created'"), orders);
        assert_eq!(number("SELECT count(*) FROM order_items"), 2 * orders);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_a_503_and_no_corruption_on_sqlite() {
    if on_postgres() {
        return;
    }
    let product = Product::start();
    let mut placed = 0;
    for round in 0..3 {
        // room for a little more, and then for nothing
        let largest =
            product.size_of("own.db").max(product.size_of("own.db-wal")).max(product.size_of("log"));
        product.running.limit(&format!("--fsize={}:unlimited", largest + 60_000));
        let mut refused = 0;
        for _ in 0..400 {
            if product.places() {
                placed += 1;
            } else {
                refused += 1;
            }
            if refused == 5 {
                break;
            }
        }
        assert_eq!(refused, 5, "round {round}: the disk is not full");
        product.reads();
        product.running.limit("--fsize=unlimited:unlimited");
        assert!(product.places(), "and then there is room");
        placed += 1;
    }
    product.ends_well_with(placed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_turns_read_only_is_a_503_and_no_corruption_on_sqlite() {
    if on_postgres() {
        return;
    }
    let product = Product::start();
    assert!(product.places());
    product.running.limit("--fsize=1:unlimited");
    for _ in 0..5 {
        assert!(!product.places());
        product.reads();
    }
    product.running.limit("--fsize=unlimited:unlimited");
    assert!(product.places());
    product.ends_well_with(2);
}

/// What was written before is there, whatever the end of the process.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_on_a_full_disk_leaves_a_sound_file_on_sqlite() {
    if on_postgres() {
        return;
    }
    let product = Product::start();
    assert!(product.places());
    product.running.limit("--fsize=1:unlimited");
    assert!(!product.places());
    product.running.signal("-KILL");
    let Product { mut running, folder, .. } = product;
    running.child.wait().unwrap();
    let conn = rusqlite::Connection::open(folder.0.join("own.db")).unwrap();
    let sound: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    let orders: i64 = conn.query_row("SELECT count(*) FROM orders", [], |row| row.get(0)).unwrap();
    assert_eq!((sound.as_str(), orders), ("ok", 1));
}
