//! Task ids. A UPID says that work was accepted, never that it succeeded. Must not know how tasks are asked for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::{InvalidId, NodeName, Vmid};

/// The id of a task: `UPID:node:pid:pstart:starttime:type:id:user[!token]:`, the three numbers in hexadecimal.
///
/// It can be written down and read again after a restart; [`Upid::node`] is the node to ask.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Upid {
    text: String,
    node: NodeName,
    pid: u32,
    pstart: u64,
    starttime: u64,
    kind: String,
    id: String,
    user: String,
    token: Option<String>,
}

impl Upid {
    /// The node that runs the task. Asking another node about it is refused.
    pub fn node(&self) -> &NodeName {
        &self.node
    }

    /// The worker's process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Clock ticks since boot when the worker started.
    pub fn pstart(&self) -> u64 {
        self.pstart
    }

    /// Seconds since 1970 when the task started, by the node's clock.
    pub fn starttime(&self) -> u64 {
        self.starttime
    }

    /// The type: `qmclone`, `qmstart`, `resize`, `hastart`, …
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What it works on: most often the guest (for a clone, the source); may be empty.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// [`Upid::id`] where it is a guest.
    pub fn vmid(&self) -> Option<Vmid> {
        self.id.parse().ok()
    }

    /// Who started it, with the realm and without the token: `root@pam`.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The token that started it, if one did.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The whole id as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether its end means only that the HA manager was asked: then the guest must be watched instead.
    pub fn is_ha_request(&self) -> bool {
        matches!(self.kind.as_str(), "hastart" | "hastop" | "hashutdown" | "hamigrate" | "harelocate")
    }
}

impl FromStr for Upid {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let rule = "a task id looks like UPID:node:pid:pstart:starttime:type:id:user:";
        parse(text).ok_or_else(|| InvalidId { what: "UPID", given: text.chars().take(200).collect(), rule })
    }
}

fn parse(text: &str) -> Option<Upid> {
    let rest = text.strip_prefix("UPID:")?;
    let mut parts = rest.splitn(7, ':');
    let mut next = || parts.next();
    let (node, pid, pstart, starttime) = (next()?, next()?, next()?, next()?);
    let (kind, id, last) = (next()?, next()?, next()?);
    // The user ends with a colon and has none inside; old tasks had a comment after it.
    let (user, _) = last.split_once(':')?;
    let (user, token) = match user.split_once('!') {
        Some((user, token)) => (user, Some(token.to_owned())),
        None => (user, None),
    };
    let hexadecimal = |text: &str| u64::from_str_radix(text, 16).ok();
    let plain =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    if !plain(kind) || user.is_empty() || text.contains(char::is_whitespace) {
        return None;
    }
    Some(Upid {
        text: text.to_owned(),
        node: NodeName::new(node).ok()?,
        pid: u32::from_str_radix(pid, 16).ok()?,
        pstart: hexadecimal(pstart)?,
        starttime: hexadecimal(starttime)?,
        kind: kind.to_owned(),
        id: id.to_owned(),
        user: user.to_owned(),
        token,
    })
}

impl fmt::Display for Upid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Upid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Upid {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Upid {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_parts_are_told_apart() {
        let upid: Upid = "UPID:pve1:0001F2A3:00ABCDEF:65A1B2C3:qmclone:100:root@pam!ops:".parse().unwrap();
        assert_eq!(upid.node().as_str(), "pve1");
        assert_eq!((upid.pid(), upid.pstart(), upid.starttime()), (0x1_F2A3, 0xAB_CDEF, 0x65A1_B2C3));
        assert_eq!((upid.kind(), upid.id(), upid.vmid()), ("qmclone", "100", "100".parse().ok()));
        assert_eq!((upid.user(), upid.token()), ("root@pam", Some("ops")));

        let upid: Upid = "UPID:pve1:1:2:3:aptupdate::root@pam:".parse().unwrap();
        assert_eq!((upid.id(), upid.vmid(), upid.token()), ("", None, None));
        assert!(!upid.is_ha_request());
        let upid: Upid = "UPID:pve1:1:2:3:hastart:420:root@pam:".parse().unwrap();
        assert!(upid.is_ha_request());
    }

    #[test]
    fn what_is_no_task_id_is_refused() {
        for text in [
            "",
            "garbage",
            "UPID:",
            "UPID:pve1:1:2:3:qmclone:100:root@pam",
            "UPID:pve1:zz:2:3:qmclone:100:root@pam:",
            "UPID:pve1:1:2:3::100:root@pam:",
            "UPID:../x:1:2:3:qmclone:100:root@pam:",
            "UPID:pve1:1:2:3:qmclone:100::",
            "UPID:pve1:1:2:3:qm clone:100:root@pam:",
        ] {
            assert!(text.parse::<Upid>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_task_id_survives_being_written_down(
            node in "[a-z][a-z0-9]{0,8}", pid: u32, pstart in 0..=0xFFFF_FFFF_u64, start in 0..=0xFFFF_FFFF_u64,
            kind in "[a-z]{2,10}", id in "[0-9a-z]{0,6}", user in "[a-z]{1,6}@(pam|pve)", token in "(![a-z]{1,6})?",
        ) {
            let text = format!("UPID:{node}:{pid:08X}:{pstart:08X}:{start:08X}:{kind}:{id}:{user}{token}:");
            let upid: Upid = text.parse().unwrap();
            prop_assert_eq!(upid.as_str(), &text);
            prop_assert_eq!((upid.pid(), upid.pstart(), upid.starttime()), (pid, pstart, start));
            let json = serde_json::to_string(&upid).unwrap();
            prop_assert_eq!(serde_json::from_str::<Upid>(&json).unwrap(), upid);
        }

        #[test]
        fn nothing_makes_the_parser_panic(text in "(UPID:)?[ -~:]{0,60}") {
            let _ = text.parse::<Upid>();
        }
    }
}
