//! Changes of databases: a staging database is replaced by a copy of production's, in
//! stages. Each is all or nothing, and what it has done stands in a mark inside the copy,
//! which moves along with it.

mod check;
mod copy;
mod follow_up;
mod mark;
mod place;
mod rewrite;
mod swap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use mark::{Reading, reading};
pub use place::{Databases, Place, Sync};
pub use rewrite::{
    Found, Neutralise, Principal, Rewriting, Secrets, encrypted_columns, look_at_secrets,
};
pub use swap::fingerprint;

use super::World;
use crate::engine::{Cx, Failure, State};
use crate::services::sql::snapshot::Mode;
use mark::Stage;

/// A resolved change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Copies production, from one snapshot, into the database beside staging.
    CopySnapshot {
        /// Which copy, and for whom.
        sync: Sync,
        /// Production.
        from: Place,
        /// The digest of its definitions.
        was: String,
        /// Tables of which only the definition is copied.
        schema_only: Vec<String>,
        /// How it is read.
        snapshot: Mode,
        /// How many connections read at once.
        connections: usize,
    },
    /// Makes the copy staging's: principals, secrets, what must not be active there.
    Rewrite {
        /// Which copy, and for whom.
        sync: Sync,
        /// What is rewritten.
        rewriting: Rewriting,
    },
    /// Proves the copy.
    Check {
        /// Which copy, and for whom.
        sync: Sync,
        /// What was to be rewritten.
        rewriting: Rewriting,
        /// Tables that must be empty.
        schema_only: Vec<String>,
    },
    /// Drops what an earlier copy replaced.
    DropPrevious {
        /// Which copy it makes room for.
        sync: Sync,
        /// What the database was found to be.
        was: String,
        /// For display: its number of objects.
        objects: usize,
        /// The proof that the copy is complete.
        proof: String,
    },
    /// Puts the copy into staging's place, and what was there aside.
    CutOver {
        /// Which copy, and for whom.
        sync: Sync,
        /// What staging was found to be.
        was: String,
        /// For display: its number of objects.
        objects: usize,
    },
    /// Puts back what the last copy replaced, and that copy aside.
    SwapBack {
        /// The profile.
        profile: String,
        /// Staging.
        target: Place,
        /// What staging was found to be.
        now: String,
        /// What the database beside it was found to be.
        back: String,
    },
    /// Runs a program once staging has changed.
    FollowUp {
        /// After which copy, and for whom.
        sync: Sync,
        /// Which of the follow-ups, from 1: one program may be run several times.
        number: usize,
        /// The program and its arguments; no shell.
        command: Vec<String>,
        /// How long it may take.
        seconds: u64,
    },
}

impl Action {
    /// The profile that it belongs to.
    pub fn profile(&self) -> &str {
        match self {
            Self::SwapBack { profile, .. } => profile,
            Self::CopySnapshot { sync, .. }
            | Self::Rewrite { sync, .. }
            | Self::Check { sync, .. }
            | Self::DropPrevious { sync, .. }
            | Self::CutOver { sync, .. }
            | Self::FollowUp { sync, .. } => &sync.profile,
        }
    }

    /// Whether it puts back what a copy replaced.
    pub fn is_restore(&self) -> bool {
        matches!(self, Self::SwapBack { .. })
    }

    fn target(&self) -> &Place {
        match self {
            Self::SwapBack { target, .. } => target,
            Self::CopySnapshot { sync, .. }
            | Self::Rewrite { sync, .. }
            | Self::Check { sync, .. }
            | Self::DropPrevious { sync, .. }
            | Self::CutOver { sync, .. }
            | Self::FollowUp { sync, .. } => &sync.target,
        }
    }

    pub(super) async fn observe(&self, world: &World) -> Result<State, Failure> {
        let databases = &world.databases;
        match self {
            Self::CopySnapshot {
                sync, from, was, ..
            } => copy::observe(databases, sync, from, was).await,
            Self::Rewrite { sync, .. } => {
                mark::observe(databases, sync, Stage::Rewritten, Stage::Copied).await
            }
            Self::Check { sync, .. } => {
                mark::observe(databases, sync, Stage::Checked, Stage::Rewritten).await
            }
            Self::DropPrevious { sync, was, .. } => swap::observe_drop(databases, sync, was).await,
            Self::CutOver { sync, was, .. } => swap::observe_cut_over(databases, sync, was).await,
            Self::SwapBack {
                target, now, back, ..
            } => swap::observe_back(databases, target, now, back).await,
            Self::FollowUp {
                sync,
                number,
                command,
                ..
            } => mark::observe_follow_up(databases, sync, (*number, command)).await,
        }
    }

