//! What can be set, one struct per concern, with the defaults and the limits of `docs/operations.md`.
use super::reader::{Environment, Reader, Setting};
use crate::{
    core::{HttpSettings, LimitSettings},
    data::{DatabaseSettings, DatabaseTarget},
    http::TrustedProxies,
    infra::{
        mail::{Mail, SmtpServer},
        password::Scheme,
        plans::TenantLimit,
        rate_limit::{Quota, RateLimit},
        telemetry::{self, LogFormat},
    },
};
use secrecy::{ExposeSecret, SecretString};
use std::{net::IpAddr, path::PathBuf, time::Duration};

/// Where the demo keeps everything.
pub const DEMO_DATABASE: &str = "tenantry-demo.db";

const SHORTEST_SECRET: usize = 32;
const KEY_REQUIRED: &str = "SECRET_KEY: required";

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
    /// Limits of every request.
    pub http: HttpSettings,
    /// How often things may be done.
    pub limits: LimitSettings,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines are written.
    pub log_filter: String,
}

/// Where it listens, and how the world calls it.
#[derive(Clone, Debug)]
pub struct ListenSettings {
    /// `HOST`.
    pub host: IpAddr,
    /// `PORT`; 0 takes a free one.
    pub port: u16,
    /// `PUBLIC_URL`.
    pub public_url: String,
}

/// Keys.
#[derive(Clone, Debug)]
pub struct SecretSettings {
    /// `SECRET_KEY`; in demo mode made at the first start.
    pub secret_key: Option<SecretString>,
    /// `JWT_PREVIOUS_KEYS`.
    pub previous_keys: Vec<SecretString>,
}

/// How long sessions live.
#[derive(Clone, Debug)]
pub struct AuthSettings {
    /// An access token.
    pub access_token: Duration,
    /// A refresh token, from each rotation.
    pub refresh_token: Duration,
    /// A session, from its sign-in.
    pub session: Duration,
    /// How long the direct parent of an unused refresh token may be used again.
    pub reuse_grace: Duration,
}

const DAY: u64 = 24 * 60 * 60;

impl Config {
    /// Reads it; every fault at once, one a line.
    pub fn load(environment: &Environment) -> Result<Self, Vec<String>> {
        let (config, faults, _) = Self::read(environment);
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }

    /// For what signs nothing, such as a migration: whoever runs it need not have the key.
    pub fn load_without_key(environment: &Environment) -> Result<Self, Vec<String>> {
        let (config, mut faults, _) = Self::read(environment);
        faults.retain(|fault| !fault.starts_with(KEY_REQUIRED));
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
        let listen = listen(r, demo);
        let connections = r.number("DB_POOL_SIZE", 20, 1, 1000) + r.number("DB_MAX_OVERFLOW", 10, 0, 1000);
        let database = DatabaseSettings {
            target,
            connections,
            acquire_timeout: Duration::from_millis(r.number("DB_ACQUIRE_TIMEOUT_MS", 2000, 1, 60_000)),
            durable: !demo,
        };
        let secrets = secrets(r, demo);
        let auth = auth(r);
        let passwords = passwords(r, demo);
        let docs = r.flag("DOCS", demo || debug);
        let max_body_bytes = r.number("MAX_BODY_BYTES", 262_144, 1024, 16 * 1024 * 1024);
        let request_timeout = Duration::from_millis(r.number("REQUEST_TIMEOUT_MS", 30_000, 100, 600_000));
        let http = HttpSettings {
            max_body_bytes,
            request_timeout,
            hsts: listen.public_url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://")),
            allowed_origins: origins(r, production),
            docs,
            trusted_proxies: trusted_proxies(r),
        };
        let limits = limits(r, demo, production);
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
            mail: mail(r, demo),
            http,
            limits,
            log_format: log_format(r),
            log_filter: log_filter(r, debug),
        };
        let reader = std::mem::replace(r, Reader::new(environment));
        (config, reader.faults, reader.settings)
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
        Some(text) => match text.parse() {
            Ok(target) => (false, target),
            Err(why) => {
                r.fault("DATABASE_URL", why);
                (false, demo_file())
            }
        },
    }
}

