//! `tenantry serve` and `tenantry worker`: migrate where that is ours to do, seed the demo, listen and work, stop when told
//! to.
use super::{Faults, banner, fault};
use crate::{
    app::{App, CoreSettings},
    config::Config,
    core::Core,
    data::{self, Db, Mode, SystemReason, SystemSql},
    error::Result,
    infra::{clock::Clock, jobs::JobSettings, secret},
};
use axum::ServiceExt;
use secrecy::SecretString;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
};

/// How long requests in flight may take to finish once the service is told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// The API, and with `work` what a worker does too.
pub(super) async fn serve(app: &App, config: Config, work: bool) -> std::result::Result<(), Faults> {
    let address = SocketAddr::new(config.listen.host, config.listen.port);
    // before anything is made: who starts it twice by mistake is told, and finds no second database
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|e| {
        vec![format!("cannot listen on {address}: {e}. Is it running already? PORT sets another")]
    })?;
    let core = start(app, &config).await?;
    let address = listener.local_addr().map_err(|e| vec![format!("cannot listen on {address}: {e}")])?;
    banner::print(&config, address);
    let (stop, stopped) = watch::channel(false);
    let working = async {
        if work {
            app.worker(&core, JobSettings::default()).run(told(stopped), GRACE).await;
        }
    };
    let listening = async {
        let listened = listen(listener, app.service(&core, &config.app_name), &stop).await;
        stop.send_replace(true);
        listened
    };
    let (listened, ()) = tokio::select! {
        both = async { tokio::join!(listening, working) } => both,
        never = core.db.relay() => match never {},
    };
    listened?;
    core.db.close();
    tracing::info!("stopped");
    Ok(())
}

/// Jobs, deliveries and clean-up, without the API.
pub(super) async fn work(app: &App, config: Config) -> std::result::Result<(), Faults> {
    let core = start(app, &config).await?;
    tracing::info!(database = ?config.database.target, "working");
    let worker = app.worker(&core, JobSettings::default());
    tokio::select! {
        () = worker.run(signal(), GRACE) => {}
        never = core.db.relay() => match never {},
    }
    core.db.close();
    tracing::info!("stopped");
    Ok(())
}

async fn told(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
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

async fn listen(
    listener: TcpListener,
    service: crate::app::Service,
    stop_worker: &watch::Sender<bool>,
) -> std::result::Result<(), Faults> {
    let (told, stopping) = oneshot::channel();
    let stop_worker = stop_worker.clone();
    let stop = async move {
        signal().await;
        stop_worker.send_replace(true);
        let _ = told.send(());
    };
    let make =
        ServiceExt::<axum::extract::Request>::into_make_service_with_connect_info::<SocketAddr>(service);
    let serving = axum::serve(listener, make).with_graceful_shutdown(stop);
    let overdue = async {
        if stopping.await.is_err() {
            std::future::pending::<()>().await; // serving ended by itself
        }
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = serving.into_future() => served.map_err(|e| vec![format!("stopped serving: {e}")]),
        () = overdue => {
            tracing::warn!("requests were still running after {GRACE:?} and are cut off");
            Ok(())
        }
    }
}

/// SIGTERM, as service managers send it, or Ctrl-C.
async fn signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = tokio::signal::ctrl_c() => {}
                }
            }
            Err(_) => _ = tokio::signal::ctrl_c().await,
        }
    }
    #[cfg(not(unix))]
    let _ = tokio::signal::ctrl_c().await;
    tracing::info!("stopping: requests in flight are finished first");
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
