//! The rules of a flight, without a socket.
use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

/// A message's type and length.
const HEADER: usize = 5;
const SYNC: [u8; HEADER] = [b'S', 0, 0, 0, 4];
/// ReadyForQuery within a transaction, and within one that has failed.
const READY: [u8; HEADER + 1] = [b'Z', 0, 0, 0, 5, b'T'];
const FAILED: [u8; HEADER + 1] = [b'Z', 0, 0, 0, 5, b'E'];
/// What a statement behind a failed one is answered.
const PASSED_OVER: &[u8] = b"SERROR\0VERROR\0C25P02\0Mcurrent transaction is aborted, commands ignored\0\0";

/// How the answer to a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With the server's ReadyForQuery.
    Sync,
    /// With the statement, since its Sync was left out.
    Statement,
    /// Not decided: its Sync is held back until it is known what follows.
    Open,
    /// The same of a statement whose answer has come already.
    Answered,
}

/// How many statements of a flight have still to leave before it may end.
#[derive(Clone, Debug, Default)]
pub struct Unsent(Arc<AtomicUsize>);

impl Unsent {
    /// To be said before the first of them is sent, and while nothing is under way but what ends a transaction.
    pub fn expect(&self, statements: usize) {
        self.0.store(statements, SeqCst);
    }

    fn any(&self) -> bool {
        self.0.load(SeqCst) > 0
    }

    /// One has left: whether it was the last.
    fn one_less(&self) -> bool {
        self.0.fetch_update(SeqCst, SeqCst, |unsent| unsent.checked_sub(1)) == Ok(1)
    }
}

/// What is under way on a connection.
#[derive(Debug, Default)]
pub(super) struct Flights {
    /// Set once the server is ready for the first request: what is sent before has another form.
    started: bool,
    /// What of the driver's bytes is no whole message yet.
    unsent: Vec<u8>,
    /// The messages of the request under way, by their types, as far as they could be a plain statement.
    plain: Plain,
    flight: Unsent,
    /// Whether the server passes over the statement under way, and all it is sent up to a Sync.
    passes_over: bool,
    /// For the server.
    pub(super) out: Vec<u8>,
    /// What was sent and is not answered.
    awaited: VecDeque<End>,
    /// What of the server's bytes is no whole message yet.
    unread: Vec<u8>,
    /// For the driver.
    pub(super) back: Vec<u8>,
}

/// How much of Bind, Execute, Sync has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Plain {
    #[default]
    No,
    Bound,
    Executed,
}

/// The length of the message that begins here, if it is whole.
fn whole(bytes: &[u8]) -> io::Result<Option<usize>> {
    let Some(&[_, a, b, c, d]) = bytes.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if length < 4 {
        return Err(broken("a message of no length"));
    }
    Ok((bytes.len() > length).then_some(length + 1))
}

