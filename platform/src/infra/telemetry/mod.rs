//! What the process says of itself: the log, what is counted, and traces.
mod log;
pub(crate) mod metrics;
pub(crate) mod process;
pub(crate) mod traces;

pub use log::{LogFormat, check_filter, start};
pub use metrics::{METRICS, Metric, Metrics};
pub use traces::{TraceSettings, Traces};
