//! One request from arrival to answer, in the order in which the package looks at it.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{body::Body, extract::State as Extracted};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};

use super::{
    Pfsense, auth,
    config::{Config, Kind},
    cost,
    crud::{self, Caller, Change},
    envelope::{ApiError, ApiResult, nginx_not_found, success},
    fields::Author,
    fixed, nat,
    request::{self, Control, Data},
    spec::{self, Dispatcher, Spec, Subsystem},
};
use crate::product::{NoAnswer, Peer};

/// How long a write waits for a lock that nobody gives back.
const LOCK_WAIT: Duration = Duration::from_secs(61);

/// What is served at a path.
enum Endpoint {
    Collection(&'static Spec, bool),
    Apply(Dispatcher),
    OutboundMode,
    Settings,
    Keys,
    Key,
    Token,
    Shown,
}

impl Endpoint {
    fn at(path: &str, config: &Config) -> Option<Self> {
        Some(match path {
            "firewall/apply" => Self::Apply(Dispatcher::Firewall),
            "firewall/virtual_ip/apply" => Self::Apply(Dispatcher::VirtualIp),
            "services/dhcp_server/apply" => Self::Apply(Dispatcher::Dhcp),
            "firewall/nat/outbound/mode" => Self::OutboundMode,
            "system/restapi/settings" => Self::Settings,
            "auth/keys" => Self::Keys,
            "auth/key" => Self::Key,
            "auth/jwt" => Self::Token,
            _ => match spec::at(path) {
                Some((spec, plural)) => Self::Collection(spec, plural),
                None => fixed::show(path, config).map(|_| Self::Shown)?,
            },
        })
    }

    const fn methods(&self) -> &'static [&'static str] {
        match self {
            Self::Collection(spec, true) => spec.plural_methods,
            Self::Collection(spec, false) => spec.singular_methods,
            Self::Apply(_) => &["GET", "POST"],
            Self::OutboundMode | Self::Settings => &["GET", "PATCH"],
            Self::Keys | Self::Shown => &["GET"],
            Self::Key => &["POST", "DELETE"],
            Self::Token => &["POST"],
        }
    }
}

/// Answers every request that reaches the box.
pub(super) async fn serve(Extracted(sim): Extracted<Arc<Pfsense>>, request: Request<Body>) -> Response<Body> {
    let client = request.extensions().get::<Peer>().map_or(IpAddr::from([127, 0, 0, 1]), |peer| peer.0.ip());
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return no_answer() };
    let body = body.to_bytes();
    let path = parts.uri.path().trim_end_matches('/');
    if let Some(control) = path.strip_prefix("/_sim/") {
        return sim.control(control, &parts.method, &body);
    }
    if sim.settled().accounts.is_banned(client, sim.options.clock.now()) {
        return no_answer();
    }
    let config = sim.config();
    let endpoint = path.strip_prefix("/api/v2/").and_then(|path| Some((path, Endpoint::at(path, &config)?)));
    let Some((path, endpoint)) = endpoint else { return nginx_not_found() };
    let call = Call {
        client,
        path,
        method: &parts.method,
        headers: &parts.headers,
        query: parts.uri.query().unwrap_or_default(),
        body: &body,
    };
    let mut response = match sim.answer(&endpoint, &call, config).await {
        Ok(data) => success(&data),
        Err(error) => error.into_response(),
    };
    let basic =
        parts.headers.get(header::AUTHORIZATION).is_some_and(|login| login.as_bytes().starts_with(b"Basic "));
    if response.status() == StatusCode::UNAUTHORIZED && basic {
        let realm = HeaderValue::from_static("Basic realm=\"API authentication\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
    }
    response
}

fn no_answer() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(NoAnswer);
    response
}

struct Call<'a> {
    client: IpAddr,
    path: &'a str,
    method: &'a Method,
    headers: &'a HeaderMap,
    query: &'a str,
    body: &'a [u8],
}

