//! A tool whose world is a folder: `left/NAME` is copied to `kept/NAME` and then removed.
//! What a file says decides how that goes.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use clap::Args;
use opsweek_core::engine::plan::FORMAT;
use opsweek_core::engine::render::{Document, Table};
use opsweek_core::engine::{Act, Cx, Failure, Gap, Plan, Risk, State, Step, Wave};
use opsweek_core::procedures::{Heading, Identities, Offer, Procedure, Refusal, Report, Unplanned};
use serde::{Deserialize, Serialize};

use crate::run::ConfigOf;
use crate::{CliError, Several, Tool};

pub(super) struct Toy;

#[derive(Args, Clone)]
pub(super) struct ToyArgs {
    /// Whose things these are
    user: String,
    /// Copy, then remove
    #[arg(long)]
    archive: bool,
    /// Copy only
    #[arg(long)]
    keep: bool,
    /// Who gets it
    #[arg(long, default_value = "")]
    owner: String,
    /// Whether somebody must be named who gets it
    #[arg(long)]
    give: bool,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ToySection {
    dir: PathBuf,
    safety: String,
}

impl Tool for Toy {
    const NAME: &'static str = "toy";
    const VERSION: &'static str = "1.0";
    const ABOUT: &'static str = "Clear a folder";
    type Args = ToyArgs;
    type Section = ToySection;
    type Procedure = Clearing;

    fn request(args: ToyArgs, config: &ConfigOf<Self>) -> Result<Clearing, CliError> {
        if args.user == "root" {
            return Err(Refusal {
                what: "root is a system account".into(),
                hint: "name a person".into(),
            }
            .into());
        }
        if args.user.is_empty() {
            return Err(CliError::usage("the user's name is empty"));
        }
        Ok(Clearing {
            subject: args.user,
            change: args.archive || args.keep,
            remove: args.archive,
            needs_owner: args.give && args.owner.is_empty(),
            picked: Vec::new(),
            section: config.tool.clone(),
        })
    }

    async fn several(
        args: &ToyArgs,
        config: &ConfigOf<Self>,
        _: &Cx,
    ) -> Result<Option<Several<Self>>, CliError> {
        if !args.user.contains(',') {
            return Ok(None);
        }
        let one = |user: &str| {
            let user = user.to_owned();
            let args = ToyArgs {
                user,
                ..args.clone()
            };
            Self::request(args, config)
        };
        let procedures = args
            .user
            .split(',')
            .map(one)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Some(Several {
            world: Folder(config.tool.dir.clone()),
            procedures,
            gaps: Vec::new(),
        }))
    }

    fn resume(plan: &Plan<Move>, config: &ConfigOf<Self>) -> Result<Clearing, CliError> {
        Ok(Clearing {
            subject: plan.subject.clone(),
            change: true,
            remove: true,
            needs_owner: false,
            picked: Vec::new(),
            section: config.tool.clone(),
        })
    }

    async fn world(_: &Clearing, config: &ConfigOf<Self>) -> Result<Folder, CliError> {
        Ok(Folder(config.tool.dir.clone()))
    }
}

pub(super) struct Folder(PathBuf);

impl Folder {
    fn get(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.0.join(path)).ok()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) enum Move {
    Copy { name: String, was: String },
    Remove { name: String, was: String },
}

impl Move {
    fn parts(&self) -> (&str, &str, String, String) {
        let (Self::Copy { name, was } | Self::Remove { name, was }) = self;
        (name, was, format!("left/{name}"), format!("kept/{name}"))
    }
}

impl Act for Move {
    type World = Folder;

    async fn observe(&self, world: &Folder, _: &Cx) -> Result<State, Failure> {
        let (_, was, left, kept) = self.parts();
        let state = (world.get(&left), world.get(&kept));
        let state = (state.0.as_deref(), state.1.as_deref());
        Ok(match self {
            Self::Copy { .. } => match state {
                (_, Some(copy)) if copy == was => State::Done,
                (Some(now), None) if now == was => State::Pending,
                _ => State::Drifted(format!("{left} has changed")),
            },
            Self::Remove { .. } => match state {
                (None, Some(_)) => State::Done,
                (Some(now), Some(copy)) if now == was && copy == was => State::Pending,
                (Some(_), None) => State::Waiting(kept),
                _ => State::Drifted(format!("{left} has changed")),
            },
        })
    }

