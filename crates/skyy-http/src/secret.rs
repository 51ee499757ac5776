//! Values that must never be printed, and their removal from texts that will be.
//!
//! Must not know where a secret comes from or what it opens.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use zeroize::Zeroizing;

/// What a removed secret leaves in a text.
const HIDDEN: &str = "***";

/// A password, key or token: `Debug` prints `***`, and the memory is wiped when the last copy is dropped.
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Takes the value over.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Arc::new(Zeroizing::new(value.into())))
    }

    /// The value itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `user:password` in base64, as HTTP Basic wants it.
    pub(crate) fn basic(user: &str, password: &Secret) -> Secret {
        let pair = Zeroizing::new(format!("{user}:{}", password.expose()));
        Secret::new(base64::engine::general_purpose::STANDARD.encode(pair.as_bytes()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl PartialEq for Secret {
    /// Looks at every byte whatever the first difference: comparing must not tell how far two secrets agree.
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.expose().as_bytes(), other.expose().as_bytes());
        a.len() == b.len() && a.iter().zip(b).fold(0, |differences, (x, y)| differences | (x ^ y)) == 0
    }
}

impl Eq for Secret {}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self::new(value)
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self::new(value)
    }
}

/// Takes every one of `secrets` out of `text`, also where a peer echoes it escaped as JSON or in a URL.
pub(crate) fn redact(text: &str, secrets: &[Secret]) -> String {
    let mut clean = text.to_owned();
    // Longest first: a secret that contains another must go as a whole.
    let mut values: Vec<&str> =
        secrets.iter().map(Secret::expose).filter(|value| !value.is_empty()).collect();
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    for value in values {
        for form in forms(value) {
            if clean.contains(&form) {
                clean = clean.replace(&form, HIDDEN);
            }
        }
    }
    clean
}

fn forms(value: &str) -> Vec<String> {
    let mut forms = vec![value.to_owned()];
    let json = serde_json::Value::from(value).to_string();
    for other in [json[1..json.len() - 1].to_owned(), crate::call::percent_encode(value)] {
        if other != value {
            forms.push(other);
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_value() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "***");
        assert_eq!(format!("{:?}", Some(Secret::new("hunter2"))), "Some(***)");
    }

    #[test]
    fn equality_is_by_value() {
        assert_eq!(Secret::new("a"), Secret::new("a"));
        assert_ne!(Secret::new("a"), Secret::new("b"));
        assert_ne!(Secret::new("a"), Secret::new("ab"));
    }

    #[track_caller]
    fn check(text: &str, secrets: &[&str], expected: &str) {
        let secrets: Vec<Secret> = secrets.iter().map(|value| Secret::new(*value)).collect();
        assert_eq!(redact(text, &secrets), expected);
    }

    #[test]
    fn secrets_leave_texts_in_every_form() {
        check("bad key abc123 given", &["abc123"], "bad key *** given");
        check("twice: k, k", &["k"], "twice: ***, ***");
        check("nothing here", &["abc"], "nothing here");
        check("empty stays", &[""], "empty stays");
        check(r#"{"password":"a\"b"}"#, &["a\"b"], r#"{"password":"***"}"#);
        check("/login?p=a%20b%2Fc", &["a b/c"], "/login?p=***");
        check("long abcdef", &["abc", "abcdef"], "long ***");
    }
}
