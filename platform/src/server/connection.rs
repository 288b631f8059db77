//! One connection, from its first byte to its end.
use super::{
    Answers, Front, head,
    stream::Stream,
    watch::{Overdue, Watch},
};
use crate::http::frame::Unfit;
use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{ConnectInfo, Request},
    http::{HeaderValue, header::CONNECTION},
    response::Response,
};
use hyper::{
    body::{Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until},
};
use tower::ServiceExt;

/// What is read ahead of a handler, and what is written ahead of a client.
const MOST_BUFFERED: usize = 64 * 1024;
/// How often a connection that waits for us alone looks at the clock.
const NOTHING_DUE: Duration = Duration::from_secs(60);

pub(super) async fn run<S: Answers>(
    tcp: TcpStream,
    peer: SocketAddr,
    front: Arc<Front<S>>,
    watch: Arc<Watch>,
) {
    let _ = tcp.set_nodelay(true); // slower without, but no fault
    let stream = Stream::new(tcp, peer, watch.clone(), front.refuse.clone());
    let answering = watch.clone();
    let service = service_fn(move |request| answer(request, peer, front.clone(), answering.clone()));
    let mut http = http1::Builder::new();
    http.max_header_size(head::LARGEST).max_buf_size(MOST_BUFFERED);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    match within_deadlines(connection, &watch).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, %peer, "a connection ended"),
        Err(overdue) => {
            tracing::debug!(?overdue, %peer, "a connection was cut");
            if let Some(reason) = overdue.reason() {
                metrics::counter!("tenantry_http_connections_cut_total", "reason" => reason).increment(1);
            }
        }
    }
}

async fn answer<S: Answers>(
    request: Request<Incoming>,
    peer: SocketAddr,
    front: Arc<Front<S>>,
    watch: Arc<Watch>,
) -> io::Result<Response<Watched>> {
    if !watch.begin() {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    if let Some(fault) = head::fault(&request) {
        request.extensions_mut().insert(Unfit(fault));
    }
    let Ok(mut response) = front.service.clone().oneshot(request).await;
    if front.is_last_answer() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| Watched { body, watch }))
}

/// Drives it until it ends, or until it is overdue. What is due can only have changed while it was driven.
async fn within_deadlines<T>(connection: impl Future<Output = T>, watch: &Watch) -> Result<T, Overdue> {
    let mut connection = pin!(connection);
    let mut alarm = pin!(sleep_until(watch.due().unwrap_or_else(|| Instant::now() + NOTHING_DUE)));
    std::future::poll_fn(|cx| {
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(Ok(ended));
        }
        loop {
            let due = watch.due();
            // a later one is seen to when the alarm rings: most requests are over long before
            if let Some(due) = due
                && due < alarm.deadline()
            {
                alarm.as_mut().reset(due);
            }
            ready!(alarm.as_mut().poll(cx));
            let now = Instant::now();
            match due {
                Some(due) if due <= now => return Poll::Ready(Err(watch.overdue())),
                due => alarm.as_mut().reset(due.unwrap_or(now + NOTHING_DUE)),
            }
        }
    })
    .await
}

/// The body of an answer. It is dropped when all of it was handed over to be sent.
struct Watched {
    body: Body,
    watch: Arc<Watch>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.answered();
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
