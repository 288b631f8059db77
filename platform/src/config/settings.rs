//! What can be set, one struct per concern, with the defaults and the limits of `docs/operations.md`.
use super::{
    accounts::{self, AuthSettings, PRIVATE_KEY_REQUIRED, REQUIRED, SecretSettings},
    billing, limits,
    listen::{self, ListenSettings},
    log, mail, production,
    reader::{Environment, Reader, Setting},
    server, traces,
    webhooks::{self, WebhookSettings},
};
use crate::{
    core::{HttpSettings, LimitSettings},
    data::{DatabaseSettings, DatabaseTarget},
    infra::{
        egress::EgressSettings,
        mail::Mail,
        password::Scheme,
        stripe::BillingSettings,
        telemetry::{LogFormat, TraceSettings},
    },
    server::ServerSettings,
};
use secrecy::SecretString;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Where the demo keeps everything.
pub const DEMO_DATABASE: &str = "tenantry-demo.db";

/// The effective configuration.
#[derive(Debug)]
pub struct Config {
    /// No `DATABASE_URL`: an embedded database with two tenants to try.
    pub demo: bool,
    /// `ENVIRONMENT=production`.
    pub production: bool,
    /// `APP_NAME`.
    pub app_name: String,
    /// Where it listens.
    pub listen: ListenSettings,
    /// The database.
    pub database: DatabaseSettings,
    /// `AUTO_MIGRATE`; on SQLite always.
    pub auto_migrate: bool,
    /// Keys.
    pub secrets: SecretSettings,
    /// How long sessions live.
    pub auth: AuthSettings,
    /// How passwords are hashed.
    pub passwords: Scheme,
    /// What is done with mail.
    pub mail: Mail,
    /// Where tenants may have requests sent to.
    pub egress: EgressSettings,
    /// `WEBHOOK_SIGNING_SECRET`; in demo mode made at the first start.
    pub webhook_secret: Option<SecretString>,
    /// How webhooks are delivered.
    pub webhooks: WebhookSettings,
    /// What is charged, and by whom.
    pub billing: BillingSettings,
    /// Limits of every request.
    pub http: HttpSettings,
    /// The bounds of connections.
    pub server: ServerSettings,
    /// `METRICS_ADDR`.
    pub metrics_address: Option<SocketAddr>,
    /// How often things may be done.
    pub limits: LimitSettings,
    /// Where traces go, if anywhere.
    pub traces: Option<TraceSettings>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines are written.
    pub log_filter: String,
    /// What it can be started with and had better not be, a line each.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads it; every fault at once, one a line.
    pub fn load(environment: &Environment) -> Result<Self, Vec<String>> {
        let (config, faults, _) = Self::read(environment);
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }

    /// For what signs nothing, such as a migration: whoever runs it need not have the keys.
    pub fn load_without_key(environment: &Environment) -> Result<Self, Vec<String>> {
        let (config, mut faults, _) = Self::read(environment);
        let missing = |fault: &String| {
            [REQUIRED, PRIVATE_KEY_REQUIRED].iter().any(|required| fault.ends_with(required))
                || billing::SECRETS_REQUIRED.iter().any(|required| fault.starts_with(required))
        };
        faults.retain(|fault| !missing(fault));
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }

    /// The configuration as far as it can be read, what is wrong with it, and every setting for display.
    pub fn read(environment: &Environment) -> (Self, Vec<String>, Vec<Setting>) {
        let r = &mut Reader::new(environment);
        let production = r.parsed("ENVIRONMENT", "development".to_owned(), environment_name) == "production";
        let debug = r.flag("DEBUG", false);
        if production && debug {
            r.fault("DEBUG", "must be off in production");
        }
        let (demo, target) = database_target(r, production);
        let on_sqlite = matches!(target, DatabaseTarget::Sqlite(_));
        let listen = listen::listen(r, demo);
        let connections = r.number("DB_POOL_SIZE", 20, 1, 1000) + r.number("DB_MAX_OVERFLOW", 10, 0, 1000);
        let database = DatabaseSettings {
            target,
            connections,
            acquire_timeout: Duration::from_millis(r.number("DB_ACQUIRE_TIMEOUT_MS", 2000, 1, 60_000)),
            durable: !demo,
        };
        let secrets = accounts::secrets(r, demo);
        let auth = accounts::auth(r);
        let passwords = accounts::passwords(r, demo);
        let docs = r.flag("DOCS", demo || debug);
        let max_body_bytes = r.number("MAX_BODY_BYTES", 262_144, 1024, 16 * 1024 * 1024);
        let request_timeout = Duration::from_millis(r.number("REQUEST_TIMEOUT_MS", 30_000, 100, 600_000));
        let metrics_address = server::metrics_address(r);
        let http = HttpSettings {
            max_body_bytes,
            request_timeout,
            hsts: listen.public_url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://")),
            allowed_origins: listen::origins(r, production),
            docs,
            metrics: metrics_address.is_none() && !production,
            most_in_flight: server::most_in_flight(r),
            trusted_proxies: listen::trusted_proxies(r),
        };
        let limits = limits::limits(r, demo, production);
        let config = Self {
            demo,
            production,
            app_name: r.text("APP_NAME", "SaaS API"),
            auto_migrate: r.flag("AUTO_MIGRATE", false) || on_sqlite,
            listen,
            database,
            secrets,
            auth,
            passwords,
            mail: mail::mail(r, demo),
            egress: webhooks::egress(r, demo),
            webhook_secret: webhooks::signing_secret(r, demo),
            webhooks: webhooks::webhooks(r),
            billing: billing::billing(r, production),
            http,
            server: server::server(r),
            metrics_address,
            limits,
            traces: traces::traces(r),
            log_format: log::log_format(r),
            log_filter: log::log_filter(r, debug),
            warnings: Vec::new(),
        };
        let reader = std::mem::replace(r, Reader::new(environment));
        let mut warnings = reader.warnings;
        if production {
            warnings.extend(production::in_the_clear(&config));
        }
        (Self { warnings, ..config }, reader.faults, reader.settings)
    }
}

fn environment_name(text: &str) -> Result<String, String> {
    match text {
        "development" | "test" | "staging" | "production" => Ok(text.to_owned()),
        _ => Err(format!("must be development, test, staging or production, not {text:?}")),
    }
}

/// Without `DATABASE_URL` it is the demo, which production never is.
fn database_target(r: &mut Reader<'_>, production: bool) -> (bool, DatabaseTarget) {
    let demo_file = || DatabaseTarget::Sqlite(PathBuf::from(DEMO_DATABASE));
    match r.url("DATABASE_URL") {
        None => {
            if production {
                r.fault(
                    "DATABASE_URL",
                    "required in production: postgres://user@host/database or sqlite:///path/to/file.db",
                );
            }
            (!production, demo_file())
        }
        Some(text) => match text.parse::<DatabaseTarget>() {
            Ok(target) => {
                if production {
                    production::known_password(r, target.password());
                }
                (false, target)
            }
            Err(why) => {
                r.fault("DATABASE_URL", why);
                (false, demo_file())
            }
        },
    }
}
