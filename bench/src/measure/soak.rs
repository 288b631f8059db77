//! What the service holds after a long time under load: memory and handles that are used are given back (ASVS 5.0, 1.4.3).
use crate::{
    CONNECTIONS, Result,
    data::{self, Asked, Route},
    load::{Bench, Load},
    proc,
    report::Report,
    server::Server,
};

/// By then caches are full and pools are filled: what is held later is compared with what is held now.
const SETTLED: u32 = 5;
/// By how much it may be more.
const MOST: f64 = 1.1;

/// What is held at a moment under load.
#[derive(Clone, Copy)]
struct Held {
    resident: f64,
    handles: usize,
}

/// Loads a server minute by minute, each with new connections, and looks at it before each minute's end. Reads are as many as
/// come; orders are placed and people sign in steadily.
pub fn soak(
    bench: &Bench,
    server: &Server,
    asked: &[Asked],
    tenants: u64,
    minutes: u32,
    report: &mut Report,
) -> Result<()> {
    if minutes <= SETTLED {
        return Err(format!("--soak: more than {SETTLED} minutes, which it takes to settle").into());
    }
    let loads = [reads(bench, asked)?, orders(bench, asked)?, sign_ins(bench, tenants)?];
    let (mut rows, mut settled) = (Vec::new(), None);
    for minute in 1..=minutes {
        let look = || {
            Ok(Held {
                resident: proc::mebibytes(server.pid(), "VmRSS")?,
                handles: proc::handles(server.pid())?,
            })
        };
        let (held, requests) = bench.minute(server, &loads, look)?;
        eprintln!(
            "minute {minute}: {requests:.0} requests/s, {:.1} MiB, {} handles",
            held.resident, held.handles
        );
        if minute.is_multiple_of(SETTLED) || minute == minutes {
            let figures = [minute.to_string(), format!("{requests:.0}"), format!("{:.1}", held.resident)];
            rows.push([&figures[..], &[held.handles.to_string()]].concat());
        }
        let first = *settled.get_or_insert(held);
        if minute <= SETTLED {
            settled = Some(held);
        } else if minute == minutes {
            report.table(&["minute", "requests/s", "resident MiB", "handles"], &rows);
            return judge(first, held, report);
        }
    }
    Ok(())
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
