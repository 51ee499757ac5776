//! A stable hash of our own: its values stand on firewalls and in marks, so they must never change between builds.
//!
//! FNV-1a with a finish that spreads every bit. It guards against accidents, not against people: where somebody
//! could gain by a collision, something else must stand beside it (the mark, the key).

use std::fmt;

use serde_json::{Map, Value};

/// 64 bits of a sequence of parts. Parts cannot run into each other: each is followed by its length.
pub(crate) fn hash64(parts: &[&str]) -> u64 {
    let mut state = Fnv::default();
    for part in parts {
        state.bytes(part.as_bytes());
        state.bytes(&(part.len() as u64).to_le_bytes());
    }
    let mut h = state.low();
    // The finish of MurmurHash3: without it, short texts that differ in their last letter share their upper bits.
    h = (h ^ (h >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    h = (h ^ (h >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ (h >> 33)
}

/// What a row, or a list of rows, looked like.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(u128);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// 128 bits of FNV-1a.
#[derive(Clone)]
pub(crate) struct Fnv(u128);

impl Default for Fnv {
    fn default() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
}

impl Fnv {
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
        }
    }

    fn low(&self) -> u64 {
        let bytes = self.0.to_le_bytes();
        u64::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
            ^ u64::from_le_bytes([
                bytes[8], bytes[9], bytes[10], bytes[11], bytes[12], bytes[13], bytes[14], bytes[15],
            ])
    }

    pub(crate) fn finish(&self) -> Fingerprint {
        Fingerprint(self.0)
    }

    /// A JSON value, whatever the order of its fields. Each kind of value has its own first byte.
    pub(crate) fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.bytes(b"0"),
            Value::Bool(true) => self.bytes(b"1"),
            Value::Bool(false) => self.bytes(b"2"),
            Value::Number(number) => {
                self.bytes(b"n");
                self.text(&number.to_string());
            }
            Value::String(text) => {
                self.bytes(b"s");
                self.text(text);
            }
            Value::Array(items) => {
                self.bytes(b"[");
                for item in items {
                    self.value(item);
                }
                self.bytes(b"]");
            }
            Value::Object(fields) => self.fields(fields, |_| true),
        }
    }

    /// The fields of an object that are asked for and hold something.
    pub(crate) fn fields(&mut self, fields: &Map<String, Value>, asked: impl Fn(&str) -> bool) {
        let mut names: Vec<&String> = fields
            .iter()
            .filter(|(name, value)| asked(name) && !is_empty(value))
            .map(|(name, _)| name)
            .collect();
        names.sort_unstable();
        self.bytes(b"{");
        for name in names {
            self.text(name);
            self.value(&fields[name]);
        }
        self.bytes(b"}");
    }

    fn text(&mut self, text: &str) {
        self.bytes(&(text.len() as u64).to_le_bytes());
        self.bytes(text.as_bytes());
    }
}

/// The package answers null, "" and [] for one and the same empty field, depending on what was asked before.
pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_never_change() {
        assert_eq!(hash64(&["a", "b"]), hash64(&["a", "b"]));
        assert_ne!(hash64(&["a", "b"]), hash64(&["ab"]));
        assert_ne!(hash64(&["a", ""]), hash64(&["", "a"]));
        assert_eq!(format!("{:016x}", hash64(&["skyy", "tenants", "web"])), "da3f1b5a55484113");
    }

    #[test]
    fn the_order_of_fields_and_the_spelling_of_nothing_do_not_matter() {
        let print = |text: &str| {
            let mut state = Fnv::default();
            state.value(&serde_json::from_str(text).unwrap());
            state.finish()
        };
        assert_eq!(print(r#"{"a":1,"b":null}"#), print(r#"{"b":[],"a":1,"c":""}"#));
        assert_ne!(print(r#"{"a":1}"#), print(r#"{"a":2}"#));
        assert_ne!(print(r#"{"a":false}"#), print("{}"));
        assert_ne!(print(r#"{"a":"1"}"#), print(r#"{"a":1}"#));
    }
}
