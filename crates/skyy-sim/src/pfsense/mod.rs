//! The simulated pfSense: the REST package 2.10.0 as it was recorded, its traps included, and what pf and Kea would run.
//!
//! What is configured and what is loaded are two things here as on the box: `/_sim/loaded` shows the second.

mod alias;
mod apply;
mod auth;
mod checks;
mod config;
mod cost;
mod crud;
mod dhcp;
mod endpoint;
mod envelope;
mod fields;
mod fixed;
mod nat;
mod preset;
mod query;
mod request;
mod rule;
mod spec;
mod vip;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::Router;
use serde_json::{Map, Value, json};

use crate::{Clock, Product};

pub use auth::BanPolicy;
pub use preset::Preset;

use apply::Running;
use auth::Accounts;
use config::{Config, Kind};

/// What a simulated box is like.
#[derive(Debug, Clone)]
pub struct Options {
    /// The state it starts in.
    pub preset: Preset,
    /// Its time.
    pub clock: Clock,
    /// How long one run of a dispatcher takes, in its time.
    pub reload: Duration,
    /// Whether requests take as long as measured on the real box; its clock's speed divides that.
    pub realistic_cost: bool,
    /// Real time between a write's reading of the configuration and its writing: parallel writes lose data in it.
    /// `None` lets one write wait for the other, as the real box does not.
    pub race_window: Option<Duration>,
    /// When clients that cannot log in are cut off; never when absent.
    pub ban: Option<BanPolicy>,
    /// What made ids begin from.
    pub seed: u64,
}

impl Options {
    /// The recorded box: reloads take no time, and nobody is cut off, as no sshguard ran beside it.
    pub fn golden() -> Self {
        Self {
            preset: Preset::Golden,
            clock: Clock::real(1.0),
            reload: Duration::ZERO,
            realistic_cost: false,
            race_window: Some(Duration::from_millis(2)),
            ban: None,
            seed: 0,
        }
    }

    /// An office firewall with rows of others; reloads take a second, four failed logins bring a ban.
    pub fn demo() -> Self {
        Self {
            preset: Preset::Demo,
            reload: Duration::from_secs(1),
            ban: Some(BanPolicy::default()),
            ..Self::golden()
        }
    }
}

/// A simulated pfSense.
pub struct Pfsense {
    options: Options,
    state: Mutex<State>,
    /// Held by a write from its reading to its writing when writes wait for each other.
    turn: tokio::sync::Mutex<()>,
}

struct State {
    running: Running,
    accounts: Accounts,
    settings: Map<String, Value>,
    reload: Duration,
    /// A crashed write left its lock behind: every write waits a minute and fails.
    write_locked: bool,
    made: u64,
}

impl std::fmt::Debug for Pfsense {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pfsense").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Pfsense {
    /// A box in the state that the options say, freshly booted.
    pub fn new(options: Options) -> Self {
        let state = State {
            running: Running::booted(preset::config(options.preset)),
            accounts: Accounts::recorded(),
            settings: preset::settings(),
            reload: options.reload,
            write_locked: false,
            made: options.seed << 20,
        };
        Self { options, state: Mutex::new(state), turn: tokio::sync::Mutex::new(()) }
    }

    /// The state after everything that has begun or ended by now.
    fn settled(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let reload = state.reload;
        state.running.settle(self.options.clock.now(), reload);
        state
    }

    /// The configured objects of a collection, named by the last part of its plural path or of its state:
    /// `virtual_ips`, `one_to_one`, `rules`, `static_mappings`, … Empty when there is no such collection.
    pub fn rows(&self, collection: &str) -> Vec<Value> {
        let config = self.config();
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == collection);
        kind.map_or_else(Vec::new, |kind| crud::list(kind, &config))
    }

    /// What pf, the interfaces and Kea have, as `/_sim/loaded` shows it.
    pub fn loaded(&self) -> Value {
        self.settled().running.loaded_value()
    }

    /// Its time.
    pub const fn clock(&self) -> &Clock {
        &self.options.clock
    }

    /// Changes how long a run of a dispatcher takes; those that have begun are not touched.
    pub fn set_reload(&self, reload: Duration) {
        self.settled().reload = reload;
    }

    /// Gives a user this API key in place of those it has.
    pub fn set_api_key(&self, user: &str, secret: &str) {
        self.settled().accounts.set_key(user, "set", secret);
    }

    /// Lifts all bans.
    pub fn forgive(&self) {
        self.settled().accounts.forgive();
    }

    /// Changes settings as somebody in the GUI would, for instance `{"read_only": true}`.
    pub fn set_settings(&self, changes: &Map<String, Value>) {
        let mut state = self.settled();
        for (name, value) in changes {
            state.settings.insert(name.clone(), value.clone());
        }
    }

    fn config(&self) -> Config {
        self.settled().running.config.clone()
    }

    /// A new id, as PHP's `uniqid()` looks.
    fn uniqid(&self) -> String {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.made += 1;
        format!("{:08x}{:05x}", self.options.clock.unix() & 0xffff_ffff, state.made & 0xf_ffff)
    }
}

impl Product for Pfsense {
    fn router(self: Arc<Self>) -> Router {
        Router::new().fallback(endpoint::serve).with_state(self)
    }

    fn snapshot(&self) -> Value {
        let state = self.settled();
        json!({
            "running": state.running.to_value(),
            "accounts": state.accounts.to_value(),
            "settings": state.settings,
            "made": state.made,
        })
    }

    fn restore(&self, value: Value) -> Result<(), String> {
        let running = Running::from_value(&value["running"])?;
        let accounts = Accounts::from_value(&value["accounts"])?;
        let settings = value["settings"].as_object().ok_or("settings is no object")?.clone();
        let mut state = self.settled();
        state.made = value["made"].as_u64().unwrap_or_default().max(state.made);
        (state.running, state.accounts, state.settings) = (running, accounts, settings);
        Ok(())
    }
}
