//! The command line. Wrong use exits 2; a start that cannot succeed exits 1 and says everything that is wrong at once.
mod banner;
mod lifetime;
mod seed;
mod serve;

use crate::{
    app::App,
    config::{Config, Environment, Setting},
    data,
    infra::telemetry::{self, Traces},
};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};

/// A multi-tenant SaaS backend in one binary.
///
/// Without DATABASE_URL it serves a demo on an embedded database. Everything is set by environment variables or a .env
/// file: `tenantry config` lists them.
#[derive(Parser)]
#[command(name = "tenantry", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API and work (this is what happens without a command)
    Serve {
        /// Leave jobs, webhook deliveries and clean-up to `tenantry worker`
        #[arg(long)]
        no_worker: bool,
    },
    /// Do jobs, webhook deliveries and clean-up, without the API
    Worker,
    /// Bring the database up to date and exit
    ///
    /// Safe when several nodes run it at once. `serve` does it itself on SQLite, and elsewhere with AUTO_MIGRATE=true.
    Migrate {
        /// List the migrations and whether this database has them, and change nothing
        #[arg(long)]
        status: bool,
    },
    /// Fill the database with the demo's tenants, or as many as a load test needs; what is there stays
    ///
    /// Refused in production: the passwords are known to all.
    Seed {
        /// Instead of the demo's, this many tenants for load tests: load-00001 and so on
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
        tenants: Option<u64>,
    },
    /// Print the OpenAPI document
    Openapi,
    /// Print the effective configuration, secrets masked, and what is wrong with it
    Config,
}

/// Reads the arguments, then the configuration, then does it.
pub(crate) fn run(app: &App) -> ExitCode {
    let matches =
        Arguments::command().mut_subcommand("seed", |seed| seed::arguments(app, seed)).get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
    let command = arguments.command.unwrap_or(Command::Serve { no_worker: false });
    let environment = match Environment::load() {
        Ok(environment) => environment,
        Err(faults) => return refuse(&faults),
    };
    if matches!(command, Command::Config) {
        let (config, faults, settings) = Config::read(&environment);
        return show(&settings, &config.warnings, &faults);
    }
    let loaded = match command {
        Command::Migrate { .. } | Command::Seed { .. } => Config::load_without_key(&environment),
        _ => Config::load(&environment),
    };
    let config = match loaded {
        Ok(config) => config,
        // the document depends on nothing but the name, so it can always be printed
        Err(_) if matches!(command, Command::Openapi) => Config::read(&environment).0,
        Err(faults) => return refuse(&faults),
    };
    if matches!(command, Command::Openapi) {
        let document = app.openapi(&config.app_name).to_pretty_json().unwrap_or_default();
        return print(&document);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return refuse(&[format!("cannot start: {e}")]),
    };
    // what a command does once is no trace
    let serves = matches!(command, Command::Serve { .. } | Command::Worker);
    let traces = config.traces.clone().filter(|_| serves);
    let traces = traces.map(|settings| Traces::start(settings, runtime.handle().clone())).transpose();
    let traces = match traces {
        Ok(traces) => traces,
        Err(e) => return refuse(&fault("cannot send traces", &e)),
    };
    telemetry::start(config.log_format, &config.log_filter, colours(), traces.as_ref());
    let outcome = runtime.block_on(async {
        let outcome = match command {
            Command::Migrate { status } => migrate(app, &config, status).await,
            Command::Seed { tenants } => {
                let plan = seed::plan(app, tenants, matches.subcommand_matches("seed"));
                seed::seed(app, &config, plan).await
            }
            Command::Worker => serve::work(app, config).await,
            Command::Serve { no_worker } => serve::serve(app, config, !no_worker).await,
            Command::Openapi | Command::Config => Ok(()), // done above
        };
        if let Some(traces) = traces {
            traces.end().await;
        }
        outcome
    });
    runtime.shutdown_background(); // a look-up of a name that hangs would be waited for
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(faults) => refuse(&faults),
    }
}

/// What went wrong, a line each.
type Faults = Vec<String>;

fn fault(what: &str, error: &crate::error::Error) -> Faults {
    vec![format!("{what}: {}", error.cause_chain().unwrap_or_else(|| error.detail().to_owned()))]
}

async fn migrate(app: &App, config: &Config, status: bool) -> Result<(), Faults> {
    let target = &config.database.target;
    if !status {
        app.migrate(target).await.map_err(|e| fault("cannot migrate", &e))?;
    }
    let states =
        data::states(target, &app.migrations()).await.map_err(|e| fault("cannot read the migrations", &e))?;
    let lines =
        states.iter().map(|s| format!("{}  {}\n", if s.applied { "applied" } else { "pending" }, s.name));
    print(&lines.collect::<String>());
    Ok(())
}

fn show(settings: &[Setting], warnings: &[String], faults: &[String]) -> ExitCode {
    let width = settings.iter().map(|s| s.name.len()).max().unwrap_or_default();
    let line =
        |s: &Setting| format!("{:width$}  {}{}\n", s.name, s.shown, if s.set { "" } else { "  (default)" });
    print(&settings.iter().map(line).collect::<String>());
    for warning in warnings {
        let _ = writeln!(std::io::stderr(), "warning: {warning}");
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { refuse(faults) }
}

/// A closed pipe (`| head`) is no fault; a full disk is.
fn print(text: &str) -> ExitCode {
    let mut out = std::io::stdout();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    match write!(out, "{text}{end}").and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => refuse(&[format!("cannot write: {e}")]),
        _ => ExitCode::SUCCESS,
    }
}

fn refuse(faults: &[String]) -> ExitCode {
    let mut out = std::io::stderr();
    for fault in faults {
        let _ = writeln!(out, "error: {fault}");
    }
    ExitCode::from(1)
}

/// Colours are for terminals whose user wants them (no-color.org).
fn colours() -> bool {
    #[expect(clippy::disallowed_methods, reason = "a convention of terminals, not a setting of the service")]
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stderr().is_terminal() && !refused
}
