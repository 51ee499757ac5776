//! Preferences among hosts that fit: named scorers between 0 and 1, in fixed point so that decisions compare exactly.
//! Must not reject.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::inventory::{Inventory, TemplateCopy};
use crate::ledger::{Ledger, Room};
use crate::request::Request;

/// A number from 0 to 1 in steps of a ten-thousandth; 1 is best.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Score(u16);

impl Score {
    const ONE: u16 = 10_000;
    /// The best.
    pub const BEST: Self = Self(Self::ONE);
    /// The worst.
    pub const WORST: Self = Self(0);

    /// `part / whole`, at most 1; of nothing, 0.
    pub fn ratio(part: u64, whole: u64) -> Self {
        if whole == 0 {
            return Self::WORST;
        }
        let scaled = u128::from(part.min(whole)) * u128::from(Self::ONE) / u128::from(whole);
        Self(u16::try_from(scaled).unwrap_or(Self::ONE))
    }

    /// What is missing to 1.
    #[must_use]
    pub fn inverse(self) -> Self {
        Self(Self::ONE - self.0.min(Self::ONE))
    }

    /// Ten-thousandths.
    pub fn ten_thousandths(self) -> u16 {
        self.0
    }

    /// How far it is above `other`; 0 when it is not.
    #[must_use]
    pub fn above(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Score {
    /// Two decimals, rounded.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = (u32::from(self.0) + 50) / 100;
        write!(f, "{}.{:02}", hundredths / 100, hundredths % 100)
    }
}

/// What a score is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Scorer {
    /// How much is left of the scarcer of CPU and memory once the guest runs.
    Balance,
    /// How few members of the guest's groups are in the same host or zone. Only where the request names a group.
    Spread,
    /// How near the template is. Only where the request names one.
    Locality,
    /// Keeps guests without a device off hosts with free devices, and fills hosts in use before opening others.
    /// Only where some host has devices.
    Gpu,
}

impl fmt::Display for Scorer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Balance => "balance",
            Self::Spread => "spread",
            Self::Locality => "locality",
            Self::Gpu => "gpu",
        })
    }
}

/// A score with its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedScore {
    /// Who says so.
    pub scorer: Scorer,
    /// What it says.
    pub score: Score,
}

/// How much each scorer counts. Scorers that do not apply to a request do not count at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Weights {
    /// For [`Scorer::Balance`].
    pub balance: u16,
    /// For [`Scorer::Spread`].
    pub spread: u16,
    /// For [`Scorer::Locality`].
    pub locality: u16,
    /// For [`Scorer::Gpu`].
    pub gpu: u16,
}

impl Default for Weights {
    fn default() -> Self {
        Self { balance: 4, spread: 3, locality: 2, gpu: 3 }
    }
}

impl Weights {
    fn of(self, scorer: Scorer) -> u16 {
        match scorer {
            Scorer::Balance => self.balance,
            Scorer::Spread => self.spread,
            Scorer::Locality => self.locality,
            Scorer::Gpu => self.gpu,
        }
    }

    /// The weighted mean; 0 when nothing has weight.
    pub(crate) fn total(self, scores: &[NamedScore]) -> Score {
        let sum = |value: fn(&NamedScore) -> u64| -> u64 {
            scores.iter().map(|named| u64::from(self.of(named.scorer)) * value(named)).sum()
        };
        let whole = sum(|_| u64::from(Score::ONE));
        Score::ratio(sum(|named| u64::from(named.score.0)), whole)
    }
}

/// The scores of a host that fits, always in the same order.
pub(crate) fn scores(
    inventory: &Inventory,
    ledger: &Ledger<'_>,
    room: &Room<'_>,
    request: &Request,
) -> Vec<NamedScore> {
    let applicable = [
        (Scorer::Balance, Some(balance(room, request))),
        (Scorer::Spread, spread(ledger, room, request)),
        (Scorer::Locality, locality(room, request)),
        (Scorer::Gpu, gpu(inventory, room, request)),
    ];
    applicable.into_iter().filter_map(|(scorer, score)| Some(NamedScore { scorer, score: score? })).collect()
}

fn balance(room: &Room<'_>, request: &Request) -> Score {
    let cores =
        Score::ratio(room.free_cores().saturating_sub(u64::from(request.cores)), room.host.core_capacity());
    let memory = Score::ratio(room.free_memory().saturating_sub(request.memory), room.host.memory_capacity());
    cores.min(memory)
}

/// 1 for no member beside it, 1/2 for one, 1/3 for two, … The worst of its groups counts.
fn spread(ledger: &Ledger<'_>, room: &Room<'_>, request: &Request) -> Option<Score> {
    let of = |group: &str, by| match ledger.members_beside(room.host, group, by) {
        Some(members) => Score::ratio(1, u64::from(members) + 1),
        None => Score::WORST,
    };
    let spreads = request.spread.iter().map(|spread| of(&spread.group, spread.by));
    spreads.chain(request.anti_affinity.iter().map(|apart| of(&apart.group, apart.by))).min()
}

fn locality(room: &Room<'_>, request: &Request) -> Option<Score> {
    let template = request.template.as_ref()?;
    Some(match room.host.templates.get(&template.key) {
        Some(TemplateCopy::Here) => Score::BEST,
        Some(TemplateCopy::Shared) => Score::ratio(1, 2),
        None => Score::WORST,
    })
}

fn gpu(inventory: &Inventory, room: &Room<'_>, request: &Request) -> Option<Score> {
    let has_devices = |host: &crate::Host| host.gpus.values().any(|gpu| gpu.total > 0);
    if !inventory.hosts().any(has_devices) {
        return None;
    }
    let mut needed = request.gpus_needed().peekable();
    if needed.peek().is_some() {
        // The part in use afterwards, of the mapping that is used least: fill what is open before opening another.
        let used = needed.filter_map(|(mapping, count)| {
            let (free, total) = room.gpus(mapping)?;
            Some(Score::ratio(u64::from(total - free.saturating_sub(count)), u64::from(total)))
        });
        return used.min();
    }
    if !has_devices(room.host) {
        return Some(Score::BEST);
    }
    // A host whose devices are all taken has less to lose, yet they come free again: at most a half.
    let sum = |of: fn((u32, u32)) -> u32| -> u64 {
        room.host.gpus.keys().filter_map(|mapping| room.gpus(mapping)).map(|gpu| u64::from(of(gpu))).sum()
    };
    let (free, total) = (sum(|(free, _)| free), sum(|(_, total)| total));
    Some(Score::ratio(total - free, total * 2))
}
