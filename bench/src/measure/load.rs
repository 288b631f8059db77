//! One load, by wrk, and what it cost.
use crate::{Result, proc, server::Server};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// What is sent.
#[derive(Clone)]
pub struct Load {
    pub method: &'static str,
    /// A line for each request: its token, or `-`, and its path.
    pub requests: PathBuf,
    pub body: Option<String>,
    pub connections: u32,
    /// Milliseconds that a connection waits before each request.
    pub pause: u32,
    /// Whether answers that are no success may come.
    pub refusals: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// A second.
    pub requests: f64,
    /// Milliseconds.
    pub p50: f64,
    pub p99: f64,
    /// Microseconds of processor time for each request.
    pub server: f64,
    pub postgres: f64,
}

impl Sample {
    pub fn cost(&self) -> f64 {
        self.server + self.postgres
    }
}

/// Kept running until it is dropped or has ended.
pub struct Wrk(Child);

impl Drop for Wrk {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub struct Bench {
    pub folder: PathBuf,
    pub script: PathBuf,
    pub postmaster: u32,
    pub seconds: u32,
}

impl Bench {
    /// Loads a server for as long as is set, warms it up first, and says what a request has cost.
    pub fn measure(&self, server: &Server, load: &Load) -> Result<Sample> {
        finished(self.wrk(server, load, 1)?, load.refusals)?;
        let cost =
            || Ok::<_, crate::Fault>((proc::cpu(server.pid())?, proc::cpu_of_postgres(self.postmaster)?));
        let before = cost()?;
        let outcome = finished(self.wrk(server, load, self.seconds)?, load.refusals)?;
        let after = cost()?;
        let each = |before: Duration, after: Duration| {
            after.saturating_sub(before).as_secs_f64() * 1e6 / outcome.count
        };
        Ok(Sample {
            requests: outcome.count / outcome.seconds,
            p50: outcome.p50,
            p99: outcome.p99,
            server: each(before.0, after.0),
            postgres: each(before.1, after.1),
        })
    }

    /// The same while another load is on the server.
    pub fn measure_under(&self, server: &Server, load: &Load, storm: &Load) -> Result<Sample> {
        let storm = self.wrk(server, storm, self.seconds * 2 + 10)?;
        let sample = self.measure(server, load)?;
        drop(storm);
        Ok(sample)
    }

    /// Several loads together, for so many seconds.
    pub fn start(&self, server: &Server, loads: &[Load], seconds: u32) -> Result<Vec<Wrk>> {
        loads.iter().map(|load| self.wrk(server, load, seconds)).collect()
    }

    /// Their end: requests a second, of all together.
    pub fn finish(&self, running: Vec<Wrk>, loads: &[Load]) -> Result<f64> {
        let outcome = |(wrk, load): (Wrk, &Load)| finished(wrk, load.refusals);
        let rate = |outcome: Result<Outcome>| outcome.map(|outcome| outcome.count / outcome.seconds);
        running.into_iter().zip(loads).map(outcome).map(rate).sum()
    }

    fn wrk(&self, server: &Server, load: &Load, seconds: u32) -> Result<Wrk> {
        let mut command = Command::new("wrk");
        let threads = load.connections.min(2);
        command
            .args(["-t", &threads.to_string(), "-c", &load.connections.to_string()])
            .args(["-d", &format!("{seconds}s"), "--latency", "--timeout", "20s", "-s"])
            .arg(&self.script)
            .arg(format!("http://127.0.0.1:{}", server.port))
            .env("BENCH_METHOD", load.method)
            .env("BENCH_PAUSE", load.pause.to_string())
            .env("BENCH_REQUESTS", &load.requests)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        if let Some(body) = &load.body {
            command.env("BENCH_BODY", body);
        }
        Ok(Wrk(command.spawn().map_err(|e| format!("cannot run wrk: {e}"))?))
    }

    /// A file of requests.
    pub fn requests(&self, name: &str, lines: impl IntoIterator<Item = String>) -> Result<PathBuf> {
        let path = self.folder.join(name);
        let lines: Vec<_> = lines.into_iter().collect();
        fs::write(&path, lines.join("\n") + "\n")?;
        Ok(path)
    }
}

struct Outcome {
    count: f64,
    seconds: f64,
    p50: f64,
    p99: f64,
}

fn finished(mut wrk: Wrk, refusals: bool) -> Result<Outcome> {
    let mut said = String::new();
    let out = wrk.0.stdout.as_mut().ok_or("wrk has no output")?;
    std::io::Read::read_to_string(out, &mut said)?;
    let line = said.lines().find_map(|line| line.strip_prefix("RESULT "));
    let line = line.ok_or_else(|| format!("wrk did not finish: {said}"))?;
    let numbers: Vec<f64> = line.split(' ').map(str::parse).collect::<std::result::Result<_, _>>()?;
    let [count, micros, refused, broken, p50, p99] = numbers.as_slice() else {
        return Err(format!("wrk said: {line}").into());
    };
    if *count < 1.0 || *broken > 0.0 || (*refused > 0.0 && !refusals) {
        return Err(format!("of {count} requests {refused} were refused and {broken} broken").into());
    }
    Ok(Outcome { count: *count, seconds: micros / 1e6, p50: p50 / 1e3, p99: p99 / 1e3 })
}

/// The script of wrk, beside the requests.
pub fn script(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("load.lua");
    fs::write(&path, include_str!("load.lua"))?;
    Ok(path)
}
