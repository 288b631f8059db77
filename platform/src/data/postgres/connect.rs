//! Connections: how they begin, what is set on them, and whether they are in TLS.
use super::{
    super::{DatabaseSettings, LOCK_TIMEOUT, PoolState, STATEMENT_TIMEOUT, settings::PostgresTarget, tls},
    classified,
    lease::{Leased, Leases},
    pipeline::{Clear, InFlights},
};
use crate::error::{Error, Result};
use deadpool_postgres::{Manager, ManagerConfig, Pool, QueueMode, RecyclingMethod, Runtime};
use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use std::{sync::Arc, time::Duration};
use tokio_postgres::{
    AsyncMessage, Client, Config, NoTls,
    config::{Host, SslMode, SslNegotiation},
};

/// Set on every connection, so that nothing waits for ever. Generic plans: with `LIMIT $n` PostgreSQL otherwise plans a
/// list anew at every call. The cost of a random page is that of memory and of flash: with a disk's, tables of few
/// tenants are read whole for one row. The isolation tells what
/// runs without a `BEGIN`: each of ours names another.
fn session() -> String {
    let [statement, lock, idle] =
        [STATEMENT_TIMEOUT, LOCK_TIMEOUT, IDLE_IN_TRANSACTION_TIMEOUT].map(|limit| limit.as_millis());
    format!(
        "-c role=tenantry_login -c statement_timeout={statement} -c lock_timeout={lock} \
         -c idle_in_transaction_session_timeout={idle} -c plan_cache_mode=force_generic_plan \
         -c random_page_cost=1.1 -c default_transaction_isolation=read\\ uncommitted"
    )
}

/// How long a transaction may be open without a statement under way.
const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(in crate::data) struct Server {
    pool: Pool,
    leases: Leases,
    /// How each connection is begun.
    target: Arc<PostgresTarget>,
}

impl Server {
    pub(in crate::data) fn new(mut target: PostgresTarget, settings: &DatabaseSettings) -> Result<Self> {
        let options = [target.config.get_options().unwrap_or_default(), &session()].join(" ");
        limits(&mut target.config).options(options);
        let mut config = target.config.clone();
        // `Fast` costs no flight: a connection comes back with its ROLLBACK or COMMIT already in the pipeline.
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = match target.tls_config()? {
            Some(tls) => {
                let tls = tokio_postgres_rustls::MakeRustlsConnect::new(tls);
                Manager::from_config(config, InFlights(tls), recycling)
            }
            // without a host's name, as on a Unix socket, the driver puts no stream of ours under it
            None if config.get_hosts().iter().any(|host| !matches!(host, Host::Tcp(_))) => {
                Manager::from_config(config, NoTls, recycling)
            }
            None => {
                config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
                Manager::from_config(config, InFlights(Clear), recycling)
            }
        };
        let pool = Pool::builder(manager)
            .max_size(settings.connections)
            .wait_timeout(Some(settings.acquire_timeout))
            .create_timeout(Some(settings.acquire_timeout))
            .queue_mode(QueueMode::Lifo) // so that those in use stay the same
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(Error::internal)?;
        Ok(Self { pool, leases: Leases::new(settings.connections), target: Arc::new(target) })
    }

    /// A connection for one transaction.
    pub(super) async fn take(&self) -> Result<Leased> {
        self.leases.take(&self.pool).await
    }

    /// A connection beside the pool's, with what the server says on it unasked. It lives while that is read.
    pub(in crate::data) async fn listen(&self) -> Result<(Client, BoxStream<'static, Result<AsyncMessage>>)> {
        macro_rules! connected {
            ($tls:expr) => {{
                let (client, mut connection) = self.target.config.connect($tls).await.map_err(classified)?;
                let messages = stream::poll_fn(move |cx| connection.poll_message(cx));
                Ok((client, messages.map_err(classified).boxed()))
            }};
        }
        match self.target.tls_config()? {
            Some(tls) => connected!(tokio_postgres_rustls::MakeRustlsConnect::new(tls)),
            None => connected!(NoTls),
        }
    }

    pub(in crate::data) fn pool(&self) -> PoolState {
        let deadpool_postgres::Status { max_size, size, available, waiting } = self.pool.status();
        PoolState { most: max_size, open: size, idle: available, waiting: waiting + self.leases.waiting() }
    }

    pub(in crate::data) fn close(&self) {
        self.pool.close();
    }
}

/// A server that went away without a word is noticed.
fn limits(config: &mut Config) -> &mut Config {
    config
        .application_name("tenantry")
        .connect_timeout(Duration::from_secs(2))
        .tcp_user_timeout(Duration::from_secs(10))
        .keepalives_idle(Duration::from_secs(30))
}

impl PostgresTarget {
    /// A connection of its own as the role of `DATABASE_URL`, without the limits of the server's: for migrations.
    pub(in crate::data) async fn connect(&self) -> Result<Client> {
        let mut config = self.config.clone();
        limits(&mut config);
        macro_rules! connected {
            ($tls:expr) => {{
                let (client, connection) = config.connect($tls).await.map_err(classified)?;
                #[expect(clippy::disallowed_methods, reason = "ends with its client")]
                tokio::spawn(connection);
                Ok(client)
            }};
        }
        match self.tls_config()? {
            Some(tls) => connected!(tokio_postgres_rustls::MakeRustlsConnect::new(tls)),
            None => connected!(NoTls),
        }
    }

    fn tls_config(&self) -> Result<Option<rustls::ClientConfig>> {
        if !self.tls {
            return Ok(None);
        }
        let mut roots = tls::system_roots();
        if let Some(path) = &self.root_certificate {
            use rustls::pki_types::{CertificateDer, pem::PemObject};
            let unreadable = |e| Error::internal(format!("sslrootcert {}: {e}", path.display()));
            for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
                roots.add(certificate.map_err(unreadable)?).map_err(Error::internal)?;
            }
        }
        tls::client(roots).map(Some)
    }
}
