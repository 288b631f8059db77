//! Loads the product and the floor in turn and says what a request of each has cost. `scripts/bench` builds both, starts
//! PostgreSQL and runs this.
#![expect(clippy::disallowed_methods, reason = "this is no service: it starts what it measures")]
mod compare;
mod data;
mod http;
mod load;
mod proc;
mod report;
mod server;
mod soak;

use clap::Parser;
use data::{Asked, Filled, Route};
use load::{Bench, Load, Sample};
use report::{FIGURES, Report, figures, median, of_limit, ratio};
use server::{Programs, Server};
use std::{error::Error, path::PathBuf, process::ExitCode};

/// Whatever went wrong: it is told, and the run ends.
pub type Fault = Box<dyn Error + Send + Sync>;
/// See [`Fault`].
pub type Result<T> = std::result::Result<T, Fault>;

/// Connections of a load.
const CONNECTIONS: u32 = 32;
/// Those that read while others sign in: one, whose wait is that of the machine alone, and as many as elsewhere.
const READING: [u32; 2] = [1, CONNECTIONS];
/// Those that sign in.
const SIGNING_IN: u32 = 64;
/// Rounds before the first that counts.
const UNCOUNTED: usize = 2;
/// Starts of the demo.
const STARTS: usize = 9;

/// What there is besides the routes.
const PARTS: [&str; 5] = ["scale", "sqlite", "start", "storm", "size"];

#[derive(Parser)]
struct Options {
    /// The product
    #[arg(long)]
    tenantry: PathBuf,
    /// The floor
    #[arg(long)]
    floor: PathBuf,
    /// A superuser of a throw-away PostgreSQL
    #[arg(long)]
    postgres: String,
    /// Its postmaster
    #[arg(long)]
    postmaster: u32,
    /// An empty folder
    #[arg(long)]
    folder: PathBuf,
    /// One round of two seconds on a tenth of the data
    #[arg(long)]
    quick: bool,
    /// Seconds of each load
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    /// Rounds, of which the median is shown
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Only these: health, me, get, list, create, scale, sqlite, start, storm, size
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Nothing but this: so many minutes under load, and what is held at the end
    #[arg(long, conflicts_with_all = ["only", "write"])]
    soak: Option<u32>,
    /// Writes the results into this document, between its marks
    #[arg(long)]
    write: Option<PathBuf>,
}

