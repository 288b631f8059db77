//! Connections: how they begin, what is set on them, and whether they are in TLS.
use super::{
    super::{DatabaseSettings, LOCK_TIMEOUT, PoolState, STATEMENT_TIMEOUT, settings::PostgresTarget, tls},
    classified,
    lease::{Leased, Leases},
    pipeline::{Clear, InFlights, Unsent},
};
use crate::error::{Error, Result};
use deadpool::{
    Runtime,
    managed::{self, Metrics, QueueMode, RecycleError, RecycleResult},
};
use deadpool_postgres::ClientWrapper;
use futures_util::{
    FutureExt, StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use std::{ops::Deref, sync::Arc, time::Duration};
use tokio_postgres::{
    AsyncMessage, Client, Config, NoTls, Socket,
    config::{Host, SslMode, SslNegotiation},
    tls::MakeTlsConnect,
};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Set on every connection, so that nothing waits for ever. Generic plans: with `LIMIT $n` PostgreSQL otherwise plans a
/// list anew at every call. The cost of a random page is that of memory and of flash: with a disk's, tables of few
/// tenants are read whole for one row. The isolation is that of reads, since one that is sent at once has no `BEGIN`; that
/// of a write names another, which tells the two apart.
fn session() -> String {
    let [statement, lock, idle] =
        [STATEMENT_TIMEOUT, LOCK_TIMEOUT, IDLE_IN_TRANSACTION_TIMEOUT].map(|limit| limit.as_millis());
    format!(
        "-c role=tenantry_login -c statement_timeout={statement} -c lock_timeout={lock} \
         -c idle_in_transaction_session_timeout={idle} -c plan_cache_mode=force_generic_plan \
         -c random_page_cost=1.1 -c default_transaction_isolation=repeatable\\ read"
    )
}

/// How long a transaction may be open without a statement under way.
const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection of the pool.
pub(in crate::data) struct Conn {
    client: ClientWrapper,
    /// Of the flight that is next.
    pub(super) unsent: Unsent,
}

impl Deref for Conn {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        &self.client
    }
}

/// How the connections of the pool are begun.
pub(super) struct Connections {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    /// Whether a stream of ours is put under the driver. Not without a host's name, as on a Unix socket.
    in_flights: bool,
}

pub(super) type Pool = managed::Pool<Connections>;
type DriverResult<T> = std::result::Result<T, tokio_postgres::Error>;

impl Connections {
    fn new(mut config: Config, tls: Option<MakeRustlsConnect>) -> Self {
        let in_flights = config.get_hosts().iter().all(|host| matches!(host, Host::Tcp(_)));
        if tls.is_none() && in_flights {
            config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
        }
        Self { config, tls, in_flights }
    }

    async fn begin<T>(&self, tls: T) -> DriverResult<ClientWrapper>
    where
        T: MakeTlsConnect<Socket, Stream: Send + 'static>,
    {
        let (client, connection) = self.config.connect(tls).await?;
        #[expect(clippy::disallowed_methods, reason = "ends with its client")]
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(%error, "a connection to the database has ended");
            }
        });
        Ok(ClientWrapper::new(client, driver))
    }
}

impl managed::Manager for Connections {
    type Type = Conn;
    type Error = tokio_postgres::Error;

    async fn create(&self) -> DriverResult<Conn> {
        let unsent = Unsent::default();
        // boxed: it is rare, and each transaction would be as large
        let client = match self.tls.clone() {
            Some(tls) => self.begin(InFlights(tls, unsent.clone())).boxed(),
            None if self.in_flights => self.begin(InFlights(Clear, unsent.clone())).boxed(),
            None => self.begin(NoTls).boxed(),
        };
        let client = client.await?;
        Ok(Conn { client, unsent })
    }

    /// It costs no flight: a connection comes back with its ROLLBACK or COMMIT already in the pipeline.
    async fn recycle(&self, conn: &mut Conn, _: &Metrics) -> RecycleResult<Self::Error> {
        if conn.is_closed() { Err(RecycleError::message("it is closed")) } else { Ok(()) }
    }
}

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
        let tls = target.tls_config()?.map(MakeRustlsConnect::new);
        let pool = Pool::builder(Connections::new(target.config.clone(), tls))
            .max_size(settings.connections)
            .wait_timeout(Some(settings.acquire_timeout))
            .create_timeout(Some(settings.acquire_timeout))
            .queue_mode(QueueMode::Lifo) // so that those in use stay the same
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(Error::internal)?;
        Ok(Self { pool, leases: Leases::new(settings.connections), target: Arc::new(target) })
    }

    /// Whether statements that leave together may do so without a `BEGIN`.
    pub(super) fn keeps_flights_together(&self) -> bool {
        self.pool.manager().in_flights
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
            Some(tls) => connected!(MakeRustlsConnect::new(tls)),
            None => connected!(NoTls),
        }
    }

    pub(in crate::data) fn pool(&self) -> PoolState {
        let managed::Status { max_size, size, available, waiting } = self.pool.status();
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
            Some(tls) => connected!(MakeRustlsConnect::new(tls)),
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
