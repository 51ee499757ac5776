//! Nodes: the list, state and power, and the small files of a host.

use serde_json::{Map, Value, json};

use super::answer::{Fault, Reply, nothing};
use super::call::Call;
use super::cluster::node_row;
use super::schema::SCHEMA;
use super::state::{Cluster, Link, Node, digest, digest_text};
use super::work::Work;

/// The services the API knows.
const SERVICES: [(&str, bool); 23] = [
    ("chrony", true),
    ("corosync", true),
    ("cron", true),
    ("ksmtuned", true),
    ("lxcfs", true),
    ("postfix", true),
    ("proxmox-firewall", true),
    ("pve-cluster", true),
    ("pve-firewall", true),
    ("pve-ha-crm", true),
    ("pve-ha-lrm", true),
    ("pve-lxc-syscalld", true),
    ("pvedaemon", true),
    ("pvefw-logger", true),
    ("pveproxy", true),
    ("pvescheduler", true),
    ("pvestatd", true),
    ("qmeventd", true),
    ("spiceproxy", true),
    ("sshd", true),
    ("syslog", false),
    ("systemd-journald", true),
    ("systemd-timesyncd", false),
];

/// The node in the path.
pub(crate) fn node<'c>(call: &'c Call<'_>) -> Result<&'c Node, Fault> {
    call.c.nodes.get(&call.node).ok_or_else(|| Fault::die("no such node"))
}

/// The same, to be changed.
pub(crate) fn node_mut<'c>(call: &'c mut Call<'_>) -> Result<&'c mut Node, Fault> {
    call.c.nodes.get_mut(&call.node).ok_or_else(|| Fault::die("no such node"))
}

/// GET /nodes
pub(crate) fn list(call: &mut Call<'_>) -> Reply {
    let rows = call.c.nodes.iter().map(|(name, node)| {
        let mut row = node_row(call, name, node);
        row.insert("ssl_fingerprint".into(), json!(node.fingerprint));
        Value::Object(row)
    });
    Ok(rows.collect::<Value>().into())
}

/// GET /nodes/{node}
pub(crate) fn index(_: &mut Call<'_>) -> Reply {
    let names = [
        "aplinfo",
        "apt",
        "capabilities",
        "ceph",
        "certificates",
        "config",
        "disks",
        "dns",
        "firewall",
        "hardware",
        "hosts",
        "journal",
        "lxc",
        "migrateall",
        "netstat",
        "network",
        "qemu",
        "query-oci-repo-tags",
        "query-url-metadata",
        "replication",
        "report",
        "rrd",
        "rrddata",
        "scan",
        "sdn",
        "services",
        "spiceshell",
        "startall",
        "status",
        "stopall",
        "storage",
        "subscription",
        "suspendall",
        "syslog",
        "tasks",
        "termproxy",
        "time",
        "version",
        "vncshell",
        "vzdump",
        "wakeonlan",
    ];
    Ok(names.iter().map(|n| json!({"name": n})).collect::<Value>().into())
}

/// GET /nodes/{node}/status
pub(crate) fn status(call: &mut Call<'_>) -> Reply {
    let host = node(call)?;
    let used = call.c.node_memory_used(&call.node);
    let load = call.c.node_load(&call.node);
    let v = &host.version;
    let root_used = host.root_size / 4;
    let per_socket = host.cpus / host.sockets.max(1);
    Ok(json!({
        "boot-info": {"mode": "legacy-bios"},
        "cpu": load,
        "cpuinfo": {
            "cores": per_socket,
            "cpus": host.cpus,
            "family": "25",
            "flags": "fpu vme de pse tsc msr svm aes avx avx2",
            "hvm": "",
            "mhz": "2450.000",
            "model": host.cpu_model,
            "sockets": host.sockets,
            "user_hz": 100,
            "vendor": "AuthenticAMD",
        },
        "current-kernel": {
            "machine": "x86_64",
            "release": v.kernel,
            "sysname": "Linux",
            "version": v.kernel_build,
        },
        "idle": 0,
        "ksm": {"shared": 0},
        "kversion": format!("Linux {} {}", v.kernel, v.kernel_build),
        "loadavg": ["0.20", "0.15", "0.10"],
        "memory": {
            "available": host.memory - used,
            "free": host.memory - used,
            "total": host.memory,
            "used": used,
        },
        "pveversion": format!("pve-manager/{}/{}", v.number, v.repoid),
        "rootfs": {
            "avail": host.root_size - root_used,
            "free": host.root_size - root_used,
            "total": host.root_size,
            "used": root_used,
        },
        "swap": {"free": 0, "total": 0, "used": 0},
        "uptime": call.c.now.saturating_sub(host.booted) / 1000,
        "wait": 0,
    })
    .into())
}

