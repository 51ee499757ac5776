//! The mark of a guest: in its description whole, in its tags short, so that one look at the cluster shows whose it is.

use std::fmt;

/// Whose guest it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestMark {
    /// The installation of Skyy-Command.
    pub installation: String,
    /// The Deployment's namespace.
    pub namespace: String,
    /// The Deployment's name.
    pub deployment: String,
    /// The Deployment's uid: another one of the same name does not inherit the guest.
    pub uid: String,
    /// The guest's name.
    pub guest: String,
}

impl fmt::Display for GuestMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { installation, namespace, deployment, uid, guest } = self;
        write!(f, "skyy:{installation}/{namespace}/{deployment}/{guest}#{uid}")
    }
}

impl GuestMark {
    /// The text that stands as the guest's description.
    pub fn description(&self) -> String {
        format!(
            "{self}\n\nMade by Skyy-Command; changes by hand are put right. Deployment {}/{}.",
            self.namespace, self.deployment
        )
    }

    /// Does the description carry this mark? Only its first line counts; people may write below.
    pub fn is_on(&self, description: &str) -> bool {
        description.lines().next().is_some_and(|line| line.trim() == self.to_string())
    }

    /// Does the description carry a mark of any installation?
    pub fn any_on(description: &str) -> bool {
        description.lines().next().is_some_and(|line| line.trim().starts_with("skyy:") && line.contains('#'))
    }

    /// The tag by which the cluster's list of guests shows whose it is. Tags are lower case, digits, `-`, `_`, `+` and `.`.
    pub fn tag(&self) -> String {
        let short = |text: &str| {
            text.chars().filter(char::is_ascii_alphanumeric).take(8).collect::<String>().to_lowercase()
        };
        format!("skyy-{}-{}", short(&self.installation), short(&self.uid))
    }
}
