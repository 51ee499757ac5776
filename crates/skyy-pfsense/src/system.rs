//! What is read of the box itself: versions, settings, interfaces, gateways, DHCP servers, load.
//!
//! Unknown fields are ignored, missing ones are empty. Must not know how any of it is used.

use serde::Deserialize;
use serde_json::Value;
use skyy_http::Call;

use crate::client::{PfSense, decode};
use crate::error::PfSenseError;
use crate::lenient;
use crate::rows::StaticMap;
use crate::table::Row;

const VERSION: &str = "/api/v2/system/version";
const PACKAGE_VERSION: &str = "/api/v2/system/restapi/version";
const SETTINGS: &str = "/api/v2/system/restapi/settings";
const STATUS: &str = "/api/v2/status/system";
const INTERFACES: &str = "/api/v2/interfaces";
const INTERFACE_STATUS: &str = "/api/v2/status/interfaces";
const GATEWAYS: &str = "/api/v2/routing/gateways";
const DHCP_SERVERS: &str = "/api/v2/services/dhcp_servers";

/// All paths read here.
pub(crate) const READS: [&str; 8] =
    [VERSION, PACKAGE_VERSION, SETTINGS, STATUS, INTERFACES, INTERFACE_STATUS, GATEWAYS, DHCP_SERVERS];

/// Whether stored changes are loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ApplyState {
    /// Nothing is known to wait.
    #[serde(deserialize_with = "lenient::flag")]
    pub applied: bool,
    /// What waits, where the box says it (`aliases`, `natconf`).
    #[serde(deserialize_with = "lenient::list")]
    pub pending_subsystems: Vec<String>,
}

/// The version of pfSense.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Version {
    /// The whole version (`2.8.0-RELEASE`).
    #[serde(deserialize_with = "lenient::text")]
    pub version: String,
    /// Without its suffix.
    #[serde(deserialize_with = "lenient::text")]
    pub base: String,
    /// The patch level, where there is one.
    #[serde(deserialize_with = "lenient::option_text")]
    pub patch: Option<String>,
}

/// The version of the REST package.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PackageVersion {
    /// As installed (`v2.10.0`).
    #[serde(deserialize_with = "lenient::text")]
    pub current_version: String,
    /// Whether a newer one is known.
    #[serde(deserialize_with = "lenient::flag")]
    pub update_available: bool,
}

/// The REST package's settings that matter to a client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Whether writes are refused.
    #[serde(deserialize_with = "lenient::flag")]
    pub read_only: bool,
    /// Whether answers carry links: lists are sixty times slower then.
    #[serde(deserialize_with = "lenient::flag")]
    pub hateoas: bool,
    /// Whether failed logins lead to a ban.
    #[serde(deserialize_with = "lenient::flag")]
    pub login_protection: bool,
    /// How a client may log in: `BasicAuth`, `KeyAuth`, `JWTAuth`.
    #[serde(deserialize_with = "lenient::list")]
    pub auth_methods: Vec<String>,
    /// Where calls may come in; empty means anywhere.
    #[serde(deserialize_with = "lenient::list")]
    pub allowed_interfaces: Vec<String>,
    /// How interfaces are named in answers: `id` (`wan`), `descr` or `if`.
    #[serde(deserialize_with = "lenient::text")]
    pub represent_interfaces_as: String,
}

/// Load and identity of the box.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct SystemStatus {
    /// What it is (`pfSense`, `Netgate 4100`).
    #[serde(deserialize_with = "lenient::text")]
    pub platform: String,
    /// How long it runs, in words.
    #[serde(deserialize_with = "lenient::text")]
    pub uptime: String,
    /// Its processor.
    #[serde(deserialize_with = "lenient::text")]
    pub cpu_model: String,
    /// How many processors.
    #[serde(deserialize_with = "lenient::option_number")]
    pub cpu_count: Option<u64>,
    /// Percent.
    #[serde(deserialize_with = "lenient::option_float")]
    pub cpu_usage: Option<f64>,
    /// Percent.
    #[serde(deserialize_with = "lenient::option_float")]
    pub mem_usage: Option<f64>,
    /// Percent.
    #[serde(deserialize_with = "lenient::option_float")]
    pub disk_usage: Option<f64>,
}

/// An interface as configured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Interface {
    /// Its name in the configuration (`wan`, `opt3`).
    #[serde(deserialize_with = "lenient::text")]
    pub id: String,
    /// The device.
    #[serde(rename = "if", deserialize_with = "lenient::text")]
    pub device: String,
    /// Whether it is on.
    #[serde(deserialize_with = "lenient::flag")]
    pub enable: bool,
    /// Its name for people.
    #[serde(deserialize_with = "lenient::text")]
    pub descr: String,
    /// How it gets its IPv4 address (`static`, `dhcp`).
    #[serde(deserialize_with = "lenient::text")]
    pub typev4: String,
    /// Its IPv4 address, where static.
    #[serde(deserialize_with = "lenient::option_text")]
    pub ipaddr: Option<String>,
    /// The length of its IPv4 prefix.
    #[serde(deserialize_with = "lenient::option_number")]
    pub subnet: Option<u64>,
    /// Its gateway's name.
    #[serde(deserialize_with = "lenient::option_text")]
    pub gateway: Option<String>,
    /// How it gets its IPv6 address.
    #[serde(deserialize_with = "lenient::text")]
    pub typev6: String,
    /// Its IPv6 address, where static.
    #[serde(deserialize_with = "lenient::option_text")]
    pub ipaddrv6: Option<String>,
    /// The length of its IPv6 prefix.
    #[serde(deserialize_with = "lenient::option_number")]
    pub subnetv6: Option<u64>,
}

