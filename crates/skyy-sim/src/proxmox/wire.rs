//! From an HTTP request to a handler and back: paths, bodies, login, permission, forwarding to the right node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, Method as Verb, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::sync::SemaphorePermit;

use super::Pve;
use super::answer::{Fault, Formatter, Reply, respond};
use super::auth::{Caller, Credentials};
use super::call::Call;
use super::params::{RawParams, decode, verify};
use super::routes::handler;
use super::schema::{Method, Perm, SCHEMA};
use super::state::{Cluster, Link};
use crate::product::NoAnswer;

/// Larger bodies are refused.
const BODY_LIMIT: usize = 512 * 1024;

/// What calls take on the real stack, with and without the daemon that has all rights.
const PROTECTED_COST: Duration = Duration::from_millis(45);
const PLAIN_COST: Duration = Duration::from_millis(4);

/// How often a call that waits for a lock looks again.
const RETRY: Duration = Duration::from_millis(100);

/// How long a connection attempt to a host without power takes to fail.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// A request taken apart.
struct Incoming {
    verb: String,
    formatter: Formatter,
    /// The path below the formatter, decoded and split.
    path: Vec<String>,
    raw: RawParams,
    authorization: Option<String>,
    cookie: Option<String>,
    csrf: Option<String>,
}

/// Answers one request as the node `via` would.
pub(crate) async fn serve(pve: Arc<Pve>, via: String, request: Request) -> Response {
    let link = pve.change(|c| c.nodes.get(&via).map_or(Link::Off, |n| n.link));
    if matches!(link, Link::Off | Link::DaemonsStopped) {
        // Without its proxy a host refuses at once; without power it does not even do that.
        if link == Link::Off {
            pve.clock.sleep(CONNECT_TIMEOUT).await;
        }
        let mut silence = Response::new(Body::empty());
        *silence.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        silence.extensions_mut().insert(NoAnswer);
        return silence;
    }
    let incoming = match take_apart(request).await {
        Ok(incoming) => incoming,
        Err(fault) => return respond(Err(fault), Formatter::Json),
    };
    let _worker = cost(&pve, &via, &incoming).await;
    let mut waited = 0;
    loop {
        let reply = {
            let mut cluster = pve.locked();
            cluster.advance(pve.now());
            answer(&mut cluster, &via, &incoming)
        };
        match reply {
            Err(fault) if waited < fault.patience_ms => {
                pve.clock.sleep(RETRY).await;
                waited += super::in_millis(RETRY);
            }
            Err(fault) if fault.delay_ms > 0 => {
                pve.clock.sleep(Duration::from_millis(fault.delay_ms)).await;
                return respond(Err(fault), incoming.formatter);
            }
            reply => return respond(reply, incoming.formatter),
        }
    }
}

/// Lets a call take the time it takes on the real stack, at one of the few workers where it needs one.
async fn cost<'p>(pve: &'p Pve, via: &str, incoming: &Incoming) -> Option<SemaphorePermit<'p>> {
    let workers = pve.workers.as_ref()?;
    let segments: Vec<&str> = incoming.path.iter().map(String::as_str).collect();
    let (method, vars) = SCHEMA.find(&incoming.verb, &segments)?;
    let node = vars.iter().find(|(k, _)| *k == "node" && method.proxied).map_or(via, |(_, v)| v.as_str());
    let (permit, takes) = match workers.get(node).filter(|_| method.protected) {
        Some(workers) => (workers.acquire().await.ok(), PROTECTED_COST),
        None => (None, PLAIN_COST),
    };
    pve.clock.sleep(takes).await;
    permit
}

async fn take_apart(request: Request) -> Result<Incoming, Fault> {
    let (parts, body) = request.into_parts();
    let verb = match parts.method {
        Verb::GET | Verb::POST | Verb::PUT | Verb::DELETE => parts.method.as_str().to_string(),
        other => return Err(Fault::bare(501, &format!("method '{other}' not available"))),
    };
    let path = decode(parts.uri.path(), false);
    let mut segments = path.split('/').filter(|s| !s.is_empty());
    if segments.next() != Some("api2") {
        let text = format!("no such file '{path}'");
        return Err(Fault::plain(500, &text, &format!("{text}\n")));
    }
    let format = segments.next().unwrap_or_default().to_string();
    let rest: Vec<String> = segments.map(str::to_string).collect();
    let formatter = match format.as_str() {
        "json" => Formatter::Json,
        "extjs" => Formatter::ExtJs,
        other => {
            let text = format!("no formatter for uri /{}, {other}", rest.join("/"));
            return Err(Fault::plain(501, &text, &text));
        }
    };
    let mut raw = RawParams::default();
    raw.add_form(parts.uri.query().unwrap_or_default());
    if matches!(verb.as_str(), "POST" | "PUT") {
        read_body(&parts.headers, body, &mut raw).await?;
    }
    let text = |name: &str| parts.headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_string);
    let cookies = text("cookie").unwrap_or_default();
    let cookie = cookies.split(';').find_map(|c| c.trim().strip_prefix("PVEAuthCookie=")).map(str::to_string);
    Ok(Incoming {
        verb,
        formatter,
        path: rest,
        raw,
        authorization: text("authorization"),
        cookie,
        csrf: text("csrfpreventiontoken"),
    })
}

