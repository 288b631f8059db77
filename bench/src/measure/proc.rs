//! What processes have used, from /proc.
use crate::Result;
use std::{fs, time::Duration};

/// Of the fields of `/proc/<pid>/stat` behind the name, which may have spaces in it.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// The sum of fields by their numbers in proc(5), in clock ticks of a hundredth of a second (`USER_HZ`).
fn ticks(stat: &[String], fields: &[usize]) -> u64 {
    fields.iter().filter_map(|field| stat.get(field - 3)?.parse::<u64>().ok()).sum()
}

const UTIME: usize = 14;
const STIME: usize = 15;
const CUTIME: usize = 16;
const CSTIME: usize = 17;
const PARENT: usize = 4;

fn time(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 10)
}

/// Processor time of a process, all its threads together, user and system.
pub fn cpu(pid: u32) -> Result<Duration> {
    let stat = stat(pid).ok_or_else(|| format!("process {pid} has ended"))?;
    Ok(time(ticks(&stat, &[UTIME, STIME])))
}

/// The same of PostgreSQL: the postmaster, every process that it has now, and those that have ended, whose time the
/// kernel adds to the postmaster's account of its children.
pub fn cpu_of_postgres(postmaster: u32) -> Result<Duration> {
    let own = stat(postmaster).ok_or("PostgreSQL has ended")?;
    let mut sum = ticks(&own, &[UTIME, STIME, CUTIME, CSTIME]);
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Some(stat) = stat(pid) else { continue };
        if stat.get(PARENT - 3).is_some_and(|parent| *parent == postmaster.to_string()) {
            sum += ticks(&stat, &[UTIME, STIME]);
        }
    }
    Ok(time(sum))
}

/// A line of `/proc/<pid>/status` in MiB: `VmRSS` is what is resident now, `VmHWM` the most that ever was.
pub fn mebibytes(pid: u32, line: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let value = status.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':'));
    let value = value.and_then(|v| v.trim().strip_suffix(" kB")).ok_or("an unknown line of status")?;
    Ok(value.parse::<f64>()? / 1024.0)
}

/// Open files and sockets of a process.
pub fn handles(pid: u32) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// What this is measured on.
pub fn machine() -> String {
    let first = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = first("/proc/meminfo", "MemTotal");
    let memory = memory.trim_end_matches(" kB").parse::<u64>().unwrap_or_default() / 1_048_576;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // with it every process of PostgreSQL's is a group of its own, beside that of the service
    let grouped = fs::read_to_string("/proc/sys/kernel/sched_autogroup_enabled").unwrap_or_default();
    let grouped = if grouped.trim() == "1" { ", sched_autogroup on" } else { "" };
    format!(
        "{cores} cores of {}, {memory} GiB, Linux {}{grouped}",
        first("/proc/cpuinfo", "model name"),
        kernel.trim()
    )
}
