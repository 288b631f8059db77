//! The bytes of a connection: their passing is noted, hyper's own answers are replaced, and the end is not abrupt.
use super::{Refuse, bare, head, watch::Watch};
use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// What a client still sends after the last answer is thrown away, but not without end.
const MOST_THROWN_AWAY: usize = 4 * 1024 * 1024;

pub(super) struct Stream {
    tcp: TcpStream,
    peer: SocketAddr,
    watch: Arc<Watch>,
    refuse: Refuse,
    /// An answer in place of hyper's, and how much of it is written.
    own: Option<(Vec<u8>, usize)>,
    /// The client has said all that it will.
    ended: bool,
    thrown_away: usize,
}

impl Stream {
    pub fn new(tcp: TcpStream, peer: SocketAddr, watch: Arc<Watch>, refuse: Refuse) -> Self {
        Self { tcp, peer, watch, refuse, own: None, ended: false, thrown_away: 0 }
    }

    fn noted(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Pending => self.watch.blocked(),
            Poll::Ready(Ok(bytes)) => self.watch.wrote(*bytes),
            Poll::Ready(Err(_)) => {}
        }
        written
    }

    fn write_own(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((bytes, written)) = &mut self.own
            && *written < bytes.len()
        {
            let polled = Pin::new(&mut self.tcp).poll_write(cx, &bytes[*written..]);
            if polled.is_pending() {
                self.watch.blocked();
            }
            match ready!(polled)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                more => {
                    *written += more;
                    self.watch.wrote(more);
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// A socket that is closed with bytes unread is reset, and the reset may overtake the answer.
    fn throw_away(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut room = [0; 4096];
        while !self.ended && self.thrown_away < MOST_THROWN_AWAY {
            let mut buffer = ReadBuf::new(&mut room);
            match ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => self.thrown_away += buffer.filled().len(),
                _ => self.ended = true,
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.tcp).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.watch.heard();
        } else {
            self.ended = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.own.is_some() {
            return Poll::Ready(Ok(bytes.len())); // nothing comes after it
        }
        let before = match bare::find(bytes) {
            Some((0, code)) => {
                let answer = (self.refuse)(head::refused(code), self.peer);
                self.own = Some((bare::encode(&answer, bytes), 0));
                return Poll::Ready(Ok(bytes.len()));
            }
            Some((at, _)) => &bytes[..at],
            None => bytes,
        };
        let written = Pin::new(&mut self.tcp).poll_write(cx, before);
        self.noted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut full = slices.iter().filter(|slice| !slice.is_empty());
        match (full.next(), full.next()) {
            (Some(one), None) => self.poll_write(cx, one),
            _ => {
                let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, slices);
                self.noted(written)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_own(cx))?;
        self.watch.flushed();
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_own(cx))?;
        self.watch.flushed();
        ready!(Pin::new(&mut self.tcp).poll_shutdown(cx))?;
        self.watch.linger();
        self.throw_away(cx).map(Ok)
    }
}
