//! Reading the configuration whole.
use super::{Config, Environment};
use secrecy::ExposeSecret;

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
        ("WEBHOOK_SIGNING_SECRET", "secretsecretsecretsecretsecretsecret"),
        ("WEBHOOK_RETRY_SCHEDULE", "5s,soon"),
        ("WEBHOOK_MAX_RETRIES", "-1"),
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
        "WEBHOOK_SIGNING_SECRET",
        "WEBHOOK_RETRY_SCHEDULE",
        "WEBHOOK_MAX_RETRIES",
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
        ("DATABASE_URL", "postgresql+asyncpg://app:hunter2hunter2@db.internal:5433/app?sslmode=verify-full"),
        ("SECRET_KEY_FILE", file.to_str().unwrap()),
        ("WEBHOOK_SIGNING_SECRET_FILE", file.to_str().unwrap()),
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
    let own =
        [("DATABASE_URL", "sqlite:///tmp/x.db"), ("SECRET_KEY", GOOD), ("WEBHOOK_SIGNING_SECRET", GOOD)];
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
fn tokens_are_signed_under_a_secret_or_a_private_key() {
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
                           -----END PRIVATE KEY-----";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\
                          -----END PUBLIC KEY-----";
    let own =
        [("DATABASE_URL", "sqlite:///tmp/x.db"), ("SECRET_KEY", GOOD), ("WEBHOOK_SIGNING_SECRET", GOOD)];
    let both = format!("{PUBLIC},\n{GOOD}");
    let set = [("JWT_ALGORITHM", "EdDSA"), ("JWT_PRIVATE_KEY", PRIVATE), ("JWT_PREVIOUS_KEYS", &both)];
    let environment = Environment::of([own.as_slice(), &set].concat());
    let (config, found, settings) = Config::read(&environment);
    assert_eq!(found, Vec::<String>::new());
    assert!(config.secrets.private_key.is_some());
    assert_eq!(config.secrets.previous_keys.len(), 2);
    let shown = format!("{settings:?} {config:?}");
    assert!(!shown.contains("MC4CAQ") && !shown.contains(GOOD), "{shown}");
    for (wrong, name) in [
        (vec![("JWT_ALGORITHM", "RS256")], "JWT_ALGORITHM"),
        (vec![("JWT_ALGORITHM", "none")], "JWT_ALGORITHM"),
        (vec![("JWT_ALGORITHM", "EdDSA")], "JWT_PRIVATE_KEY"),
        (vec![("JWT_ALGORITHM", "EdDSA"), ("JWT_PRIVATE_KEY", PUBLIC)], "JWT_PRIVATE_KEY"),
        (vec![("JWT_PRIVATE_KEY", PRIVATE)], "JWT_PRIVATE_KEY"),
        (vec![("JWT_PREVIOUS_KEYS", PRIVATE)], "JWT_PREVIOUS_KEYS"),
        (vec![("JWT_PREVIOUS_KEYS", "short")], "JWT_PREVIOUS_KEYS"),
    ] {
        let found = faults(&[own.as_slice(), &wrong].concat());
        assert!(found.len() == 1 && found[0].starts_with(&format!("{name}: ")), "{wrong:?}: {found:?}");
        assert!(!found[0].contains("MC4CAQ") && !found[0].contains("MCowBQ"), "{found:?}");
    }
    let unsigned = Environment::of([own[0], ("JWT_ALGORITHM", "EdDSA")]);
    assert!(Config::load_without_key(&unsigned).is_ok(), "a migration signs nothing");
}

#[test]
fn webhooks_are_set_and_the_demo_allows_addresses_of_its_machine() {
    let read = |variables: &[(&str, &str)]| {
        let (config, faults, _) = Config::read(&Environment::of(variables.iter().copied()));
        assert_eq!(faults, Vec::<String>::new());
        let webhooks = config.webhooks;
        (config.egress.allow_private, webhooks.schedule.to_string(), webhooks.max_retries, webhooks.timeout)
    };
    let (allowed, schedule, retries, timeout) = read(&[]);
    assert_eq!((allowed, &*schedule, retries, timeout.as_secs()), (true, "5s,5m,30m,2h,5h,10h", 5, 15));
    let own =
        [("DATABASE_URL", "sqlite:///tmp/x.db"), ("SECRET_KEY", GOOD), ("WEBHOOK_SIGNING_SECRET", GOOD)];
    assert!(!read(&own).0);
    let set = [
        ("WEBHOOK_RETRY_SCHEDULE", "1s, 90s"),
        ("WEBHOOK_MAX_RETRIES", "2"),
        ("WEBHOOK_TIMEOUT_MS", "500"),
        ("WEBHOOK_ALLOW_PRIVATE_TARGETS", "true"),
    ];
    let (allowed, schedule, retries, timeout) = read(&[own.as_slice(), &set].concat());
    assert_eq!((allowed, &*schedule, retries, timeout.as_millis()), (true, "1s,90s", 2, 500));
}

