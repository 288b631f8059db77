//! One request and its answer over a connection of its own: nothing of an attempt is left for the next one.
use super::{Incoming, Outgoing, Target, Undelivered};
use axum::{
    body::Bytes,
    http::{HeaderValue, Request, Response, Uri, header},
};
use futures_util::future::select_ok;
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming as Body,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use url::Host;

/// Who is asking.
const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("Tenantry/", env!("CARGO_PKG_VERSION")));
/// How long an address is tried before the next one is tried beside it (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);
/// More addresses of one name than this are not tried.
const MOST_ADDRESSES: u32 = 8;
/// The largest head of an answer, and the most that is read ahead of its body.
const MOST_BUFFERED: usize = 64 * 1024;

/// Speaks with these addresses and no others.
pub(super) async fn exchange(
    addresses: Vec<IpAddr>,
    tls: &TlsConnector,
    request: Outgoing<'_>,
) -> Result<Incoming, Undelivered> {
    let target = request.target;
    let stream = connect(addresses, target.port).await?;
    if !target.tls {
        return speak(stream, request).await;
    }
    let secured = tls.connect(server_name(&target.host)?, stream).await.map_err(|e| not_secured(&e))?;
    speak(secured, request).await
}

async fn connect(addresses: Vec<IpAddr>, port: u16) -> Result<TcpStream, Undelivered> {
    let attempts = (0..MOST_ADDRESSES).zip(addresses).map(|(before, address)| {
        Box::pin(async move {
            tokio::time::sleep(HEAD_START * before).await;
            TcpStream::connect(SocketAddr::new(address, port)).await
        })
    });
    let (stream, _) = select_ok(attempts)
        .await
        .map_err(|e| Undelivered::Failed(format!("cannot connect: {}", e.kind())))?;
    let _ = stream.set_nodelay(true); // slower without, but no fault
    Ok(stream)
}

fn server_name(host: &Host<String>) -> Result<ServerName<'static>, Undelivered> {
    match host {
        Host::Domain(name) => ServerName::try_from(name.clone())
            .map_err(|_| Undelivered::Failed("no certificate can be for this name".to_owned())),
        Host::Ipv4(ip) => Ok(IpAddr::V4(*ip).into()),
        Host::Ipv6(ip) => Ok(IpAddr::V6(*ip).into()),
    }
}

/// The connection is driven here and not by a task, so it ends with the attempt.
async fn speak<S>(stream: S, request: Outgoing<'_>) -> Result<Incoming, Undelivered>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut http = http1::Builder::new();
    http.max_buf_size(MOST_BUFFERED).max_header_size(MOST_BUFFERED);
    let (sender, connection) = http.handshake(TokioIo::new(stream)).await.map_err(|e| broken(&e))?;
    let driven = async {
        // what is wrong with it is told to whoever waits for the answer
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answered = converse(sender, request) => answered,
        () = driven => Err(Undelivered::Failed("the connection ended".to_owned())),
    }
}

async fn converse(
    mut sender: SendRequest<Full<Bytes>>,
    request: Outgoing<'_>,
) -> Result<Incoming, Undelivered> {
    let most_bytes = request.most_bytes;
    let answer = sender.send_request(head_and_body(request)).await.map_err(|e| broken(&e))?;
    let (head, body) = Response::into_parts(answer);
    let (body, cut) = read(body, most_bytes).await?;
    Ok(Incoming { status: head.status, headers: head.headers, body, cut })
}

fn head_and_body(request: Outgoing<'_>) -> Request<Full<Bytes>> {
    let Target { authority, path, .. } = request.target;
    let mut made = Request::new(Full::new(request.body));
    *made.method_mut() = request.method;
    *made.uri_mut() = Uri::from(path.clone());
    let headers = made.headers_mut();
    for (name, value) in request.headers {
        headers.append(name, value);
    }
    headers.insert(header::HOST, authority.clone());
    headers.insert(header::USER_AGENT, USER_AGENT);
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    made
}

/// The body, or its beginning and that it was longer.
async fn read(mut body: Body, most_bytes: usize) -> Result<(Bytes, bool), Undelivered> {
    let mut kept = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|e| broken(&e))?.into_data() else { continue };
        let room = most_bytes - kept.len();
        if data.len() > room {
            kept.extend_from_slice(&data[..room]);
            return Ok((kept.into(), true));
        }
        kept.extend_from_slice(&data);
    }
    Ok((kept.into(), false))
}

fn broken(error: &hyper::Error) -> Undelivered {
    let why = if error.is_parse_too_large() {
        "the head of the answer is too large"
    } else if error.is_parse() {
        "the answer is not HTTP/1.1"
    } else if error.is_user() {
        "the request cannot be sent"
    } else {
        "the connection ended before the answer did"
    };
    Undelivered::Failed(why.to_owned())
}

/// rustls says what is wrong with a certificate; a long list of names in it is cut off.
fn not_secured(error: &io::Error) -> Undelivered {
    let said: String = error.to_string().chars().take(200).collect();
    Undelivered::Failed(format!("cannot speak TLS: {said}"))
}
