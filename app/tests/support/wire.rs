//! Bytes over a socket, as no well-behaved client would send them.
use serde_json::Value;
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    time::Duration,
};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection.
pub struct Wire {
    stream: TcpStream,
    /// Read, and not yet part of an answer.
    ahead: Vec<u8>,
}

/// An answer, byte for byte.
#[derive(Debug)]
pub struct Raw {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Wire {
    pub fn to(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, ahead: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// As far as the other side takes it.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// A request without a body.
    pub fn get(&mut self, target: &str) -> Raw {
        self.send(format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n"));
        self.answer()
    }

    /// Nothing more will be sent.
    pub fn end(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// The next answer, whose length is told.
    pub fn answer(&mut self) -> Raw {
        self.answer_to("GET")
    }

    /// The same; one to HEAD has no body.
    pub fn answer_to(&mut self, method: &str) -> Raw {
        let end = loop {
            if let Some(at) = self.ahead.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.more(), "no whole head: {:?}", String::from_utf8_lossy(&self.ahead));
        };
        let head = String::from_utf8(self.ahead.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut raw = Raw { status, head, body: Vec::new() };
        let length: usize = raw.header("content-length").map_or(0, |length| length.parse().unwrap());
        if method != "HEAD" && status >= 200 {
            while self.ahead.len() < length {
                assert!(self.more(), "a body is cut off: {}", raw.head);
            }
            raw.body = self.ahead.drain(..length).collect();
        }
        raw
    }

    fn more(&mut self) -> bool {
        let mut buffer = [0; 65_536];
        let read = self.stream.read(&mut buffer).unwrap();
        self.ahead.extend_from_slice(&buffer[..read]);
        read > 0
    }

    /// Whether it was closed and nothing more came.
    pub fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) => self.ahead.is_empty(),
            Ok(_) => false,
            Err(e) => {
                assert!(!matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "still open: {e}");
                true
            }
        }
    }
}

impl Raw {
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &'_ str| line.split_once(':').is_some_and(|(n, _)| n.eq_ignore_ascii_case(name));
        self.head.lines().find(|line| named(line)).map(|line| line.split_once(':').unwrap().1.trim())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// An error document of this status and code, with the headers of every answer; answers its detail.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{}{}", self.head, String::from_utf8_lossy(&self.body));
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.head);
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"), "{}", self.head);
        assert!(self.header("date").is_some(), "{}", self.head);
        let document = self.json();
        assert_eq!(document["status"], status);
        assert_eq!(document["code"], code, "{document}");
        assert_eq!(document["request_id"].as_str(), self.header("x-request-id"));
        document["detail"].as_str().unwrap().to_owned()
    }

    pub fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value == "close")
    }
}
