//! Carries a product: listens, speaks HTTP/1.1 (with TLS if wanted), counts, and fails on command.
//!
//! It knows no product. A request goes: unplugged? → fault → hooks → product → answer (or not).

use std::{
    convert::Infallible,
    net::SocketAddr,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{Router, body::Body};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::Instant,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::{
    control,
    counter::{Call, Counters, Counts, Logged},
    fault::{FaultKind, Faults},
    hook::{Hooks, Stored, When},
    product::{NoAnswer, Peer, Product},
    state_file::{StateError, StateFile},
    tls::{Certificate, TlsError},
};

/// The largest request body taken.
const MAX_BODY: usize = 64 << 20;

/// Why an endpoint could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The address is taken, or not one of this machine's.
    #[error("cannot listen on {addr}; give another address, port 0 takes a free one")]
    Listen {
        /// The address wanted.
        addr: String,
        /// The reason.
        source: std::io::Error,
    },
    /// No certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The state file does not work.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Where simulated endpoints begin.
#[derive(Debug)]
pub struct Sim;

impl Sim {
    /// An endpoint for `product`; without more said it listens on a free port of 127.0.0.1, without TLS.
    pub fn builder<P: Product>(product: Arc<P>) -> Builder<P> {
        Builder { product, addr: "127.0.0.1:0".to_owned(), tls: Tls::Off, seed: 0, state: None }
    }
}

#[derive(Debug)]
enum Tls {
    Off,
    New,
    With(Certificate),
}

/// What an endpoint will be like.
#[derive(Debug)]
pub struct Builder<P> {
    product: Arc<P>,
    addr: String,
    tls: Tls,
    seed: u64,
    state: Option<(Arc<StateFile>, String)>,
}

impl<P: Product> Builder<P> {
    /// Where to listen; port 0 takes a free one.
    #[must_use]
    pub fn addr(mut self, addr: impl Into<String>) -> Self {
        self.addr = addr.into();
        self
    }

    /// Whether to speak TLS, with a certificate of its own.
    #[must_use]
    pub fn tls(mut self, tls: bool) -> Self {
        self.tls = if tls { Tls::New } else { Tls::Off };
        self
    }

    /// Speaks TLS with this certificate.
    #[must_use]
    pub fn certificate(mut self, certificate: Certificate) -> Self {
        self.tls = Tls::With(certificate);
        self
    }

    /// What chance in faults is drawn from.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Keeps the product's state in `file` under `name`, and goes on from what is there.
    #[must_use]
    pub fn state(mut self, file: Arc<StateFile>, name: &str) -> Self {
        self.state = Some((file, name.to_owned()));
        self
    }

    /// Listens and serves until stopped or dropped.
    pub async fn start(self) -> Result<Running<P>, SimError> {
        let Self { product, addr, tls, seed, state } = self;
        let certificate = match tls {
            Tls::Off => None,
            Tls::New => Some(Certificate::generate()?),
            Tls::With(certificate) => Some(certificate),
        };
        let state = match state {
            None => None,
            Some((file, name)) => {
                file.attach(&name, Arc::clone(&product) as Arc<dyn Product>)?;
                Some(file)
            }
        };
        let listener = listen(&addr).await?;
        let bound = listener.local_addr().map_err(|source| SimError::Listen { addr, source })?;
        let inner = Arc::new(Inner {
            router: Arc::clone(&product).router(),
            product: Arc::clone(&product) as Arc<dyn Product>,
            addr: bound,
            acceptor: certificate.as_ref().map(Certificate::acceptor).transpose()?,
            fingerprint: certificate.as_ref().map(Certificate::fingerprint_sha256).transpose()?,
            certificate,
            counters: Counters::default(),
            faults: Faults::seeded(seed),
            hooks: Hooks::default(),
            state,
            unplugged: Mutex::new(Plug { until: None, pulled: CancellationToken::new() }),
        });
        let server = Server { inner, listening: Mutex::new(None) };
        server.listen_on(listener);
        Ok(Running { product, server })
    }
}

/// A running endpoint and the product behind it. Dropped, it stops.
#[derive(Debug)]
pub struct Running<P> {
    product: Arc<P>,
    server: Server,
}

impl<P> Running<P> {
    /// The product behind the endpoint.
    pub const fn product(&self) -> &Arc<P> {
        &self.product
    }
}

impl<P> Deref for Running<P> {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

/// The serving side of an endpoint, whatever product it carries.
pub struct Server {
    inner: Arc<Inner>,
    listening: Mutex<Option<Listening>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("url", &self.url()).finish_non_exhaustive()
    }
}

struct Listening {
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Server {
    /// The address listened on.
    pub fn addr(&self) -> SocketAddr {
        self.inner.addr
    }

    /// The address as a URL without a trailing slash.
    pub fn url(&self) -> String {
        let scheme = if self.inner.acceptor.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.inner.addr)
    }

    /// Under TLS, the SHA-256 of the certificate as `AB:CD:…`.
    pub fn fingerprint_sha256(&self) -> Option<&str> {
        self.inner.fingerprint.as_deref()
    }

    /// Under TLS, the certificate as PEM, to be trusted as a CA.
    pub fn certificate_pem(&self) -> Option<&str> {
        self.inner.certificate.as_ref().map(Certificate::pem)
    }

    /// The counters.
    pub fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        self.inner.counters.counts()
    }

    /// The last requests, oldest first.
    pub fn requests(&self) -> Vec<Logged> {
        self.inner.counters.requests()
    }

    /// The faults in force.
    pub fn faults(&self) -> &Faults {
        &self.inner.faults
    }

    /// The hooks in force.
    pub fn hooks(&self) -> &Hooks {
        &self.inner.hooks
    }

    /// Closes every connection without an answer for this long, open ones at once; `/_sim/` stays reachable.
    pub fn unplug(&self, span: Duration) {
        self.inner.unplug(span).cancel();
    }

    /// Ends an [`unplug`](Self::unplug) early.
    pub fn plug(&self) {
        self.inner.plug();
    }

    /// Stops listening and drops all connections at once: connecting is refused from now on.
    pub async fn stop(&self) {
        let listening = lock(&self.listening).take();
        if let Some(mut listening) = listening {
            listening.cancel.cancel();
            // The task ends by the cancellation; only a panic in it could be reported here, and that was logged.
            let _ = (&mut listening.task).await;
        }
    }

    /// Listens again, on the same address, after a [`stop`](Self::stop). A running endpoint is left as it is.
    pub async fn start(&self) -> Result<(), SimError> {
        if lock(&self.listening).is_none() {
            let listener = listen(&self.inner.addr.to_string()).await?;
            self.listen_on(listener);
        }
        Ok(())
    }

    fn listen_on(&self, listener: TcpListener) {
        let cancel = CancellationToken::new();
        let task = tokio::spawn(accept(Arc::clone(&self.inner), listener, cancel.clone()));
        *lock(&self.listening) = Some(Listening { cancel, task });
    }
}

