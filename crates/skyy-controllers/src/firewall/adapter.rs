//! The port of a firewall hub, over the client of pfSense's REST package.

use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc};

use ipnet::IpNet;
use skyy_api::{
    Reason,
    firewall::{FirewallInterface, FirewallSpec},
};
use skyy_http::{CallObserver, Class, Secret};
use skyy_pfsense::{At, Auth, PfSense, PfSenseError, Row, Table as Wire};
use skyy_plan::firewall::{Call, DhcpServer, Interface, Observed, Raw, Subsystem, Table};
use skyy_runtime::Failure;

use super::api::{CallFailure, Facts, FirewallApi};
use crate::endpoint;

/// One pfSense.
pub struct PfSenseFirewall {
    client: PfSense,
    name: String,
    secret: String,
}

impl PfSenseFirewall {
    /// The client that a spec describes, with this key. Sends nothing.
    pub fn connect(
        name: &str,
        spec: &FirewallSpec,
        key: &str,
        observer: Arc<dyn CallObserver>,
    ) -> Result<Self, Failure> {
        let urls = [spec.url.clone()];
        let http =
            endpoint::client("pfsense", name, &urls, spec.tls.as_ref(), skyy_pfsense::limits(), observer)?;
        Ok(Self {
            client: PfSense::new(http, Auth::ApiKey(Secret::new(key))),
            name: name.to_owned(),
            secret: spec.api_key.secret.to_string(),
        })
    }

    /// What a failed call means for the objects.
    fn failed(&self, error: PfSenseError) -> CallFailure {
        let text = format!("{}: {error}", self.name);
        let refused = matches!(
            error,
            PfSenseError::Invalid { .. } | PfSenseError::NotFound { .. } | PfSenseError::Fields { .. }
        );
        let failure = match &error {
            PfSenseError::AuthRefused { .. } | PfSenseError::LoginHeld { .. } => Failure::terminal(
                Reason::LoginRefused,
                format!(
                    "{} refused the API key ({}). Not trying again until the Secret changes or half an hour has passed: pfSense bans an address after a few refusals",
                    self.name, self.secret
                ),
            ),
            PfSenseError::Forbidden { .. }
            | PfSenseError::AccessDenied { .. }
            | PfSenseError::ReadOnly { .. } => Failure::terminal(Reason::PrivilegeMissing, text),
            PfSenseError::WriteLocked { .. } => Failure::terminal(Reason::EndpointUnavailable, text),
            PfSenseError::NotTheApi { .. } => Failure::transient(Reason::EndpointNotUnderstood, text),
            PfSenseError::Http(cause) => endpoint::failure(cause),
            _ if refused => Failure::terminal(Reason::Refused, text),
            other => match other.class() {
                Class::Transient => Failure::transient(Reason::EndpointUnavailable, text),
                Class::Protocol => Failure::transient(Reason::EndpointNotUnderstood, text),
                Class::Auth => Failure::terminal(Reason::LoginRefused, text),
                Class::Untrusted => Failure::terminal(Reason::CertificateMismatch, text),
                Class::Refused => Failure::terminal(Reason::Refused, text),
            },
        };
        CallFailure { failure: failure.not_before(error.retry_after()), refused }
    }

    async fn list(&self, table: Wire) -> Result<Vec<Row<()>>, CallFailure> {
        self.client.list(table).await.map_err(|error| self.failed(error))
    }
}

impl FirewallApi for PfSenseFirewall {
    async fn facts(&self) -> Result<Facts, CallFailure> {
        let failed = |error| self.failed(error);
        let version = self.client.version().await.map_err(failed)?;
        let package = self.client.package_version().await.map_err(failed)?;
        let interfaces = self.client.interfaces().await.map_err(failed)?;
        let text = |text: String| (!text.is_empty()).then_some(text);
        Ok(Facts {
            version: text(version.version),
            package_version: text(package.current_version),
            shown: interfaces
                .iter()
                .map(|interface| FirewallInterface {
                    name: interface.id.clone(),
                    description: interface.descr.clone(),
                    address: network(interface.ipaddr.as_deref(), interface.subnet)
                        .map(|net| net.to_string()),
                })
                .collect(),
            interfaces: interfaces
                .into_iter()
                .map(|interface| Interface {
                    addresses: [
                        network(interface.ipaddr.as_deref(), interface.subnet),
                        network(interface.ipaddrv6.as_deref(), interface.subnetv6),
                    ]
                    .into_iter()
                    .flatten()
                    .collect(),
                    name: interface.id,
                    description: interface.descr,
                    gateway: interface.gateway.is_some(),
                })
                .collect(),
        })
    }

