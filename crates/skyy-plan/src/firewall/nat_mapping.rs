//! 1:1 NAT mappings: the row, and how the package spells it.

use std::net::IpAddr;

use serde_json::{Value, json};
use skyy_api::nat_mapping::NatReflection;

use super::{
    RowKind,
    firewall_rule::Address,
    rows::{Raw, Row, boolean, string},
};

/// A 1:1 NAT mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatRow {
    /// The external address: the key.
    pub external: IpAddr,
    /// The internal address; the package calls it `source`.
    pub internal: IpAddr,
    /// The interface that has the external address.
    pub interface: String,
    /// Only traffic with this other side is mapped.
    pub destination: Address,
    /// Whether the external address is reached from inside too.
    pub reflection: Option<NatReflection>,
    /// Whether it is in force.
    pub enabled: bool,
    /// What people say of it.
    pub text: String,
}

impl Row for NatRow {
    const KIND: RowKind = RowKind::NatMapping;
    const NOUN: &'static str = "1:1 NAT";
    type Key = IpAddr;

    fn key(&self) -> IpAddr {
        self.external
    }

    fn key_of(raw: &Raw) -> Option<IpAddr> {
        string(raw, "external").parse().ok()
    }

    fn read(raw: &Raw, text: &str) -> Option<Self> {
        let reflection = match string(raw, "natreflection").as_str() {
            "" => None,
            "enable" => Some(NatReflection::Enable),
            "disable" => Some(NatReflection::Disable),
            _ => return None,
        };
        let (destination, inverted) = Address::read(&string(raw, "destination"));
        // With a prefix the package maps the whole network on both sides: nothing that we would ask for.
        let (source, not_source) = Address::read(&string(raw, "source"));
        if inverted || not_source {
            return None;
        }
        Some(Self {
            external: Self::key_of(raw)?,
            internal: source.single()?,
            interface: string(raw, "interface"),
            destination,
            reflection,
            enabled: !raw.get("disabled").is_some_and(boolean),
            text: text.to_owned(),
        })
    }

    fn fields(&self) -> Raw {
        let reflection = self.reflection.map(|reflection| match reflection {
            NatReflection::Enable => "enable",
            NatReflection::Disable => "disable",
        });
        let mut fields = Raw::new();
        fields.insert("interface".into(), json!(self.interface));
        fields.insert("external".into(), json!(self.external.to_string()));
        fields.insert("source".into(), json!(self.internal.to_string()));
        fields.insert("destination".into(), json!(self.destination.to_string()));
        let family = if self.external.is_ipv4() { "inet" } else { "inet6" };
        fields.insert("ipprotocol".into(), json!(family));
        fields.insert("disabled".into(), json!(!self.enabled));
        fields.insert("nobinat".into(), json!(false));
        fields.insert("natreflection".into(), json!(reflection));
        fields
    }

    fn canonical(field: &str, value: &Value) -> Value {
        match field {
            "external" | "source" | "destination" => {
                value.as_str().map_or(Value::Null, |text| json!(Address::canonical(text)))
            }
            "disabled" | "nobinat" => json!(boolean(value)),
            "ipprotocol" if value.is_null() => json!("inet"),
            _ => value.clone(),
        }
    }

    fn text(&self) -> &str {
        &self.text
    }

    fn sentence(&self) -> String {
        format!("{} to {} on {}", self.external, self.internal, self.interface)
    }

    fn set_text(&mut self, text: String) {
        self.text = text;
    }
}
