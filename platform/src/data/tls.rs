//! TLS towards servers, PostgreSQL's and those that `infra` speaks to: one provider, one source of trust.
use crate::error::{Error, Result};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

/// The certificates that the system trusts (or `SSL_CERT_FILE` and `SSL_CERT_DIR`, as OpenSSL reads them).
pub(crate) fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Trusts these and shows no certificate of its own.
pub(crate) fn client(roots: RootCertStore) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(versions.map_err(Error::internal)?.with_root_certificates(roots).with_no_client_auth())
}