fn listen(r: &mut Reader<'_>, demo: bool) -> ListenSettings {
    let address = |text: &str| match text {
        "localhost" => Ok(IpAddr::from([127, 0, 0, 1])),
        _ => text.parse().map_err(|_| format!("must be an IP address, not {text:?}")),
    };
    let host = r.parsed("HOST", IpAddr::from([127, 0, 0, 1]), address);
    let public = r.flag("DEMO_ALLOW_PUBLIC", false);
    if demo && !host.is_loopback() && !public {
        r.fault(
            "HOST",
            format!("{host} is open to others, and the demo's passwords are known to all: set DATABASE_URL, or DEMO_ALLOW_PUBLIC=true if you mean it"),
        );
    }
    let port = r.number("PORT", 8000, 0, u16::MAX);
    let public_url =
        r.parsed("PUBLIC_URL", "http://localhost:8000".to_owned(), |text| match url::Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                Ok(text.trim_end_matches('/').to_owned())
            }
            _ => Err(format!("must be an http or https address, not {text:?}")),
        });
    ListenSettings { host, port, public_url }
}

/// Examples that are in public, in this and in other projects' documentation.
const KNOWN: [&str; 6] = ["change-me", "changeme", "your-secret", "your_secret", "supersecret", "example"];

fn secret_fault(secret: &str) -> Option<String> {
    let lower = secret.to_ascii_lowercase();
    let digits = secret.bytes().all(|b| b.is_ascii_digit());
    let distinct = secret.chars().collect::<std::collections::BTreeSet<_>>().len();
    if secret.chars().count() < SHORTEST_SECRET {
        Some(format!("must be at least {SHORTEST_SECRET} characters: `openssl rand -base64 48` makes one"))
    } else if digits || distinct < 8 || KNOWN.iter().any(|known| lower.contains(known)) {
        Some("is an example or too simple: `openssl rand -base64 48` makes a good one".to_owned())
    } else {
        None
    }
}

fn secrets(r: &mut Reader<'_>, demo: bool) -> SecretSettings {
    let secret_key = r.secret("SECRET_KEY", &["JWT_SECRET"]);
    match &secret_key {
        None if !demo => r.faults.push(format!("{KEY_REQUIRED}: `openssl rand -base64 48` makes one")),
        None => {}
        Some(secret) => {
            if let Some(why) = secret_fault(secret.expose_secret()) {
                r.fault("SECRET_KEY", why);
            }
        }
    }
    r.parsed("JWT_ALGORITHM", "HS256".to_owned(), |text| match text {
        "HS256" => Ok(text.to_owned()),
        _ => Err(format!("must be HS256, not {text:?}")),
    });
    let previous = r.secret("JWT_PREVIOUS_KEYS", &[]);
    let previous = previous.as_ref().map_or("", |all| all.expose_secret());
    let previous_keys: Vec<_> =
        previous.split(',').map(str::trim).filter(|key| !key.is_empty()).map(SecretString::from).collect();
    if let Some(why) = previous_keys.iter().find_map(|key| secret_fault(key.expose_secret())) {
        r.fault("JWT_PREVIOUS_KEYS", format!("one of them {why}"));
    }
    SecretSettings { secret_key, previous_keys }
}

fn auth(r: &mut Reader<'_>) -> AuthSettings {
    AuthSettings {
        access_token: Duration::from_secs(60 * r.number("ACCESS_TOKEN_EXPIRE_MINUTES", 30, 1, 24 * 60)),
        refresh_token: Duration::from_secs(DAY * r.number("REFRESH_TOKEN_EXPIRE_DAYS", 7, 1, 365)),
        session: Duration::from_secs(DAY * r.number("SESSION_MAX_DAYS", 60, 1, 3650)),
        reuse_grace: Duration::from_secs(r.number("REFRESH_REUSE_GRACE_SECONDS", 0, 0, 10)),
    }
}

fn limits(r: &mut Reader<'_>, demo: bool, production: bool) -> LimitSettings {
    let default = Quota::new(if demo { 100 } else { 10 }, 15 * 60);
    let auth = r.parsed("AUTH_RATE_LIMIT", RateLimit(Some(default)), str::parse);
    if production && auth.0.is_none() {
        r.fault("AUTH_RATE_LIMIT", "must not be off in production");
    }
    let tenant =
        r.parsed("TENANT_RATE_LIMIT", TenantLimit::ByPlan, |text| text.parse().map(TenantLimit::Fixed));
    let redis = r.url("REDIS_URL").and_then(|url| match url.parse() {
        Ok(url) => Some(url),
        Err(why) => {
            r.fault("REDIS_URL", why);
            None
        }
    });
    LimitSettings { auth, tenant, redis }
}