impl Pfsense {
    async fn answer(&self, endpoint: &Endpoint, call: &Call<'_>, config: Config) -> ApiResult<Value> {
        request::check_accept(call.headers)?;
        let method = call.method.as_str();
        if method == "OPTIONS" {
            let what = r"RESTAPI\Models\RESTAPIAccessListEntry::is_allowed_by_acl(): Argument #2 ($username) must be of type string, null given";
            return Err(ApiError::unexpected(what));
        }
        let user = self.logged_in(call).await?;
        if !endpoint.methods().contains(&method) {
            let message = format!(
                "Resource at /api/v2/{} does not support the requested HTTP method `{method}`",
                call.path
            );
            return Err(ApiError::new(405, "ENDPOINT_METHOD_NOT_ALLOWED", message));
        }
        let author = Author { user, ip: call.client.to_string() };
        let data = request::data(call.method, call.headers, call.query, call.body)?;
        if let Endpoint::Collection(spec, true) = endpoint {
            return self.plural(spec, call, &author, data, config).await;
        }
        let data = data.object();
        match endpoint {
            Endpoint::Collection(spec, _) => self.singular(spec, call, &author, &data, config).await,
            Endpoint::Apply(dispatcher) if method == "GET" => Ok(self.settled().running.state(*dispatcher)),
            Endpoint::Apply(dispatcher) => self.apply(*dispatcher, &data, call.headers).await,
            Endpoint::OutboundMode if method == "GET" => Ok(json!({"mode": config.outbound_mode})),
            Endpoint::OutboundMode => self.set_outbound_mode(&data, call.headers, config).await,
            Endpoint::Settings => {
                if method == "PATCH" {
                    let known = self.settled().settings.clone();
                    let changes = data.into_iter().filter(|(name, _)| known.contains_key(name)).collect();
                    self.set_settings(&changes);
                }
                Ok(Value::Object(self.settled().settings.clone()))
            }
            Endpoint::Keys => Ok(self.settled().accounts.keys_value()),
            Endpoint::Key if method == "POST" => self.settled().accounts.create_key(&author.user, &data),
            Endpoint::Key => self.settled().accounts.delete_key(&data),
            Endpoint::Token => {
                let now = self.options.clock.now();
                let mut state = self.settled();
                let lifetime = state.settings.get("jwt_exp").and_then(Value::as_u64).unwrap_or(3600);
                let token = state.accounts.issue_token(&author.user, now, Duration::from_secs(lifetime));
                Ok(json!({"token": token}))
            }
            Endpoint::Shown => {
                self.spend(cost::read(0)).await;
                fixed::show(call.path, &config).ok_or_else(|| ApiError::unexpected("nothing is shown here"))
            }
        }
    }

    /// The user of a request that may do what it asks; a refusal counts against the client.
    async fn logged_in(&self, call: &Call<'_>) -> ApiResult<String> {
        let now = self.options.clock.now();
        let methods = auth::methods_for(call.path, &self.settled().settings);
        let user = self.settled().accounts.user(call.headers, &methods, now);
        let bearer = call
            .headers
            .get(header::AUTHORIZATION)
            .is_some_and(|login| login.as_bytes().starts_with(b"Bearer"));
        if bearer {
            self.spend(cost::TOKEN).await;
        }
        let mut state = self.settled();
        let user = user.inspect_err(|_| {
            if let Some(policy) = self.options.ban {
                state.accounts.failed(call.client, now, policy);
            }
        })?;
        state.accounts.authorize(&user, call.path, call.method.as_str())?;
        if call.method != Method::GET && state.settings.get("read_only") == Some(&json!(true)) {
            let message = "The requested HTTP method is not allowed in read-only mode.";
            return Err(ApiError::new(405, "ENDPOINT_METHOD_NOT_ALLOWED_IN_READ_ONLY_MODE", message));
        }
        Ok(user)
    }