    async fn apply(&self, world: &Folder, cx: &Cx) -> Result<serde_json::Value, Failure> {
        let (_, was, left, kept) = self.parts();
        match (self, was) {
            (Self::Copy { .. }, "fail") => {
                return Err(Failure::new("disk full", "make room".to_owned()));
            }
            (Self::Copy { .. }, "stop") => {
                cx.cancel().cancel();
                return Err(Failure::interrupted());
            }
            (Self::Copy { .. }, "thief") => fs::remove_file(world.0.join("lock")).unwrap(),
            (Self::Copy { .. }, "cut") => fs::write(world.0.join("down"), "").unwrap(),
            _ => {}
        }
        cx.progress(1, Some(2), "bytes");
        match self {
            Self::Copy { .. } => fs::write(world.0.join(kept), was).unwrap(),
            Self::Remove { .. } => fs::remove_file(world.0.join(left)).unwrap(),
        }
        Ok(serde_json::Value::Null)
    }

    fn summary(&self) -> String {
        let (_, _, left, kept) = self.parts();
        match self {
            Self::Copy { .. } => format!("copy {left} to {kept}"),
            Self::Remove { .. } => format!("remove {left}"),
        }
    }

    fn targets(&self) -> Vec<String> {
        vec![self.summary()]
    }

    fn destroys(&self) -> Option<Vec<String>> {
        match self {
            Self::Copy { .. } => None,
            Self::Remove { .. } => Some(vec![self.parts().3]),
        }
    }

    fn proves(&self) -> Vec<String> {
        match self {
            Self::Copy { .. } => vec![self.parts().3],
            Self::Remove { .. } => Vec::new(),
        }
    }

    fn faults(&self) -> Vec<String> {
        Vec::new()
    }
}

pub(super) struct Clearing {
    subject: String,
    change: bool,
    remove: bool,
    needs_owner: bool,
    picked: Vec<String>,
    section: ToySection,
}

#[derive(Serialize)]
pub(super) struct Found {
    left: BTreeMap<String, String>,
    down: bool,
    active: bool,
    unsound: bool,
    /// What may be cleared too.
    offered: Option<String>,
}

impl Procedure for Clearing {
    type Action = Move;
    type Inventory = Found;