#[test]
fn weak_and_known_secrets_are_refused() {
    for secret in [
        "x",
        &"a".repeat(64),
        "change-me-change-me-change-me-change-me",
        "your-secret-key-at-least-32-characters-long",
    ] {
        for (wrong, right) in
            [("SECRET_KEY", "WEBHOOK_SIGNING_SECRET"), ("WEBHOOK_SIGNING_SECRET", "SECRET_KEY")]
        {
            let found = faults(&[("DATABASE_URL", "sqlite:///tmp/x.db"), (wrong, secret), (right, GOOD)]);
            assert_eq!(found.len(), 1, "{secret}: {found:?}");
            assert!(found[0].starts_with(wrong), "{found:?}");
        }
    }
    let own =
        [("DATABASE_URL", "sqlite:///tmp/x.db"), ("JWT_SECRET", GOOD), ("WEBHOOK_SIGNING_SECRET", GOOD)];
    assert_eq!(faults(&own), Vec::<String>::new());
    let missing = faults(&own[..1]);
    let names: Vec<_> = missing.iter().map(|fault| fault.split(": ").take(2).collect::<Vec<_>>()).collect();
    assert_eq!(names, [["SECRET_KEY", "required"], ["WEBHOOK_SIGNING_SECRET", "required"]]);
    assert_eq!(faults(&[("HOST", "0.0.0.0")]).len(), 1, "the demo is for this machine");
    assert_eq!(faults(&[("HOST", "0.0.0.0"), ("DEMO_ALLOW_PUBLIC", "true")]), Vec::<String>::new());
}

/// What it can be started with and had better not be.
fn warnings(variables: &[(&str, &str)]) -> Vec<String> {
    let (config, faults, _) = Config::read(&Environment::of(variables.iter().copied()));
    assert_eq!(faults, Vec::<String>::new());
    config.warnings
}

#[test]
fn a_production_is_told_what_it_sends_in_the_clear() {
    let base = [("ENVIRONMENT", "production"), ("SECRET_KEY", GOOD), ("WEBHOOK_SIGNING_SECRET", GOOD)];
    let with = |others: &[(&'static str, &'static str)]| warnings(&[&base[..], others].concat());
    let open = with(&[
        ("DATABASE_URL", "postgres://app:of-its-own@db.internal/app?sslmode=prefer"),
        ("REDIS_URL", "redis://:of-its-own@cache.internal/0"),
    ]);
    let named: Vec<_> = open.iter().map(|line| line.split(':').next().unwrap_or_default()).collect();
    assert_eq!(named, ["PUBLIC_URL", "DATABASE_URL", "REDIS_URL"], "{open:?}");
    assert!(!open.iter().any(|line| line.contains("of-its-own")));
    let https = ("PUBLIC_URL", "https://api.example.com");
    for database in [
        "postgres://app@db.internal/app?sslmode=verify-full",
        "postgres://app@127.0.0.1/app",
        "postgres://app@[::1]/app",
        "postgres:///app?host=/run/postgresql",
        "sqlite:///var/lib/tenantry.db",
    ] {
        for redis in ["rediss://cache.internal/0", "redis://localhost:6379"] {
            let said = with(&[https, ("DATABASE_URL", database), ("REDIS_URL", redis)]);
            assert_eq!(said, Vec::<String>::new(), "{database} {redis}");
        }
    }
    let elsewhere = [
        ("DATABASE_URL", "postgres://app@db.internal/app"),
        ("SECRET_KEY", GOOD),
        ("WEBHOOK_SIGNING_SECRET", GOOD),
    ];
    assert_eq!(warnings(&elsewhere), Vec::<String>::new(), "a developer is not told");
}

#[test]
fn a_production_has_no_password_that_all_know() {
    for (url, known) in [
        ("postgres://postgres:postgres@localhost/app", true),
        ("postgres://app:ChangeMe@localhost/app", true),
        ("postgres://app:one-of-its-own@localhost/app", false),
        ("postgres://app@localhost/app", false),
    ] {
        let of = |environment| {
            let found = faults(&[
                ("ENVIRONMENT", environment),
                ("DATABASE_URL", url),
                ("SECRET_KEY", GOOD),
                ("WEBHOOK_SIGNING_SECRET", GOOD),
            ]);
            found.iter().any(|fault| fault.starts_with("DATABASE_URL: has a password that everybody knows"))
        };
        assert_eq!(of("production"), known, "{url}");
        assert!(!of("development"), "{url}");
    }
}

#[cfg(unix)]
#[test]
fn a_secret_in_a_file_that_others_can_read_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let file = std::env::temp_dir().join("tenantry-open-secret-of-a-test");
    std::fs::write(&file, GOOD).unwrap();
    let path = file.to_str().unwrap();
    for (mode, open) in [(0o400, false), (0o440, false), (0o444, true), (0o604, true)] {
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        let said = warnings(&[
            ("DATABASE_URL", "sqlite:///x.db"),
            ("SECRET_KEY_FILE", path),
            ("WEBHOOK_SIGNING_SECRET", GOOD),
        ]);
        assert_eq!(said.iter().any(|line| line.starts_with("SECRET_KEY_FILE: ")), open, "{mode:o} {said:?}");
    }
    std::fs::remove_file(&file).unwrap();
}
