//! Virtual IPs: the row, and how the package spells it.

use std::net::IpAddr;

use serde_json::{Value, json};
use skyy_api::virtual_ip::VipMode;

use super::{
    RowKind,
    rows::{Raw, Row, number, string},
};

/// A virtual IP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VipRow {
    /// The address: the key.
    pub address: IpAddr,
    /// The length of its network's prefix.
    pub prefix: u8,
    /// The interface.
    pub interface: String,
    /// How the firewall holds it.
    pub mode: VipMode,
    /// The CARP group.
    pub vhid: Option<u8>,
    /// What people say of it.
    pub text: String,
}

impl VipRow {
    fn mode_word(&self) -> &'static str {
        match self.mode {
            VipMode::IPAlias => "ipalias",
            VipMode::CARP => "carp",
            VipMode::ProxyARP => "proxyarp",
            VipMode::Other => "other",
        }
    }
}

impl Row for VipRow {
    const KIND: RowKind = RowKind::VirtualIp;
    const NOUN: &'static str = "virtual IP";
    type Key = IpAddr;

    fn key(&self) -> IpAddr {
        self.address
    }

    fn key_of(raw: &Raw) -> Option<IpAddr> {
        string(raw, "subnet").parse().ok()
    }

    fn read(raw: &Raw, text: &str) -> Option<Self> {
        let mode = match string(raw, "mode").as_str() {
            "ipalias" => VipMode::IPAlias,
            "carp" => VipMode::CARP,
            "proxyarp" => VipMode::ProxyARP,
            "other" => VipMode::Other,
            _ => return None,
        };
        let prefix = number(raw.get("subnet_bits")?)?;
        let vhid = raw.get("vhid").and_then(number).and_then(|n| u8::try_from(n).ok());
        Some(Self {
            address: Self::key_of(raw)?,
            prefix: u8::try_from(prefix).ok()?,
            interface: string(raw, "interface"),
            mode,
            vhid: vhid.filter(|_| mode == VipMode::CARP),
            text: text.to_owned(),
        })
    }

    fn fields(&self) -> Raw {
        let mut fields = Raw::new();
        fields.insert("mode".into(), json!(self.mode_word()));
        fields.insert("interface".into(), json!(self.interface));
        fields.insert("type".into(), json!("single"));
        fields.insert("subnet".into(), json!(self.address.to_string()));
        fields.insert("subnet_bits".into(), json!(self.prefix));
        if let (VipMode::CARP, Some(vhid)) = (self.mode, self.vhid) {
            fields.insert("vhid".into(), json!(vhid));
        }
        fields
    }

    fn canonical(field: &str, value: &Value) -> Value {
        match field {
            "subnet" => value
                .as_str()
                .and_then(|text| text.trim().parse::<IpAddr>().ok())
                .map_or_else(|| value.clone(), |address| json!(address.to_string())),
            "subnet_bits" | "vhid" => number(value).map_or(Value::Null, |n| json!(n)),
            // Left out, the package takes it as "single".
            "type" if value.is_null() => json!("single"),
            _ => value.clone(),
        }
    }

    fn text(&self) -> &str {
        &self.text
    }

    fn sentence(&self) -> String {
        format!("{}/{} on {}", self.address, self.prefix, self.interface)
    }

    fn set_text(&mut self, text: String) {
        self.text = text;
    }

    fn witness(raw: &Raw) -> Option<String> {
        Some(string(raw, "uniqid")).filter(|uniqid| !uniqid.is_empty())
    }
}
