//! Real sshd processes on loopback, each in a folder of its own.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use opsweek_core::services::fleet::{Config, Fleet, HostName};
use opsweek_sandbox::free_port;
use tempfile::TempDir;

/// Runs a program to its end and gives its stdout.
pub(crate) fn sh(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A process that ends with its owner.
pub(crate) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder with keys, and the servers that accept them.
pub(crate) struct World {
    dir: TempDir,
    pub(crate) user: String,
    servers: Vec<Server>,
}

struct Server {
    name: String,
    process: Process,
}

impl World {
    /// A folder with the key `id`, which its servers accept.
    pub(crate) fn new() -> Self {
        let world = Self {
            dir: TempDir::new().unwrap(),
            user: sh("id", &["-un"]),
            servers: Vec::new(),
        };
        world.keygen("id", "ed25519", "");
        fs::copy(world.path("id.pub"), world.path("authorized_keys")).unwrap();
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn shown(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn append(&self, name: &str, text: &str) {
        let mut file = fs::File::options()
            .append(true)
            .create(true)
            .open(self.path(name))
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn keygen(&self, name: &str, kind: &str, passphrase: &str) {
        let file = self.shown(name);
        sh(
            "ssh-keygen",
            &["-q", "-t", kind, "-N", passphrase, "-C", name, "-f", &file],
        );
    }

    /// Starts an sshd named `NAME.example.org`, with one key of each given type, on record under
    /// `known_hosts`, and in the ssh configuration.
    pub(crate) fn serve(&mut self, name: &str, key_types: &[&str], extra: &str) -> u16 {
        let port = free_port().unwrap();
        let mut config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nPidFile none\nUsePAM no\nStrictModes no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nMaxStartups 200\n\
             AuthorizedKeysFile {}\n{extra}\n",
            self.shown("authorized_keys")
        );
        for kind in key_types {
            let key = format!("{name}_{kind}");
            if !self.path(&key).exists() {
                self.keygen(&key, kind, "");
            }
            config.extend(["HostKey ", &self.shown(&key), "\n"]);
            let line = self.known_line(name, kind, port);
            self.append("known_hosts", &line);
        }
        self.write(&format!("{name}.conf"), &config);
        self.configure(name, port);
        // sshd wants this folder of its package when it runs as root.
        if self.user == "root" {
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let log = fs::File::create(self.path(&format!("{name}.log"))).unwrap();
        let process = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f", &self.shown(&format!("{name}.conf"))])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.servers.push(Server {
            name: name.to_owned(),
            process: Process(process),
        });
        self.await_banner(port, name);
        port
    }

    fn await_banner(&self, port: u16, name: &str) {
        let start = Instant::now();
        loop {
            let mut banner = [0; 4];
            let answered = TcpStream::connect(("127.0.0.1", port))
                .and_then(|mut tcp| tcp.read_exact(&mut banner));
            if answered.is_ok() && &banner == b"SSH-" {
                return;
            }
            let log = self.read(&format!("{name}.log"));
            assert!(start.elapsed() < Duration::from_secs(20), "{name}: {log}");
            std::thread::yield_now();
        }
    }

    pub(crate) fn known_line(&self, name: &str, kind: &str, port: u16) -> String {
        let key = self.read(&format!("{name}_{kind}.pub"));
        let mut words = key.split(' ');
        let (kind, key) = (words.next().unwrap(), words.next().unwrap());
        format!("[127.0.0.1]:{port} {kind} {key}\n")
    }

    /// Puts a host that listens on a port of 127.0.0.1 into the ssh configuration.
    pub(crate) fn configure(&self, name: &str, port: u16) {
        let block = format!("Host {name}.example.org\n  HostName 127.0.0.1\n  Port {port}\n");
        self.append("ssh_config", &block);
    }

    /// The fleet of the servers started so far; `options` go for all hosts, before the defaults.
    pub(crate) fn fleet(&self, options: &str) -> Fleet {
        Fleet::new(self.config(options))
    }

    pub(crate) fn config(&self, options: &str) -> Config {
        let name = format!("config{}", fs::read_dir(self.dir.path()).unwrap().count());
        self.write(
            &name,
            &format!(
                "{options}\n{}Host *\n  User {}\n  IdentityFile {}\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile none\n",
                self.read("ssh_config"),
                self.user,
                self.shown("id"),
                self.shown("known_hosts"),
            ),
        );
        Config {
            ssh_config: self.path(&name),
            connect_deadline: Duration::from_secs(20),
            ..Config::default()
        }
    }

    /// Starts an agent with these keys.
    pub(crate) fn agent(&self, keys: &[&str]) -> Process {
        let socket = self.shown("agent");
        let child = Command::new("ssh-agent")
            .args(["-D", "-a", &socket])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let agent = Process(child);
        let start = Instant::now();
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(start.elapsed() < Duration::from_secs(20), "no agent");
            std::thread::yield_now();
        }
        for key in keys {
            let output = Command::new("ssh-add")
                .arg("-q")
                .arg(self.path(key))
                .env("SSH_AUTH_SOCK", &socket)
                .output()
                .unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "ssh-add {key}: {stderr}");
        }
        agent
    }

    pub(crate) fn stop(&mut self, name: &str) {
        self.servers.retain(|server| server.name != name);
    }

    pub(crate) fn pid(&self, name: &str) -> u32 {
        let server = self.servers.iter().find(|server| server.name == name);
        server.unwrap().process.0.id()
    }
}

pub(crate) fn host(name: &str) -> HostName {
    HostName::parse(&format!("{name}.example.org")).unwrap()
}