    async fn singular(
        &self,
        spec: &'static Spec,
        call: &Call<'_>,
        author: &Author,
        data: &Map<String, Value>,
        base: Config,
    ) -> ApiResult<Value> {
        let control = Control::from(data, call.headers)?;
        let change = match call.method.as_str() {
            "GET" => {
                self.spend(cost::read(1)).await;
                return crud::get_one(spec, &base, data);
            }
            "POST" => crud::create,
            "PATCH" => crud::update,
            _ => crud::delete,
        };
        let (answer, applies) = {
            let list = data.get("staticmap").and_then(Value::as_array).map(Vec::len);
            let spent = list.map_or_else(
                || cost::single(spec.kind, &base),
                |items| cost::list(Kind::StaticMap, items, &base),
            );
            let change = |base: &Config, caller: &Caller<'_>| change(spec, base, caller, data, &control);
            (self.write(author, base, spent, change).await?, control.apply && !control.dry_run)
        };
        if applies {
            self.run(spec.dispatcher, control.asynchronous).await?;
            self.settled().running.clear(spec.subsystem);
        }
        Ok(answer)
    }

    async fn plural(
        &self,
        spec: &'static Spec,
        call: &Call<'_>,
        author: &Author,
        data: Data,
        base: Config,
    ) -> ApiResult<Value> {
        match (call.method.as_str(), data) {
            ("GET", data) => {
                let data = data.object();
                let control = Control::from(&data, call.headers)?;
                self.spend(cost::read(base.len(spec.kind))).await;
                crud::get_many(spec, &base, &data, &control)
            }
            ("PUT", data) => {
                let control = Control::from(&Map::new(), call.headers)?;
                let items = if let Data::List(items) = &data { items.len() } else { 0 };
                let spent = cost::list(spec.kind, items, &base);
                let change = |base: &Config, caller: &Caller<'_>| {
                    crud::replace_all(spec, base, caller, data.clone(), &control)
                };
                self.write(author, base, spent, change).await
            }
            (_, data) => {
                let data = data.object();
                let control = Control::from(&data, call.headers)?;
                let spent =
                    cost::single(spec.kind, &base) * u32::try_from(base.len(spec.kind)).unwrap_or(u32::MAX);
                let change = |base: &Config, caller: &Caller<'_>| {
                    crud::delete_many(spec, base, caller, &data, &control)
                };
                self.write(author, base, spent, change).await
            }
        }
    }

    /// Reads the configuration, changes the copy, writes the copy back: whatever was written in between is lost.
    async fn write(
        &self,
        author: &Author,
        mut base: Config,
        spent: Duration,
        change: impl FnOnce(&Config, &Caller<'_>) -> ApiResult<Change>,
    ) -> ApiResult<Value> {
        let turn = if self.options.race_window.is_none() {
            let turn = self.turn.lock().await;
            base = self.config();
            Some(turn)
        } else {
            None
        };
        let change = {
            let uniqid = || self.uniqid();
            change(&base, &Caller { author, now: self.options.clock.unix(), uniqid: &uniqid })?
        };
        if self.options.realistic_cost {
            self.spend(spent).await;
        } else if let Some(window) = self.options.race_window.filter(|window| !window.is_zero()) {
            tokio::time::sleep(window).await;
        }
        let locked = self.settled().write_locked;
        if locked {
            self.options.clock.sleep(LOCK_WAIT).await;
        }
        let mut state = self.settled();
        for effect in change.effects {
            state.running.effect(effect); // the marks are files of their own: they stay when the write fails
        }
        if locked {
            let message = "Unable to write configuration because another process holds its lock.";
            return Err(ApiError::new(503, "MODEL_WRITE_CONFIG_LOCKED", message));
        }
        if !change.discarded {
            state.running.config = change.config;
        }
        drop(state);
        drop(turn);
        change.answer
    }

    async fn set_outbound_mode(
        &self,
        data: &Map<String, Value>,
        headers: &HeaderMap,
        mut config: Config,
    ) -> ApiResult<Value> {
        let control = Control::from(data, headers)?;
        let mode = data.get("mode").and_then(Value::as_str).unwrap_or(&config.outbound_mode).to_owned();
        if !nat::OUTBOUND_MODES.contains(&mode.as_str()) {
            let message = format!("Field `mode` must be one of [{}]", nat::OUTBOUND_MODES.join(", "));
            return Err(ApiError::bad("FIELD_INVALID_CHOICE", message));
        }
        config.outbound_mode.clone_from(&mode);
        {
            let mut state = self.settled();
            state.running.config = config;
            state.running.effect(crud::Effect::Pending(Subsystem::NatConf));
        }
        if control.apply {
            self.run(Dispatcher::Firewall, control.asynchronous).await?;
            self.settled().running.clear(Some(Subsystem::NatConf));
        }
        Ok(json!({"mode": mode}))
    }

    /// `POST …/apply`. All but the firewall's answer with the state from before, even when they waited for the end.
    async fn apply(
        &self,
        dispatcher: Dispatcher,
        data: &Map<String, Value>,
        headers: &HeaderMap,
    ) -> ApiResult<Value> {
        let control = Control::from(data, headers)?;
        let before = self.settled().running.state(dispatcher);
        self.run(dispatcher, control.asynchronous).await?;
        let waited = !control.asynchronous && dispatcher == Dispatcher::Firewall;
        Ok(if waited { self.settled().running.state(dispatcher) } else { before })
    }

    /// Lets a dispatcher run, waiting for its end or not.
    async fn run(&self, dispatcher: Dispatcher, asynchronous: bool) -> ApiResult<()> {
        let clock = &self.options.clock;
        let ends = {
            let mut state = self.settled();
            state.running.check_queue(dispatcher)?;
            if asynchronous {
                state.running.enqueue(dispatcher, clock.now());
                return Ok(());
            }
            let reload = state.reload;
            state.running.begin_now(dispatcher, clock.now(), reload)
        };
        clock.sleep_until(ends).await;
        Ok(())
    }

    /// Takes the time that the real box takes, if it is to.
    async fn spend(&self, span: Duration) {
        if self.options.realistic_cost {
            self.options.clock.sleep(span).await;
        }
    }

    /// `/_sim/loaded`, and `/_sim/pfsense`: what only somebody at the box could see or do.
    fn control(&self, path: &str, method: &Method, body: &[u8]) -> Response<Body> {
        let shown = match (path, method.as_str()) {
            ("loaded", "GET") => self.loaded(),
            ("pfsense", "GET" | "PUT") => {
                if method == Method::PUT {
                    let Ok(Value::Object(changes)) = serde_json::from_slice(body) else {
                        return plain(StatusCode::BAD_REQUEST, "the body must be a JSON object");
                    };
                    self.tune(&changes);
                }
                let state = self.settled();
                json!({
                    "reload_ms": u64::try_from(state.reload.as_millis()).unwrap_or(u64::MAX),
                    "apply_lock": state.running.locked,
                    "write_lock": state.write_locked,
                    "settings": state.settings,
                })
            }
            _ => return plain(StatusCode::NOT_FOUND, "no such control; GET /_sim lists the server's own"),
        };
        let mut response = plain(StatusCode::OK, &shown.to_string());
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    /// Changes what only somebody at the box could: how long reloads take, locks left behind, settings, keys, bans.
    fn tune(&self, changes: &Map<String, Value>) {
        if let Some(settings) = changes.get("settings").and_then(Value::as_object) {
            self.set_settings(settings);
        }
        let mut state = self.settled();
        if let Some(reload) = changes.get("reload_ms").and_then(Value::as_u64) {
            state.reload = Duration::from_millis(reload);
        }
        if let Some(locked) = changes.get("apply_lock").and_then(Value::as_bool) {
            state.running.locked = locked;
        }
        if let Some(locked) = changes.get("write_lock").and_then(Value::as_bool) {
            state.write_locked = locked;
        }
        for (user, secret) in changes.get("api_keys").and_then(Value::as_object).into_iter().flatten() {
            if let Some(secret) = secret.as_str() {
                state.accounts.set_key(user, "set", secret);
            }
        }
        if changes.get("forgive") == Some(&json!(true)) {
            state.accounts.forgive();
        }
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = status;
    response
}
