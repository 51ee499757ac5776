//! Whose row is this: the mark at the end of a row's description, and the names that follow from the owner.
//!
//! Pure text. It must not know what a row is otherwise, nor decide what to do with one that is not ours.

use std::fmt;

use super::{Owner, RowKind};
use crate::hash::hash64;

const OPEN: &str = "[skyy:";

/// The most bytes an installation's name may have: with it, the short form of a mark always fits a static mapping.
pub const INSTALLATION_LIMIT: usize = 63;

/// Rule trackers that we choose lie here.
///
/// A tracker that nobody chooses is the time in seconds, which left this range in 2001; pfSense counts those of its
/// built-in rules from 1,000,000,000 and its set-up wizard uses 100,000,101. All fit 31 bits.
pub const TRACKERS: std::ops::Range<u32> = 200_000_000..1_000_000_000;

/// Who made a row: an installation of the operator, and the object within it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The operator's installation; the mark of another one is a stranger's.
    pub installation: String,
    /// The object.
    pub object: Marked,
    /// The first eight letters of the object's uid. Not part of its identity: a restored cluster has new ones.
    pub uid: String,
}

/// The object that a mark names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Marked {
    /// By its namespace and name.
    Named {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// By a hash of both, where there was no room for them.
    Hashed(String),
}

impl Marked {
    pub(crate) fn named(owner: &Owner) -> Self {
        Self::Named { namespace: owner.namespace.clone(), name: owner.name.clone() }
    }

    pub(crate) fn hashed(owner: &Owner) -> Self {
        Self::Hashed(format!("{:016x}", hash64(&["mark", &owner.namespace, &owner.name])))
    }
}

impl Mark {
    /// The mark of an object's row, short enough to leave half of the description to people.
    pub fn of(installation: &str, owner: &Owner, limit: usize) -> Self {
        let uid = owner.uid.get(..8).unwrap_or(&owner.uid).to_owned();
        let mark =
            Self { installation: installation.to_owned(), object: Marked::named(owner), uid: uid.clone() };
        if mark.to_string().len() <= limit / 2 {
            return mark;
        }
        Self { installation: installation.to_owned(), object: Marked::hashed(owner), uid }
    }

    /// The last mark in a text, wherever it stands, and the text without it.
    pub fn split(description: &str) -> (String, Option<Self>) {
        let Some(start) = description.rfind(OPEN) else { return (description.trim().to_owned(), None) };
        let inside = &description[start + OPEN.len()..];
        let Some(end) = inside.find(']') else { return (description.trim().to_owned(), None) };
        let Some(mark) = Self::parse(&inside[..end]) else { return (description.trim().to_owned(), None) };
        let before = description[..start].trim_end();
        let after = inside[end + 1..].trim();
        let text = match (before.trim_start(), after) {
            (text, "") | ("", text) => text.to_owned(),
            (before, after) => format!("{before} {after}"),
        };
        (text, Some(mark))
    }

    fn parse(inside: &str) -> Option<Self> {
        let (path, uid) = inside.rsplit_once('#').unwrap_or((inside, ""));
        let (installation, object) = path.split_once('/')?;
        let object = if let Some(hash) = object.strip_prefix('~') {
            Marked::Hashed(hash.trim().to_owned())
        } else {
            let (namespace, name) = object.split_once('/')?;
            Marked::Named { namespace: namespace.trim().to_owned(), name: name.trim().to_owned() }
        };
        let installation = installation.trim();
        (!installation.is_empty()).then(|| Self {
            installation: installation.to_owned(),
            object,
            uid: uid.trim().to_owned(),
        })
    }

    /// A description: what people say, cut where it must be, and the mark whole.
    pub fn describe(&self, text: &str, limit: usize) -> String {
        let mark = self.to_string();
        let text = self.fit(text, limit);
        if text.is_empty() { mark } else { format!("{text} {mark}") }
    }

    /// What is left of a text beside this mark: without what breaks the firewall's configuration file, in one line.
    pub fn fit(&self, text: &str, limit: usize) -> String {
        let text = clean(text);
        let room = limit.saturating_sub(self.to_string().len() + 1);
        if text.len() <= room {
            return text;
        }
        let cut = text.floor_char_boundary(room.saturating_sub('…'.len_utf8()));
        if cut == 0 { String::new() } else { format!("{}…", text[..cut].trim_end()) }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{OPEN}{}/", self.installation)?;
        match &self.object {
            Marked::Named { namespace, name } => write!(f, "{namespace}/{name}")?,
            Marked::Hashed(hash) => write!(f, "~{hash}")?,
        }
        if !self.uid.is_empty() {
            write!(f, "#{}", self.uid)?;
        }
        f.write_str("]")
    }
}