fn trusted_proxies(r: &mut Reader<'_>) -> TrustedProxies {
    let blocks = r.list("TRUSTED_PROXIES", "");
    TrustedProxies::read(&blocks).unwrap_or_else(|faults| {
        faults.iter().for_each(|why| r.fault("TRUSTED_PROXIES", why));
        TrustedProxies::default()
    })
}

fn passwords(r: &mut Reader<'_>, demo: bool) -> Scheme {
    let scheme = r.parsed("PASSWORD_SCHEME", "bcrypt".to_owned(), |text| match text {
        "bcrypt" | "argon2id" => Ok(text.to_owned()),
        _ => Err(format!("must be bcrypt or argon2id, not {text:?}")),
    });
    let least = if demo { 4 } else { 10 };
    let cost = r.number("BCRYPT_COST", 12, least, 16);
    if scheme == "bcrypt" { Scheme::Bcrypt(cost) } else { Scheme::Argon2id(cost) }
}

fn mail(r: &mut Reader<'_>, demo: bool) -> Mail {
    let url = r.secret("SMTP_URL", &[]);
    let from = r.text("MAIL_FROM", "");
    match url {
        Some(_) if from.is_empty() => {
            r.fault("MAIL_FROM", "required with SMTP_URL: the address that mail comes from");
            Mail::Off
        }
        Some(url) => match SmtpServer::new(&url, &from) {
            Ok(server) => Mail::Smtp(Box::new(server)),
            Err((name, why)) => {
                r.fault(name, why);
                Mail::Off
            }
        },
        None if demo => Mail::Log,
        None => Mail::Off,
    }
}

fn origins(r: &mut Reader<'_>, production: bool) -> Vec<String> {
    let origins = r.list("ALLOWED_ORIGINS", "http://localhost:3000");
    for origin in &origins {
        let plain = url::Url::parse(origin).is_ok_and(|url| url.origin().ascii_serialization() == *origin);
        if origin.contains('*') {
            let why = if production {
                "wildcards are refused in production"
            } else {
                "wildcards are not supported"
            };
            r.fault("ALLOWED_ORIGINS", format!("{origin}: {why}, name each origin"));
        } else if !plain {
            r.fault("ALLOWED_ORIGINS", format!("{origin} is not an origin such as https://app.example.com"));
        }
    }
    origins
}

fn log_filter(r: &mut Reader<'_>, debug: bool) -> String {
    let default = if debug {
        "info,refinery_core=warn,tokio_postgres=warn,tenantry=debug"
    } else {
        "info,refinery_core=warn,tokio_postgres=warn"
    };
    r.parsed("RUST_LOG", default.to_owned(), |text| {
        telemetry::check_filter(text).map(|()| text.to_owned()).map_err(|e| format!("is not understood: {e}"))
    })
}

