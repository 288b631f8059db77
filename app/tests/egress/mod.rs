//! The guard of what leaves for foreign addresses: where requests must not go, and what receivers may do to it.
mod addresses;
mod answers;
mod names;
mod tls;

use crate::support::until;
use axum::{
    body::Bytes,
    http::{HeaderName, HeaderValue, Method},
};
use rustls::RootCertStore;
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tenantry::{
    BoxFuture,
    infra::egress::{Egress, EgressSettings, Incoming, Outgoing, Resolve, Target, Undelivered},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, ToSocketAddrs},
};

/// Long enough for whatever should come.
const AMPLE: Duration = Duration::from_secs(10);
/// Long enough for a connection on this machine, and short enough to be waited for.
const BRIEF: Duration = Duration::from_millis(300);

/// A server that keeps who connected, and serves each connection in a task of its own.
struct Receiver {
    port: u16,
    peers: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Receiver {
    async fn start<F>(address: impl ToSocketAddrs, serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let peers = Arc::new(Mutex::new(Vec::new()));
        let seen = peers.clone();
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                seen.lock().unwrap().push(peer);
                tokio::spawn(serve(stream)); // who cuts it off ends it with an error
            }
        });
        Self { port, peers }
    }

    /// Answers each connection with these bytes, once it has read a request, and closes it.
    async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::start("127.0.0.1:0", move |mut stream| {
            let answer = answer.clone();
            async move {
                read_request(&mut stream).await?;
                stream.write_all(&answer).await?;
                stream.shutdown().await
            }
        })
        .await
    }

    /// Accepts and never says anything.
    async fn silent(address: impl ToSocketAddrs) -> Self {
        let holding = |stream| async move {
            let _held: TcpStream = stream;
            std::future::pending().await
        };
        Self::start(address, holding).await
    }

    /// How many have connected. One more is made for it: connections are accepted in turn, so when it is known all before
    /// it are.
    async fn connections(&self) -> usize {
        let probe = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let own = probe.local_addr().unwrap().port();
        let place = || self.peers.lock().unwrap().iter().position(|peer| peer.port() == own);
        until(|| place().is_some()).await;
        let mut peers = self.peers.lock().unwrap();
        let place = peers.iter().position(|peer| peer.port() == own).unwrap();
        peers.remove(place);
        peers.len()
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }
}

/// The head and the body of a request, as they were sent.
async fn read_request(stream: &mut TcpStream) -> io::Result<String> {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let n = stream.read(&mut buffer).await?;
        text.extend_from_slice(&buffer[..n]);
        let read = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = read.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Ok(read);
            }
        }
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Names and what they lead to, one list an answer; the last one stays.
#[derive(Clone, Default)]
struct Names(Arc<NamesInner>);

#[derive(Default)]
struct NamesInner {
    answers: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    asked: AtomicUsize,
}

impl Names {
    fn with(self, name: &str, answers: &[&[&str]]) -> Self {
        let addresses = |list: &&[&str]| list.iter().map(|ip| ip.parse().unwrap()).collect();
        self.0.answers.lock().unwrap().insert(name.to_owned(), answers.iter().map(addresses).collect());
        self
    }

    /// One name, and what it always leads to.
    fn of(name: &str, addresses: &[&str]) -> Self {
        Self::default().with(name, &[addresses])
    }

    fn asked(&self) -> usize {
        self.0.asked.load(SeqCst)
    }
}

impl Resolve for Names {
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        self.0.asked.fetch_add(1, SeqCst);
        let mut answers = self.0.answers.lock().unwrap();
        let found = match answers.get_mut(name) {
            Some(lists) if lists.len() > 1 => Ok(lists.remove(0)),
            Some(lists) => Ok(lists[0].clone()),
            None => Err(io::Error::other("no such name")),
        };
        Box::pin(std::future::ready(found))
    }
}

fn egress(allow_private: bool, names: Names) -> Egress {
    Egress::start_with(EgressSettings { allow_private }, Box::new(names), RootCertStore::empty()).unwrap()
}

/// As in production.
fn strict(names: Names) -> Egress {
    egress(false, names)
}

/// As in the demo.
fn lenient(names: Names) -> Egress {
    egress(true, names)
}

/// A POST with a small body.
fn post(target: &Target, deadline: Duration) -> Outgoing<'_> {
    Outgoing {
        target,
        method: Method::POST,
        headers: vec![(
            HeaderName::from_static("content-type"),
            HeaderValue::from_static("application/json"),
        )],
        body: Bytes::from_static(b"{\"a\":1}"),
        deadline,
        most_bytes: 64 * 1024,
    }
}

async fn send_to(egress: &Egress, url: &str, deadline: Duration) -> Result<Incoming, Undelivered> {
    let target = egress.target(url).unwrap();
    egress.send(post(&target, deadline)).await
}
