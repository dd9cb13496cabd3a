//! The sandbox that the tests share, the tools run on it, and the world as the servers'
//! own clients see it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use opsweek_sandbox::{Sandbox, SeedOptions};

/// The sandbox that `cargo verify` has started.
pub(crate) fn sandbox() -> &'static Sandbox {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    SANDBOX.get_or_init(|| Sandbox::from_env().expect("run the tests by: cargo verify"))
}

/// A leaver of that name in the shared sandbox. Seeding edits files that all users share,
/// so it is done for one at a time.
pub(crate) fn seed(user: &str) {
    seed_with(user, &SeedOptions::default());
}

/// The same, as asked.
pub(crate) fn seed_with(user: &str, options: &SeedOptions) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one: MutexGuard<'_, ()> = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    sandbox().seed(user, options).unwrap();
}

/// What a tool left behind when it ended.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Fails, showing all that was printed, unless the tool ended with this code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs a tool and stops it at the moment, such as `started:STEP`; goes on after the fault.
#[track_caller]
pub(crate) fn run_paused(command: &mut Command, moment: &str, fault: impl FnOnce(&Child)) -> Ran {
    let mut child = command
        .env("OPSWEEK_CRASH", format!("pause:{moment}"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let is_stopped = || {
        std::fs::read_to_string(&status)
            .unwrap()
            .contains("State:\tT")
    };
    while !is_stopped() {
        if child.try_wait().unwrap().is_some() {
            let ran = Ran::from(child.wait_with_output().unwrap());
            panic!("never came to {moment}:\n{}{}", ran.stdout, ran.stderr);
        }
        std::thread::yield_now();
    }
    fault(&child);
    send("-CONT", &child.id());
    child.wait_with_output().unwrap().into()
}

/// Sends a signal to a process.
pub(crate) fn send(signal: &str, pid: &impl ToString) {
    let sent = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// A tool with no terminal, and nothing of this process's environment that could steer it.
pub(crate) fn tool(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::null());
    command
}

/// `offboard` with the given configuration.
pub(crate) fn offboard_with(config: &Path) -> Command {
    let mut command = tool(env!("CARGO_BIN_EXE_offboard"));
    command.env("OPSWEEK_CONFIG", config);
    command
}

/// `offboard` on the sandbox.
pub(crate) fn offboard<const N: usize>(arguments: [&str; N]) -> Ran {
    let mut command = offboard_with(&sandbox().config_path());
    command.args(arguments).output().unwrap().into()
}

/// What `hdfs dfs -ls -R` prints of these paths, and nothing for one that is not there.
pub(crate) fn listing(paths: &[&str]) -> String {
    let arguments: Vec<&str> = ["dfs", "-ls", "-R"].iter().chain(paths).copied().collect();
    let output = sandbox().hdfs(None, &arguments).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let gone = |line: &str| line.ends_with("No such file or directory") || line.contains("exist");
    let others = said.lines().filter(|line| line.starts_with("ls: "));
    let others: Vec<&str> = others.filter(|line| !gone(line)).collect();
    assert_eq!(others, [""; 0], "{said}");
    assert!(matches!(output.status.code(), Some(0 | 1)), "{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether the path is in HDFS.
pub(crate) fn in_hdfs(path: &str) -> bool {
    sandbox()
        .hdfs(None, &["dfs", "-test", "-e", path])
        .unwrap()
        .status
        .success()
}

/// What a command prints on a host, as root.
pub(crate) fn on_host(host: &str, script: &str) -> String {
    let output = sandbox()
        .ssh(host, &format!("sudo -n bash -c {}", quoted(script)))
        .unwrap();
    // Its own code, where the script did not run: ssh(1), EXIT STATUS.
    assert_ne!(output.status.code(), Some(255), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Everything of a user on every host: type, owner, mode, size and path of each entry, the
/// crontab, the processes.
pub(crate) fn host_trees(user: &str) -> String {
    let script = format!(
        "find /home/{user} /srv/home/{user} /var/userarchive/{user}* \
         -printf '%y %U %G %m %s %p %l\\n' 2>/dev/null | sort; \
         cat /var/spool/cron/crontabs/{user} 2>/dev/null; \
         ls /var/lib/systemd/linger/{user} 2>/dev/null; \
         pgrep -c -U $(id -u {user} 2>/dev/null || echo 4294967294)"
    );
    let hosts = sandbox().hosts();
    let trees = hosts
        .iter()
        .map(|host| format!("{}\n{}", host.name, on_host(&host.name, &script)));
    trees.collect()
}

/// Databases and tables by owner, as the metastore's own tables have them.
pub(crate) fn tables_of(user: &str) -> Vec<Vec<String>> {
    let sql = format!(
        "SELECT d.NAME, t.TBL_NAME, t.OWNER, t.TBL_TYPE, s.LOCATION FROM TBLS t \
         JOIN DBS d ON t.DB_ID = d.DB_ID JOIN SDS s ON t.SD_ID = s.SD_ID \
         WHERE t.OWNER = '{user}' OR d.NAME = '{user}' OR s.LOCATION LIKE '%/{user}/%' \
         ORDER BY d.NAME, t.TBL_NAME"
    );
    sandbox().metastore_sql(&sql).unwrap()
}

/// Names of the databases that the user owns.
pub(crate) fn databases_of(user: &str) -> Vec<Vec<String>> {
    let sql = format!("SELECT NAME FROM DBS WHERE OWNER_NAME = '{user}' ORDER BY NAME");
    sandbox().metastore_sql(&sql).unwrap()
}

/// All of the user's world in one text: equal texts, untouched world.
pub(crate) fn world_of(user: &str) -> String {
    format!(
        "{}\n{}\n{:?}\n{:?}",
        listing(&[
            &format!("/user/{user}"),
            &format!("/user/hive/warehouse/{user}.db"),
            "/wmf/data/archive/user"
        ])
        .lines()
        .filter(|line| line.contains(user))
        .collect::<Vec<_>>()
        .join("\n"),
        host_trees(user),
        tables_of(user),
        databases_of(user),
    )
}

/// A file in a folder that lasts as long as the test process.
pub(crate) fn scratch(name: &str) -> PathBuf {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| tempfile::tempdir().unwrap())
        .path()
        .join(name)
}
