//! `tenantry seed`: the demo's tenants, or as many as a load test needs.
use super::{Faults, fault, print, serve};
use crate::{
    app::App,
    config::Config,
    data::{DatabaseSettings, Db},
    infra::clock::Clock,
    seed::{self, BulkPlan, DEMO_PASSWORD},
};
use clap::{Arg, ArgMatches, Command, value_parser};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The most rows of a domain.
const MOST: u64 = 1_000_000_000;

/// `--<domain> M` for each domain that has rows in bulk.
pub(super) fn arguments(app: &App, mut command: Command) -> Command {
    for (name, _) in app.bulk_seeds() {
        let help = format!("With --tenants: this many {name} in all, shared out evenly");
        let arg = Arg::new(name).long(name).value_name("M").requires("tenants").help(help);
        command = command.arg(arg.value_parser(value_parser!(u64).range(..=MOST)));
    }
    command
}

/// What the arguments ask for; `None` without `--tenants`.
pub(super) fn plan(app: &App, tenants: Option<u64>, arguments: Option<&ArgMatches>) -> Option<BulkPlan> {
    let wanted = |name| arguments.and_then(|arguments| arguments.get_one::<u64>(name)).copied();
    let rows = app.bulk_seeds().filter_map(|(name, bulk)| Some((bulk, wanted(name)?))).collect();
    Some(BulkPlan { tenants: tenants?, rows })
}

pub(super) async fn seed(app: &App, config: &Config, bulk: Option<BulkPlan>) -> Result<(), Faults> {
    if config.production {
        return Err(vec![
            "ENVIRONMENT: production is not seeded: the demo's passwords are known to all".to_owned(),
        ]);
    }
    serve::bring_up_to_date(app, config).await?;
    // a power cut may take the end of it back: then it is run again
    let settings =
        DatabaseSettings { durable: config.database.durable && bulk.is_none(), ..config.database.clone() };
    let db = Db::open(&settings).map_err(|e| fault("cannot open the database", &e))?;
    let Some(plan) = bulk else {
        let made = app.seed(&db, &Clock::System).await.map_err(|e| fault("cannot seed", &e))?;
        print(&match made.as_slice() {
            [] => "The demo's tenants are there already.\n".to_owned(),
            made => format!("Made: {}. Everybody's password: {DEMO_PASSWORD}\n", made.join(", ")),
        });
        return Ok(());
    };
    let bar = progress(plan.steps());
    let seeded = seed::bulk(&db, &Clock::System, &plan, &|steps| bar.inc(steps)).await;
    bar.finish_and_clear();
    seeded.map_err(|e| fault("cannot seed", &e))?;
    print(&format!(
        "There are {} tenants for load tests: sign in to load-00001 as owner@load-00001.test, and so on. \
         Everybody's password: {DEMO_PASSWORD}\n",
        plan.tenants
    ));
    Ok(())
}

/// On a terminal whose user wants more than plain text.
fn progress(steps: u64) -> ProgressBar {
    let target = if super::colours() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(steps), target);
    match ProgressStyle::with_template(
        "{wide_bar} {percent}%  {human_pos} of {human_len}  {per_sec}  {eta} left",
    ) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