/// POST /nodes/{node}/status
pub(crate) fn power(call: &mut Call<'_>) -> Reply {
    let command = call.p.need("command").to_string();
    let name = call.node.clone();
    call.c.power_off(&name, Link::Off);
    if command == "reboot" {
        let back = call.c.now + call.c.timing.reboot_ms;
        if let Some(node) = call.c.nodes.get_mut(&name) {
            node.back_at = Some(back);
        }
    }
    nothing()
}

impl Cluster {
    /// A node loses power, the network, or its daemons.
    pub(crate) fn power_off(&mut self, name: &str, link: Link) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(name) else { return };
        node.link = link;
        node.link_since = now;
        node.back_at = None;
        if link != Link::Off {
            return;
        }
        for guest in self.guests.values_mut().filter(|g| g.node == name) {
            guest.run = None;
        }
        let lost: Vec<String> =
            self.tasks.iter().filter(|t| t.node == name && t.end.is_none()).map(|t| t.upid.clone()).collect();
        for upid in lost {
            self.interrupt(&upid, "unexpected status");
        }
    }

    /// A node is reachable again; one that was without power boots and starts its guests.
    pub(crate) fn power_on(&mut self, name: &str) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(name) else { return };
        let booted = node.link == Link::Off;
        node.link = Link::Up;
        node.link_since = now;
        node.back_at = None;
        if booted {
            node.booted = now;
            // Nobody has heard of its guests since; they are unknown until its first broadcast.
            node.told = None;
            let starts: Vec<u32> = self
                .guests
                .values()
                .filter(|g| {
                    g.node == name && g.conf.get("onboot").is_some_and(|o| o == "1") && !g.is_template()
                })
                .map(|g| g.vmid)
                .collect();
            for vmid in starts {
                let _ = self.begin_running(name, vmid);
            }
        }
        self.broadcast_now();
    }

    /// Nodes whose reboot is over come back.
    pub(crate) fn nodes_come_back(&mut self) {
        let due: Vec<String> = self
            .nodes
            .iter()
            .filter(|(_, n)| n.back_at.is_some_and(|at| at <= self.now))
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            self.power_on(&name);
        }
    }
}

/// GET /nodes/{node}/capabilities/qemu/cpu
pub(crate) fn cpus(_: &mut Call<'_>) -> Reply {
    let models = SCHEMA.formats.get("cpu-conf").and_then(|f| f.iter().find(|p| p.name == "reported-model"));
    let rows = models.map(|m| m.allowed.clone()).unwrap_or_default();
    let vendor = |name: &str| {
        if name.starts_with("EPYC")
            || name.starts_with("Opteron")
            || name.starts_with("athlon")
            || name == "phenom"
        {
            "AuthenticAMD"
        } else if name.starts_with("kvm") || name.starts_with("qemu") || name == "max" {
            "default"
        } else {
            "GenuineIntel"
        }
    };
    Ok(rows.iter().map(|n| json!({"custom": 0, "name": n, "vendor": vendor(n)})).collect::<Value>().into())
}