    pub(super) async fn apply(&self, world: &World, cx: &Cx) -> Result<Value, Failure> {
        let databases = &world.databases;
        databases.may_write(self.target())?;
        databases.holds_lock(self.target()).await?;
        match self {
            Self::CopySnapshot {
                sync,
                from,
                was,
                schema_only,
                snapshot,
                connections,
            } => {
                copy::apply(
                    databases,
                    sync,
                    (from, was),
                    schema_only,
                    (*snapshot, *connections),
                    cx,
                )
                .await
            }
            Self::Rewrite { sync, rewriting } => rewrite::apply(databases, sync, rewriting).await,
            Self::Check {
                sync,
                rewriting,
                schema_only,
            } => check::apply(databases, sync, rewriting, schema_only).await,
            Self::DropPrevious { sync, was, .. } => swap::drop_previous(databases, sync, was).await,
            Self::CutOver { sync, .. } => swap::cut_over(databases, sync, cx).await,
            Self::SwapBack { target, .. } => swap::back(databases, target, cx).await,
            Self::FollowUp {
                sync,
                number,
                command,
                seconds,
            } => {
                let ran = follow_up::run(command, *seconds).await?;
                mark::follow_up(databases, sync, (*number, command)).await?;
                Ok(ran)
            }
        }
    }

    pub(super) fn summary(&self) -> String {
        match self {
            Self::CopySnapshot {
                sync,
                from,
                schema_only,
                ..
            } => format!(
                "copy {from} from one snapshot into {}, of {} tables the definition only",
                sync.target.new(),
                schema_only.len()
            ),
            Self::Rewrite { sync, .. } => {
                format!("make {} staging's: principals, secrets", sync.target.new())
            }
            Self::Check { sync, .. } => format!("check {}", sync.target.new()),
            Self::DropPrevious { sync, objects, .. } => {
                format!("drop the {objects} objects of {}", sync.target.previous())
            }
            Self::CutOver { sync, objects, .. } => format!(
                "put {} into the place of {}, whose {objects} objects become {}",
                sync.target.new(),
                sync.target,
                sync.target.previous()
            ),
            Self::SwapBack { target, .. } => {
                format!("swap {target} and {}", target.previous())
            }
            Self::FollowUp { command, .. } => format!("run {}", command.join(" ")),
        }
    }

    pub(super) fn targets(&self) -> Vec<String> {
        let target = self.target();
        let stage = |place: Place, what: &str| vec![format!("sql:{what} {place}")];
        match self {
            Self::CopySnapshot { .. } => stage(target.new(), "rows of"),
            Self::Rewrite { .. } => stage(target.new(), "rewrites of"),
            Self::Check { .. } => stage(target.new(), "proof of"),
            Self::DropPrevious { .. } => stage(target.previous(), "former"),
            Self::CutOver { .. } | Self::SwapBack { .. } => stage(target.clone(), "place of"),
            Self::FollowUp {
                number, command, ..
            } => vec![format!("command {number}:{}", command.join(" "))],
        }
    }

    pub(super) fn destroys(&self) -> Option<Vec<String>> {
        match self {
            Self::DropPrevious { proof, .. } => Some(vec![proof.clone()]),
            _ => None,
        }
    }

    pub(super) fn proves(&self) -> Vec<String> {
        match self {
            Self::Check { sync, .. } => vec![sync.proof()],
            _ => Vec::new(),
        }
    }

    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> = self.target().fault().into_iter().collect();
        match self {
            Self::CopySnapshot { from, sync, .. } => {
                let written = [
                    sync.target.clone(),
                    sync.target.new(),
                    sync.target.previous(),
                ];
                if written.contains(from) {
                    faults.push(format!("{from} would be copied onto itself"));
                }
            }
            Self::FollowUp { command, .. } if command.first().is_none_or(String::is_empty) => {
                faults.push("a follow-up names no program".to_owned());
            }
            _ => {}
        }
        faults
    }
}
