//! https: whose certificate is believed.
use super::{AMPLE, BRIEF, Names, Receiver, send_to};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use std::{future::pending, sync::Arc};
use tenantry::infra::egress::{Egress, EgressSettings, Undelivered};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

/// An authority and what it has certified.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }

    /// A server with a certificate for these names that ends in this year.
    async fn server(&self, names: &[&str], until: i32) -> Receiver {
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate: CertificateDer<'static> = params.signed_by(&key, &self.0).unwrap().into();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Receiver::start("127.0.0.1:0", move |stream| {
            let acceptor = acceptor.clone();
            async move {
                let mut stream = acceptor.accept(stream).await?;
                assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
                let mut begin = [0; 4];
                stream.read_exact(&mut begin).await?;
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret").await?;
                pending().await
            }
        })
        .await
    }
}

fn trusting(roots: RootCertStore) -> Egress {
    let names = ["hooks.example", "hooks.example.", "other.example"];
    let names = names.iter().fold(Names::default(), |names, name| names.with(name, &[&["127.0.0.1"]]));
    Egress::start_with(EgressSettings { allow_private: true }, Box::new(names), roots).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_a_trusted_authority_for_this_name_is_believed() {
    let authority = Authority::new("ours");
    let server = authority.server(&["hooks.example", "127.0.0.1"], 2999).await;
    let egress = trusting(authority.roots());
    for host in ["hooks.example", "hooks.example.", "127.0.0.1"] {
        let answer = send_to(&egress, &format!("https://{host}:{}/", server.port), AMPLE).await;
        assert_eq!(&answer.unwrap().body[..], b"secret", "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_certificate_is() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("a stranger's"));
    let good = authority.server(&["hooks.example"], 2999).await;
    let expired = authority.server(&["hooks.example"], 2021).await;
    for (server, roots, host, why) in [
        (&good, authority.roots(), "other.example", "certificate not valid for name"),
        (&good, authority.roots(), "127.0.0.1", "certificate not valid for name"),
        (&good, stranger.roots(), "hooks.example", "UnknownIssuer"),
        (&good, RootCertStore::empty(), "hooks.example", "UnknownIssuer"),
        (&expired, authority.roots(), "hooks.example", "certificate expired"),
    ] {
        let sent = send_to(&trusting(roots), &format!("https://{host}:{}/", server.port), AMPLE).await;
        let Err(Undelivered::Failed(said)) = sent else { panic!("{host}: {sent:?}") };
        assert!(said.starts_with("cannot speak TLS: ") && said.contains(why), "{host}: {said}");
        assert!(said.len() < 300);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_hangs_ends_at_the_deadline_and_plain_text_is_no_tls() {
    let egress = trusting(RootCertStore::empty());
    let silent = Receiver::silent("127.0.0.1:0").await;
    let url = silent.url().replace("http", "https");
    assert_eq!(send_to(&egress, &url, BRIEF).await.unwrap_err(), Undelivered::TimedOut);
    let plain = Receiver::start("127.0.0.1:0", |mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
        pending().await
    })
    .await;
    let Err(Undelivered::Failed(said)) = send_to(&egress, &plain.url().replace("http", "https"), AMPLE).await
    else {
        panic!("plain text passed for TLS");
    };
    assert!(said.starts_with("cannot speak TLS: "), "{said}");
}