async fn read_body(headers: &HeaderMap, body: Body, raw: &mut RawParams) -> Result<(), Fault> {
    let too_large = || Fault::plain(501, "for data too large", "for data too large");
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|n| n > BODY_LIMIT) {
        return Err(too_large());
    }
    let limited = http_body_util::Limited::new(body, BODY_LIMIT);
    let bytes = limited.collect().await.map_err(|_| too_large())?.to_bytes();
    if bytes.is_empty() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&bytes);
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    match kind {
        "" | "application/x-www-form-urlencoded" => raw.add_form(&text),
        "application/json" => match serde_json::from_str::<Value>(&text) {
            Ok(Value::Object(object)) => raw.add_json(object),
            Ok(_) | Err(_) => return Err(bad_json(&text)),
        },
        other => {
            let text = format!("upload 'Content-Type '{other}' not implemented");
            return Err(Fault::plain(506, &text, &text));
        }
    }
    Ok(())
}

fn bad_json(text: &str) -> Fault {
    let at = match serde_json::from_str::<Value>(text) {
        Err(error) => error.column().saturating_sub(1),
        Ok(_) => 0,
    };
    let near = text.get(at..).unwrap_or_default();
    let message = format!(
        "malformed JSON string, neither tag, array, object, number, string or atom, at character offset {at} \
         (before \"{near}\") at /usr/share/perl5/PVE/APIServer/AnyEvent.pm line 934."
    );
    Fault::plain(500, &message, &format!("{message}\n"))
}

fn answer(c: &mut Cluster, via: &str, incoming: &Incoming) -> Reply {
    let segments: Vec<&str> = incoming.path.iter().map(String::as_str).collect();
    let found = SCHEMA.find(&incoming.verb, &segments);
    let world = found.as_ref().is_some_and(|(m, _)| matches!(m.perm, Perm::World));
    let given = Credentials {
        authorization: incoming.authorization.as_deref(),
        cookie: incoming.cookie.as_deref(),
        csrf: incoming.csrf.as_deref(),
    };
    let caller = match c.authenticate(&given, incoming.verb != "GET") {
        Ok(caller) => caller,
        Err(_) if world => Caller { user: String::new(), token: None },
        Err(fault) => return Err(fault),
    };
    let shown = format!("/{}", segments.join("/"));
    let Some((method, vars)) = found else { return Err(Fault::unimplemented(&incoming.verb, &shown)) };
    permitted(c, &caller, method, &vars, incoming)?;
    let node = if method.proxied {
        let name = vars.iter().find(|(k, _)| *k == "node").map(|(_, v)| v.as_str()).unwrap_or_default();
        forward(c, via, name)?
    } else {
        via.to_string()
    };
    let params = verify(method, &vars, incoming.raw.clone())?;
    let Some(handler) = handler(&method.verb, &method.path) else {
        return Err(Fault::die(format!("{} {} is not simulated", method.verb, method.path)));
    };
    handler(&mut Call { c, caller: &caller, p: params, via, node })
}

/// The checks that the schema itself prescribes.
fn permitted(
    c: &Cluster,
    caller: &Caller,
    method: &Method,
    vars: &[(&str, String)],
    incoming: &Incoming,
) -> Result<(), Fault> {
    match &method.perm {
        Perm::World | Perm::All | Perm::Code => Ok(()),
        Perm::Root if caller.is_root() => Ok(()),
        Perm::Root => Err(Fault::perm("user != root@pam")),
        Perm::On { path, privs, any } => {
            let mut known: BTreeMap<&str, &str> = vars.iter().map(|(k, v)| (*k, v.as_str())).collect();
            for (key, value) in &incoming.raw.0 {
                if let super::params::Raw::Text(text) = value {
                    known.entry(key).or_insert(text);
                }
            }
            let mut path = path.clone();
            for (key, value) in known {
                path = path.replace(&format!("{{{key}}}"), value);
            }
            let privs: Vec<&str> = privs.iter().map(String::as_str).collect();
            if *any { c.check_any(caller, &path, &privs) } else { c.check(caller, &path, &privs) }
        }
    }
}

/// Finds the node that has to answer, or what trying to reach it leads to.
fn forward(c: &Cluster, via: &str, name: &str) -> Result<String, Fault> {
    if name == "localhost" || name == via {
        return Ok(via.to_string());
    }
    let Some(node) = c.nodes.get(name) else {
        if c.nodes.keys().any(|n| n.eq_ignore_ascii_case(name)) {
            return Err(Fault::bare(596, "error:0A000086:SSL routines::certificate verify failed"));
        }
        if name.parse::<std::net::IpAddr>().is_ok() {
            return Err(Fault::die(format!("address lookup for '{name}' did not find any IP address")));
        }
        let why = if name.len() > 63 {
            "Name or service not known"
        } else {
            "Temporary failure in name resolution"
        };
        let text = format!("hostname lookup '{name}' failed - failed to get address info for: {name}: {why}");
        return Err(Fault::die(text));
    };
    let cut_off = c.nodes.get(via).is_some_and(|n| n.link == Link::Cut);
    match node.link {
        // A host that reboots stops its daemons first and starts them last.
        _ if node.link == Link::DaemonsStopped || node.back_at.is_some() => {
            Err(Fault::bare(595, "Connection refused"))
        }
        Link::Up if !cut_off => Ok(name.to_string()),
        _ => {
            // Right after the cut a connection runs into the time limit; later the neighbour is known to be gone.
            let since = if cut_off { c.nodes.get(via).map_or(0, |n| n.link_since) } else { node.link_since };
            if c.now < since + 30_000 {
                return Err(Fault::bare(595, "Connection timed out").after(30_000));
            }
            Err(Fault::bare(595, "No route to host").after(2_000))
        }
    }
}
