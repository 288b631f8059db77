//! One Sync a flight. The driver ends each statement with a Sync, which PostgreSQL answers with a ReadyForQuery and a
//! system call of its own, and which the driver's socket wakes up for: at the size of our statements that is a third of
//! what they cost. This stands between the driver and its socket. Of statements that leave together it sends the last
//! Sync alone, and it puts in the ReadyForQuery that the driver then misses.
//!
//! It is for connections whose statements run in transactions, as ours do: there a Sync between two statements of one
//! transaction decides nothing but what happens after an error. PostgreSQL then passes over everything up to the next Sync,
//! and the statements passed over are answered here, in the words in which PostgreSQL answers them otherwise (25P02). What
//! ends a transaction, or goes back to a savepoint, is sent as a simple query, and a Sync stands before it.
//!
//! A flight may be cut where the driver finds nothing more to send yet; in an explicit transaction that does not matter.
//! Statements that are one without a `BEGIN`, which ends with their Sync, are announced: see [`Unsent`].
//!
//! The answers are counted. One that does not fit what was sent ends the connection: it must never be taken for that of
//! another statement. The protocol is that of PostgreSQL's manual, "Frontend/Backend Protocol", version 3.0.
mod flights;

pub use self::flights::Unsent;

use self::flights::Flights;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::{
    Socket,
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream},
};

/// As much as PostgreSQL sends at once.
const READ: usize = 8192;
/// Bytes that may wait to be sent before the driver has to.
const MOST_WAITING: usize = 1 << 16;

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
        let back = self.flights.back.len();
        self.flights.send(bytes)?;
        if self.flights.back.len() > back {
            cx.waker().wake_by_ref(); // there is something to read by now
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flights.flush();
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
            if !this.flights.out.is_empty() {
                cx.waker().wake_by_ref(); // there is something to send by now
            }
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
pub struct InFlights<T>(pub T, pub Unsent);

impl<T: MakeTlsConnect<Socket>> MakeTlsConnect<Socket> for InFlights<T>
where
    T::TlsConnect: Send + 'static,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    type Stream = Pipelined<T::Stream>;
    type TlsConnect = InFlights<T::TlsConnect>;
    type Error = T::Error;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Self::TlsConnect, Self::Error> {
        self.0.make_tls_connect(domain).map(|tls| InFlights(tls, self.1.clone()))
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
            let flights = Flights::of(self.1);
            Ok(Pipelined { stream, flights, read: vec![0; READ].into() })
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
