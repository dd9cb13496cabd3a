//! Whole flows of a toy tool, from its arguments to its exit code.

mod apply;
mod look;
mod plan_files;
mod several;
mod toy;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use indicatif::MultiProgress;
use tokio_util::sync::CancellationToken;

use crate::console::{Env, Terminal};
use crate::flow::Shell;
use crate::run::start;
use toy::Toy;

/// Remembers what was printed; answers when it is told what.
#[derive(Default)]
struct Paper {
    out: Mutex<String>,
    err: Mutex<String>,
    /// What somebody will answer; `None` when nobody is there.
    answers: Option<Mutex<VecDeque<String>>>,
    /// What writing to standard output gives.
    broken: Option<io::ErrorKind>,
}

impl Terminal for Paper {
    fn out(&self, text: &[u8]) -> io::Result<()> {
        if let Some(kind) = self.broken {
            return Err(kind.into());
        }
        let text = str::from_utf8(text).unwrap();
        self.out.lock().unwrap().push_str(text);
        Ok(())
    }

    fn err(&self, text: &str) {
        self.err.lock().unwrap().push_str(text);
    }

    fn width(&self) -> Option<u16> {
        None
    }

    fn can_ask(&self) -> bool {
        self.answers.is_some()
    }

    fn ask(&self, prompt: &str, default: &str) -> io::Result<String> {
        self.err(&format!("? {prompt} [{default}]\n"));
        let answers = self.answers.as_ref().unwrap();
        Ok(answers.lock().unwrap().pop_front().unwrap())
    }

    fn pick(&self, prompt: &str, items: &[String]) -> io::Result<Vec<usize>> {
        let answer = self.ask(prompt, &items.join(", "))?;
        let picked = answer.split(' ').filter(|word| !word.is_empty());
        Ok(picked.map(|word| word.parse().unwrap()).collect())
    }

    fn bars(&self) -> Option<&MultiProgress> {
        None
    }
}

/// How a run ended and what it printed.
#[derive(Debug, PartialEq, Eq)]
struct Ran {
    code: u8,
    out: String,
    err: String,
}

/// A folder that is the world, the configuration and the state at once.
struct Desk {
    folder: tempfile::TempDir,
    uid: u32,
    broken: Option<io::ErrorKind>,
    cancelled: bool,
}

impl Desk {
    /// A world in which `left` holds these files.
    fn with(left: &[(&str, &str)]) -> Self {
        let desk = Self {
            folder: tempfile::tempdir().unwrap(),
            uid: rustix::process::geteuid().as_raw(),
            broken: None,
            cancelled: false,
        };
        fs::create_dir(desk.path("left")).unwrap();
        fs::create_dir(desk.path("kept")).unwrap();
        for (name, text) in left {
            desk.write(&format!("left/{name}"), text);
        }
        desk.write("vault", "id 1");
        desk.write("host", "key 1");
        desk.configure("");
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Writes the configuration, with more lines at its top.
    fn configure(&self, more: &str) {
        let dir = self.folder.path().display();
        let text =
            format!("{more}\nstate_dir = '{dir}/state'\n[toy]\ndir = '{dir}'\nsafety = 'strict'\n");
        self.write("config.toml", &text);
    }

    /// Runs the tool with nobody there.
    fn run(&self, args: &[&str]) -> Ran {
        self.on(Paper::default(), args)
    }

    /// Runs the tool for somebody who answers.
    fn answered(&self, answers: &[&str], args: &[&str]) -> Ran {
        let answers = answers.iter().map(|&answer| answer.to_owned()).collect();
        let paper = Paper {
            answers: Some(Mutex::new(answers)),
            ..Paper::default()
        };
        self.on(paper, args)
    }

    fn on(&self, paper: Paper, args: &[&str]) -> Ran {
        let paper = Arc::new(Paper {
            broken: self.broken,
            ..paper
        });
        let shell = Shell {
            terminal: paper.clone(),
            env: Env {
                config: Some(self.path("config.toml")),
                by: "elvis@stat1008".into(),
                uid: self.uid,
                ..Env::default()
            },
            cancel: CancellationToken::new(),
        };
        if self.cancelled {
            shell.cancel.cancel();
        }
        let args = ["toy"].iter().chain(args).map(OsString::from);
        let exit = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(start::<Toy>(&shell, args));
        Ran {
            code: exit.code(),
            out: self.tidy(&paper.out.lock().unwrap()),
            err: self.tidy(&paper.err.lock().unwrap()),
        }
    }

    /// The text without what differs from run to run: the folder, hashes, times.
    fn tidy(&self, text: &str) -> String {
        let text = text.replace(&self.folder.path().display().to_string(), "DIR");
        let mut tidy = String::new();
        let mut word = String::new();
        for c in text.chars().chain([' ']) {
            if c.is_ascii_alphanumeric() || "-:".contains(c) && !word.is_empty() {
                word.push(c);
                continue;
            }
            let hash = word.rsplit(['-', ':']).next().unwrap_or_default();
            let is_hash = hash.len() >= 16 && hash.bytes().all(|b| b.is_ascii_hexdigit());
            if is_hash {
                tidy.push_str(word.strip_suffix(hash).unwrap());
                tidy.push_str("HASH");
            } else if word.len() == 20 && word.ends_with('Z') {
                tidy.push_str("TIME");
            } else {
                tidy.push_str(&word);
            }
            word.clear();
            tidy.push(c);
        }
        tidy.pop();
        tidy
    }

    /// The only file in a folder.
    fn only(&self, folder: &str) -> PathBuf {
        let mut entries = fs::read_dir(self.path(folder)).unwrap();
        let path = entries.next().unwrap().unwrap().path();
        assert!(entries.next().is_none());
        path
    }
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}
