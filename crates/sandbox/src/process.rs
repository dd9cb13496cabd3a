//! Servers as processes: started apart from who starts them, found again by a
//! mark in their environment, ended by pid.
//!
//! There are no pid files. A process carries its mark from its first instruction
//! on, so whoever is killed between starting a server and noting that it did
//! leaves nothing behind that the next look at `/proc` would not find. A child
//! between fork and exec has no mark yet, but it still holds the sandbox's lock
//! (the lock's descriptor closes on exec), so whoever holds that lock sees them all.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The environment variable that marks a process of a sandbox. Its value is the
/// sandbox's canonical folder, a colon and the server's name.
pub const MARK: &str = "OPSWEEK_SANDBOX_SERVER";

/// The variable and value that mark a process of `server` in the sandbox `dir`
/// (canonical).
pub fn mark(dir: &Path, server: &str) -> (String, String) {
    (MARK.to_owned(), format!("{}:{server}", dir.display()))
}

/// A living process of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// Its process id.
    pub pid: Pid,
    /// The server's name, as given to [`mark`].
    pub server: String,
}

/// The living processes of the sandbox `dir` (canonical), by pid.
pub fn of_sandbox(dir: &Path) -> Vec<Marked> {
    let prefix = format!("{MARK}={}:", dir.display());
    let mut found = scan(|variable| {
        let server = variable.strip_prefix(prefix.as_bytes())?;
        // A folder may have a colon in its name; a server has no slash after one.
        let server = std::str::from_utf8(server).ok()?;
        (!server.starts_with('/') && !server.contains(':')).then(|| server.to_owned())
    });
    found.sort_by_key(|(pid, _)| pid.as_raw_nonzero());
    found
        .into_iter()
        .map(|(pid, server)| Marked { pid, server })
        .collect()
}

/// The living processes with exactly `name=value` in their environment.
pub fn marked(name: &str, value: &str) -> Vec<Pid> {
    let wanted = format!("{name}={value}");
    scan(|variable| (variable == wanted.as_bytes()).then_some(()))
        .into_iter()
        .map(|(pid, ())| pid)
        .collect()
}

/// Every process of which a variable of its environment passes `test`.
fn scan<T>(test: impl Fn(&[u8]) -> Option<T>) -> Vec<(Pid, T)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            let environ = environment(&entry.path())?;
            let value = environ.split(|byte| *byte == 0).find_map(&test)?;
            Some((pid, value))
        })
        .collect()
}

/// The environment of the process that `proc`, a folder in `/proc`, describes.
/// `None` for other users' processes, which are not ours, and for what has ended.
fn environment(proc: &Path) -> Option<Vec<u8>> {
    let deadline = Instant::now() + Duration::from_secs(1);
    loop {
        let environ = fs::read(proc.join("environ")).ok()?;
        // In the midst of exec a process has no environment yet, though its lock
        // may be closed already: look again.
        if !environ.is_empty() || has_none(proc) || Instant::now() > deadline {
            return Some(environ);
        }
        std::thread::yield_now();
    }
}

/// Whether a process that showed no environment really has none: a kernel thread
/// or a zombie (no `exe`), or one whose environment is known to be empty, that is
/// `env_start` and `env_end` (fields 50 and 51 of `/proc/PID/stat`, proc(5), set
/// late in exec) are equal and not 0.
fn has_none(proc: &Path) -> bool {
    if fs::read_link(proc.join("exe")).is_err() {
        return true;
    }
    let Ok(stat) = fs::read_to_string(proc.join("stat")) else {
        return true;
    };
    let mut fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(50 - 3);
    let (from, to) = (fields.next(), fields.next());
    from == to && from != Some("0")
}

/// Starts `program` as a server: own session, no input, both outputs to `log`
/// (made anew), marked. It outlives its starter.
///
/// `prepare` adds arguments and environment.
pub fn start(
    program: impl AsRef<OsStr>,
    mark: &(String, String),
    log: &Path,
    prepare: impl FnOnce(&mut Command),
) -> io::Result<Child> {
    File::create(log)?;
    // Two that do not append would write over each other.
    let out = OpenOptions::new().append(true).open(log)?;
    let err = out.try_clone()?;
    // setsid execs the program in its own place, so the child's pid is the server's.
    let mut command = Command::new("setsid");
    command
        .arg(program)
        .env(&mark.0, &mark.1)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err);
    prepare(&mut command);
    command.spawn()
}

