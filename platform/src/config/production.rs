//! What is not wrong and yet no way to run a production: said at every start and by `tenantry config`.
use super::{reader::Reader, settings::Config};

/// Passwords of databases that stand in every tutorial.
const KNOWN_PASSWORDS: [&str; 12] = [
    "admin",
    "changeme",
    "change-me",
    "example",
    "password",
    "passw0rd",
    "postgres",
    "postgresql",
    "root",
    "secret",
    "tenantry",
    "test",
];

/// A password that all know is as good as none, and a secret that is missing is a fault in production.
pub(super) fn known_password(r: &mut Reader<'_>, password: Option<&[u8]>) {
    let is = |known: &&str| password.is_some_and(|password| password.eq_ignore_ascii_case(known.as_bytes()));
    if KNOWN_PASSWORDS.iter().any(is) {
        r.fault(
            "DATABASE_URL",
            "has a password that everybody knows: `openssl rand -hex 32` makes a good one",
        );
    }
}

/// What would cross a network in the clear.
pub(super) fn in_the_clear(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    if !config.http.hsts {
        found.push(
            "PUBLIC_URL: is not https: a proxy has to terminate TLS in front, and browsers have to be told (HSTS)"
                .to_owned(),
        );
    }
    if config.database.target.crosses_a_network_in_the_clear() {
        found.push(
            "DATABASE_URL: its server is on another machine and is spoken to without TLS: add sslmode=verify-full"
                .to_owned(),
        );
    }
    if config.limits.redis.as_ref().is_some_and(|redis| redis.crosses_a_network_in_the_clear()) {
        found.push(
            "REDIS_URL: its server is on another machine and is spoken to without TLS: rediss:// uses it"
                .to_owned(),
        );
    }
    found
}
