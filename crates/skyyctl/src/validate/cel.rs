//! The CEL rules of a CRD, evaluated here as the API server would at creation.
//!
//! Rules that compare with the object's former self have nothing to compare with and are left out, as there.

use kube_cel::{CompiledSchema, Validator, compile_schema};
use serde_json::Value;

use super::schema::{Problem, shown};
use crate::manifests::path::{Path, Step};

/// The rules of one kind.
pub(super) struct Rules {
    compiled: CompiledSchema,
    validator: Validator,
}

impl Rules {
    pub(super) fn new(schema: &Value) -> Self {
        Self { compiled: compile_schema(schema), validator: Validator::new() }
    }

    /// Everything that a rule refuses. The object must be complete and fit its schema.
    pub(super) fn check(&self, object: &Value) -> Vec<Problem> {
        let Err(errors) = self.validator.validate_compiled(&self.compiled, object, None) else {
            return Vec::new();
        };
        let problem = |error: kube_cel::ValidationError| {
            let path = Path::parse(&error.field_path);
            let message = match at(object, &path) {
                Some(value @ (Value::String(_) | Value::Number(_))) => {
                    format!("{}: {}", shown(value), error.message)
                }
                _ => error.message,
            };
            Problem { path, message }
        };
        errors.into_vec().into_iter().map(problem).collect()
    }
}

fn at<'a>(object: &'a Value, path: &Path) -> Option<&'a Value> {
    path.steps().iter().try_fold(object, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Index(n) => value.get(n),
    })
}
