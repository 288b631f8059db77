//! A receiver of webhooks of the test's own, on loopback: it keeps what it is sent, and answers well or badly.
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use std::{
    io,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

/// How it answers.
#[derive(Clone, Debug)]
pub enum Manner {
    /// With this status and nothing else.
    Answers(u16),
    /// With these bytes.
    Says(String),
    /// With 200, once there is a permit for it.
    Waits(Arc<Semaphore>),
    /// Reads the request and says nothing.
    Hangs,
    /// A head, and then a byte a second.
    Trickles,
    /// A head of this status, and then a body without an end.
    Pours(u16),
}

pub struct Receiver {
    pub port: u16,
    manner: Arc<Mutex<Manner>>,
    received: Arc<Mutex<Vec<Received>>>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    pub line: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub at: Instant,
}

impl Receiver {
    /// One that answers 200.
    pub async fn start() -> Self {
        Self::of(Manner::Answers(200)).await
    }

    pub async fn of(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let this = Self { port, manner: Arc::new(Mutex::new(manner)), received: Arc::default() };
        let (manner, received) = (this.manner.clone(), this.received.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (manner, received) = (manner.clone(), received.clone());
                tokio::spawn(async move {
                    let _ = serve(stream, &manner, &received).await; // who cuts it off ends it with an error
                });
            }
        });
        this
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook?from=test", self.port)
    }

    pub fn be(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// All that came, in the order in which it did.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.received.lock().unwrap().len()
    }

    /// Takes out what came.
    pub fn take(&self) -> Vec<Received> {
        std::mem::take(&mut *self.received.lock().unwrap())
    }
}

/// An address at which nobody listens.
pub async fn refusing_url() -> String {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    format!("http://127.0.0.1:{port}/hook")
}

async fn serve(
    mut stream: TcpStream,
    manner: &Mutex<Manner>,
    received: &Mutex<Vec<Received>>,
) -> io::Result<()> {
    let request = read(&mut stream).await?;
    received.lock().unwrap().push(request);
    let manner = manner.lock().unwrap().clone();
    let head =
        |status: u16, more: &str| format!("HTTP/1.1 {status} Status\r\nconnection: close\r\n{more}\r\n");
    match manner {
        Manner::Answers(status) => stream.write_all(head(status, "content-length: 0\r\n").as_bytes()).await?,
        Manner::Waits(permits) => {
            permits.acquire().await.unwrap().forget();
            stream.write_all(head(200, "content-length: 0\r\n").as_bytes()).await?
        }
        Manner::Says(answer) => stream.write_all(answer.as_bytes()).await?,
        Manner::Hangs => std::future::pending().await,
        Manner::Trickles => {
            stream.write_all(head(200, "content-length: 1000\r\n").as_bytes()).await?;
            loop {
                stream.write_all(b".").await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        Manner::Pours(status) => {
            stream.write_all(head(status, "").as_bytes()).await?;
            loop {
                stream.write_all(&[b'x'; 8192]).await?;
            }
        }
    }
    stream.shutdown().await
}

async fn read(stream: &mut TcpStream) -> io::Result<Received> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&buffer[..n]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.lines();
        let line = lines.next().unwrap_or_default().to_owned();
        let headers: HeaderMap = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect();
        let length: usize = headers["content-length"].to_str().unwrap().parse().unwrap();
        if bytes.len() >= end + 4 + length {
            let body = bytes[end + 4..].to_vec();
            return Ok(Received { line, headers, body, at: Instant::now() });
        }
    }
}

impl Received {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}
