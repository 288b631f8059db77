//! What a connection waits for, and until when. Written where bytes and requests pass, read by the task that ends the
//! connection when it is overdue, and by the one that closes idle connections.
use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};
use tokio::time::Instant;

/// How long each wait may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    pub head: Duration,
    pub keep_alive: Duration,
    pub write: Duration,
}

/// After the last answer so long is read and thrown away, so that the client sees the answer and not a reset.
const LINGER: Duration = Duration::from_secs(1);

/// A client that reads at least as fast is never cut off, however long its answer is.
const LEAST_BYTES_PER_SECOND: f64 = 4096.0;

/// What it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// For a first byte.
    New,
    /// For the rest of a head.
    Head,
    /// For an answer of ours.
    Busy,
    /// For another request.
    Idle,
    /// For the client to have seen the last answer.
    Lingering,
    /// For nothing: it is being closed.
    Doomed,
}

impl Phase {
    const ALL: [Self; 6] = [Self::New, Self::Head, Self::Busy, Self::Idle, Self::Lingering, Self::Doomed];

    const fn number(self) -> u64 {
        self as u64
    }
}

/// Why a connection was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    Waiting(Phase),
    Writing,
}

pub(super) struct Watch {
    began: Instant,
    /// Microseconds from `began` to the beginning of this phase; in the lowest bits which one it is.
    state: AtomicU64,
    /// Microseconds from `began` until which a write must have gone on; 0 while none waits.
    write_by: AtomicU64,
    deadlines: Deadlines,
}

const PHASE_BITS: u32 = 3;

impl Watch {
    pub fn new(deadlines: Deadlines) -> Self {
        Self { began: Instant::now(), state: AtomicU64::new(0), write_by: AtomicU64::new(0), deadlines }
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX >> PHASE_BITS)
    }

    fn packed(&self, phase: Phase) -> u64 {
        (self.elapsed() << PHASE_BITS) | phase.number()
    }

    fn unpacked(state: u64) -> (Phase, Duration) {
        let number = state & ((1 << PHASE_BITS) - 1);
        let phase = Phase::ALL.into_iter().find(|phase| phase.number() == number).unwrap_or(Phase::Doomed);
        (phase, Duration::from_micros(state >> PHASE_BITS))
    }

    fn now(&self) -> (Phase, Duration) {
        Self::unpacked(self.state.load(Relaxed))
    }

    /// Goes on, unless it is being closed; says whether it did.
    fn enter(&self, phase: Phase, from: impl Fn(Phase, Duration) -> bool) -> bool {
        let next = self.packed(phase);
        let changed = self.state.fetch_update(Relaxed, Relaxed, |state| {
            let (now, since) = Self::unpacked(state);
            (now != Phase::Doomed && from(now, since)).then_some(next)
        });
        changed.is_ok()
    }

    /// Bytes came in.
    pub fn heard(&self) {
        if matches!(self.now().0, Phase::New | Phase::Idle) {
            self.enter(Phase::Head, |now, _| matches!(now, Phase::New | Phase::Idle));
        }
    }

    /// A head is complete. False if the connection is being closed: then the request must not be begun.
    pub fn begin(&self) -> bool {
        self.enter(Phase::Busy, |_, _| true)
    }

    /// The answer was handed over to be sent.
    pub fn answered(&self) {
        self.enter(Phase::Idle, |now, _| now == Phase::Busy);
    }

    /// Nothing more will be answered.
    pub fn linger(&self) {
        self.enter(Phase::Lingering, |now, _| now != Phase::Lingering);
    }

    /// Closes it if it has waited for so long for another request, or for its first; then none of it will be begun.
    pub fn doom_idle(&self, another: Duration, first: Duration) -> bool {
        let now = self.began.elapsed();
        self.enter(Phase::Doomed, |phase, since| match phase {
            Phase::Idle => now.saturating_sub(since) >= another,
            Phase::New => now.saturating_sub(since) >= first,
            _ => false,
        })
    }

    /// A write has to wait for the client.
    pub fn blocked(&self) {
        if self.write_by.load(Relaxed) == 0 {
            self.set_write_by(self.began.elapsed() + self.deadlines.write);
        }
    }

    /// So many bytes were taken. A little now and then does not keep a connection for ever.
    pub fn wrote(&self, bytes: usize) {
        let by = self.write_by.load(Relaxed);
        if by != 0 {
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            let earned = Duration::from_secs_f64(f64::from(bytes) / LEAST_BYTES_PER_SECOND);
            let latest = self.began.elapsed() + self.deadlines.write;
            self.set_write_by(latest.min(Duration::from_micros(by) + earned));
        }
    }

    /// Everything was taken.
    pub fn flushed(&self) {
        self.write_by.store(0, Relaxed);
    }

    fn set_write_by(&self, by: Duration) {
        self.write_by.store(u64::try_from(by.as_micros()).unwrap_or(u64::MAX).max(1), Relaxed);
    }

    /// When it will be overdue; `None` while it waits for us alone.
    pub fn due(&self) -> Option<Instant> {
        let (phase, since) = self.now();
        let patience = match phase {
            Phase::New | Phase::Head => Some(self.deadlines.head),
            Phase::Idle => Some(self.deadlines.keep_alive),
            Phase::Lingering => Some(LINGER),
            Phase::Doomed => Some(Duration::ZERO),
            Phase::Busy => None,
        };
        let by = patience.map(|patience| self.began + since + patience);
        by.into_iter().chain(self.write_due()).min()
    }

    fn write_due(&self) -> Option<Instant> {
        match self.write_by.load(Relaxed) {
            0 => None,
            by => Some(self.began + Duration::from_micros(by)),
        }
    }

    /// Why it is overdue now.
    pub fn overdue(&self) -> Overdue {
        match self.write_due() {
            Some(by) if by <= Instant::now() => Overdue::Writing,
            _ => Overdue::Waiting(self.now().0),
        }
    }
}