impl Options {
    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }

    fn check(&self) -> Result<()> {
        let known = |name: &String| {
            PARTS.contains(&name.as_str()) || Route::ALL.iter().any(|route| route.name() == name)
        };
        match self.only.iter().find(|name| !known(name)) {
            Some(name) => Err(format!("--only: there is no {name}").into()),
            None => Ok(()),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<()> {
    options.check()?;
    let bench = Bench {
        script: load::script(&options.folder)?,
        folder: options.folder.clone(),
        postmaster: options.postmaster,
        seconds: if options.quick { 2 } else { options.seconds },
    };
    let programs = Programs { tenantry: options.tenantry.clone(), floor: options.floor.clone() };
    let mut report = Report::default();
    let version = data::on(&options.postgres, async |client| {
        Ok(client.query_one("SHOW server_version", &[]).await?.get::<_, String>(0))
    });
    report.line(&format!("On {}, PostgreSQL {}.", proc::machine(), version.await?));
    let run = Run { rounds: if options.quick { 1 } else { options.rounds }, options, bench, programs };
    if let Some(minutes) = run.options.soak {
        return run.soaked(minutes, &mut report).await;
    }
    if run.options.wants("start") || run.options.wants("size") {
        run.start_and_size(&mut report)?;
    }
    run.on_postgres(&mut report).await?;
    if run.options.wants("sqlite") {
        run.on_sqlite(&mut report)?;
    }
    run.options.write.as_ref().map_or(Ok(()), |path| report.write(path))
}

struct Run {
    options: Options,
    rounds: usize,
    bench: Bench,
    programs: Programs,
}

/// A server, and what it is asked.
struct Target<'a> {
    name: &'static str,
    server: &'a Server,
    asked: &'a [Asked],
    samples: Vec<Sample>,
}

impl Run {
    fn routes(&self) -> Vec<Route> {
        Route::ALL.into_iter().filter(|route| self.options.wants(route.name())).collect()
    }

    /// Tenants and orders; a tenth of it where it shall be quick.
    fn sized(&self, tenants: u64, orders: u64) -> (u64, u64) {
        if self.options.quick { (tenants / 10, orders / 10) } else { (tenants, orders) }
    }

    async fn filled(&self, name: &str, (tenants, orders): (u64, u64), report: &mut Report) -> Result<Filled> {
        let size = self.sized(tenants, orders);
        let Options { postgres, folder, .. } = &self.options;
        let filled = data::fill(&self.programs, folder, postgres, name, size).await?;
        let took = filled.took.as_secs_f64();
        report.line(&format!("`seed --tenants {} --orders {}`: {took:.1} s.", size.0, size.1));
        Ok(filled)
    }

    fn start_and_size(&self, report: &mut Report) -> Result<()> {
        let mut starts = Vec::new();
        for _ in 0..STARTS {
            starts.push(self.programs.cold_start(&self.options.folder)?);
        }
        starts.sort();
        let start = starts[STARTS / 2].as_secs_f64() * 1e3;
        let size = std::fs::metadata(&self.programs.tenantry)?.len() as f64 / 1e6;
        report.line(&format!(
            "Cold start of the demo: {start:.0} ms (at most 200). Binary: {size:.1} MB (at most 30)."
        ));
        Ok(())
    }

    async fn on_postgres(&self, report: &mut Report) -> Result<()> {
        let routes = self.routes();
        let (scale, storm) = (self.options.wants("scale"), self.options.wants("storm"));
        if routes.is_empty() && !scale && !storm {
            return Ok(());
        }
        let folder = &self.options.folder;
        let small = self.filled("small", (100, 10_000), report).await?;
        let product = self.programs.serve(folder, &small.url, "product.log")?;
        let floor = self.programs.floor(folder, &small.superuser)?;
        let asked = data::asked(&small, &product).await?;
        compare::same(&small, &product, &floor, &asked, &routes).await?;
        let idle = self.programs.serve(folder, &small.url, "idle.log")?;
        let resting = proc::mebibytes(idle.pid(), "VmRSS")?;
        drop(idle);
        let large = if scale { Some(self.filled("large", (10_000, 1_000_000), report).await?) } else { None };
        let large = match &large {
            Some(filled) => {
                let server = self.programs.serve(folder, &filled.url, "large.log")?;
                let asked = data::asked(filled, &server).await?;
                Some((server, asked))
            }
            None => None,
        };
        if storm {
            self.under_a_storm(&product, &asked, report)?; // before PostgreSQL has to clean up behind what was written
        }
        let mut rows = Vec::new();
        let scaled =
            if routes.is_empty() && scale { vec![Route::Get, Route::List, Route::Create] } else { routes };
        if scaled.is_empty() {
            return Ok(());
        }
        for route in scaled {
            let mut targets = vec![target("floor", &floor, &asked), target("product", &product, &asked)];
            if let (Some((server, asked)), true) = (&large, route != Route::Health) {
                targets.push(target("product, 1 million orders", server, asked));
            }
            self.in_turn(route, &mut targets)?;
            rows.extend(rows_of(route, &targets));
        }
        let heads: Vec<_> = ["route", "server"].into_iter().chain(FIGURES).chain(["ratio"]).collect();
        report.table(&heads, &rows);
        let loaded = proc::mebibytes(product.pid(), "VmHWM")?;
        report.line("");
        report.line(&format!(
            "Memory of the product: {resting:.0} MiB idle (at most 30), {loaded:.0} MiB at most under load (at most 80)."
        ));
        Ok(())
    }

    async fn soaked(&self, minutes: u32, report: &mut Report) -> Result<()> {
        let size = self.sized(100, 10_000);
        let small = self.filled("small", size, report).await?;
        let product = self.programs.serve(&self.options.folder, &small.url, "/dev/null")?;
        soak::soak(&self.bench, (&product, &small), size.0, minutes, report).await
    }

    /// All targets once a round, and rounds short, so that what else the machine does meets all alike. The first are not
    /// counted: in them each process of PostgreSQL's comes upon most pages of a large table for the first time, which costs it
    /// a page fault each.
    fn in_turn(&self, route: Route, targets: &mut [Target<'_>]) -> Result<()> {
        for round in 0..UNCOUNTED + self.rounds {
            for target in &mut *targets {
                let load = route.load(&self.bench, target.name, target.asked, CONNECTIONS)?;
                let sample = self.bench.measure(target.server, &load)?;
                eprintln!("{} {}, round {round}: {sample:.1?}", route.name(), target.name);
                if round >= UNCOUNTED {
                    target.samples.push(sample);
                }
            }
        }
        Ok(())
    }

    /// In turn, in quiet and while others sign in.
    fn under_a_storm(&self, product: &Server, asked: &[Asked], report: &mut Report) -> Result<()> {
        let tenants = self.sized(100, 0).0;
        let requests = self.bench.requests("logins", ["- /api/v1/auth/login".to_owned()])?;
        let body = Some(data::login(tenants).to_string());
        let logins =
            Load { method: "POST", requests, body, connections: SIGNING_IN, pause: 0, refusals: true };
        let mut rows = Vec::new();
        for connections in READING {
            let get = Route::Get.load(&self.bench, "storm", asked, connections)?;
            let (mut quiet, mut storm) = (Vec::new(), Vec::new());
            for _ in 0..self.rounds {
                quiet.push(self.bench.measure(product, &get)?);
                storm.push(self.bench.measure_under(product, &get, &logins)?);
            }
            let (quiet, storm) = (median(&quiet), median(&storm));
            for (when, sample) in [("quiet", &quiet), ("storm", &storm)] {
                let names = vec![connections.to_string(), when.to_owned()];
                let ratio = vec![format!("{:.1}", sample.p99 / quiet.p99)];
                rows.push([names, figures(sample)[..3].to_vec(), ratio].concat());
            }
        }
        let heads = ["connections that read an order", "64 that sign in (bcrypt, cost 12)"];
        report.table(&[&heads, &FIGURES[..3], &["p99 to quiet"]].concat(), &rows);
        Ok(())
    }

    fn on_sqlite(&self, report: &mut Report) -> Result<()> {
        let folder = self.options.folder.join("sqlite");
        std::fs::create_dir(&folder)?;
        let url = format!("sqlite://{}", folder.join("bench.db").display());
        let size = self.sized(100, 10_000);
        data::seed(&self.programs, &folder, &url, size.0, size.1)?;
        let server = self.programs.serve(&folder, &url, "product.log")?;
        let asked = data::asked_over_api(&server, size.0.min(20))?;
        let mut rows = Vec::new();
        for route in Route::ALL.into_iter().filter(|route| *route != Route::Health) {
            let mut targets = [target("sqlite", &server, &asked)];
            self.in_turn(route, &mut targets)?;
            let figures = figures(&median(&targets[0].samples));
            rows.push([vec![route.shown().to_owned()], figures[..4].to_vec()].concat());
        }
        report.table(&[&["on SQLite"], &FIGURES[..4]].concat(), &rows);
        Ok(())
    }
}

fn target<'a>(name: &'static str, server: &'a Server, asked: &'a [Asked]) -> Target<'a> {
    Target { name, server, asked, samples: Vec::new() }
}

/// What is asked of the product: cost to the floor's.
fn limit(route: Route) -> Option<f64> {
    match route {
        Route::Get => Some(1.6),
        Route::List => Some(1.2),
        Route::Create => Some(1.5),
        Route::Health | Route::Me => None,
    }
}

/// The product's cost to the floor's, and that of much data to that of little.
fn rows_of(route: Route, targets: &[Target<'_>]) -> Vec<Vec<String>> {
    let row = |(i, target): (usize, &Target<'_>)| {
        let against = match i {
            0 => "1".to_owned(),
            1 => of_limit(ratio(&target.samples, &targets[0].samples), limit(route)),
            _ => {
                let ratio = ratio(&target.samples, &targets[1].samples);
                format!("{} to 10 thousand", of_limit(ratio, limit(route).map(|_| 1.15)))
            }
        };
        let names = vec![route.shown().to_owned(), target.name.to_owned()];
        [names, figures(&median(&target.samples)), vec![against]].concat()
    };
    targets.iter().enumerate().map(row).collect()
}
