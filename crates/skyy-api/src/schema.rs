//! What the derived schemas need to be structural and free of warnings at the API server.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use schemars::Schema;

/// Kubernetes knows the integer formats `int32` and `int64` only, and warns about others at each `kubectl apply`.
pub(crate) fn int_formats(schema: &mut Schema) {
    let known = match schema.get("format").and_then(|format| format.as_str()) {
        Some("uint8" | "uint16" | "int8" | "int16") => Some("int32"),
        Some("uint32" | "uint64" | "uint" | "int") => Some("int64"),
        _ => None,
    };
    if let Some(known) = known {
        schema.insert("format".into(), known.into());
    }
    schemars::transform::transform_subschemas(&mut int_formats, schema);
}

/// Marks every kind's CRD with the labels by which the chart and people find it.
pub(crate) fn tidy(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    crd.metadata
        .labels
        .get_or_insert_default()
        .insert("app.kubernetes.io/part-of".into(), "skyy-command".into());
    crd
}