fn broken(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl Flights {
    pub(super) fn of(flight: Unsent) -> Self {
        Self { flight, ..Self::default() }
    }

    /// Takes what the driver sends.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.started {
            self.out.extend_from_slice(bytes);
            return Ok(());
        }
        self.unsent.extend_from_slice(bytes);
        let unsent = std::mem::take(&mut self.unsent);
        let mut at = 0;
        while let Some(length) = whole(&unsent[at..])? {
            self.send_one(&unsent[at..at + length]);
            at += length;
        }
        self.unsent = unsent;
        self.unsent.drain(..at);
        Ok(())
    }

    fn send_one(&mut self, message: &[u8]) {
        match (message[0], self.plain) {
            (b'S', Plain::Executed) => {
                self.plain = Plain::No;
                self.awaited.push_back(End::Open);
                let last = self.flight.one_less();
                if std::mem::take(&mut self.passes_over) {
                    self.release();
                    self.answer_passed_over();
                } else if last {
                    self.release();
                }
                return;
            }
            (b'B', _) => {
                self.go_on();
                self.plain = Plain::Bound;
            }
            (b'E', Plain::Bound) => self.plain = Plain::Executed,
            (kind, _) => {
                self.release();
                self.plain = Plain::No;
                if matches!(kind, b'S' | b'Q') {
                    self.awaited.push_back(End::Sync);
                }
            }
        }
        self.out.extend_from_slice(message);
    }

    /// Another statement follows in the flight.
    fn go_on(&mut self) {
        match self.awaited.back_mut() {
            Some(open @ End::Open) => *open = End::Statement,
            Some(End::Answered) => {
                self.awaited.pop_back();
                self.back.extend_from_slice(&READY);
            }
            _ => {}
        }
    }

    /// Nothing follows at once.
    pub(super) fn flush(&mut self) {
        if !self.flight.any() {
            self.release();
        }
    }

    /// Ends the flight.
    fn release(&mut self) {
        if let Some(open @ (End::Open | End::Answered)) = self.awaited.back_mut() {
            *open = End::Sync;
            self.out.extend_from_slice(&SYNC);
        }
    }

    /// Takes what the server sends.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.unread.is_empty() {
            let read = self.receive_whole(bytes)?;
            self.unread.extend_from_slice(&bytes[read..]);
            return Ok(());
        }
        self.unread.extend_from_slice(bytes);
        let unread = std::mem::take(&mut self.unread);
        let read = self.receive_whole(&unread)?;
        self.unread = unread;
        self.unread.drain(..read);
        Ok(())
    }

    /// Takes the messages that are whole: how many bytes they are. Most are handed on as they came, many at a time.
    fn receive_whole(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (mut at, mut handed_on) = (0, 0);
        while let Some(length) = whole(&bytes[at..])? {
            let message = &bytes[at..at + length];
            at += length;
            if matches!(message[0], b'Z' | b'C' | b'I' | b's' | b'E' | b'G' | b'H' | b'W') {
                self.back.extend_from_slice(&bytes[handed_on..at]);
                handed_on = at;
                self.receive_one(message)?;
            }
        }
        self.back.extend_from_slice(&bytes[handed_on..at]);
        Ok(at)
    }

    /// What comes after a message that ends something; the message itself is handed on.
    fn receive_one(&mut self, message: &[u8]) -> io::Result<()> {
        let by_statement = matches!(self.awaited.front(), Some(End::Statement | End::Open));
        match message[0] {
            b'Z' if !self.started => self.started = true,
            b'Z' if self.awaited.pop_front() != Some(End::Sync) => {
                return Err(broken("a ReadyForQuery that nothing was sent for"));
            }
            // CommandComplete, EmptyQueryResponse, PortalSuspended
            b'C' | b'I' | b's' if by_statement => match self.awaited.front_mut() {
                Some(open @ End::Open) => *open = End::Answered,
                _ => {
                    self.awaited.pop_front();
                    self.back.extend_from_slice(&READY);
                }
            },
            b'E' if by_statement && !is_fatal(message) => self.pass_over(),
            b'G' | b'H' | b'W' if by_statement => return Err(broken("a COPY among statements")),
            _ => {}
        }
        Ok(())
    }

    /// A statement has failed: the server passes over those behind it, up to the Sync, and answers that alone.
    fn pass_over(&mut self) {
        self.flight.expect(0); // the transaction is over; what has not left yet fails by itself
        self.release();
        while self.awaited.front().is_some_and(|end| *end != End::Sync) {
            self.awaited.pop_front();
            self.back.extend_from_slice(&FAILED);
            if self.awaited.is_empty() {
                self.passes_over = self.plain != Plain::No;
            } else {
                self.answer_passed_over();
            }
        }
    }

    fn answer_passed_over(&mut self) {
        let length = u32::try_from(PASSED_OVER.len() + 4).unwrap_or_default();
        self.back.push(b'E');
        self.back.extend_from_slice(&length.to_be_bytes());
        self.back.extend_from_slice(PASSED_OVER);
    }
}

/// Whether the server closes the connection after this error.
fn is_fatal(message: &[u8]) -> bool {
    let fields = message.get(HEADER..).unwrap_or_default().split(|byte| *byte == 0);
    fields.into_iter().any(|field| matches!(field, b"VFATAL" | b"VPANIC"))
}

#[cfg(test)]
mod tests;
