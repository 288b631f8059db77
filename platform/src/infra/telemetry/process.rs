//! What the system says of this process. Linux tells it in `/proc`; elsewhere nothing is told.
use ::metrics::gauge;
use std::fs;

/// Of `/proc/self/stat`, counted from the first that follows the name of the program.
const USER_TIME: usize = 11;
const SYSTEM_TIME: usize = 12;
const RESIDENT_PAGES: usize = 21;

/// Sets the gauges; those that cannot be found out are left as they are.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
pub(crate) fn observe() {
    let Ok(stat) = fs::read_to_string("/proc/self/stat") else { return };
    // the name stands in parentheses and may hold any character
    let fields: Vec<&str> =
        stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    let field =
        |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    gauge!("process_cpu_seconds_total").set((field(USER_TIME) + field(SYSTEM_TIME)) as f64 / ticks);
    let resident = field(RESIDENT_PAGES) * rustix::param::page_size() as u64;
    gauge!("process_resident_memory_bytes").set(resident as f64);
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // the folder itself is open while it is read
        gauge!("process_open_fds").set(open.count().saturating_sub(1) as f64);
    }
    if let Some((most, _)) = file_limits() {
        gauge!("process_max_fds").set(most as f64);
    }
}

/// How many files this process may have open, and how many it might; `None` where that is not told. What the library
/// would answer is made up where a sandbox forbids the question.
fn file_limits() -> Option<(u64, u64)> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let mut numbers =
        line.split_whitespace().map(|word| if word == "unlimited" { "18446744073709551615" } else { word });
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Asks for as many open files as the system lets this process have: the usual limit is from a time of programs that
/// could not deal with more. Answers the limit that holds then.
pub(crate) fn raise_most_files() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let (_, most) = file_limits()?;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: Some(most) });
    file_limits().map(|(now, _)| now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_files_may_be_open_as_can_be() {
        let (_, most) = file_limits().unwrap();
        assert!(most > 0);
        assert_eq!(raise_most_files(), Some(most));
        assert_eq!(file_limits(), Some((most, most)));
    }
}
