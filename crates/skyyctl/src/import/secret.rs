//! What looks like a secret, and how it is kept out of everything that is written.
//!
//! Better one harmless value too many in a Secret than one password too many in Git.

use std::{borrow::Cow, ops::Range};

/// Words in a name that make its value a secret.
const WORDS: [&str; 17] = [
    "passwd",
    "password",
    "passphrase",
    "pass",
    "pwd",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "private_key",
    "privatekey",
    "access_key",
    "accesskey",
    "credential",
    "auth",
    "bearer",
];
/// Names that contain such a word and are harmless.
const HARMLESS: [&str; 8] =
    ["author", "pass_through", "passthrough", "passive", "bypass", "compass", "auth_url", "auth_mode"];
/// How known tokens begin.
const PREFIXES: [&str; 14] = [
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "sk-",
    "sk_live_",
    "AKIA",
    "tskey-",
    "dckr_pat_",
    "npm_",
    "eyJhbGci",
];

/// Whether a value under this name is a secret.
pub fn is_secret_name(name: &str) -> bool {
    let lower = name.to_lowercase();
    if HARMLESS.iter().any(|h| lower.contains(h)) {
        return false;
    }
    // `key` alone would catch SSH_KEY_PATH and KEYBOARD, so it counts at the end only.
    WORDS.iter().any(|w| lower.contains(w))
        || lower.ends_with("_key")
        || lower.ends_with("guid")
        || lower == "key"
}

/// Whether a value is a secret whatever its name.
pub fn is_secret_value(value: &str) -> bool {
    let value = value.trim();
    if value.contains("PRIVATE KEY-----") || userinfo(value).is_some() {
        return true;
    }
    let words = value.split(|c: char| c.is_whitespace() || matches!(c, '=' | '"' | '\'' | ',' | ';'));
    words.into_iter().any(|word| {
        PREFIXES.iter().any(|p| word.starts_with(p) && word.len() >= p.len() + 8) || is_random(word)
    })
}

/// A long run of letters and digits mixed as no word is: what generators of keys give. Digests of images are none.
fn is_random(word: &str) -> bool {
    if word.len() < 32 || word.starts_with("sha256:") || word.contains("@sha256:") {
        return false;
    }
    let ok = word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '_' | '-'));
    // Paths have many slashes; keys have hardly any.
    ok && word.matches('/').count() <= 1
        && word.matches(['-', '_']).count() <= 5
        && word.chars().filter(char::is_ascii_digit).count() >= 6
        && word.chars().filter(char::is_ascii_alphabetic).count() >= 6
}

/// The password part of the first URL that has one: where it is in the text.
pub fn userinfo(text: &str) -> Option<Range<usize>> {
    text.match_indices("://").find_map(|(at, _)| {
        let start = at + 3;
        let authority = &text[start..];
        let end =
            authority.find(|c: char| c.is_whitespace() || "/?#\"'".contains(c)).unwrap_or(authority.len());
        let user_end = authority[..end].rfind('@')?;
        let colon = authority[..user_end].find(':')?;
        let password = &authority[colon + 1..user_end];
        let hidden = password.is_empty() || password.starts_with("${");
        (!hidden).then_some(start + colon + 1..start + user_end)
    })
}

/// A value as it may be shown: quoted, shortened, and never one that looks like a secret.
pub fn shown(value: &str) -> String {
    if is_secret_value(value) {
        return "a value that looks like a secret".to_owned();
    }
    let short: String = value.chars().filter(|c| !c.is_control()).take(60).collect();
    let dots = if value.chars().count() > 60 { "…" } else { "" };
    format!("{short:?}{dots}")
}

/// A key as it may be shown.
pub fn shown_key(key: &str) -> Cow<'_, str> {
    let plain =
        !key.is_empty() && key.len() <= 60 && !key.chars().any(char::is_control) && !is_secret_value(key);
    if plain { Cow::Borrowed(key) } else { Cow::Owned(shown(key)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell() {
        for name in [
            "DB_PASSWORD",
            "GITHUB_TOKEN",
            "apiKey",
            "AWS_SECRET_ACCESS_KEY",
            "CUSTOMER_GUID",
            "MYSQL_PWD",
            "AUTH",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "NAME",
            "KEYBOARD",
            "AUTHOR",
            "SSH_KEY_PATH",
            "PORT",
            "UPTIME_KUMA_URL",
            "NVIDIA_VISIBLE_DEVICES",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn values_tell() {
        for value in [
            "postgres://app:hunter2@db:5432/app",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nabc",
            "ghp_0123456789abcdefABCDEF",
            "run --key=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "Bearer eyJhbGciOiJIUzI1NiJ9.e30.abc",
        ] {
            assert!(is_secret_value(value), "{value}");
            assert!(!shown(value).contains("hunter2") && shown(value).len() < 60);
        }
        for value in [
            "docker.io/timpiltd/timpi-synaptron:latest",
            "image@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "https://raw.githubusercontent.com/helloskyy-io/Toolbox/main/sidecar_containers/uptime_monitor.sh",
            "/opt/a/very/long/path/with/many/parts/2024/01/02/and/more/03/04",
            "postgres://app:${DB_PASSWORD}@db/app",
            "02:00:2e:8c:5e:78",
        ] {
            assert!(!is_secret_value(value), "{value}");
        }
    }
}
