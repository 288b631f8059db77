//! Where the database is and how long anything may wait for it.
use std::{path::PathBuf, str::FromStr, time::Duration};
use url::Url;

/// What the data layer needs to know.
#[derive(Clone, Debug)]
pub struct DatabaseSettings {
    /// Which database.
    pub target: DatabaseTarget,
    /// The most connections at a time.
    pub connections: usize,
    /// How long a request waits for one; then it is a 503.
    pub acquire_timeout: Duration,
    /// SQLite alone: whether a commit survives a power cut, not only a crash of the process.
    pub durable: bool,
}

/// A database of either kind.
#[derive(Clone)]
pub enum DatabaseTarget {
    /// A server.
    Postgres(Box<PostgresTarget>),
    /// A file.
    Sqlite(PathBuf),
}

/// A PostgreSQL server, and whether it is spoken to in TLS.
#[derive(Clone)]
pub struct PostgresTarget {
    pub(super) config: tokio_postgres::Config,
    /// `sslmode=require` or stricter: the certificate is always verified.
    pub(super) tls: bool,
    /// `sslrootcert`: trusted besides the system's certificates.
    pub(super) root_certificate: Option<PathBuf>,
}

impl DatabaseTarget {
    /// The password that it is reached with.
    pub(crate) fn password(&self) -> Option<&[u8]> {
        match self {
            Self::Postgres(target) => target.config.get_password(),
            Self::Sqlite(_) => None,
        }
    }

    /// Whether statements and rows pass a network without TLS.
    pub(crate) fn crosses_a_network_in_the_clear(&self) -> bool {
        use tokio_postgres::config::Host;
        let Self::Postgres(target) = self else { return false };
        let remote = |host: &Host| match host {
            Host::Tcp(name) => !is_loopback(name),
            #[cfg(unix)]
            Host::Unix(_) => false,
        };
        !target.tls && target.config.get_hosts().iter().any(remote)
    }
}

/// Whether a host of a URL is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let plain = host.trim_matches(['[', ']']);
    plain == "localhost" || plain.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

impl std::fmt::Debug for DatabaseTarget {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Postgres(target) => {
                f.write_str("PostgreSQL")?;
                for (host, port) in target
                    .config
                    .get_hosts()
                    .iter()
                    .zip(target.config.get_ports().iter().chain(std::iter::repeat(&5432)))
                {
                    match host {
                        tokio_postgres::config::Host::Tcp(name) => write!(f, " {name}:{port}")?,
                        #[cfg(unix)]
                        tokio_postgres::config::Host::Unix(path) => write!(f, " {}", path.display())?,
                    }
                }
                write!(f, "/{}", target.config.get_dbname().unwrap_or_default())
            }
            Self::Sqlite(path) => write!(f, "SQLite {}", path.display()),
        }
    }
}

impl FromStr for DatabaseTarget {
    type Err = String;

    /// `postgres://…`, `postgresql://…`, `postgresql+asyncpg://…`, `sqlite:///absolute` or `sqlite://relative`.
    fn from_str(text: &str) -> Result<Self, String> {
        const SHAPE: &str = "must be postgres://user@host/database or sqlite:///path/to/file.db";
        let (scheme, rest) = text.split_once("://").ok_or(SHAPE)?;
        match scheme.to_ascii_lowercase().as_str() {
            "sqlite" | "sqlite+aiosqlite" => {
                if let Some((_, parameters)) = rest.split_once('?') {
                    return Err(format!("takes no parameters for SQLite: {parameters}"));
                }
                let path = rest;
                if path.contains(":memory:") {
                    return Err(
                        "must name a file: a database in memory is gone with its connection".to_owned()
                    );
                }
                if path.is_empty() || path.ends_with('/') {
                    Err(SHAPE.into())
                } else {
                    Ok(Self::Sqlite(path.into()))
                }
            }
            "postgres" | "postgresql" | "postgresql+asyncpg" => postgres(rest),
            _ => Err(SHAPE.into()),
        }
    }
}

/// libpq's `sslmode` words that the driver does not know are folded to the one that verifies.
fn postgres(rest: &str) -> Result<DatabaseTarget, String> {
    let mut url = Url::parse(&format!("postgresql://{rest}")).map_err(|_| "is not a URL".to_owned())?;
    let mut tls = false;
    let mut root_certificate = None;
    let mut kept = Vec::new();
    for (name, value) in url.query_pairs() {
        match (&*name, &*value) {
            ("sslmode" | "ssl", "disable" | "allow" | "prefer" | "false") => {}
            ("sslmode" | "ssl", "require" | "verify-ca" | "verify-full" | "true") => tls = true,
            ("sslmode" | "ssl", other) => return Err(format!("has an unknown sslmode: {other}")),
            ("sslrootcert", path) => root_certificate = Some(PathBuf::from(path)),
            _ => kept.push((name.into_owned(), value.into_owned())),
        }
    }
    // a blank is + in a form and %20 here
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish();
    url.set_query(Some(query.replace('+', "%20").as_str()).filter(|query| !query.is_empty()));
    let mut config: tokio_postgres::Config = url.as_str().parse().map_err(|e: tokio_postgres::Error| {
        let cause = std::error::Error::source(&e).map(ToString::to_string);
        format!("is not understood: {}", cause.unwrap_or_else(|| e.to_string()))
    })?;
    if config.get_hosts().is_empty() {
        return Err("names no host".into());
    }
    config.ssl_mode(if tls {
        tokio_postgres::config::SslMode::Require
    } else {
        tokio_postgres::config::SslMode::Disable
    });
    Ok(DatabaseTarget::Postgres(Box::new(PostgresTarget { config, tls, root_certificate })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_the_driver_arrive_as_they_are_meant() {
        let url = "postgres://app@localhost/app?sslmode=require&options=-c%20lock_timeout%3D2s&application_name=a%2Bb";
        let Ok(DatabaseTarget::Postgres(target)) = url.parse() else { panic!("{url}") };
        assert!(target.tls);
        assert_eq!(target.config.get_options(), Some("-c lock_timeout=2s"));
        assert_eq!(target.config.get_application_name(), Some("a+b"));
        let Ok(DatabaseTarget::Postgres(target)) = "postgres://localhost/app?ssl=false".parse() else {
            panic!()
        };
        assert_eq!((target.tls, target.config.get_options()), (false, None));
    }
}
