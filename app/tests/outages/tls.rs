//! A PostgreSQL that is spoken to over TLS alone.
use super::postgres::Product;
use crate::support::{SECRET_KEY, binary::Folder, database::on_postgres, postgres::OwnPostgres};
use serde_json::Value;
use std::thread;

/// Flights of many statements on few connections, and a server that comes back.
#[test]
fn all_works_over_tls_and_is_found_again_on_postgres() {
    if !on_postgres() {
        return;
    }
    let (server, authority) = OwnPostgres::over_tls();
    let url = format!("{}?sslmode=verify-full&sslrootcert={}", server.url(), authority.display());
    let mut product = Product::on(server, &url);
    for round in 1..=2 {
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let (status, body) = product.place();
                        assert_eq!(status, 201, "{body}");
                    }
                });
            }
        });
        // longer than a record of TLS may be, and than what is read at once
        let (status, body) = product.list();
        assert_eq!(status, 200, "{body}");
        let orders: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(orders["data"].as_array().unwrap().len(), if round == 1 { 80 } else { 100 });
        assert!(body.len() > 1 << 15, "{}", body.len());
        product.server.stop();
        product.refused_list();
        product.server.start_again();
    }
}

/// Whoever is in between has a certificate of another's, or none.
#[test]
fn a_server_whose_certificate_is_not_believed_is_not_spoken_to_on_postgres() {
    if !on_postgres() {
        return;
    }
    let (server, _) = OwnPostgres::over_tls();
    let folder = Folder::new();
    for tls in ["?sslmode=require", "?sslmode=verify-full", "?sslmode=disable"] {
        let url = format!("{}{tls}", server.url());
        let migrated = folder.run(&["migrate"], &[("DATABASE_URL", &url), ("SECRET_KEY", SECRET_KEY)]);
        assert!(!migrated.status.success(), "{tls}");
    }
}