impl Overdue {
    /// As a metric has it; `None` for what is no fault of the client.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Writing => Some("not_reading"),
            Self::Waiting(Phase::New) => Some("silent"),
            Self::Waiting(Phase::Head) => Some("slow_head"),
            Self::Waiting(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn watch() -> Watch {
        Watch::new(Deadlines { head: 10 * SECOND, keep_alive: 75 * SECOND, write: 10 * SECOND })
    }

    fn left(watch: &Watch) -> Option<Duration> {
        watch.due().map(|due| due - Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_goes_from_request_to_request() {
        let watch = watch();
        assert_eq!(left(&watch), Some(10 * SECOND), "silent");
        tokio::time::advance(9 * SECOND).await;
        assert_eq!(watch.overdue().reason(), Some("silent"));
        watch.heard();
        assert_eq!(left(&watch), Some(10 * SECOND), "its head");
        tokio::time::advance(9 * SECOND).await;
        watch.heard();
        assert_eq!(left(&watch), Some(SECOND), "a byte now and then is no head");
        assert!(watch.begin());
        assert_eq!(left(&watch), None);
        watch.heard();
        assert_eq!(left(&watch), None, "a body");
        watch.answered();
        assert_eq!(left(&watch), Some(75 * SECOND));
        watch.heard();
        assert_eq!(left(&watch), Some(10 * SECOND));
        assert!(watch.begin());
        watch.linger();
        assert_eq!(left(&watch), Some(LINGER));
        watch.answered();
        assert_eq!(left(&watch), Some(LINGER));
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_read_is_given_time_by_what_it_reads() {
        let watch = watch();
        assert!(watch.begin());
        watch.wrote(1_000_000);
        assert_eq!(left(&watch), None, "nothing waits");
        watch.blocked();
        tokio::time::advance(9 * SECOND).await;
        watch.blocked();
        assert_eq!(left(&watch), Some(SECOND));
        watch.wrote(8192);
        assert_eq!(left(&watch), Some(3 * SECOND));
        watch.wrote(1_000_000);
        assert_eq!(left(&watch), Some(10 * SECOND), "and no more than that");
        tokio::time::advance(10 * SECOND).await;
        assert_eq!(watch.overdue().reason(), Some("not_reading"));
        watch.flushed();
        assert_eq!(left(&watch), None);
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_is_idle_is_closed_and_then_begins_nothing() {
        let watch = watch();
        let zero = Duration::ZERO;
        assert!(!watch.doom_idle(zero, SECOND), "its first may be on its way");
        tokio::time::advance(SECOND).await;
        watch.heard();
        assert!(!watch.doom_idle(zero, zero), "a head is on its way");
        assert!(watch.begin());
        assert!(!watch.doom_idle(zero, zero), "it is busy");
        watch.answered();
        assert!(!watch.doom_idle(SECOND, zero) && watch.doom_idle(zero, SECOND));
        watch.heard();
        assert!(!watch.begin());
        assert!(watch.due().is_some_and(|due| due <= Instant::now()));
    }
}