/// GET /nodes/{node}/certificates/info
pub(crate) fn certificates(call: &mut Call<'_>) -> Reply {
    let host = node(call)?;
    let cluster = call.c.name.clone().unwrap_or_else(|| call.node.clone());
    let issuer =
        format!("/CN=Proxmox Virtual Environment/OU={}/O=PVE Cluster Manager CA", digest_text(&cluster));
    let domain = host.dns.get("search").cloned().unwrap_or_else(|| "local".into());
    let full = format!("{}.{domain}", call.node);
    let (from, to) = (host.booted / 1000, host.booted / 1000 + 63_072_000);
    let pem = "-----BEGIN CERTIFICATE-----\nc2ltdWxhdGVk\n-----END CERTIFICATE-----\n";
    Ok(json!([
        {
            "filename": "pve-root-ca.pem", "fingerprint": fingerprint(&cluster), "issuer": issuer, "notafter": to,
            "notbefore": from, "pem": pem, "public-key-bits": 4096, "public-key-type": "rsaEncryption", "san": [],
            "subject": issuer,
        },
        {
            "filename": "pve-ssl.pem", "fingerprint": host.fingerprint, "issuer": issuer, "notafter": to,
            "notbefore": from, "pem": pem, "public-key-bits": 2048, "public-key-type": "rsaEncryption",
            "san": [
                "0000:0000:0000:0000:0000:0000:0000:0001", host.ip, "127.0.0.1", "localhost", call.node, full,
            ],
            "subject": format!("/OU=PVE Cluster Node/O=Proxmox Virtual Environment/CN={full}"),
        },
    ])
    .into())
}

/// A certificate's fingerprint, made from some text.
pub(crate) fn fingerprint(text: &str) -> String {
    use sha2::{Digest, Sha256};
    let bytes = Sha256::digest(text.as_bytes());
    bytes.iter().map(|b| format!("{b:02X}")).collect::<Vec<_>>().join(":")
}

/// GET /nodes/{node}/config
pub(crate) fn get_config(call: &mut Call<'_>) -> Reply {
    let host = node(call)?;
    let wanted = call.p.get("property");
    let mut found: Map<String, Value> = host
        .config
        .iter()
        .filter(|(k, _)| wanted.is_none_or(|w| w == *k))
        .map(|(k, v)| (k.clone(), v.parse::<i64>().map_or_else(|_| json!(v), |n| json!(n))))
        .collect();
    if !host.config.is_empty() {
        found.insert("digest".into(), json!(digest(&[&host.config])));
    }
    Ok(Value::Object(found).into())
}

/// PUT /nodes/{node}/config
pub(crate) fn put_config(call: &mut Call<'_>) -> Reply {
    call.need_cfs("nodes_cfg", "")?;
    let (mut set, deleted) = (call.p.text.clone(), call.p.items("delete"));
    let wanted = set.remove("digest");
    set.retain(|k, _| !matches!(k.as_str(), "node" | "delete"));
    let host = node_mut(call)?;
    if wanted.is_some_and(|d| d != digest(&[&host.config])) {
        return Err(Fault::die("detected modified configuration - file changed by other user? Try again."));
    }
    host.config.retain(|k, _| !deleted.contains(k));
    host.config.extend(set);
    nothing()
}

/// GET /nodes/{node}/dns
pub(crate) fn get_dns(call: &mut Call<'_>) -> Reply {
    Ok(json!(node(call)?.dns).into())
}

/// PUT /nodes/{node}/dns
pub(crate) fn put_dns(call: &mut Call<'_>) -> Reply {
    let mut set = call.p.text.clone();
    set.remove("node");
    node_mut(call)?.dns = set;
    nothing()
}

/// GET /nodes/{node}/time
pub(crate) fn get_time(call: &mut Call<'_>) -> Reply {
    let now = call.c.seconds();
    Ok(json!({"localtime": now, "time": now, "timezone": node(call)?.timezone}).into())
}

