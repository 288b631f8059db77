//! What the service holds after a long time under load: memory and handles that are used are given back (ASVS 5.0, 1.4.3).
use crate::{
    CONNECTIONS, Result,
    data::{self, Asked, Filled, Route},
    load::{Bench, Load},
    proc,
    report::Report,
    server::Server,
};
use std::time::Duration;

/// By then caches are full: what is held later is compared with what is held now.
const SETTLED: u32 = 5;
/// By how much it may be more.
const MOST: f64 = 1.1;
/// The longest: tokens are for a day.
const LONGEST: u32 = 23 * 60;

/// What is held at a moment under load.
#[derive(Clone, Copy)]
struct Held {
    /// MiB.
    resident: f64,
    /// Without the connections to PostgreSQL, of which the pool opens one more when it first needs it.
    handles: i64,
}

/// Loads a server minute by minute, each with new connections, and looks at it before each minute's end. Reads are as many as
/// come; orders are placed and people sign in steadily.
pub async fn soak(
    bench: &Bench,
    (server, filled): (&Server, &Filled),
    tenants: u64,
    minutes: u32,
    report: &mut Report,
) -> Result<()> {
    if minutes <= SETTLED || minutes > LONGEST {
        return Err(format!("--soak: from {} to {LONGEST} minutes", SETTLED + 1).into());
    }
    let asked = data::asked(filled, server).await?;
    let loads = [reads(bench, &asked)?, orders(bench, &asked)?, sign_ins(bench, tenants)?];
    let mut minute = Vec::new();
    for number in 1..=minutes {
        let running = bench.start(server, &loads, 60)?;
        tokio::time::sleep(Duration::from_secs(55)).await;
        let held = held(server, filled).await?;
        let requests = bench.finish(running, &loads)?;
        eprintln!(
            "minute {number}: {requests:.0} requests/s, {:.1} MiB, {} handles",
            held.resident, held.handles
        );
        minute.push((number, requests, held));
    }
    let shown = minute.iter().filter(|(number, ..)| number.is_multiple_of(SETTLED) || *number == minutes);
    let row = |(number, requests, held): &(u32, f64, Held)| {
        let Held { resident, handles } = held;
        vec![number.to_string(), format!("{requests:.0}"), format!("{resident:.1}"), handles.to_string()]
    };
    let rows: Vec<_> = shown.map(row).collect();
    report.table(&["minute", "requests/s", "resident MiB", "handles"], &rows);
    let of = |number: u32| minute.get(number as usize - 1).map(|(.., held)| *held).ok_or("no such minute");
    judge(of(SETTLED)?, of(minutes)?, report)
}

async fn held(server: &Server, filled: &Filled) -> Result<Held> {
    let pool = data::on(&filled.superuser, async |client| {
        let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
             AND backend_type = 'client backend'";
        Ok(client.query_one(open, &[]).await?.get::<_, i64>(0))
    });
    let handles = i64::try_from(proc::handles(server.pid())?)? - pool.await?;
    Ok(Held { resident: proc::mebibytes(server.pid(), "VmRSS")?, handles })
}

fn judge(settled: Held, held: Held, report: &mut Report) -> Result<()> {
    let (memory, handles) = (held.resident / settled.resident, held.handles as f64 / settled.handles as f64);
    report.line("");
    report.line(&format!(
        "At the end to minute {SETTLED}: {memory:.2} of the memory, {handles:.2} of the handles (at most {MOST})."
    ));
    if memory > MOST || handles > MOST {
        return Err("more is held than at first: something is not given back".into());
    }
    Ok(())
}

fn reads(bench: &Bench, asked: &[Asked]) -> Result<Load> {
    let routes = [Route::Get, Route::List, Route::Me];
    let lines = asked.iter().zip(routes.iter().cycle());
    let lines = lines.map(|(asked, route)| format!("{} {}", asked.token, route.path(asked.order)));
    let requests = bench.requests("soak-reads", lines)?;
    Ok(Load { method: "GET", requests, body: None, connections: CONNECTIONS, pause: 0, refusals: false })
}

fn orders(bench: &Bench, asked: &[Asked]) -> Result<Load> {
    Ok(Load { pause: 50, ..Route::Create.load(bench, "soak", asked, 4)? })
}

fn sign_ins(bench: &Bench, tenants: u64) -> Result<Load> {
    let requests = bench.requests("soak-logins", ["- /api/v1/auth/login".to_owned()])?;
    let body = Some(data::login(tenants).to_string());
    Ok(Load { method: "POST", requests, body, connections: 1, pause: 2000, refusals: false })
}
