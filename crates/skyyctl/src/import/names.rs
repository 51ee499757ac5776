//! Names that Kubernetes takes, from names that people gave.
//!
//! Pure.

/// The longest name used: it also has to fit where a label or a reference is meant.
const MAX: usize = 63;

/// The nearest name that Kubernetes takes: lower case letters, digits and dashes, beginning and ending with no dash.
/// Nothing when nothing is left.
pub fn object_name(given: &str) -> Option<String> {
    let mut name = String::new();
    for c in given.trim().chars() {
        match c {
            'a'..='z' | '0'..='9' => name.push(c),
            'A'..='Z' => name.push(c.to_ascii_lowercase()),
            _ if name.ends_with('-') || name.is_empty() => {}
            _ => name.push('-'),
        }
    }
    name.truncate(MAX);
    let name = name.trim_matches('-');
    (!name.is_empty()).then(|| name.to_owned())
}

/// Whether it can be the name of a node in a Proxmox cluster.
pub fn is_node_name(name: &str) -> bool {
    let ok = |c: char| c.is_ascii_alphanumeric() || c == '-';
    (1..=63).contains(&name.len()) && name.chars().all(ok) && !name.starts_with('-') && !name.ends_with('-')
}

/// Whether it can be the name of a network interface or a bridge.
pub fn is_interface_name(name: &str) -> bool {
    let mut chars = name.chars();
    (2..=15).contains(&name.len())
        && chars.next().is_some_and(|c| c.is_ascii_alphabetic())
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_what_kubernetes_takes() {
        let check = |given: &str, expected: Option<&str>| {
            assert_eq!(object_name(given).as_deref(), expected, "{given:?}");
        };
        check("puma-proxmox-010", Some("puma-proxmox-010"));
        check("ClusterFuck", Some("clusterfuck"));
        check("  My_Cluster.Nr 1! ", Some("my-cluster-nr-1"));
        check("--", None);
        check("", None);
        check("ünï", Some("n"));
        check(&"x".repeat(100), Some(&"x".repeat(63)));
    }

    #[test]
    fn interfaces_have_short_names() {
        assert!(is_interface_name("vmbr0") && is_interface_name("vmbr1"));
        assert!(
            !is_interface_name("v") && !is_interface_name("1vmbr") && !is_interface_name("vmbr0123456789abc")
        );
    }
}
