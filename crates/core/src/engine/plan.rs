//! The plan: an immutable, complete account of what is to be done.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::pace::Pace;

/// The version of the format of plan files. A file of another version is refused.
pub const FORMAT: u32 = 1;

/// How bad it would be to be wrong about a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Can be undone by a like step: a rename, a change of owner that a manifest records.
    Reversible,
    /// Can be undone, but takes long or needs hands.
    Costly,
    /// Cannot be undone by this toolkit other than from the proof it leaves.
    Irreversible,
}

/// A group of steps; waves run in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wave {
    /// Its name, for people.
    pub name: String,
    /// Whether it begins only when every step of the waves before it is done, in every lane.
    pub gate: bool,
}

/// One step: an action and its place in the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step<A> {
    /// Unique within the plan, stable between runs.
    pub id: String,
    /// Steps of one lane run one after another; a failure stops only its lane.
    pub lane: String,
    /// Index into [`Plan::waves`].
    pub wave: usize,
    /// How bad it would be to be wrong.
    pub risk: Risk,
    /// Why the step is there, for people.
    pub why: String,
    /// What it does.
    pub action: A,
}

/// Something that could not be looked at when the plan was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// The place: a host, "hdfs", "hive".
    pub place: String,
    /// Why it could not be looked at.
    pub why: String,
    /// The lane whose irreversible steps this forbids, where there is one.
    pub lane: Option<String>,
}

/// What is to be done, to what, on the strength of which look at which world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan<A> {
    /// The format's version, [`FORMAT`].
    pub format: u32,
    /// The tool that made the plan: "offboard".
    pub tool: String,
    /// The tool's version; another version does not run it.
    pub version: String,
    /// What the plan is about; typed to confirm: a user, a database.
    pub subject: String,
    /// The plan in one line, for people.
    pub title: String,
    /// When the look was taken, in seconds since the epoch.
    pub created: i64,
    /// The task in the tracker that asked for it: "T123456".
    pub task: Option<String>,
    /// Why it is done, in words.
    pub reason: Option<String>,
    /// A digest of the safety configuration that was in force.
    pub safety: String,
    /// The identities of the systems that were looked at, by name.
    pub world: BTreeMap<String, String>,
    /// What could not be looked at.
    pub coverage: Vec<Gap>,
    /// Places that were not to be looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unasked: Vec<String>,
    /// The flags by which whoever asked for the plan has overruled safety rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overruled: Vec<String>,
    /// What the reader should know beside the steps.
    pub notes: Vec<String>,
    /// How fast lanes are begun, where that is bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<Pace>,
    /// The waves, in order.
    pub waves: Vec<Wave>,
    /// The steps, in the order of their waves, and in order within a lane.
    pub steps: Vec<Step<A>>,
}

impl<A: Serialize> Plan<A> {
    /// `sha256:` and the digest of the plan's canonical JSON: fields in the order of
    /// their declaration, maps sorted, no white space.
    pub fn hash(&self) -> Result<String, serde_json::Error> {
        Ok(format!("sha256:{}", sha256_hex(&serde_json::to_vec(self)?)))
    }
}

impl<A> Plan<A> {
    /// The last gate that a step of `wave` stands behind: before it may begin, the earlier steps
    /// of its lane must be done, and every step of a wave before that gate. 0 where there is none.
    pub fn gate(&self, wave: usize) -> usize {
        let waves = self.waves.iter().enumerate().take(wave + 1);
        let gates = waves.filter(|(_, wave)| wave.gate);
        gates.map(|(index, _)| index).next_back().unwrap_or(0)
    }

    /// Whether any step cannot be undone.
    pub fn is_irreversible(&self) -> bool {
        self.steps
            .iter()
            .any(|step| step.risk == Risk::Irreversible)
    }
}

/// The SHA-256 of `bytes` in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}
