//! One shape for every status: what the driver needs, and what each kind adds.

/// Declares a status type with the driver's four fields followed by the kind's own.
macro_rules! status {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident : $type:ty,)* }) => {
        $(#[$meta])*
        ///
        /// The schema's default lets an object that no controller has seen yet read as "in progress" to kstatus, so to
        /// Flux and Argo CD, where an object without any status would read as "current".
        #[derive(kube::KubeSchema, Clone, Debug, Default, serde::Deserialize, serde::Serialize, PartialEq)]
        #[schemars(extend("default" = { "observedGeneration": -1 }), transform = crate::schema::int_formats)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            /// The generation of the spec that this status answers.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub observed_generation: Option<i64>,

            /// The value of the annotation `skyy.helloskyy.io/reconcile-at` that was last answered.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub last_handled_reconcile_at: Option<String>,

            $($(#[$field_meta])* #[serde(default, skip_serializing_if = "crate::status::Blank::is_blank")] pub $field: $type,)*

            /// What would be done, call by call, while the annotation `skyy.helloskyy.io/plan-only` is set.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub plan: Vec<String>,

            /// `Ready` is always present. `Reconciling`, `Stalled` and `Paused` are present only when true.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
            pub conditions: Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>,
        }

        impl crate::condition::Reported for $name {
            fn conditions(&self) -> &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition] {
                &self.conditions
            }
            fn header(&mut self) -> crate::condition::Header<'_> {
                crate::condition::Header {
                    observed_generation: &mut self.observed_generation,
                    last_handled_reconcile_at: &mut self.last_handled_reconcile_at,
                    plan: &mut self.plan,
                    conditions: &mut self.conditions,
                }
            }
        }
    };
}
pub(crate) use status;

/// A value that says nothing, and is left out of a status. A number always says something: no guests are a fact.
pub(crate) trait Blank {
    fn is_blank(&self) -> bool;
}

impl<T> Blank for Option<T> {
    fn is_blank(&self) -> bool {
        self.is_none()
    }
}

impl<T> Blank for Vec<T> {
    fn is_blank(&self) -> bool {
        self.is_empty()
    }
}

impl Blank for u32 {
    fn is_blank(&self) -> bool {
        false
    }
}
