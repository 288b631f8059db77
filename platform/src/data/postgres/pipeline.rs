//! One Sync a flight. The driver ends each statement with a Sync, which PostgreSQL answers with a ReadyForQuery and a
//! system call of its own, and which the driver's socket wakes up for: at the size of our statements that is a third of
//! what they cost. This stands between the driver and its socket. Of statements that leave together it sends the last
//! Sync alone, and it puts in the ReadyForQuery that the driver then misses.
//!
//! It is for connections whose statements run in explicit transactions, as ours do: there a Sync between two statements
//! of one transaction decides nothing but what happens after an error. PostgreSQL then passes over everything up to the
//! next Sync, and the statements passed over are answered here, in the words in which PostgreSQL answers them otherwise
//! (25P02). What ends a transaction, or goes back to a savepoint, is sent as a simple query, and a Sync stands before it.
//!
//! The answers are counted. One that does not fit what was sent ends the connection: it must never be taken for that of
//! another statement. The protocol is that of PostgreSQL's manual, "Frontend/Backend Protocol", version 3.0.
use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::{
    Socket,
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream},
};

/// A message's type and length.
const HEADER: usize = 5;
const SYNC: [u8; HEADER] = [b'S', 0, 0, 0, 4];
/// ReadyForQuery within a transaction, and within one that has failed.
const READY: [u8; HEADER + 1] = [b'Z', 0, 0, 0, 5, b'T'];
const FAILED: [u8; HEADER + 1] = [b'Z', 0, 0, 0, 5, b'E'];
/// What a statement behind a failed one is answered.
const PASSED_OVER: &[u8] = b"SERROR\0VERROR\0C25P02\0Mcurrent transaction is aborted, commands ignored\0\0";
/// As much as PostgreSQL sends at once.
const READ: usize = 8192;
/// Bytes that may wait to be sent before the driver has to.
const MOST_WAITING: usize = 1 << 16;

/// How the answer to a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With the server's ReadyForQuery.
    Sync,
    /// With the statement, since its Sync was left out.
    Statement,
}

/// The rules, without a socket.
#[derive(Debug, Default)]
struct Flights {
    /// Set once the server is ready for the first request: what is sent before has another form.
    started: bool,
    /// What of the driver's bytes is no whole message yet.
    unsent: Vec<u8>,
    /// The messages of the request under way, by their types, as far as they could be a plain statement.
    plain: Plain,
    /// Whether a statement's Sync is held back until it is known what follows.
    held: bool,
    /// For the server.
    out: Vec<u8>,
    /// What was sent and is not answered.
    awaited: VecDeque<End>,
    /// What of the server's bytes is no whole message yet.
    unread: Vec<u8>,
    /// For the driver.
    back: Vec<u8>,
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
    /// Takes what the driver sends.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
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
                (self.held, self.plain) = (true, Plain::No);
                return;
            }
            (b'B', _) => {
                if std::mem::take(&mut self.held) {
                    self.awaited.push_back(End::Statement);
                }
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

    /// Nothing follows at once.
    fn release(&mut self) {
        if std::mem::take(&mut self.held) {
            self.out.extend_from_slice(&SYNC);
            self.awaited.push_back(End::Sync);
        }
    }

    /// Takes what the server sends.
    fn receive(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.unread.extend_from_slice(bytes);
        let unread = std::mem::take(&mut self.unread);
        let mut at = 0;
        while let Some(length) = whole(&unread[at..])? {
            self.receive_one(&unread[at..at + length])?;
            at += length;
        }
        self.unread = unread;
        self.unread.drain(..at);
        Ok(())
    }

    fn receive_one(&mut self, message: &[u8]) -> io::Result<()> {
        self.back.extend_from_slice(message);
        let by_statement = self.awaited.front() == Some(&End::Statement);
        match message[0] {
            b'Z' if !self.started => self.started = true,
            b'Z' if self.awaited.pop_front() != Some(End::Sync) => {
                return Err(broken("a ReadyForQuery that nothing was sent for"));
            }
            // CommandComplete, EmptyQueryResponse, PortalSuspended
            b'C' | b'I' | b's' if by_statement => {
                self.awaited.pop_front();
                self.back.extend_from_slice(&READY);
            }
            b'E' if by_statement && !is_fatal(message) => self.pass_over(),
            b'G' | b'H' | b'W' if by_statement => return Err(broken("a COPY among statements")),
            _ => {}
        }
        Ok(())
    }

    /// A statement has failed: the server passes over those behind it, up to the Sync, and answers that alone.
    fn pass_over(&mut self) {
        self.awaited.pop_front();
        self.back.extend_from_slice(&FAILED);
        while let Some(end) = self.awaited.front().copied() {
            let length = u32::try_from(PASSED_OVER.len() + 4).unwrap_or_default();
            self.back.push(b'E');
            self.back.extend_from_slice(&length.to_be_bytes());
            self.back.extend_from_slice(PASSED_OVER);
            if end == End::Sync {
                break;
            }
            self.awaited.pop_front();
            self.back.extend_from_slice(&FAILED);
        }
    }
}

