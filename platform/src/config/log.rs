//! What is logged, and how it looks.
use super::reader::Reader;
use crate::infra::telemetry::{self, LogFormat};

pub(super) fn log_filter(r: &mut Reader<'_>, debug: bool) -> String {
    let default = if debug {
        "info,refinery_core=warn,tokio_postgres=warn,tenantry=debug"
    } else {
        "info,refinery_core=warn,tokio_postgres=warn"
    };
    r.parsed("RUST_LOG", default.to_owned(), |text| {
        telemetry::check_filter(text).map(|()| text.to_owned()).map_err(|e| format!("is not understood: {e}"))
    })
}

pub(super) fn log_format(r: &mut Reader<'_>) -> LogFormat {
    let default = if LogFormat::detect() == LogFormat::Pretty { "pretty" } else { "json" };
    let format = r.parsed("LOG_FORMAT", default.to_owned(), |text| match text {
        "pretty" | "json" => Ok(text.to_owned()),
        _ => Err(format!("must be pretty or json, not {text:?}")),
    });
    if format == "pretty" { LogFormat::Pretty } else { LogFormat::Json }
}