fn log_format(r: &mut Reader<'_>) -> LogFormat {
    let default = if LogFormat::detect() == LogFormat::Pretty { "pretty" } else { "json" };
    let format = r.parsed("LOG_FORMAT", default.to_owned(), |text| match text {
        "pretty" | "json" => Ok(text.to_owned()),
        _ => Err(format!("must be pretty or json, not {text:?}")),
    });
    if format == "pretty" { LogFormat::Pretty } else { LogFormat::Json }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5";

    fn faults(variables: &[(&str, &str)]) -> Vec<String> {
        Config::load(&Environment::of(variables.iter().copied())).err().unwrap_or_default()
    }

    #[test]
    fn nothing_configured_is_the_demo() {
        let config = Config::load(&Environment::default()).unwrap();
        assert!(config.demo && config.auto_migrate && config.http.docs && !config.production);
        assert_eq!((config.listen.host.to_string(), config.listen.port), ("127.0.0.1".to_owned(), 8000));
    }

    #[test]
    fn every_wrong_setting_is_named_at_once() {
        let found = faults(&[
            ("ENVIRONMENT", "production"),
            ("DATABASE_URL", "mysql://x"),
            ("SECRET_KEY", "short"),
            ("PORT", "eighty"),
            ("DEBUG", "true"),
            ("ALLOWED_ORIGINS", "*"),
            ("BCRYPT_COST", "9"),
            ("LOG_FORMAT", "xml"),
            ("REFRESH_REUSE_GRACE_SECONDS", "11"),
        ]);
        for name in [
            "DATABASE_URL",
            "SECRET_KEY",
            "PORT",
            "DEBUG",
            "ALLOWED_ORIGINS",
            "BCRYPT_COST",
            "LOG_FORMAT",
            "REFRESH_REUSE_GRACE_SECONDS",
        ] {
            assert_eq!(
                found.iter().filter(|f| f.starts_with(&format!("{name}: "))).count(),
                1,
                "{name}: {found:#?}"
            );
        }
        assert!(!found.iter().any(|f| f.contains("short")), "a secret is not repeated");
    }

    #[test]
    fn secrets_are_masked_and_files_are_read() {
        let file = std::env::temp_dir().join("tenantry-secret-of-a-test");
        std::fs::write(&file, format!("{GOOD}\n")).unwrap();
        let environment = Environment::of([
            (
                "DATABASE_URL",
                "postgresql+asyncpg://app:hunter2hunter2@db.internal:5433/app?sslmode=verify-full",
            ),
            ("SECRET_KEY_FILE", file.to_str().unwrap()),
            ("ALLOWED_ORIGINS", r#"["https://a.example", "https://b.example"]"#),
        ]);
        let (config, faults, settings) = Config::read(&environment);
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!(config.secrets.secret_key.as_ref().unwrap().expose_secret(), GOOD);
        assert_eq!(config.http.allowed_origins, ["https://a.example", "https://b.example"]);
        let shown = format!("{settings:?} {config:?}");
        assert!(!shown.contains(GOOD) && !shown.contains("hunter2"), "{shown}");
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn limits_are_read_and_wrong_ones_are_named() {
        let shown = |variables: &[(&str, &str)]| {
            let (config, faults, _) = Config::read(&Environment::of(variables.iter().copied()));
            assert_eq!(faults, Vec::<String>::new());
            (config.limits.auth.to_string(), config.limits.tenant.to_string(), config.limits.redis.is_some())
        };
        let own = [("DATABASE_URL", "sqlite:///tmp/x.db"), ("SECRET_KEY", GOOD)];
        assert_eq!(shown(&[]), ("100/15m".to_owned(), "by plan".to_owned(), false), "the demo");
        assert_eq!(shown(&own), ("10/15m".to_owned(), "by plan".to_owned(), false));
        let set = [
            ("AUTH_RATE_LIMIT", "off"),
            ("TENANT_RATE_LIMIT", "100/1h"),
            ("REDIS_URL", "redis://localhost"),
            ("TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
        ];
        assert_eq!(shown(&[own.as_slice(), &set].concat()), ("off".to_owned(), "100/1h".to_owned(), true));
        let wrong = [
            ("ENVIRONMENT", "production"),
            ("AUTH_RATE_LIMIT", "off"),
            ("TENANT_RATE_LIMIT", "many"),
            ("REDIS_URL", "http://:hunter2@localhost"),
            ("TRUSTED_PROXIES", "proxy, 10.0.0.0/40"),
        ];
        let found = faults(&[own.as_slice(), &wrong].concat());
        let names: Vec<_> = found.iter().map(|fault| fault.split(':').next().unwrap()).collect();
        let expected =
            ["TRUSTED_PROXIES", "TRUSTED_PROXIES", "AUTH_RATE_LIMIT", "TENANT_RATE_LIMIT", "REDIS_URL"];
        assert_eq!(names, expected, "{found:?}");
        let (_, _, settings) = Config::read(&Environment::of([("REDIS_URL", "redis://:hunter2@localhost")]));
        assert!(!format!("{settings:?} {found:?}").contains("hunter2"), "{settings:?} {found:?}");
    }

    #[test]
    fn weak_and_known_secrets_are_refused() {
        for secret in [
            "x",
            &"a".repeat(64),
            "change-me-change-me-change-me-change-me",
            "your-secret-key-at-least-32-characters-long",
        ] {
            let found = faults(&[("DATABASE_URL", "sqlite:///tmp/x.db"), ("SECRET_KEY", secret)]);
            assert_eq!(found.len(), 1, "{secret}: {found:?}");
        }
        assert_eq!(
            faults(&[("DATABASE_URL", "sqlite:///tmp/x.db"), ("JWT_SECRET", GOOD)]),
            Vec::<String>::new()
        );
        assert_eq!(faults(&[("HOST", "0.0.0.0")]).len(), 1, "the demo is for this machine");
        assert_eq!(faults(&[("HOST", "0.0.0.0"), ("DEMO_ALLOW_PUBLIC", "true")]), Vec::<String>::new());
    }
}
