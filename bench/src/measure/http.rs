//! A request and its answer, one connection each: for what is looked at before it is measured.
use crate::Result;
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    /// The body, if it was a success.
    pub fn ok(self) -> Result<String> {
        if (200..300).contains(&self.status) {
            Ok(self.body)
        } else {
            Err(format!("answered {}: {}", self.status, self.body).into())
        }
    }
}

pub fn ask(port: u16, method: &str, path: &str, token: Option<&str>, body: Option<&str>) -> Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n");
    if let Some(token) = token {
        head += &format!("authorization: Bearer {token}\r\n");
    }
    if let Some(body) = body {
        head += &format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    }
    write!(stream, "{head}\r\n{}", body.unwrap_or_default())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no whole answer")?;
    let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
    Ok(Answer { status, body: body.to_owned() })
}
