//! hyper answers what it cannot parse by itself, with a status and nothing else. The contract has an error document for
//! every answer, so those few bytes are recognized where they are written, and another answer takes their place.
use crate::error::Code;
use axum::{body::Bytes, http::Response};

/// What follows the version.
const BARE: [(&[u8], Code); 3] = [
    (b" 400 Bad Request\r\n", Code::BadRequest),
    (b" 414 URI Too Long\r\n", Code::UriTooLong),
    (b" 431 Request Header Fields Too Large\r\n", Code::HeadersTooLarge),
];

/// No such answer is longer. Those of the service are: they have an id and the headers that protect.
const LONGEST: usize = 160;

/// Where in what is to be written such an answer stands, always at the end, and what it says.
pub(super) fn find(written: &[u8]) -> Option<(usize, Code)> {
    if !written.ends_with(b"\r\n\r\n") {
        return None;
    }
    let from = written.len().saturating_sub(LONGEST);
    let last = &written[from..];
    let at = last.windows(7).rposition(|bytes| bytes == b"HTTP/1.")?;
    let rest = last.get(at + 8..)?;
    let (_, code) = BARE.iter().find(|(start, _)| rest.starts_with(start))?;
    let own = rest.windows(2).any(|bytes| bytes == b"x-");
    (!own).then_some((from + at, *code))
}

/// The bytes of an answer that is the last of its connection.
pub(super) fn encode(answer: &Response<Bytes>, bare: &[u8]) -> Vec<u8> {
    let status = answer.status();
    let mut bytes =
        format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or_default())
            .into_bytes();
    for (name, value) in answer.headers() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    }
    // what it says of the connection and of the time holds
    for line in bare.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        if [&b"connection:"[..], b"date:"].iter().any(|name| line.starts_with(name)) {
            bytes.extend_from_slice(line);
            bytes.push(b'\n');
        }
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(answer.body());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAIL: &str =
        "connection: close\r\ncontent-length: 0\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n";

    #[test]
    fn it_is_found_behind_whatever_is_written_before_it() {
        let bare = format!("HTTP/1.1 431 Request Header Fields Too Large\r\n{TAIL}");
        assert_eq!(find(bare.as_bytes()), Some((0, Code::HeadersTooLarge)));
        let before = "HTTP/1.1 200 OK\r\nx-request-id: 1\r\ncontent-length: 2\r\n\r\n{}";
        let both = format!("{before}HTTP/1.0 400 Bad Request\r\n{TAIL}");
        assert_eq!(find(both.as_bytes()), Some((before.len(), Code::BadRequest)));
    }

    #[test]
    fn answers_of_the_service_are_left_alone() {
        for answer in [
            format!("HTTP/1.1 404 Not Found\r\n{TAIL}"),
            format!("HTTP/1.1 400 Bad Request\r\nx-request-id: 1\r\n{TAIL}"),
            "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
            "{\"note\":\"HTTP/1.1 400 Bad Request\"}".to_owned(),
            "\r\n\r\n".to_owned(),
            String::new(),
        ] {
            assert_eq!(find(answer.as_bytes()), None, "{answer}");
        }
    }

    #[test]
    fn the_answer_in_its_place_is_whole() {
        let answer = Response::builder().status(400).header("x-request-id", "1").body(Bytes::from("{}"));
        let bare = format!("HTTP/1.1 400 Bad Request\r\n{TAIL}");
        let bytes = encode(&answer.unwrap(), bare.as_bytes());
        let expected = "HTTP/1.1 400 Bad Request\r\nx-request-id: 1\r\nconnection: close\r\n\
                        date: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n{}";
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }
}
