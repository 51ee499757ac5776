//! What is loaded into pf and Kea, and the three dispatchers that load it.
//!
//! A dispatcher runs its jobs one by one, each for as long as a reload takes. Its run reads the configuration when it
//! begins and clears the flags when it ends: what is changed in between loses its flag and is not loaded. Runs are
//! accounted for when somebody looks ([`Running::settle`]), so no time has to pass for them in a test.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Map, Value, json};

use super::{
    checks,
    config::{Config, Kind, Row, flag, rows_from_value, rows_to_value, text},
    crud::Effect,
    envelope::{ApiError, ApiResult},
    spec::{Dispatcher, Subsystem},
};

/// Jobs a dispatcher takes at once.
const QUEUE: usize = 10;

/// What runs: the configuration as it was last loaded.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Loaded {
    /// The virtual IPs configured on interfaces.
    vips: Vec<Row>,
    /// Everything else in the order in which pf and Kea have it.
    filter: BTreeMap<&'static str, Vec<Row>>,
    outbound_mode: String,
    reservations: BTreeMap<String, Vec<Row>>,
}

/// How often what was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Runs {
    /// Finished runs of each dispatcher.
    pub(super) applies: BTreeMap<Dispatcher, u64>,
    /// Times that pf's rules were loaded, whoever asked for it.
    pub(super) filter_reloads: u64,
}

#[derive(Debug, Clone)]
struct Run {
    dispatcher: Dispatcher,
    ends: Duration,
    config: Config,
    vips: BTreeMap<usize, Option<Row>>,
}

/// The running side of the box.
#[derive(Debug, Clone, Default)]
pub(super) struct Running {
    pub(super) config: Config,
    dirty: BTreeSet<Subsystem>,
    vip_pending: BTreeMap<usize, Option<Row>>,
    pub(super) loaded: Loaded,
    pub(super) runs: Runs,
    /// Waiting jobs of each dispatcher: when they were given.
    queued: BTreeMap<Dispatcher, Vec<Duration>>,
    /// The queued jobs being run, at most one for each dispatcher.
    current: Vec<Run>,
    /// Runs that a request waits for; they pass the queue by.
    waited_for: Vec<Run>,
    /// A killed run left its lock behind: no queued job begins any more.
    pub(super) locked: bool,
}

impl Running {
    /// A box that has just booted: everything of its configuration is loaded.
    pub(super) fn booted(config: Config) -> Self {
        let mut booted = Self { config: config.clone(), ..Self::default() };
        booted.loaded.vips = config.table(Kind::Vip, None).to_vec();
        booted.load_filter(&config);
        booted.load_reservations(&config);
        booted
    }

    /// Accounts for every run that has begun or ended by `now`.
    pub(super) fn settle(&mut self, now: Duration, reload: Duration) {
        loop {
            self.begin(now, reload);
            let ended = |run: &Run| run.ends <= now;
            let queued =
                self.current.iter().enumerate().filter(|(_, run)| ended(run)).min_by_key(|(_, run)| run.ends);
            let waited = self
                .waited_for
                .iter()
                .enumerate()
                .filter(|(_, run)| ended(run))
                .min_by_key(|(_, run)| run.ends);
            let run = match (queued, waited) {
                (Some((at, first)), Some((_, other))) if first.ends <= other.ends => {
                    self.current.swap_remove(at)
                }
                (_, Some((at, _))) => self.waited_for.swap_remove(at),
                (Some((at, _)), None) => self.current.swap_remove(at),
                (None, None) => return,
            };
            self.finish(&run);
            // The next in the queue begins where this one ended.
            if let Some(next) = self.queued.get_mut(&run.dispatcher).and_then(|jobs| jobs.first_mut()) {
                *next = (*next).max(run.ends);
            }
        }
    }

    fn begin(&mut self, now: Duration, reload: Duration) {
        for dispatcher in Dispatcher::ALL {
            let busy = self.current.iter().any(|run| run.dispatcher == dispatcher);
            let Some(jobs) = self.queued.get_mut(&dispatcher).filter(|jobs| !jobs.is_empty()) else {
                continue;
            };
            if !busy && !self.locked && jobs[0] <= now {
                let begins = jobs.remove(0);
                let run = self.run(dispatcher, begins + reload);
                self.current.push(run);
            }
        }
    }

    fn run(&self, dispatcher: Dispatcher, ends: Duration) -> Run {
        Run { dispatcher, ends, config: self.config.clone(), vips: self.vip_pending.clone() }
    }

