//! Property strings (`virtio=BC:24:…,bridge=vmbr0,tag=20`), tags, and the encoding of SSH keys.
//! Must not know which configuration key it reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::lenient::words;

/// A value of the form `first,key=value,…`. The first part may stand without a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PropertyString {
    /// The part without a key.
    pub main: Option<String>,
    /// The parts with a key.
    pub keys: BTreeMap<String, String>,
}

impl PropertyString {
    /// Takes the text apart. Never fails: what has no key and is not first is dropped, as Proxmox VE refuses to store it.
    pub fn parse(text: &str) -> Self {
        let mut parsed = Self::default();
        for (index, part) in text.split(',').filter(|part| !part.is_empty()).enumerate() {
            match part.split_once('=') {
                Some((key, value)) => drop(parsed.keys.insert(key.to_owned(), value.to_owned())),
                None if index == 0 => parsed.main = Some(part.to_owned()),
                None => {}
            }
        }
        parsed
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.keys.get(key).map(String::as_str)
    }

    /// The first part, whether it was written with its key or without.
    pub fn main_or(&self, key: &str) -> Option<&str> {
        self.main.as_deref().or_else(|| self.get(key))
    }
}

/// Bytes of a size as Proxmox VE writes it in a disk: `32G`, `512M`, `4194304`, `1.5T`.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, shift) = match text.chars().last()? {
        'K' => (text.strip_suffix('K')?, 10),
        'M' => (text.strip_suffix('M')?, 20),
        'G' => (text.strip_suffix('G')?, 30),
        'T' => (text.strip_suffix('T')?, 40),
        _ => (text, 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    // Not left to `parse`: it takes "+2", and a relative size must never be read as an absolute one.
    if whole.is_empty() || !whole.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    if fraction.len() > 9 || !fraction.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(1 << shift)?;
    if fraction.is_empty() {
        return Some(whole);
    }
    let part = u128::from(fraction.parse::<u64>().ok()?) << shift;
    let part = part / 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    whole.checked_add(u64::try_from(part).ok()?)
}

/// Tags as the server stores them: lower case, sorted, each once. It takes `;`, `,` and blanks between them.
pub fn parse_tags(text: &str) -> BTreeSet<String> {
    words(text).map(str::to_lowercase).collect()
}

/// Tags as one value, in the form the server gives back.
pub fn format_tags<I: IntoIterator<Item: AsRef<str>>>(tags: I) -> String {
    let tags: BTreeSet<String> = tags.into_iter().flat_map(|tag| parse_tags(tag.as_ref())).collect();
    tags.into_iter().collect::<Vec<_>>().join(";")
}

/// SSH keys as `sshkeys` wants them: URL-encoded inside the value.
pub fn encode_ssh_keys(keys: &str) -> String {
    percent_encode(keys.trim())
}

/// SSH keys as `sshkeys` gives them back, for comparison.
pub fn decode_ssh_keys(value: &str) -> String {
    let bytes = value.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(byte) = bytes.get(index) {
        let pair = bytes.get(index + 1..index + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(decoded) if *byte == b'%' => {
                out.push(decoded);
                index += 3;
            }
            _ => {
                out.push(*byte);
                index += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Everything but unreserved characters as `%XX`.
pub(crate) fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}"); // writing to a String cannot fail
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn property_strings_are_taken_apart() {
        let disk = PropertyString::parse("local:200/vm-200-disk-0.qcow2,discard=on,size=1G");
        assert_eq!(disk.main_or("file"), Some("local:200/vm-200-disk-0.qcow2"));
        assert_eq!(disk.get("size"), Some("1G"));
        assert_eq!(PropertyString::parse("file=a:b,size=1G").main_or("file"), Some("a:b"));
        assert_eq!(PropertyString::parse("512").main_or("current"), Some("512"));
        assert_eq!(PropertyString::parse(""), PropertyString::default());
    }

    #[test]
    fn sizes_are_bytes() {
        let check = |text: &str, bytes: Option<u64>| assert_eq!(parse_size(text), bytes, "{text}");
        check("1G", Some(1 << 30));
        check("512M", Some(512 << 20));
        check("2T", Some(2 << 40));
        check("4096K", Some(4 << 20));
        check("4194304", Some(4_194_304));
        check("1.5G", Some(3 << 29));
        for bad in ["", "G", "x", "-1G", "1.x", "99999999999T", "+2G"] {
            check(bad, None);
        }
    }

    #[test]
    fn tags_are_compared_as_the_server_stores_them() {
        assert_eq!(format_tags(["A", "b,c d", "a"]), "a;b;c;d");
        assert_eq!(parse_tags("A;b,c d"), parse_tags("d c;B a"));
        assert_eq!(parse_tags(""), BTreeSet::new());
    }

    proptest! {
        #[test]
        fn ssh_keys_come_back(keys in "[ -~\n]{0,80}") {
            let encoded = encode_ssh_keys(&keys);
            prop_assert!(encoded.chars().all(|c| c.is_ascii_alphanumeric() || "-._~%".contains(c)));
            prop_assert_eq!(decode_ssh_keys(&encoded), keys.trim());
        }
    }
}