/// Text that XML can hold and one line can show. The firewall answers 200 to the rest, and then loses its last change.
fn clean(text: &str) -> String {
    let text: String = text
        .chars()
        .filter_map(|c| match c {
            c if c.is_whitespace() => Some(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => None,
            c => Some(c),
        })
        .collect();
    text.trim().to_owned()
}

/// The `uniqid` that a virtual IP of this owner gets: `n` is 0, or more where that one is taken.
pub fn uniqid(installation: &str, owner: &Owner, n: u32) -> String {
    let salt = n.to_string();
    format!("skyy{:016x}", hash64(&["uniqid", installation, &owner.namespace, &owner.name, &salt]))
}

/// The `tracker` that a rule of this owner gets on this interface: `n` is 0, or more where that one is taken.
pub fn tracker(installation: &str, owner: &Owner, interface: &str, n: u32) -> u32 {
    let salt = n.to_string();
    let hash = hash64(&["tracker", installation, &owner.namespace, &owner.name, interface, &salt]);
    let width = u64::from(TRACKERS.end - TRACKERS.start);
    TRACKERS.start + u32::try_from(hash % width).unwrap_or(0)
}

/// Whether an installation's name can stand in a mark.
pub fn installation_is_valid(installation: &str) -> bool {
    (1..=INSTALLATION_LIMIT).contains(&installation.len())
        && installation.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

impl RowKind {
    /// How many bytes the firewall takes in a description of this kind.
    pub fn description_limit(self) -> usize {
        match self {
            Self::VirtualIp | Self::NatMapping | Self::FirewallRule => 1024,
            Self::DhcpReservation => 255,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(namespace: &str, name: &str) -> Owner {
        Owner {
            kind: RowKind::VirtualIp,
            namespace: namespace.into(),
            name: name.into(),
            uid: "0123456789abcdef".into(),
        }
    }

    #[test]
    fn a_mark_survives_the_way_to_the_firewall_and_back() {
        let mark = Mark::of("prod", &owner("tenants", "web"), 1024);
        assert_eq!(mark.to_string(), "[skyy:prod/tenants/web#01234567]");
        for text in ["", "old web server", "ünïcödé [skyy:x/y/z]", "a ] b"] {
            assert_eq!(
                Mark::split(&mark.describe(text, 1024)),
                (text.to_owned(), Some(mark.clone())),
                "{text}"
            );
        }
    }

    #[test]
    fn a_mark_is_read_where_a_person_moved_it() {
        let read = |text: &str| Mark::split(text);
        let mark = Mark::of("prod", &owner("tenants", "web"), 1024);
        assert_eq!(read("a [skyy:prod/tenants/web#01234567] b "), ("a b".into(), Some(mark.clone())));
        assert_eq!(read("[skyy: prod/tenants/web#01234567]"), (String::new(), Some(mark)));
        for foreign in ["", "web", "[skyy:", "[skyy:prod]", "[skyy:prod/web]", "[skyy:/a/b]", "skyy:prod/a/b"]
        {
            assert_eq!(read(foreign), (foreign.to_owned(), None), "{foreign}");
        }
    }

    #[test]
    fn long_names_make_a_short_mark() {
        let long = owner(&"n".repeat(63), &"m".repeat(253));
        let mark = Mark::of(&"i".repeat(INSTALLATION_LIMIT), &long, 255);
        assert_eq!(mark.object, Marked::hashed(&long));
        assert!(mark.to_string().len() <= 127);
        assert_eq!(Mark::of("prod", &long, 1024).object, Marked::named(&long));
    }

    #[test]
    fn a_description_never_passes_the_limit_in_bytes() {
        let mark = Mark::of("prod", &owner("tenants", "web"), 255);
        let description = mark.describe(&"ü".repeat(200), 255);
        assert!(description.len() <= 255 && description.len() > 250, "{}", description.len());
        assert!(description.ends_with("… [skyy:prod/tenants/web#01234567]"));
        assert_eq!(mark.describe("a\u{7}b\nc\u{fffe}", 255), "ab c [skyy:prod/tenants/web#01234567]");
    }

    #[test]
    fn derived_names_are_stable_and_in_range() {
        let owner = owner("tenants", "web");
        assert_eq!(uniqid("prod", &owner, 0), uniqid("prod", &owner, 0));
        assert_ne!(uniqid("prod", &owner, 0), uniqid("prod", &owner, 1));
        assert_ne!(uniqid("prod", &owner, 0), uniqid("test", &owner, 0));
        for n in 0..1000 {
            assert!(TRACKERS.contains(&tracker("prod", &owner, "wan", n)));
        }
    }
}
