//! Where traces go. The names are those of OpenTelemetry.
use super::reader::Reader;
use crate::infra::{egress::Target, telemetry::TraceSettings};
use axum::http::{HeaderName, HeaderValue};
use secrecy::ExposeSecret;

/// Where a collector takes traces, under its address.
const PATH: &str = "/v1/traces";

pub(super) fn traces(r: &mut Reader<'_>) -> Option<TraceSettings> {
    let endpoint = r.url("OTEL_EXPORTER_OTLP_ENDPOINT");
    let headers = headers(r);
    let service = r.text("OTEL_SERVICE_NAME", "tenantry");
    let ratio = r.parsed("OTEL_TRACES_SAMPLER_ARG", 1.0, |text| match text.parse() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err(format!("must be a number from 0 to 1, not {text:?}")),
    });
    let endpoint =
        endpoint.map(|base| Target::configured(&format!("{}{PATH}", base.trim_end_matches('/'))))?;
    match endpoint {
        Ok(endpoint) => Some(TraceSettings { endpoint, headers, service, ratio }),
        Err(why) => {
            r.fault("OTEL_EXPORTER_OTLP_ENDPOINT", format!("{why}; such as http://collector:4318"));
            None
        }
    }
}

/// `name=value,name=value`, the values percent-encoded. They may be keys, so none is repeated in a fault.
fn headers(r: &mut Reader<'_>) -> Vec<(HeaderName, HeaderValue)> {
    const NAME: &str = "OTEL_EXPORTER_OTLP_HEADERS";
    let Some(list) = r.secret(NAME, &[]) else { return Vec::new() };
    let mut headers = Vec::new();
    for pair in list.expose_secret().split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let header = pair.split_once('=').and_then(|(name, value)| {
            let value = percent_encoding::percent_decode_str(value.trim()).collect::<Vec<_>>();
            let mut value = HeaderValue::from_bytes(&value).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::try_from(name.trim()).ok()?, value))
        });
        match header {
            Some(header) => headers.push(header),
            None => r.fault(NAME, "must be name=value, and several with commas between them"),
        }
    }
    headers
}
