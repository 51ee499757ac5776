//! One call before it is sent: what it is called, where it goes, what it carries, whom it concerns.
//! Must not know how it is sent.

use std::fmt::Display;

use serde_json::{Map, Value};
use skyy_http::{Call, Method, Secret};

use crate::ids::{GuestAt, NodeName};

/// A call with its name in words.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) operation: String,
    /// The node whose daemons will work on it.
    pub(crate) node: Option<NodeName>,
    pub(crate) method: Method,
    template: &'static str,
    args: Vec<(&'static str, String)>,
    params: Params,
}

impl Ask {
    pub(crate) fn new(method: Method, template: &'static str, operation: impl Into<String>) -> Self {
        Self {
            operation: operation.into(),
            node: None,
            method,
            template,
            args: Vec::new(),
            params: Params::default(),
        }
    }

    pub(crate) fn get(template: &'static str, operation: impl Into<String>) -> Self {
        Self::new(Method::GET, template, operation)
    }

    pub(crate) fn post(template: &'static str, operation: impl Into<String>) -> Self {
        Self::new(Method::POST, template, operation)
    }

    pub(crate) fn put(template: &'static str, operation: impl Into<String>) -> Self {
        Self::new(Method::PUT, template, operation)
    }

    pub(crate) fn delete(template: &'static str, operation: impl Into<String>) -> Self {
        Self::new(Method::DELETE, template, operation)
    }

    /// Fills `{node}`.
    pub(crate) fn on(mut self, node: &NodeName) -> Self {
        self.node = Some(node.clone());
        self.arg("node", node)
    }

    /// Fills `{node}`, `{kind}` and `{vmid}`.
    pub(crate) fn at(self, at: &GuestAt) -> Self {
        self.on(&at.node).arg("kind", at.kind).arg("vmid", at.vmid)
    }

    pub(crate) fn arg(mut self, name: &'static str, value: impl Display) -> Self {
        self.args.push((name, value.to_string()));
        self
    }

    pub(crate) fn with(mut self, params: Params) -> Self {
        self.params = params;
        self
    }

    /// What its parameters hold that must not be shown.
    pub(crate) fn secrets(&self) -> &[Secret] {
        &self.params.secrets
    }

    pub(crate) fn is_read(&self) -> bool {
        self.method == Method::GET
    }

    /// The call: parameters of GET and DELETE in the query, of all else in a JSON body. A write without parameters has
    /// neither body nor media type.
    pub(crate) fn call(&self) -> Call {
        let mut call = Call::new(self.method.clone(), self.template);
        for (name, value) in &self.args {
            call = call.arg(name, value);
        }
        for secret in &self.params.secrets {
            call = call.secret(secret);
        }
        if matches!(self.method, Method::GET | Method::DELETE) {
            for (name, value) in &self.params.values {
                call = match value {
                    Value::String(text) => call.query(name.clone(), text),
                    other => call.query(name.clone(), other),
                };
            }
        } else if !self.params.values.is_empty() {
            call = call.json(&self.params.values);
        }
        call
    }
}

/// Named values for a call. Yes and no are sent as 1 and 0: the one form that both encodings take.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Params {
    values: Map<String, Value>,
    secrets: Vec<Secret>,
}

impl std::fmt::Debug for Params {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values may be passwords and keys.
        f.debug_list().entries(self.values.keys()).finish()
    }
}

impl Params {
    pub(crate) fn set(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let value = match value.into() {
            Value::Bool(flag) => Value::from(u8::from(flag)),
            other => other,
        };
        self.values.insert(name.into(), value);
        self
    }

    pub(crate) fn maybe(self, name: impl Into<String>, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self,
        }
    }

    /// Only when it is yes: for switches whose absence means no.
    pub(crate) fn switch(self, name: impl Into<String>, on: bool) -> Self {
        if on { self.set(name, 1) } else { self }
    }

    pub(crate) fn secret(mut self, name: impl Into<String>, value: &Secret) -> Self {
        self.secrets.push(value.clone());
        self.set(name, value.expose())
    }
}