    fn finish(&mut self, run: &Run) {
        *self.runs.applies.entry(run.dispatcher).or_default() += 1;
        match run.dispatcher {
            Dispatcher::Firewall => {}
            Dispatcher::VirtualIp => {
                // The list names positions: what was deleted since moved others into them.
                for (position, was) in &run.vips {
                    if let Some(was) = was {
                        self.unload_vip(was);
                    }
                    if let Some(vip) = run.config.table(Kind::Vip, None).get(*position) {
                        self.unload_vip(vip);
                        self.loaded.vips.push(vip.clone());
                    }
                }
                self.vip_pending.clear();
                self.dirty.remove(&Subsystem::VirtualIp);
            }
            Dispatcher::Dhcp => {
                self.load_reservations(&run.config);
                self.dirty.remove(&Subsystem::Dhcp);
            }
        }
        // Each of them ends with a reload of the filter.
        self.load_filter(&run.config);
        self.runs.filter_reloads += 1;
        self.dirty.remove(&Subsystem::Aliases);
        self.dirty.remove(&Subsystem::NatConf);
    }

    fn unload_vip(&mut self, vip: &Row) {
        self.loaded.vips.retain(|loaded| text(loaded, "uniqid") != text(vip, "uniqid"));
    }

    fn load_filter(&mut self, config: &Config) {
        let enabled = |row: &Row| !flag(row, "disabled");
        // pf has the floating rules first, wherever they stand.
        let (floating, others): (Vec<Row>, Vec<Row>) = config
            .table(Kind::Rule, None)
            .iter()
            .filter(|row| enabled(row) && resolvable(config, row))
            .cloned()
            .partition(|row| flag(row, "floating"));
        let loaded = &mut self.loaded.filter;
        loaded.insert(Kind::Rule.name(), floating.into_iter().chain(others).collect());
        for kind in [Kind::OneToOne, Kind::PortForward, Kind::Outbound] {
            loaded.insert(
                kind.name(),
                config.table(kind, None).iter().filter(|row| enabled(row)).cloned().collect(),
            );
        }
        loaded.insert(Kind::Alias.name(), config.table(Kind::Alias, None).to_vec());
        self.loaded.outbound_mode.clone_from(&config.outbound_mode);
    }

    fn load_reservations(&mut self, config: &Config) {
        let servers = config.table(Kind::DhcpServer, None).iter().filter(|row| flag(row, "enable"));
        let interfaces = servers.map(|row| text(row, "interface").to_owned());
        let reserved =
            interfaces.map(|name| (name.clone(), config.table(Kind::StaticMap, Some(&name)).to_vec()));
        self.loaded.reservations = reserved.collect();
    }