/// A command for a tool that must not outlive its caller (a download, a compiler):
/// the kernel kills it when the calling thread ends. Marked all the same, for what
/// it starts itself.
pub fn tool(program: impl AsRef<OsStr>, mark: &(String, String)) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL"])
        .arg(program)
        .env(&mark.0, &mark.1)
        .stdin(Stdio::null());
    command
}

/// Ends the processes that `find` finds: TERM, after `grace` KILL, and waits until
/// they are gone and none has taken their place. Gives those that outlive KILL.
pub fn stop(find: impl Fn() -> Vec<Pid>, grace: Duration) -> Vec<Pid> {
    signal_and_wait(&find(), Signal::TERM, grace);
    kill(find)
}

/// The same by KILL alone.
pub fn kill(find: impl Fn() -> Vec<Pid>) -> Vec<Pid> {
    // What was forked meanwhile is found again; ten rounds end what forks faster.
    for _ in 0..10 {
        let left = find();
        if left.is_empty() {
            break;
        }
        signal_and_wait(&left, Signal::KILL, Duration::from_secs(2));
    }
    find()
}

/// Sends `signal` to all, then waits until all have ended, at most `patience`.
fn signal_and_wait(pids: &[Pid], signal: Signal, patience: Duration) {
    let running: Vec<OwnedFd> = pids
        .iter()
        // What is gone already needs no end.
        .filter_map(|pid| pidfd_open(*pid, PidfdFlags::empty()).ok())
        .collect();
    for fd in &running {
        // Fails only for a process that has just ended.
        let _ = pidfd_send_signal(fd, signal);
    }
    let deadline = Instant::now() + patience;
    for fd in &running {
        ends_before(fd, deadline);
    }
}

/// Whether the process ends until then; a pidfd is readable once it has.
fn ends_before(fd: &OwnedFd, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&timeout)) {
            Ok(ready) => return ready > 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A folder name that no other sandbox has; it need not exist.
    fn folder(name: &str) -> PathBuf {
        PathBuf::from(format!("/nowhere:{}/{name}", std::process::id()))
    }

    #[test]
    fn a_marked_process_is_found_and_ended() {
        let dir = folder("found");
        let log = std::env::temp_dir().join(format!("opsweek-process-{}", std::process::id()));
        let mut child = start("sleep", &mark(&dir, "hdfs+metastore"), &log, |command| {
            command.arg("600");
        })
        .unwrap();
        let found = of_sandbox(&dir);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].server, "hdfs+metastore");
        assert_eq!(found[0].pid.as_raw_pid().cast_unsigned(), child.id());
        assert!(of_sandbox(&folder("foun")).is_empty());
        let (name, value) = mark(&dir, "hdfs+metastore");
        assert_eq!(marked(&name, &value), [found[0].pid]);

        let find = || of_sandbox(&dir).iter().map(|found| found.pid).collect();
        assert!(stop(find, Duration::from_secs(10)).is_empty());
        child.wait().unwrap();
        assert!(of_sandbox(&dir).is_empty());
        fs::remove_file(log).unwrap();
    }

    #[test]
    fn what_ignores_term_is_killed() {
        let dir = folder("stubborn");
        let ready = std::env::temp_dir().join(format!("opsweek-stubborn-{}", std::process::id()));
        let mut child = start("sh", &mark(&dir, "stubborn"), &ready, |command| {
            command.args([
                "-c",
                "trap '' TERM; echo ready; while :; do sleep 600; done",
            ]);
        })
        .unwrap();
        while fs::read(&ready).unwrap().is_empty() {
            std::thread::yield_now();
        }
        assert!(!of_sandbox(&dir).is_empty());
        let find = || of_sandbox(&dir).iter().map(|found| found.pid).collect();
        assert!(stop(find, Duration::from_millis(50)).is_empty());
        child.wait().unwrap();
        assert!(of_sandbox(&dir).is_empty());
        fs::remove_file(ready).unwrap();
    }
}