/// An interface as it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct InterfaceStatus {
    /// Its name in the configuration (`wan`).
    #[serde(deserialize_with = "lenient::text")]
    pub name: String,
    /// Its name for people.
    #[serde(deserialize_with = "lenient::text")]
    pub descr: String,
    /// The device.
    #[serde(deserialize_with = "lenient::text")]
    pub hwif: String,
    /// Its hardware address.
    #[serde(deserialize_with = "lenient::text")]
    pub macaddr: String,
    /// `up`, `no carrier`, `down`.
    #[serde(deserialize_with = "lenient::text")]
    pub status: String,
    /// The IPv4 address in use.
    #[serde(deserialize_with = "lenient::option_text")]
    pub ipaddr: Option<String>,
    /// Its mask, dotted.
    #[serde(deserialize_with = "lenient::option_text")]
    pub subnet: Option<String>,
    /// The gateway's address.
    #[serde(deserialize_with = "lenient::option_text")]
    pub gateway: Option<String>,
}

/// A gateway as configured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Gateway {
    /// Its name.
    #[serde(deserialize_with = "lenient::text")]
    pub name: String,
    /// The interface it is reached by.
    #[serde(deserialize_with = "lenient::text")]
    pub interface: String,
    /// Its address.
    #[serde(deserialize_with = "lenient::text")]
    pub gateway: String,
    /// `inet` or `inet6`.
    #[serde(deserialize_with = "lenient::text")]
    pub ipprotocol: String,
    /// Whether it is off.
    #[serde(deserialize_with = "lenient::flag")]
    pub disabled: bool,
}

/// The DHCP server of one interface.
#[derive(Clone, Debug, PartialEq)]
pub struct DhcpServer {
    /// The interface, which also names the server.
    pub interface: String,
    /// Whether it runs.
    pub enable: bool,
    /// The first address given out.
    pub range_from: Option<String>,
    /// The last address given out.
    pub range_to: Option<String>,
    /// Its reservations.
    pub static_mappings: Vec<Row<StaticMap>>,
}

#[derive(Deserialize)]
struct DhcpServerFields {
    #[serde(default, deserialize_with = "lenient::text")]
    id: String,
    #[serde(default, deserialize_with = "lenient::text")]
    interface: String,
    #[serde(default, deserialize_with = "lenient::flag")]
    enable: bool,
    #[serde(default, deserialize_with = "lenient::option_text")]
    range_from: Option<String>,
    #[serde(default, deserialize_with = "lenient::option_text")]
    range_to: Option<String>,
    #[serde(default)]
    staticmap: Value,
}

impl DhcpServer {
    fn from_json(data: Value) -> Result<Self, String> {
        let DhcpServerFields { id, interface, enable, range_from, range_to, staticmap } = decode(data)?;
        let static_mappings =
            crate::write::rows(staticmap)?.into_iter().map(Row::typed).collect::<Result<_, String>>()?;
        let interface = if interface.is_empty() { id } else { interface };
        Ok(Self { interface, enable, range_from, range_to, static_mappings })
    }
}

impl PfSense {
    /// The version of pfSense.
    pub async fn version(&self) -> Result<Version, PfSenseError> {
        self.ask(Call::get(VERSION), decode).await
    }

    /// The version of the REST package.
    pub async fn package_version(&self) -> Result<PackageVersion, PfSenseError> {
        self.ask(Call::get(PACKAGE_VERSION), decode).await
    }

    /// The REST package's settings.
    pub async fn settings(&self) -> Result<Settings, PfSenseError> {
        self.ask(Call::get(SETTINGS), decode).await
    }

    /// Load and identity.
    pub async fn system_status(&self) -> Result<SystemStatus, PfSenseError> {
        self.ask(Call::get(STATUS), decode).await
    }

    /// The interfaces as configured.
    pub async fn interfaces(&self) -> Result<Vec<Interface>, PfSenseError> {
        self.ask(Call::get(INTERFACES), decode).await
    }

    /// The interfaces as they run.
    pub async fn interface_status(&self) -> Result<Vec<InterfaceStatus>, PfSenseError> {
        self.ask(Call::get(INTERFACE_STATUS), decode).await
    }

    /// The gateways.
    pub async fn gateways(&self) -> Result<Vec<Gateway>, PfSenseError> {
        self.ask(Call::get(GATEWAYS), decode).await
    }

    /// The DHCP servers with their reservations.
    pub async fn list_dhcp_servers(&self) -> Result<Vec<DhcpServer>, PfSenseError> {
        self.ask(Call::get(DHCP_SERVERS), |data| match data {
            Value::Array(servers) => servers.into_iter().map(DhcpServer::from_json).collect(),
            _ => Err("a list of DHCP servers was expected".to_owned()),
        })
        .await
    }
}
