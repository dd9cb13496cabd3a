//! Programs that are run once staging has changed.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::engine::Failure;
use crate::services::group::Group;

/// How much of what it says is kept, of its end, and how many lines are shown.
const KEPT: usize = 8 << 10;
const SHOWN: usize = 15;

/// Ends its process group when this program is gone, however that came about: the line that it
/// reads has no other end then. Whoever goes on must not meet what still runs, a schema's upgrade
/// above all.
const WATCH: &str = "read -r line; kill -TERM 0";

/// Runs a program to its end, which must come within so many seconds; it is ended with all that
/// it started otherwise, and when this program is killed. The end of what it said is told when it
/// fails.
pub(super) async fn run(command: &[String], seconds: u64) -> Result<Value, Failure> {
    let failed = |why: String| {
        Failure::new(
            format!("{}: {why}", command.join(" ")),
            "staging has been replaced already; run the command by hand, or the plan again"
                .to_owned(),
        )
    };
    let [program, arguments @ ..] = command else {
        return Err(failed("names no program".to_owned()));
    };
    let mut watch = watch().map_err(|error| failed(error.to_string()))?;
    let group = Group::of(&watch);
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(group.number())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ended = timeout(Duration::from_secs(seconds), async {
        let ends = (end_of(stdout, &mut out), end_of(stderr, &mut err));
        tokio::join!(child.wait(), ends.0, ends.1).0
    })
    .await;
    let said = || {
        let text = [&out, &err].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let lines: Vec<String> = text
            .iter()
            .flat_map(|text| text.lines())
            .map(|line| line.chars().filter(|c| !c.is_control()).collect())
            .collect();
        let from = lines.len().saturating_sub(SHOWN);
        lines[from..].join(" | ")
    };
    match ended {
        Err(_) => Err(failed(format!(
            "did not end within {seconds} s; it said: {}",
            said()
        ))),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Ok(Ok(status)) => {
            // It may have ended itself, with a group that was told to.
            let _ = watch.kill().await;
            group.has_ended();
            if status.success() {
                Ok(json!({ "status": 0 }))
            } else {
                Err(failed(format!("{status}; it said: {}", said())))
            }
        }
    }
}

/// Starts a group of its own, with who ends it.
fn watch() -> std::io::Result<Child> {
    Command::new("sh")
        .args(["-c", WATCH])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
}

/// Reads to the end, and keeps the last part.
async fn end_of(from: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut chunk = vec![0; 4096];
    while let Ok(read @ 1..) = from.read(&mut chunk).await {
        kept.extend_from_slice(&chunk[..read]);
        let over = kept.len().saturating_sub(KEPT);
        kept.drain(..over);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[tokio::test]
    async fn what_a_failing_program_said_is_told() {
        run(&shell("exit 0"), 60).await.unwrap();
        let failure = run(&shell("echo no schema >&2; exit 3"), 60).await;
        let told = failure.unwrap_err().chain().join(": ");
        assert!(told.contains("exit status: 3"), "{told}");
        assert!(told.ends_with("no schema"), "{told}");
    }

    #[tokio::test]
    async fn a_program_without_end_is_ended_with_its_children() {
        let script = "echo begun; sleep 4242 & wait";
        let failure = run(&shell(script), 1).await.unwrap_err();
        let told = failure.chain().join(": ");
        assert!(
            told.contains("within 1 s") && told.ends_with("begun"),
            "{told}"
        );
    }
}