    async fn observe(&self) -> Result<Observed, CallFailure> {
        // One call after the other: a small machine is not faster with more at once, and a write must not overtake a read.
        let vips = raws(self.list(Wire::VirtualIp).await?);
        let nats = raws(self.list(Wire::OneToOne).await?);
        let rules = raws(self.list(Wire::Rule).await?);
        let servers = self.client.list_dhcp_servers().await.map_err(|error| self.failed(error))?;
        let dhcp: BTreeMap<String, DhcpServer> = servers
            .into_iter()
            .map(|server| {
                let bound =
                    |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<Ipv4Addr>().ok());
                let pools = bound(&server.range_from).zip(bound(&server.range_to)).into_iter().collect();
                let maps = server.static_mappings.into_iter().map(|row| row.raw).collect();
                let planned = DhcpServer::from_raw(&server.interface, pools, maps);
                (server.interface, planned)
            })
            .collect();
        Ok(Observed::from_raw(vips, nats, dhcp, rules))
    }

    async fn read(&self, table: &Table) -> Result<Vec<Raw>, CallFailure> {
        match table {
            Table::VirtualIps => self.list(Wire::VirtualIp).await.map(raws),
            Table::NatMappings => self.list(Wire::OneToOne).await.map(raws),
            Table::Rules => self.list(Wire::Rule).await.map(raws),
            Table::StaticMaps(interface) => {
                let rows = self.list(Wire::StaticMapping).await?;
                Ok(raws(rows.into_iter().filter(|row| row.at.parent.as_deref() == Some(interface)).collect()))
            }
        }
    }

    async fn call(&self, call: &Call) -> Result<(), CallFailure> {
        let failed = |error| self.failed(error);
        match call {
            Call::Create { table, body } => {
                let mut body = body.clone();
                if let Table::StaticMaps(interface) = table {
                    body.insert("parent_id".into(), interface.clone().into());
                }
                self.client.create(wire(table), &body).await.map(drop).map_err(failed)
            }
            Call::Update { table, id, body } => {
                self.client.update(wire(table), &at(table, *id), body).await.map(drop).map_err(failed)
            }
            Call::Delete { table, id } => {
                self.client.delete(wire(table), &at(table, *id)).await.map(drop).map_err(failed)
            }
            Call::Replace { table: Table::StaticMaps(interface), rows } => {
                self.client.replace_static_mappings(interface, rows).await.map(drop).map_err(failed)
            }
            Call::Replace { table, rows } => {
                self.client.replace(wire(table), rows).await.map(drop).map_err(failed)
            }
            Call::Apply(subsystem) => {
                let part = match subsystem {
                    Subsystem::VirtualIps => skyy_pfsense::Subsystem::VirtualIps,
                    Subsystem::Dhcp => skyy_pfsense::Subsystem::Dhcp,
                    Subsystem::Filter => skyy_pfsense::Subsystem::Firewall,
                };
                let state = self.client.apply(part).await.map_err(failed)?;
                if state.applied {
                    return Ok(());
                }
                let message =
                    format!("{}: the {subsystem} still wait to become effective after an apply", self.name);
                Err(CallFailure {
                    failure: Failure::transient(Reason::EndpointUnavailable, message),
                    refused: false,
                })
            }
        }
    }
}

fn wire(table: &Table) -> Wire {
    match table {
        Table::VirtualIps => Wire::VirtualIp,
        Table::NatMappings => Wire::OneToOne,
        Table::StaticMaps(_) => Wire::StaticMapping,
        Table::Rules => Wire::Rule,
    }
}

fn at(table: &Table, id: usize) -> At {
    match table {
        Table::StaticMaps(interface) => At::under(interface.clone(), id),
        Table::VirtualIps | Table::NatMappings | Table::Rules => At::row(id),
    }
}

/// The rows in the order of their positions, whatever the order of the answer.
fn raws(mut rows: Vec<Row<()>>) -> Vec<Raw> {
    rows.sort_by_key(|row| row.at.id);
    rows.into_iter().map(|row| row.raw).collect()
}

fn network(address: Option<&str>, prefix: Option<u64>) -> Option<IpNet> {
    IpNet::new(address?.parse().ok()?, u8::try_from(prefix?).ok()?).ok()
}