    /// Takes over what a write does besides changing the configuration.
    pub(super) fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Pending(subsystem) => {
                self.dirty.insert(subsystem);
            }
            Effect::VipPending(position, was) => {
                let first = self.vip_pending.entry(position).or_insert(was.clone());
                if first.is_none() {
                    *first = was;
                }
            }
            Effect::VipRemoved(vip) => {
                self.unload_vip(&vip);
                self.loaded.vips.retain(|loaded| text(loaded, "subnet") != text(&vip, "subnet"));
            }
        }
    }

    /// What `GET …/apply` answers.
    pub(super) fn state(&self, dispatcher: Dispatcher) -> Value {
        match dispatcher {
            Dispatcher::Firewall => {
                let named = [(Subsystem::Aliases, "aliases"), (Subsystem::NatConf, "natconf")];
                let pending = named.iter().filter(|(subsystem, _)| self.dirty.contains(subsystem));
                let pending: Vec<&str> = pending.map(|(_, name)| *name).collect();
                json!({"applied": pending.is_empty(), "pending_subsystems": pending})
            }
            Dispatcher::VirtualIp => json!({"applied": !self.dirty.contains(&Subsystem::VirtualIp)}),
            Dispatcher::Dhcp => json!({"applied": !self.dirty.contains(&Subsystem::Dhcp)}),
        }
    }

    /// Refuses when a dispatcher has as many jobs as it takes.
    pub(super) fn check_queue(&self, dispatcher: Dispatcher) -> ApiResult<()> {
        let running = self.current.iter().filter(|run| run.dispatcher == dispatcher).count();
        let waiting = self.queued.get(&dispatcher).map_or(0, Vec::len);
        if running + waiting < QUEUE {
            return Ok(());
        }
        let message = format!(
            "Dispatcher allows for a maximum of `{QUEUE}` processes to be queued at once, try again after `300` \
             seconds."
        );
        Err(ApiError::new(503, "DISPATCHER_TOO_MANY_QUEUED_PROCESSES", message))
    }

    /// Gives a dispatcher a job that nobody waits for.
    pub(super) fn enqueue(&mut self, dispatcher: Dispatcher, now: Duration) {
        self.queued.entry(dispatcher).or_default().push(now);
    }

    /// Begins a run that a request waits for and says when it ends.
    pub(super) fn begin_now(&mut self, dispatcher: Dispatcher, now: Duration, reload: Duration) -> Duration {
        let run = self.run(dispatcher, now + reload);
        let ends = run.ends;
        self.waited_for.push(run);
        ends
    }

    /// What an inline apply does on top: its object's flag goes at once, loaded or not.
    pub(super) fn clear(&mut self, subsystem: Option<Subsystem>) {
        if let Some(subsystem) = subsystem {
            self.dirty.remove(&subsystem);
        }
    }

    /// Whether anything is being loaded or waits to be.
    fn busy(&self) -> bool {
        !self.current.is_empty()
            || !self.waited_for.is_empty()
            || self.queued.values().any(|jobs| !jobs.is_empty())
    }

    /// What `/_sim/loaded` shows.
    pub(super) fn loaded_value(&self) -> Value {
        let mut shown = self.loaded.to_value();
        let applies: Map<String, Value> = Dispatcher::ALL
            .iter()
            .map(|dispatcher| {
                let runs = self.runs.applies.get(dispatcher).copied().unwrap_or_default();
                (dispatcher.name().to_owned(), json!(runs))
            })
            .collect();
        shown["applies"] = applies.into();
        shown["filter_reloads"] = json!(self.runs.filter_reloads);
        shown["busy"] = json!(self.busy());
        shown
    }

    pub(super) fn to_value(&self) -> Value {
        let pending: Vec<Value> =
            self.vip_pending.iter().map(|(position, was)| json!([position, was.as_deref()])).collect();
        json!({
            "config": self.config.to_value(),
            "loaded": self.loaded_value(),
            "dirty": self.dirty.iter().map(|subsystem| format!("{subsystem:?}")).collect::<Vec<_>>(),
            "vip_pending": pending,
            "locked": self.locked,
        })
    }

    pub(super) fn from_value(value: &Value) -> Result<Self, String> {
        let mut running = Self {
            config: Config::from_value(&value["config"])?,
            loaded: Loaded::from_value(&value["loaded"])?,
            locked: value["locked"] == true,
            ..Self::default()
        };
        for subsystem in [Subsystem::Aliases, Subsystem::NatConf, Subsystem::VirtualIp, Subsystem::Dhcp] {
            let named = |name: &Value| *name == json!(format!("{subsystem:?}"));
            if value["dirty"].as_array().is_some_and(|dirty| dirty.iter().any(named)) {
                running.dirty.insert(subsystem);
            }
        }
        for pending in value["vip_pending"].as_array().into_iter().flatten() {
            let position = pending[0].as_u64().and_then(|position| usize::try_from(position).ok());
            let was = pending[1].as_object().map(|row| row.clone().into());
            running.vip_pending.insert(position.ok_or("vip_pending has no position")?, was);
        }
        for dispatcher in Dispatcher::ALL {
            let runs = value["loaded"]["applies"][dispatcher.name()].as_u64().unwrap_or_default();
            running.runs.applies.insert(dispatcher, runs);
        }
        running.runs.filter_reloads = value["loaded"]["filter_reloads"].as_u64().unwrap_or_default();
        Ok(running)
    }
}

/// The members of [`Loaded`] that a reload of the filter renews.
const FILTER: [Kind; 5] = [Kind::Rule, Kind::OneToOne, Kind::PortForward, Kind::Outbound, Kind::Alias];

impl Loaded {
    fn to_value(&self) -> Value {
        let mut shown = Map::new();
        shown.insert(Kind::Vip.name().to_owned(), rows_to_value(&self.vips));
        for (name, rows) in &self.filter {
            shown.insert((*name).to_owned(), rows_to_value(rows));
        }
        shown.insert("outbound_mode".to_owned(), json!(self.outbound_mode));
        let reservations: Map<_, _> =
            self.reservations.iter().map(|(name, rows)| (name.clone(), rows_to_value(rows))).collect();
        shown.insert(Kind::StaticMap.name().to_owned(), reservations.into());
        shown.into()
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        let mut loaded = Self {
            vips: rows_from_value(&value[Kind::Vip.name()])?,
            outbound_mode: value["outbound_mode"].as_str().unwrap_or_default().to_owned(),
            ..Self::default()
        };
        for kind in FILTER {
            loaded.filter.insert(kind.name(), rows_from_value(&value[kind.name()])?);
        }
        for (name, rows) in value[Kind::StaticMap.name()].as_object().ok_or("static_mappings is no object")? {
            loaded.reservations.insert(name.clone(), rows_from_value(rows)?);
        }
        Ok(loaded)
    }
}

/// Whether pf can make sense of a rule's addresses: a rule whose alias is gone vanishes without a word.
fn resolvable(config: &Config, rule: &Row) -> bool {
    ["source", "destination"].iter().all(|name| {
        let value = text(rule, name).trim_start_matches('!');
        let interface = value.strip_suffix(":ip").unwrap_or(value);
        checks::ip(value).is_some()
            || checks::is_subnet(value)
            || matches!(value, "any" | "(self)" | "l2tp" | "pppoe")
            || config.interface(interface).is_some()
            || config.alias(value).is_some()
    })
}
