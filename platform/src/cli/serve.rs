//! `tenantry serve` and `tenantry worker`: migrate where that is ours to do, seed the demo, listen and work, stop when told
//! to.
use super::{
    Faults, banner, fault,
    lifetime::{self, Signals},
};
use crate::{
    app::{App, CoreSettings},
    config::Config,
    core::Core,
    data::{self, Db, Mode, SystemReason, SystemSql},
    error::Result,
    infra::{clock::Clock, jobs::JobSettings, lifecycle::Stage, secret, telemetry::process},
    server::ServerSettings,
};
use secrecy::SecretString;
use std::{net::SocketAddr, time::Duration};
use tokio::net::TcpListener;

/// Open files beside those of connections: the log, sockets that listen, what libraries keep open.
const OTHER_FILES: usize = 64;

/// The API, and with `work` what a worker does too.
pub(super) async fn serve(app: &App, config: Config, work: bool) -> std::result::Result<(), Faults> {
    // before anything is made: who starts it twice by mistake is told, and finds no second database
    let listener = listen(SocketAddr::new(config.listen.host, config.listen.port), "PORT").await?;
    let metrics = listen_for_metrics(&config).await?;
    let core = start(app, &config).await?;
    let settings = within_open_files(&config);
    let address = listener.local_addr().map_err(|e| vec![format!("cannot listen: {e}")])?;
    let signals = Signals::catch()?; // whoever reads that it serves may stop it
    banner::print(&config, address);
    let api = async {
        let cut = app.server(&core, &config.app_name, settings.clone()).serve(listener).await;
        if cut > 0 {
            tracing::warn!(connections = cut, "requests had not finished in time and were cut off");
        }
    };
    let working = async {
        if work {
            do_jobs(app, &core, settings.shutdown_grace).await;
        }
    };
    let all = async { tokio::join!(api, working, tell_metrics(app, &core, metrics)) };
    lifetime::until_stopped(signals, &core, &settings, all).await;
    Ok(())
}

/// Jobs, deliveries and clean-up, without the API.
pub(super) async fn work(app: &App, config: Config) -> std::result::Result<(), Faults> {
    let metrics = listen_for_metrics(&config).await?;
    let core = start(app, &config).await?;
    // nobody balances between workers
    let settings = ServerSettings { shutdown_delay: Duration::ZERO, ..config.server };
    let signals = Signals::catch()?;
    tracing::info!(database = ?config.database.target, "working");
    let working = do_jobs(app, &core, settings.shutdown_grace);
    let all = async { tokio::join!(working, tell_metrics(app, &core, metrics)) };
    lifetime::until_stopped(signals, &core, &settings, all).await;
    Ok(())
}

/// Until it is told to stop.
async fn do_jobs(app: &App, core: &Core, grace: Duration) {
    let lifecycle = core.lifecycle.clone();
    let told = async move { lifecycle.reached(Stage::Stopping).await };
    app.worker(core, JobSettings::default()).run(told, grace).await;
}

/// Answers what was counted, where that has an address of its own.
async fn tell_metrics(app: &App, core: &Core, listener: Option<TcpListener>) {
    if let Some(listener) = listener {
        app.metrics_server(core).serve(listener).await;
    }
}

async fn listen_for_metrics(config: &Config) -> std::result::Result<Option<TcpListener>, Faults> {
    match config.metrics_address {
        Some(address) => listen(address, "METRICS_ADDR").await.map(Some),
        None => Ok(None),
    }
}

async fn listen(address: SocketAddr, name: &str) -> std::result::Result<TcpListener, Faults> {
    TcpListener::bind(address).await.map_err(|e| {
        vec![format!("cannot listen on {address}: {e}. Is it running already? {name} sets another")]
    })
}

/// As configured, and no more connections than there can be open files: those to the database need some too.
fn within_open_files(config: &Config) -> ServerSettings {
    let settings = config.server.clone();
    let Some(files) = process::raise_most_files().and_then(|files| usize::try_from(files).ok()) else {
        return settings;
    };
    let most = files.saturating_sub(config.database.connections + OTHER_FILES).max(1);
    if most < settings.most_connections {
        tracing::warn!(
            files,
            connections = most,
            "open files are limited, and so fewer connections are accepted"
        );
    }
    ServerSettings { most_connections: settings.most_connections.min(most), ..settings }
}

/// All that requests and work need, on a database that is up to date.
async fn start(app: &App, config: &Config) -> std::result::Result<Core, Faults> {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    bring_up_to_date(app, config).await?;
    let db = open(config).await?;
    let demo_secrets = if config.demo {
        app.seed(&db, &Clock::System).await.map_err(|e| fault("cannot seed the demo", &e))?;
        let secrets = demo_secrets(&db).await.map_err(|e| fault("cannot keep the demo's secrets", &e))?;
        secrets.map(Some)
    } else {
        [None, None]
    };
    let settings = CoreSettings::of(config, demo_secrets).map_err(|e| fault("cannot start", &e))?;
    app.core(db, settings).map_err(|e| fault("cannot start", &e))
}

/// Opens the database and sees that the service can work as the roles that are meant for it.
async fn open(config: &Config) -> std::result::Result<Db, Faults> {
    let db = Db::open(&config.database).map_err(|e| fault("cannot open the database", &e))?;
    db.ping().await.map_err(|e| {
        let mut faults = fault("cannot work with the database", &e);
        if db.kind() == "postgresql" {
            faults.push(
                "DATABASE_URL: its role must be able to become the service's: \
                 GRANT tenantry_login, tenantry_tenant, tenantry_system TO it"
                    .to_owned(),
            );
        }
        faults
    })?;
    let superuser = data::is_superuser(&config.database.target).await;
    if superuser.map_err(|e| fault("cannot reach the database", &e))? {
        tracing::warn!(
            "DATABASE_URL names a superuser. Its rights are given up on every connection, but a role that has none is \
             safer: docs/operations.md says how to make one"
        );
    }
    Ok(db)
}

/// Migrates on SQLite and where `AUTO_MIGRATE` says so; a PostgreSQL that is behind is refused.
pub(super) async fn bring_up_to_date(app: &App, config: &Config) -> std::result::Result<(), Faults> {
    let target = &config.database.target;
    if config.auto_migrate {
        return app.migrate(target).await.map_err(|e| fault("cannot migrate", &e));
    }
    let states =
        data::states(target, &app.migrations()).await.map_err(|e| fault("cannot reach the database", &e))?;
    match states.iter().filter(|state| !state.applied).count() {
        0 => Ok(()),
        behind => Err(vec![format!(
            "the database is {behind} migration(s) behind: run `tenantry migrate`, or set AUTO_MIGRATE=true"
        )]),
    }
}

/// Made at the first start and kept, so that tokens and the secrets of webhooks outlive a restart.
async fn demo_secrets(db: &Db) -> Result<[SecretString; 2]> {
    Ok([demo_secret(db, "secret_key").await?, demo_secret(db, "webhook_signing_secret").await?])
}

async fn demo_secret(db: &Db, name: &'static str) -> Result<SecretString> {
    let made = secret::encode(&secret::random()?);
    db.system(SystemReason::DemoSecrets, Mode::Write, async |conn| {
        let insert = SystemSql::new(
            "INSERT INTO demo_secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
        );
        conn.execute(insert, &[&name, &made]).await?;
        let kept = SystemSql::new("SELECT value FROM demo_secrets WHERE name = $1");
        let kept = conn.fetch_optional(kept, &[&name]).await?;
        Ok(kept.unwrap_or_else(|| made.clone()).into())
    })
    .await
}
