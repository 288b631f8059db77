//! A mail server of the test's own, on loopback: it keeps what it is sent, or refuses it, or says nothing.
use base64::Engine;
use secrecy::SecretString;
use std::sync::{Arc, Mutex};
use tenantry::infra::mail::{Mail, SmtpServer};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// What it does with the next mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Takes,
    /// Answers RCPT with this.
    Refuses(&'static str),
    /// Closes each connection at once.
    Down,
    /// Takes the connection and says nothing.
    Hangs,
}

pub struct Smtp {
    pub port: u16,
    manner: Arc<Mutex<Manner>>,
    received: Arc<Mutex<Vec<Received>>>,
}

/// A mail as it came.
#[derive(Clone, Debug)]
pub struct Received {
    pub to: String,
    pub raw: String,
}

impl Smtp {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (manner, received) = (Arc::new(Mutex::new(Manner::Takes)), Arc::default());
        let this = Self { port, manner: manner.clone(), received: Arc::clone(&received) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let now = *manner.lock().unwrap();
                tokio::spawn(speak(stream, now, received.clone()));
            }
        });
        this
    }

    /// The setting that mail goes there.
    pub fn mail(&self) -> Mail {
        let url = SecretString::from(format!("smtp://127.0.0.1:{}", self.port));
        Mail::Smtp(Box::new(SmtpServer::new(&url, "Example <no-reply@example.test>").unwrap()))
    }

    pub fn be(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// What it has received since the last time.
    pub fn take(&self) -> Vec<Received> {
        std::mem::take(&mut *self.received.lock().unwrap())
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

async fn speak(stream: TcpStream, manner: Manner, received: Arc<Mutex<Vec<Received>>>) -> Option<()> {
    if manner == Manner::Down {
        return None;
    }
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    if manner == Manner::Hangs {
        while lines.next_line().await.ok()?.is_some() {}
        return None;
    }
    write.write_all(b"220 test\r\n").await.ok()?;
    let mut to = String::new();
    while let Some(line) = lines.next_line().await.ok()? {
        let answer = match line.get(..4)?.to_ascii_uppercase().as_str() {
            "EHLO" => "250-test\r\n250 AUTH PLAIN".to_owned(),
            "AUTH" => "235 welcome, whoever you are".to_owned(),
            "RCPT" => {
                to = line.split(['<', '>']).nth(1)?.to_owned();
                match manner {
                    Manner::Refuses(reply) => reply.to_owned(),
                    _ => "250 ok".to_owned(),
                }
            }
            "DATA" => {
                write.write_all(b"354 go on\r\n").await.ok()?;
                let mut raw = String::new();
                while let Some(line) = lines.next_line().await.ok()?.filter(|line| line != ".") {
                    raw.push_str(line.strip_prefix('.').unwrap_or(&line));
                    raw.push('\n');
                }
                received.lock().unwrap().push(Received { to: to.clone(), raw });
                "250 ok".to_owned()
            }
            "QUIT" => "221 bye".to_owned(),
            _ => "250 ok".to_owned(),
        };
        write.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
    }
    Some(())
}

impl Received {
    /// The parts, decoded: text, then HTML.
    pub fn parts(&self) -> Vec<String> {
        let boundary = self.raw.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap();
        let boundary = format!("--{boundary}");
        let parts = self.raw.split(&boundary).skip(1);
        parts.filter(|part| part.contains("Content-Type")).map(decoded).collect()
    }

    /// The token of the link in it, which is the same in both parts.
    pub fn token(&self) -> String {
        let tokens: Vec<_> = self
            .parts()
            .iter()
            .map(|part| {
                let rest = part.split("?token=").nth(1).unwrap();
                let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).unwrap();
                rest[..end].to_owned()
            })
            .collect();
        assert_eq!(tokens.len(), 2);
        assert_eq!(tokens[0], tokens[1]);
        tokens[0].clone()
    }
}

fn decoded(part: &str) -> String {
    let (head, body) = part.trim_start().split_once("\n\n").unwrap();
    if head.contains("base64") {
        let packed: String = body.split_whitespace().collect();
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(packed).unwrap()).unwrap()
    } else if head.contains("quoted-printable") {
        body.replace("=\n", "").replace("=3D", "=")
    } else {
        body.to_owned()
    }
}