/// Whether the server closes the connection after this error.
fn is_fatal(message: &[u8]) -> bool {
    let fields = message.get(HEADER..).unwrap_or_default().split(|byte| *byte == 0);
    fields.into_iter().any(|field| matches!(field, b"VFATAL" | b"VPANIC"))
}

/// A connection's stream, in clear or in TLS.
pub struct Pipelined<S> {
    stream: S,
    flights: Flights,
    read: Box<[u8]>,
}

impl<S: AsyncWrite + Unpin> Pipelined<S> {
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let out = &mut self.flights.out;
        let mut sent = 0;
        let drained = loop {
            if sent == out.len() {
                break Poll::Ready(Ok(()));
            }
            match Pin::new(&mut self.stream).poll_write(cx, &out[sent..]) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => sent += n,
                Poll::Ready(Err(e)) => break Poll::Ready(Err(e)),
                Poll::Pending => break Poll::Pending,
            }
        };
        out.drain(..sent);
        drained
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Pipelined<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.flights.out.len() > MOST_WAITING {
            ready!(self.poll_drain(cx))?;
        }
        self.flights.send(bytes)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flights.release();
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Pipelined<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.flights.back.is_empty() {
            let mut read = ReadBuf::new(&mut this.read);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(())); // the end
            }
            this.flights.receive(read.filled())?;
        }
        let back = &mut this.flights.back;
        let length = back.len().min(buf.remaining());
        buf.put_slice(&back[..length]);
        back.drain(..length);
        Poll::Ready(Ok(()))
    }
}

impl<S: TlsStream + Unpin> TlsStream for Pipelined<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

/// Connects as another connector does, and puts a [`Pipelined`] around what that makes.
#[derive(Clone)]
pub struct InFlights<T>(pub T);

impl<T: MakeTlsConnect<Socket>> MakeTlsConnect<Socket> for InFlights<T>
where
    T::TlsConnect: Send + 'static,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    type Stream = Pipelined<T::Stream>;
    type TlsConnect = InFlights<T::TlsConnect>;
    type Error = T::Error;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Self::TlsConnect, Self::Error> {
        self.0.make_tls_connect(domain).map(InFlights)
    }
}

impl<T: TlsConnect<Socket> + Send + 'static> TlsConnect<Socket> for InFlights<T>
where
    T::Future: Send,
{
    type Stream = Pipelined<T::Stream>;
    type Error = T::Error;
    type Future = futures_util::future::BoxFuture<'static, Result<Self::Stream, Self::Error>>;

    fn connect(self, stream: Socket) -> Self::Future {
        Box::pin(async move {
            let stream = self.0.connect(stream).await?;
            Ok(Pipelined { stream, flights: Flights::default(), read: vec![0; READ].into() })
        })
    }
}

/// No TLS: the connection as it is. The driver takes it for TLS that begins at once (`sslnegotiation=direct`), which is
/// how a stream of another kind is put under it.
#[derive(Clone, Copy)]
pub struct Clear;

/// See [`Clear`].
pub struct ClearStream(Socket);

impl MakeTlsConnect<Socket> for Clear {
    type Stream = ClearStream;
    type TlsConnect = Self;
    type Error = io::Error;

    fn make_tls_connect(&mut self, _: &str) -> io::Result<Self> {
        Ok(*self)
    }
}

impl TlsConnect<Socket> for Clear {
    type Stream = ClearStream;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<ClearStream>>;

    fn connect(self, stream: Socket) -> Self::Future {
        std::future::ready(Ok(ClearStream(stream)))
    }
}

impl TlsStream for ClearStream {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for ClearStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for ClearStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
