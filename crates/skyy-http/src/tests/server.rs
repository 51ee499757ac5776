//! A server that does what its script says, connection by connection, and keeps what it was sent.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What happens to the next request.
pub(super) enum Then {
    /// These bytes go back; the connection stays.
    Answer(String),
    /// The connection is closed without an answer.
    HangUp,
    /// These bytes go back and the connection is closed.
    AnswerAndHangUp(String),
    /// Nothing, for ever.
    Silence,
}

impl Then {
    pub(super) fn json(body: &str) -> Self {
        Self::status("200 OK", "application/json", body)
    }

    pub(super) fn status(line: &str, content_type: &str, body: &str) -> Self {
        let length = body.len();
        Self::Answer(format!(
            "HTTP/1.1 {line}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    }
}

pub(super) struct Server {
    pub(super) url: String,
    seen: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<usize>>,
    task: JoinHandle<()>,
}

impl Server {
    pub(super) async fn start(script: impl IntoIterator<Item = Then>) -> Self {
        Self::serve(script, None).await
    }

    pub(super) async fn start_tls(script: impl IntoIterator<Item = Then>, acceptor: TlsAcceptor) -> Self {
        Self::serve(script, Some(acceptor)).await
    }

    async fn serve(script: impl IntoIterator<Item = Then>, acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = match acceptor {
            Some(_) => format!("https://localhost:{port}"),
            None => format!("http://127.0.0.1:{port}"),
        };
        let script = Arc::new(Mutex::new(script.into_iter().collect::<VecDeque<_>>()));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(Mutex::new(0));
        let (log, count) = (seen.clone(), connections.clone());
        let task = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                *count.lock().unwrap() += 1;
                let (script, log, acceptor) = (script.clone(), log.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => converse(socket, script, log).await,
                        Some(acceptor) => {
                            if let Ok(socket) = acceptor.accept(socket).await {
                                converse(socket, script, log).await;
                            }
                        }
                    }
                });
            }
        });
        Self { url, seen, connections, task }
    }

    /// All requests so far, as sent.
    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    mut socket: S,
    script: Arc<Mutex<VecDeque<Then>>>,
    log: Arc<Mutex<Vec<String>>>,
) {
    while let Some(request) = read_request(&mut socket).await {
        log.lock().unwrap().push(request);
        let then = script.lock().unwrap().pop_front();
        match then {
            Some(Then::Answer(bytes)) => {
                if socket.write_all(bytes.as_bytes()).await.is_err() {
                    return;
                }
            }
            Some(Then::AnswerAndHangUp(bytes)) => {
                let _ = socket.write_all(bytes.as_bytes()).await;
                let _ = socket.shutdown().await;
                return;
            }
            Some(Then::Silence) => std::future::pending().await,
            // An exhausted script hangs up as well: the test then sees an error instead of waiting.
            Some(Then::HangUp) | None => return,
        }
    }
}

async fn read_request<S: AsyncRead + Unpin>(socket: &mut S) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok()
                })
                .unwrap_or(0_usize);
            if body.len() >= length {
                return Some(text);
            }
        }
        let mut chunk = [0; 4096];
        match socket.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}
