//! Plans in files: reviewed in one shell, run in another. Whoever can write the file decides
//! what is done, so it must be the caller's own, or its hash must be given.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use opsweek_core::engine::plan::FORMAT;
use opsweek_core::engine::{Act, Plan, lint};
use opsweek_core::procedures::Procedure;
use serde::{Deserialize, Serialize};

use crate::error::CliError;
use crate::exit::Exit;

/// The largest plan file that is read. Plans are O(places): this is far above any.
pub(crate) const MAX: u64 = 64 << 20;

#[derive(Serialize)]
struct Saving<'a, A> {
    hash: &'a str,
    plan: &'a Plan<A>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved<P> {
    hash: String,
    plan: P,
}

/// What is read of a plan before it is known whether this tool can read the rest.
#[derive(Deserialize)]
struct Head {
    format: u32,
    tool: String,
    version: String,
}

/// Writes the plan and its hash to `path`, readable by its owner only. What was there is
/// replaced as a whole, and a symbolic link by the file itself.
pub(crate) fn save<A: Act>(path: &Path, plan: &Plan<A>, hash: &str) -> Result<(), CliError> {
    let fail = |source: &(dyn std::error::Error + 'static)| {
        CliError::new(Exit::Failed, format!("plan file {}", path.display())).because(source)
    };
    let mut text =
        serde_json::to_vec_pretty(&Saving { hash, plan }).map_err(|source| fail(&source))?;
    text.push(b'\n');
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|source| fail(&source))?;
    file.write_all(&text)
        .and_then(|()| file.as_file().sync_all())
        .map_err(|source| fail(&source))?;
    file.persist(path).map_err(|error| fail(&error.error))?;
    // The rename itself must survive a power cut: what is begun next refers to the file.
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| fail(&source))
}

/// Reads the plan in `path`, made by this version of `tool`. Trusted when it is a file of
/// `uid` that nobody else can write to, or when its hash is `approve`.
pub(crate) fn load<A: Act>(
    path: &Path,
    (tool, version): (&str, &str),
    uid: u32,
    approve: Option<&str>,
) -> Result<(Plan<A>, String), CliError> {
    let at =
        |exit, what: &str| CliError::new(exit, format!("plan file {}: {what}", path.display()));
    let edited = |source: &serde_json::Error| {
        at(Exit::Drifted, "is not a plan as it was saved")
            .because(source)
            .hint("plan files are not to be edited: plan again with --save-plan")
    };
    let bytes = read(path, uid, approve.is_some())?;
    let head: Saved<Head> = serde_json::from_slice(&bytes).map_err(|source| edited(&source))?;
    let made = (head.plan.format, &*head.plan.tool, &*head.plan.version);
    if made != (FORMAT, tool, version) {
        return Err(at(
            Exit::Drifted,
            &format!("was made by {} {} (format {})", made.1, made.2, made.0),
        )
        .hint(format!(
            "this is {tool} {version} (format {FORMAT}): plan again with it"
        )));
    }
    let Saved::<Plan<A>> { hash, plan } =
        serde_json::from_slice(&bytes).map_err(|source| edited(&source))?;
    let real = plan.hash().map_err(|source| edited(&source))?;
    if real != hash {
        return Err(at(
            Exit::Drifted,
            &format!("was edited: its hash is {real}, not {hash}"),
        )
        .hint("plan again with --save-plan"));
    }
    match approve {
        Some(approved) if approved != real => Err(at(
            Exit::Drifted,
            &format!("is not the approved plan: its hash is {real}"),
        )
        .hint("review it, then approve its own hash")),
        _ => Ok((plan, real)),
    }
}

fn read(path: &Path, uid: u32, approved: bool) -> Result<Vec<u8>, CliError> {
    let at = |exit, what: &str| CliError::new(exit, format!("plan file {}{what}", path.display()));
    let file = OpenOptions::new()
        .read(true)
        // A pipe in the file's place must not hold us up before it is found to be one.
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .map_err(|source| at(Exit::Usage, "").because(&source))?;
    let meta = file
        .metadata()
        .map_err(|source| at(Exit::Usage, "").because(&source))?;
    if !meta.is_file() {
        return Err(at(Exit::Refused, ": is not a regular file"));
    }
    let pin = "review it, then pin it by --approve sha256:HASH";
    if !approved && meta.uid() != uid {
        let what = format!(": belongs to user id {}, not to you ({uid})", meta.uid());
        return Err(at(Exit::Refused, &what).hint(pin));
    }
    if !approved && meta.mode() & 0o022 != 0 {
        let what = format!(": others can write to it (mode {:o})", meta.mode() & 0o7777);
        return Err(at(Exit::Refused, &what).hint(pin));
    }
    let mut bytes = Vec::new();
    file.take(MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| at(Exit::Usage, "").because(&source))?;
    if bytes.len() as u64 > MAX {
        return Err(at(Exit::Usage, ": is larger than 64 MiB"));
    }
    Ok(bytes)
}

/// Whether the plan, by itself, may run at `now` (seconds since the epoch): its age, its
/// safety configuration, its invariants.
pub(crate) fn bind<P: Procedure>(
    plan: &Plan<P::Action>,
    procedure: &P,
    now: i64,
    begun: bool,
) -> Result<(), CliError> {
    let faults = lint::lint(plan);
    if !faults.is_empty() {
        return Err(CliError::new(
            Exit::Refused,
            format!("the plan is unsound: {}", faults.join("; ")),
        )
        .hint("it was not made by this tool as it is: plan again"));
    }
    let age = now.saturating_sub(plan.created);
    if age > procedure.max_age() && !begun {
        return Err(CliError::new(
            Exit::Drifted,
            format!(
                "the plan is {} old, and may be {} at most",
                hours(age),
                hours(procedure.max_age())
            ),
        )
        .hint("plan again: the world has moved on"));
    }
    if plan.safety != procedure.safety() {
        return Err(CliError::new(
            Exit::Drifted,
            "the safety configuration is not the one that the plan was made under",
        )
        .hint("plan again with this configuration"));
    }
    Ok(())
}

fn hours(seconds: i64) -> String {
    format!("{} h {} min", seconds / 3600, seconds % 3600 / 60)
}
