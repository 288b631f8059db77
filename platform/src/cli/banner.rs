//! What a person sees at the start.
use crate::{config::Config, seed::DEMO_PASSWORD};
use std::net::SocketAddr;

pub(super) fn print(config: &Config, address: SocketAddr) {
    let at = format!("http://{address}");
    if config.demo {
        super::print(&demo(&at));
    } else {
        tracing::info!(%address, database = ?config.database.target, docs = config.http.docs, "serving");
    }
}

/// Addresses, sign-ins, and one line to paste.
fn demo(at: &str) -> String {
    format!(
        r#"
  Tenantry is running in demo mode: an embedded database, {db}, and two tenants to try.

  API      {at}/api/v1
  Docs     {at}/docs      (try every route from the browser)

  Sign in  tenant   e-mail               may
           acme     owner@acme.test      everything
           acme     admin@acme.test      manage people and settings
           acme     member@acme.test     do the daily work
           acme     viewer@acme.test     read
           globex   owner@globex.test    everything, in a tenant of its own
           globex   member@globex.test   do the daily work

           Everybody's password: {DEMO_PASSWORD}

  Paste    curl -s {at}/api/v1/auth/login -H 'Content-Type: application/json' -d '{{"tenant_slug":"acme","email":"member@acme.test","password":"{DEMO_PASSWORD}"}}'

  Ctrl-C stops it. To start over, delete {db}. To run it for real, set DATABASE_URL.
"#,
        db = crate::config::DEMO_DATABASE,
    )
}
