//! A scripted API server for one object: it stores, it counts, and it fails on command. Knows nothing of the driver.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::{Method, Request, Response};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use skyy_api::VirtualIp;

use crate::conditions::violations;

/// What happened, in order, on the API server and in the kind: read by tests as one story.
#[derive(Clone, Default)]
pub(crate) struct Story(Arc<Mutex<Vec<String>>>);

impl Story {
    pub(crate) fn tell(&self, what: impl Into<String>) {
        lock(&self.0).push(what.into());
    }
    /// What happened since it was last asked.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.0))
    }
}

/// How the next call that matches is answered, instead of as it should be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// With this code.
    Code(u16),
    /// Never.
    Silence,
}

/// Which calls there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Finalizers,
    Status,
    Event,
}

struct State {
    object: Value,
    version: u64,
    statuses: Vec<Value>,
    events: Vec<Value>,
    faults: VecDeque<(Call, Fault)>,
}

/// The API server's end.
#[derive(Clone)]
pub(crate) struct Server {
    state: Arc<Mutex<State>>,
    pub(crate) story: Story,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    /// Serves this object until the test ends.
    pub(crate) fn serve(object: Value) -> (Client, Self) {
        let (service, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
        let state =
            State { object, version: 100, statuses: Vec::new(), events: Vec::new(), faults: VecDeque::new() };
        let server = Self { state: Arc::new(Mutex::new(state)), story: Story::default() };
        let serving = server.clone();
        tokio::spawn(async move {
            let mut unanswered = Vec::new();
            while let Some((request, send)) = handle.next_request().await {
                let (head, body) = request.into_parts();
                let bytes = body.collect_bytes().await.expect("a body");
                let body: Value = serde_json::from_slice(&bytes).expect("a body of JSON");
                let path = format!("{}?{}", head.uri.path(), head.uri.query().unwrap_or_default());
                match serving.answer(&head.method, &path, &body) {
                    Some((code, answer)) => send.send_response(
                        Response::builder()
                            .status(code)
                            .body(Body::from(answer.to_string().into_bytes()))
                            .expect("a response"),
                    ),
                    None => unanswered.push(send),
                }
            }
        });
        (Client::new(service, "default"), server)
    }

    fn answer(&self, method: &Method, path: &str, body: &Value) -> Option<(u16, Value)> {
        const OBJECT: &str = "/apis/skyy.helloskyy.io/v1alpha1/namespaces/tenants/virtualips/a";
        let mut state = lock(&self.state);
        let call = match (method, path.split_once('?').map_or(path, |(path, _)| path)) {
            (&Method::PATCH, OBJECT) => Call::Finalizers,
            (&Method::PATCH, path) if path.strip_prefix(OBJECT) == Some("/status") => Call::Status,
            (&Method::POST | &Method::PATCH, path)
                if path.starts_with("/apis/events.k8s.io/v1/namespaces/tenants/events") =>
            {
                Call::Event
            }
            other => panic!("a call that nothing here should make: {other:?}"),
        };
        let fault = state.faults.front().filter(|(on, _)| *on == call).map(|(_, fault)| *fault);
        if let Some(fault) = fault {
            state.faults.pop_front();
            self.story.tell(format!("{call:?} answered with {fault:?}"));
            return match fault {
                Fault::Silence => None,
                Fault::Code(code) => Some((code, failure(code))),
            };
        }
        match call {
            Call::Finalizers => {
                // A patch is bound to what was read, or it could undo what others did meanwhile.
                if body["metadata"]["resourceVersion"] != state.object["metadata"]["resourceVersion"] {
                    return Some((409, failure(409)));
                }
                state.object["metadata"]["finalizers"] = body["metadata"]["finalizers"].clone();
                self.story.tell(format!("finalizers {}", body["metadata"]["finalizers"]));
                Some((200, state.stored()))
            }
            Call::Status => {
                assert!(path.contains("force=true") && path.contains("fieldManager=skyy-command"), "{path}");
                assert_eq!(body["metadata"]["uid"], state.object["metadata"]["uid"]);
                let bound = &body["metadata"]["resourceVersion"];
                if !bound.is_null() && *bound != state.object["metadata"]["resourceVersion"] {
                    return Some((409, failure(409)));
                }
                state.object["status"] = body["status"].clone();
                state.statuses.push(body["status"].clone());
                let ready = &body["status"]["conditions"][0];
                self.story.tell(format!(
                    "status {}={} {}",
                    ready["type"].as_str().unwrap_or_default(),
                    ready["status"].as_str().unwrap_or_default(),
                    ready["reason"].as_str().unwrap_or_default()
                ));
                Some((200, state.stored()))
            }
            Call::Event => {
                if *method == Method::POST {
                    state.events.push(body.clone());
                }
                let word = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
                self.story.tell(format!("event {} {}", word("type"), word("reason")));
                Some((200, body.clone()))
            }
        }
    }

    /// The object as it is stored.
    pub(crate) fn object(&self) -> VirtualIp {
        serde_json::from_value(lock(&self.state).object.clone()).expect("an object")
    }

    /// Somebody else changes the object.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Value)) {
        let mut state = lock(&self.state);
        change(&mut state.object);
        state.stored();
    }

    /// The next call of this kind goes wrong. Faults come in the order in which they were told.
    pub(crate) fn fail(&self, call: Call, fault: Fault) {
        lock(&self.state).faults.push_back((call, fault));
    }

    /// The statuses that were written, oldest first.
    pub(crate) fn statuses(&self) -> Vec<Value> {
        lock(&self.state).statuses.clone()
    }

    /// The last status that was written.
    pub(crate) fn status(&self) -> Value {
        lock(&self.state).statuses.last().cloned().expect("a status was written")
    }

    /// The events that were written, oldest first.
    pub(crate) fn events(&self) -> Vec<Value> {
        lock(&self.state).events.clone()
    }

    /// Every status that was ever written keeps to the rules.
    #[track_caller]
    pub(crate) fn check_conditions(&self) {
        let generation = self.object().metadata.generation.unwrap_or_default();
        for status in self.statuses() {
            let answered = status["observedGeneration"].as_i64().unwrap_or(generation);
            assert!(answered <= generation, "{status:#}");
            assert_eq!(violations(&status, answered), Vec::<String>::new(), "{status:#}");
        }
    }
}

impl State {
    fn stored(&mut self) -> Value {
        self.version += 1;
        self.object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.object.clone()
    }
}

fn failure(code: u16) -> Value {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        _ => "InternalError",
    };
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
        "reason": reason, "message": format!("the API server says {code}")})
}