/// PUT /nodes/{node}/time
pub(crate) fn put_time(call: &mut Call<'_>) -> Reply {
    let zone = call.p.need("timezone").to_string();
    let regions = [
        "Africa",
        "America",
        "Antarctica",
        "Asia",
        "Atlantic",
        "Australia",
        "Etc",
        "Europe",
        "Indian",
        "Pacific",
    ];
    let known = zone == "UTC"
        || zone.split_once('/').is_some_and(|(r, city)| regions.contains(&r) && !city.is_empty());
    if !known {
        return Err(Fault::param("timezone", "No such timezone"));
    }
    node_mut(call)?.timezone = zone;
    nothing()
}

/// GET /nodes/{node}/hosts
pub(crate) fn get_hosts(call: &mut Call<'_>) -> Reply {
    let text = &node(call)?.hosts;
    Ok(json!({"data": text, "digest": digest_text(text)}).into())
}

/// POST /nodes/{node}/hosts
pub(crate) fn post_hosts(call: &mut Call<'_>) -> Reply {
    let (text, wanted) = (call.p.need("data").to_string(), call.p.get("digest").map(str::to_string));
    let host = node_mut(call)?;
    if wanted.is_some_and(|d| d != digest_text(&host.hosts)) {
        return Err(Fault::die("detected modified configuration - file changed by other user? Try again."));
    }
    host.hosts = text;
    nothing()
}

fn service_row(name: &str, runs: bool) -> Value {
    json!({
        "active-state": if runs { "active" } else { "inactive" },
        "desc": name,
        "name": name,
        "service": name,
        "state": if runs { "running" } else { "dead" },
        "unit-state": if runs { "enabled" } else { "not-found" },
    })
}

/// GET /nodes/{node}/services
pub(crate) fn services(_: &mut Call<'_>) -> Reply {
    Ok(SERVICES.iter().map(|(name, runs)| service_row(name, *runs)).collect::<Value>().into())
}

/// GET /nodes/{node}/services/{service}/state
pub(crate) fn service(call: &mut Call<'_>) -> Reply {
    let name = call.p.need("service");
    let runs = SERVICES.iter().any(|(n, runs)| *n == name && *runs);
    Ok(service_row(name, runs).into())
}

/// POST /nodes/{node}/services/{service}/restart
pub(crate) fn restart_service(call: &mut Call<'_>) -> Reply {
    let name = call.p.need("service").to_string();
    call.fork("srvrestart", &name, Work::Wait { ms: 1000, lines: Vec::new(), fails: None })
}

/// GET /nodes/{node}/subscription
pub(crate) fn subscription(call: &mut Call<'_>) -> Reply {
    let host = node(call)?;
    let id = digest_text(&call.node)[..32].to_uppercase();
    Ok(match &host.apt.subscription {
        Some(key) => json!({"key": key, "level": "c", "serverid": id, "status": "active"}),
        None => json!({
            "message": "There is no subscription key",
            "serverid": id,
            "status": "notfound",
            "url": "https://www.proxmox.com/en/proxmox-virtual-environment/pricing",
        }),
    }
    .into())
}

/// PUT /nodes/{node}/subscription
pub(crate) fn set_subscription(call: &mut Call<'_>) -> Reply {
    let key = call.p.need("key").trim().to_string();
    node_mut(call)?.apt.subscription = Some(key);
    nothing()
}

/// GET /nodes/{node}/ceph/status
pub(crate) fn ceph(_: &mut Call<'_>) -> Reply {
    let text =
        "pveceph configuration not initialized - missing '/etc/pve/ceph.conf', missing '/etc/pve/ceph'";
    Err(Fault::die(text))
}

/// POST /nodes/{node}/execute
pub(crate) fn execute(call: &mut Call<'_>) -> Reply {
    match serde_json::from_str::<Value>(call.p.need("commands")) {
        Ok(Value::Array(commands)) if commands.is_empty() => Ok(json!([]).into()),
        Ok(Value::Array(_)) => Err(Fault::die("executing several calls in one is not simulated")),
        _ => Err(Fault::param("commands", "invalid format - commands param did not contain valid JSON\n")),
    }
}
