//! A place inside an object: `spec.addresses[17].mac`.

use std::fmt;

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Into a map.
    Key(String),
    /// Into a list.
    Index(usize),
}

/// A place inside an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(Vec<Step>);

impl Path {
    /// The object as a whole.
    pub fn root() -> Self {
        Self::default()
    }

    /// As a person writes it. Whatever is not an index in brackets is a key.
    pub fn parse(text: &str) -> Self {
        let mut path = Self::root();
        for part in text.split('.').filter(|part| !part.is_empty()) {
            let (key, indices) = part.find('[').map_or((part, ""), |at| part.split_at(at));
            if !key.is_empty() {
                path = path.key(key);
            }
            for index in indices.split(['[', ']']).filter(|text| !text.is_empty()) {
                let inside = index.trim_matches('"');
                path = inside.parse().map_or_else(|_| path.key(inside), |n| path.index(n));
            }
        }
        path
    }

    /// One step down into a map.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        let mut path = self.clone();
        path.0.push(Step::Key(key.to_owned()));
        path
    }

    /// One step down into a list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        let mut path = self.clone();
        path.0.push(Step::Index(index));
        path
    }

    /// The steps.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Whether it is the object as a whole.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The last key on the way.
    pub fn last_key(&self) -> Option<&str> {
        self.0.iter().rev().find_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if key.contains('.') => write!(f, "[{key:?}]")?,
                Step::Key(key) if n == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for text in ["", "spec", "spec.addresses[17].mac", "a[0][1].b"] {
            assert_eq!(Path::parse(text).to_string(), text);
        }
        assert_eq!(Path::root().key("labels").key("a.b/c").to_string(), r#"labels["a.b/c"]"#);
        assert_eq!(Path::parse("spec.a[2]").last_key(), Some("a"));
    }
}