    fn tool(&self) -> &'static str {
        Toy::NAME
    }

    fn subject(&self) -> &str {
        &self.subject
    }

    fn wants_change(&self) -> bool {
        self.change
    }

    fn safety(&self) -> String {
        self.section.safety.clone()
    }

    fn max_age(&self) -> i64 {
        86_400
    }

    fn answer(&mut self, _: &'static str, value: String) -> Result<(), Refusal> {
        self.needs_owner = value == "again";
        if value == "root" {
            return Err(Refusal {
                what: "root gets nothing".into(),
                hint: "name a person".into(),
            });
        }
        Ok(())
    }

    fn offer(&self, found: &Found) -> Option<Offer> {
        let offered = found.offered.as_ref()?;
        Some(Offer {
            question: "which of these too?".into(),
            choices: offered
                .split(' ')
                .map(|name| (name.into(), format!("{name}, spare")))
                .collect(),
        })
    }

    fn pick(&mut self, picked: Vec<String>) -> Result<(), Refusal> {
        self.picked = picked;
        Ok(())
    }

    async fn discover(&self, world: &Folder, _: &Cx) -> Result<Found, Failure> {
        let Ok(entries) = fs::read_dir(world.0.join("left")) else {
            return Err(Failure::new("no such folder", "is it mounted?".to_owned()));
        };
        let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        Ok(Found {
            left: names
                .map(|name| (name.clone(), world.get(&format!("left/{name}")).unwrap()))
                .collect(),
            down: world.get("down").is_some(),
            active: world.get("active").is_some(),
            unsound: world.get("unsound").is_some(),
            offered: world.get("offered"),
        })
    }

    fn report(&self, found: &Found) -> Report {
        let rows = found.left.keys().map(|name| vec![name.clone()]);
        let gap = Gap {
            place: "vault".into(),
            why: "connection refused".into(),
            lane: None,
        };
        Report {
            document: Document {
                title: [vec![self.subject.clone()], self.picked.clone()]
                    .concat()
                    .join(" and "),
                tables: vec![Table {
                    title: "left".into(),
                    columns: vec!["name"],
                    rows: rows.collect(),
                }],
                notes: Vec::new(),
            },
            leftovers: !found.left.is_empty(),
            gaps: found.down.then_some(gap).into_iter().collect(),
        }
    }

    fn plan(&self, found: &Found, heading: &Heading) -> Result<Plan<Move>, Unplanned> {
        if found.active {
            let refusal = |what: &str| Refusal {
                what: what.into(),
                hint: "--even-if-active".into(),
            };
            return Err(Unplanned::Refused(vec![
                refusal("elvis can still log in"),
                refusal("elvis runs an application"),
            ]));
        }
        if self.needs_owner {
            return Err(Unplanned::Needs {
                flag: "--owner",
                question: "who gets it?".into(),
                default: "analytics".into(),
            });
        }
        let step = |wave, risk, verb: &str, name: &String, action| Step {
            id: format!("{verb} {name}"),
            lane: name.clone(),
            wave,
            risk,
            why: "left".into(),
            action,
        };
        let copies = found.left.iter().map(|(name, was)| {
            let (name, was) = (name.clone(), was.clone());
            step(
                0,
                Risk::Reversible,
                "copy",
                &name.clone(),
                Move::Copy { name, was },
            )
        });
        let removals = found.left.iter().map(|(name, was)| {
            let (name, was) = (name.clone(), was.clone());
            step(
                1,
                Risk::Irreversible,
                "remove",
                &name.clone(),
                Move::Remove { name, was },
            )
        });
        let mut steps = Vec::new();
        if !found.unsound {
            steps.extend(copies);
        }
        if self.remove {
            steps.extend(removals);
        }
        let world = ["vault", "host"].map(|name| {
            let id = fs::read_to_string(self.section.dir.join(name)).unwrap();
            (name.to_owned(), id)
        });
        Ok(Plan {
            format: FORMAT,
            tool: self.tool().into(),
            version: heading.version.clone(),
            subject: self.subject.clone(),
            title: format!("clear {}", self.subject),
            created: heading.now,
            task: heading.task.clone(),
            reason: heading.reason.clone(),
            safety: self.safety(),
            world: world.into(),
            coverage: Vec::new(),
            unasked: Vec::new(),
            overruled: Vec::new(),
            notes: Vec::new(),
            pace: None,
            waves: ["copy", "remove"]
                .map(|name| Wave {
                    name: name.into(),
                    gate: false,
                })
                .into(),
            steps,
        })
    }

    async fn identities(&self, world: &Folder, plan: &Plan<Move>) -> Identities {
        let mut known = BTreeMap::new();
        let mut gaps = Vec::new();
        for name in plan.world.keys() {
            if world.get(&format!("{name}-down")).is_some() {
                gaps.push(Gap {
                    place: name.clone(),
                    why: "connection refused".into(),
                    lane: (name == "host").then(|| name.clone()),
                });
            } else if let Some(id) = world.get(name) {
                known.insert(name.clone(), id);
            }
        }
        (known, gaps)
    }

    async fn lock(&self, world: &Folder, holder: &str, plan: &str) -> Result<(), Failure> {
        match world.get("lock") {
            Some(held) if !held.ends_with(plan) => {
                let why = format!("held by {held}");
                Err(Failure::new(why, "wait for that run to end".to_owned()))
            }
            _ => {
                fs::write(world.0.join("lock"), format!("{holder} {plan}")).unwrap();
                Ok(())
            }
        }
    }

    async fn unlock(&self, world: &Folder, _: &str, _: &str) -> Result<(), Failure> {
        fs::remove_file(world.0.join("lock"))
            .map_err(|source| Failure::new(source, "remove it by hand".to_owned()))
    }
}
