//! The HTTP server of both listeners: accepts, bounds what a peer may send and for how long, hands
//! whole requests to a handler. Knows no route.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::IntCounterVec;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

/// Bytes of request line and headers, and of the connection's buffer.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Headers of a request.
const HEADERS_MAX: usize = 48;
/// Pause after a failed accept: descriptors are missing, and others may close theirs.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What peers may do.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// Open connections; further ones are closed at once.
    pub connections_max: usize,
    /// Time for request line and headers, from the connection's begin or the last answer on.
    pub head_time_max: Duration,
    /// Time for the body.
    pub body_time_max: Duration,
    /// Bytes of the body.
    pub body_bytes_max: usize,
    /// Time for everything on one connection, the reading of answers included.
    pub connection_time_max: Duration,
}

/// A whole request.
pub struct Asked {
    /// Of the request line.
    pub method: Method,
    /// Without a query.
    pub path: String,
    /// All of them.
    pub headers: HeaderMap,
    /// Empty where there is none.
    pub body: Bytes,
    /// The other end of the connection.
    pub peer: SocketAddr,
}

/// What is answered.
pub type Answer = Response<Full<Bytes>>;

/// Serves until the stop signal's other end is gone.
pub async fn serve<H, F>(
    listener: std::net::TcpListener,
    limits: HttpLimits,
    counters: IntCounterVec,
    name: &'static str,
    mut stop: watch::Receiver<()>,
    handle: H,
) -> std::io::Result<()>
where
    H: Fn(Asked) -> F + 'static,
    F: Future<Output = Answer> + 'static,
{
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let room = Arc::new(Semaphore::new(limits.connections_max));
    let handle = Rc::new(handle);
    loop {
        let (stream, peer) = tokio::select! {
            _ = stop.changed() => return Ok(()),
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    log::warn!("{name}: a connection cannot be accepted: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        // No room: the connection is closed, which says more than silence.
        let Ok(permit) = room.clone().try_acquire_owned() else { continue };
        let (handle, counters) = (handle.clone(), counters.clone());
        tokio::task::spawn_local(async move {
            let served = talk(stream, peer, limits, &counters, name, handle);
            // What takes longer is cut: a reader that does not read holds its place no longer.
            let _ = timeout(limits.connection_time_max, served).await;
            drop(permit);
        });
    }
}

/// All requests of one connection.
async fn talk<H, F>(
    stream: TcpStream,
    peer: SocketAddr,
    limits: HttpLimits,
    counters: &IntCounterVec,
    name: &'static str,
    handle: Rc<H>,
) where
    H: Fn(Asked) -> F + 'static,
    F: Future<Output = Answer> + 'static,
{
    let service = service_fn(|request: Request<Incoming>| {
        let handle = handle.clone();
        async move {
            let answer = match read(request, peer, limits).await {
                Ok(asked) => handle(asked).await,
                Err(error) => error.answer(),
            };
            counters.with_label_values(&[name, answer.status().as_str()]).inc();
            Ok::<_, Infallible>(answer)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time_max)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        log::debug!("{name}: {peer}: {error}");
    }
}

/// The request with its body.
async fn read(
    request: Request<Incoming>,
    peer: SocketAddr,
    limits: HttpLimits,
) -> Result<Asked, NotRead> {
    let (parts, body) = request.into_parts();
    let too_large = NotRead::TooLarge { body_bytes_max: limits.body_bytes_max };
    // What is announced need not be waited for.
    if body.size_hint().lower() > limits.body_bytes_max as u64 {
        return Err(too_large);
    }
    let whole = timeout(limits.body_time_max, Limited::new(body, limits.body_bytes_max).collect());
    let body = match whole.await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large),
        Ok(Err(_)) => return Err(NotRead::Incomplete),
        Err(_) => return Err(NotRead::TooSlow),
    };
    let path = parts.uri.path().to_owned();
    Ok(Asked { method: parts.method, path, headers: parts.headers, body, peer })
}

/// Why a request does not get to its handler.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum NotRead {
    #[error("a body has at most {body_bytes_max} bytes")]
    TooLarge { body_bytes_max: usize },
    #[error("the body is incomplete")]
    Incomplete,
    #[error("the body took too long")]
    TooSlow,
}

impl NotRead {
    /// The connection ends with it: the rest of the body is not read.
    fn answer(self) -> Answer {
        let status = match self {
            NotRead::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            NotRead::Incomplete => StatusCode::BAD_REQUEST,
            NotRead::TooSlow => StatusCode::REQUEST_TIMEOUT,
        };
        let mut answer = text_answer(status, format!("{self}\n"));
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        answer
    }
}

/// An answer of plain text.
pub fn text_answer(status: StatusCode, text: String) -> Answer {
    answer(status, "text/plain; charset=utf-8", text.into())
}

/// An answer that nobody may keep: it may hold a token, or what is true now only.
pub fn answer(status: StatusCode, kind: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// Says when to come again; seconds, rounded up.
pub fn retry_after(mut answer: Answer, after_ms: u32) -> Answer {
    let seconds = after_ms.div_ceil(1_000).max(1);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    answer
}

/// The answer to a method that the path does not have.
pub fn wrong_method(allowed: &'static str) -> Answer {
    let text = format!("only {allowed}\n");
    let mut answer = text_answer(StatusCode::METHOD_NOT_ALLOWED, text);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}