async fn listen(addr: &str) -> Result<TcpListener, SimError> {
    TcpListener::bind(addr).await.map_err(|source| SimError::Listen { addr: addr.to_owned(), source })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What all connections share.
pub(crate) struct Inner {
    router: Router,
    pub(crate) product: Arc<dyn Product>,
    addr: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    pub(crate) certificate: Option<Certificate>,
    fingerprint: Option<String>,
    pub(crate) counters: Counters,
    pub(crate) faults: Faults,
    pub(crate) hooks: Hooks,
    state: Option<Arc<StateFile>>,
    unplugged: Mutex<Plug>,
}

struct Plug {
    until: Option<Instant>,
    /// Cancelled when the plug is pulled: what was under way is cut off.
    pulled: CancellationToken,
}

impl Inner {
    /// Refuses requests from now on; what is under way is cut off when the caller cancels the token.
    pub(crate) fn unplug(&self, span: Duration) -> CancellationToken {
        let mut plug = lock(&self.unplugged);
        plug.until = Some(Instant::now() + span);
        std::mem::take(&mut plug.pulled)
    }

    pub(crate) fn plug(&self) {
        lock(&self.unplugged).until = None;
    }

    fn is_unplugged(&self) -> bool {
        lock(&self.unplugged).until.is_some_and(|until| Instant::now() < until)
    }

    fn pulled(&self) -> CancellationToken {
        lock(&self.unplugged).pulled.clone()
    }

    pub(crate) fn changed(&self) {
        if let Some(state) = &self.state {
            state.changed();
        }
    }

    /// Lets the product execute a request, to its end even when the client goes away meanwhile.
    pub(crate) async fn call(&self, request: Request<Body>) -> Option<Response<Bytes>> {
        let router = self.router.clone();
        let run = tokio::spawn(async move {
            let answer = router.oneshot(request).await.unwrap_or_else(|never: Infallible| match never {});
            if answer.extensions().get::<NoAnswer>().is_some() {
                return None;
            }
            let (parts, body) = answer.into_parts();
            let body = body.collect().await.ok()?.to_bytes();
            Some(Response::from_parts(parts, body))
        });
        run.await.unwrap_or_else(|panicked| {
            tracing::error!(%panicked, "the simulated product panicked");
            let mut answer = Response::new(Bytes::from_static(b"the simulated product panicked"));
            *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            Some(answer)
        })
    }

    async fn run_hook(&self, id: u64, stored: &Stored, client: &HeaderMap, peer: Peer) {
        let Ok(mut request) = stored.build(client) else { return }; // built once when it was added
        request.extensions_mut().insert(peer);
        let status = self.call(request).await.map_or(0, |answer| answer.status().as_u16());
        self.hooks.ran(id, status);
    }

    async fn product_call(
        &self,
        call: &Call,
        request: Request<Body>,
        peer: Peer,
    ) -> Result<Response<Bytes>, Dropped> {
        let pulled = self.pulled();
        if self.is_unplugged() {
            self.counters.refused(call);
            return Err(Dropped);
        }
        let verdict = self.faults.judge(&call.method, &call.path);
        if !verdict.delay.is_zero() {
            tokio::time::sleep(verdict.delay).await;
        }
        match verdict.then {
            Some(FaultKind::Refuse) => {
                self.counters.refused(call);
                return Err(Dropped);
            }
            Some(FaultKind::Hang) => {
                self.counters.note(call, 0, 0);
                pulled.cancelled().await;
                return Err(Dropped);
            }
            None | Some(FaultKind::AnswerLost | FaultKind::Delay { .. }) => {}
            Some(kind) => {
                let answer = ordered(kind);
                self.counters.note(call, answer.status().as_u16(), answer.body().len());
                return Ok(answer);
            }
        }
        let due = self.hooks.due(&call.method, &call.path);
        let client = request.headers().clone();
        for (id, _, stored) in due.iter().filter(|(_, when, _)| *when == When::Before) {
            self.run_hook(*id, stored, &client, peer).await;
        }
        let answer = self.call(request).await;
        for (id, _, stored) in due.iter().filter(|(_, when, _)| *when == When::After) {
            self.run_hook(*id, stored, &client, peer).await;
        }
        if !matches!(call.method.as_str(), "GET" | "HEAD" | "OPTIONS") || !due.is_empty() {
            self.changed();
        }
        let lost = verdict.then.is_some() || pulled.is_cancelled();
        let Some(answer) = answer.filter(|_| !lost) else {
            self.counters.note(call, 0, 0);
            return Err(Dropped);
        };
        self.counters.note(call, answer.status().as_u16(), answer.body().len());
        Ok(answer)
    }
}

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("closed without an answer, as ordered")]
struct Dropped;

