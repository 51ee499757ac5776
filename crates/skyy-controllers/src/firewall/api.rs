//! What a hub needs of a firewall: a small port, so that tests can put a firewall in memory behind it.

use skyy_api::firewall::FirewallInterface;
use skyy_plan::firewall::{Call, Interface, Observed, Raw, Table};
use skyy_runtime::Failure;

/// A call that did not succeed.
#[derive(Clone, Debug)]
pub struct CallFailure {
    /// Why, and who must act.
    pub failure: Failure,
    /// The firewall understood the call and refused its content; it had no effect.
    pub refused: bool,
}

/// What is known of the firewall itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The version of pfSense.
    pub version: Option<String>,
    /// The version of the REST package.
    pub package_version: Option<String>,
    /// The interfaces, for the planner.
    pub interfaces: Vec<Interface>,
    /// The interfaces, for people.
    pub shown: Vec<FirewallInterface>,
}

/// A firewall.
pub trait FirewallApi: Send + Sync + 'static {
    /// What it is.
    fn facts(&self) -> impl Future<Output = Result<Facts, CallFailure>> + Send;
    /// All rows.
    fn observe(&self) -> impl Future<Output = Result<Observed, CallFailure>> + Send;
    /// The rows of one list, as they stand now.
    fn read(&self, table: &Table) -> impl Future<Output = Result<Vec<Raw>, CallFailure>> + Send;
    /// One write. An apply has succeeded only when the firewall says afterwards that nothing waits any more.
    fn call(&self, call: &Call) -> impl Future<Output = Result<(), CallFailure>> + Send;
}