/// The answer that a fault orders.
fn ordered(kind: FaultKind) -> Response<Bytes> {
    let (status, content_type, body) = match kind {
        FaultKind::Status { status, ref body, .. } => {
            let body = body.clone().unwrap_or_else(|| json!({"code": status, "message": "simulated fault", "data": null}));
            (status, "application/json", Bytes::from(body.to_string()))
        }
        FaultKind::BrokenJson => (200, "application/json", Bytes::from_static(b"{\"code\": 200, \"data\": [{\"id\": 0, \"des")),
        _ => (200, "text/html;charset=UTF-8", Bytes::from_static(b"<!DOCTYPE html>\n<html><head><title>Login</title></head><body><form method=\"post\"><input name=\"usernamefld\"></form></body></html>\n")),
    };
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    if let FaultKind::Status { retry_after: Some(seconds), .. } = kind {
        answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    answer
}

async fn accept(inner: Arc<Inner>, listener: TcpListener, cancel: CancellationToken) {
    let mut connections = JoinSet::new(); // dropped at the end, and all connections with it
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => { connections.spawn(connection(Arc::clone(&inner), stream, peer)); }
                // Out of file descriptors, mostly: wait for connections to end instead of spinning.
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(inner: Arc<Inner>, stream: TcpStream, peer: SocketAddr) {
    let _ = stream.set_nodelay(true); // only speed is lost without it
    match inner.acceptor.clone() {
        None => serve(inner, stream, peer).await,
        Some(acceptor) => match acceptor.accept(stream).await {
            Ok(stream) => serve(inner, stream, peer).await,
            Err(error) => tracing::debug!(%error, %peer, "TLS handshake failed"),
        },
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    inner: Arc<Inner>,
    stream: S,
    peer: SocketAddr,
) {
    let pulled = inner.pulled();
    let service = hyper::service::service_fn(move |request| answer(Arc::clone(&inner), request, Peer(peer)));
    let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        () = pulled.cancelled() => {}
        ended = serving => if let Err(error) = ended { tracing::trace!(%error, %peer, "connection ended") },
    }
}

async fn answer(
    inner: Arc<Inner>,
    request: Request<Incoming>,
    peer: Peer,
) -> Result<Response<Full<Bytes>>, Dropped> {
    let (parts, body) = request.into_parts();
    let body = http_body_util::Limited::new(body, MAX_BODY).collect().await.map_err(|_| Dropped)?.to_bytes();
    let call = Call {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        bytes_in: body.len(),
    };
    let mut request = Request::from_parts(parts, Body::from(body));
    request.extensions_mut().insert(peer);
    let answer = if call.path == "/_sim" || call.path.starts_with("/_sim/") {
        control::handle(&inner, request).await.ok_or(Dropped)?
    } else {
        inner.product_call(&call, request, peer).await?
    };
    Ok(answer.map(Full::new))
}
