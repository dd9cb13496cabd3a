//! The terminal, or what stands in its place, and the rest of what surrounds the process.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use dialoguer::{Input, MultiSelect};
use indicatif::MultiProgress;
use opsweek_core::engine::render::clean;

/// Where results, messages and questions go. The tests put one of their own here.
pub(crate) trait Terminal: Send + Sync {
    /// Prints results.
    fn out(&self, text: &[u8]) -> io::Result<()>;

    /// Prints messages; nothing can be done about a failure to.
    fn err(&self, text: &str);

    /// The columns of standard output, when it is a terminal.
    fn width(&self) -> Option<u16>;

    /// Whether somebody is there to answer.
    fn can_ask(&self) -> bool;

    /// Asks; an empty answer is the default.
    fn ask(&self, prompt: &str, default: &str) -> io::Result<String>;

    /// Asks which of `items` are wanted, by their indices; perhaps none.
    fn pick(&self, prompt: &str, items: &[String]) -> io::Result<Vec<usize>>;

    /// Where progress bars can be drawn, if they can.
    fn bars(&self) -> Option<&MultiProgress>;
}

/// The process's own standard streams.
pub(crate) struct Console {
    bars: MultiProgress,
}

impl Console {
    pub(crate) fn new() -> Self {
        Self {
            bars: MultiProgress::new(),
        }
    }

    /// Leaves the terminal as a shell wants to find it.
    pub(crate) fn restore(&self) {
        // The process is about to end: there is nothing to do about a failure.
        let _ = self.bars.clear();
        let _ = dialoguer::console::Term::stderr().show_cursor();
    }
}

impl Terminal for Console {
    fn out(&self, text: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text)?;
        out.flush()
    }

    fn err(&self, text: &str) {
        self.bars.suspend(|| {
            let _ = io::stderr().lock().write_all(text.as_bytes());
        });
    }

    fn width(&self) -> Option<u16> {
        let term = dialoguer::console::Term::stdout();
        term.is_term().then(|| term.size().1)
    }

    fn can_ask(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    fn ask(&self, prompt: &str, default: &str) -> io::Result<String> {
        let mut input = Input::<String>::new()
            .with_prompt(clean(prompt))
            .allow_empty(true);
        if !default.is_empty() {
            input = input.default(default.to_owned());
        }
        tokio::task::block_in_place(|| input.interact_text())
            .map_err(|dialoguer::Error::IO(source)| source)
    }

    fn pick(&self, prompt: &str, items: &[String]) -> io::Result<Vec<usize>> {
        let select = MultiSelect::new()
            .with_prompt(clean(&format!("{prompt} Space picks, Enter goes on")))
            .items(items.iter().map(|item| clean(item)));
        tokio::task::block_in_place(|| select.interact())
            .map_err(|dialoguer::Error::IO(source)| source)
    }

    fn bars(&self) -> Option<&MultiProgress> {
        io::stderr().is_terminal().then_some(&self.bars)
    }
}

/// What is read from the environment, once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Env {
    /// `OPSWEEK_CONFIG`.
    pub(crate) config: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`, or `.config` in `HOME`.
    pub(crate) config_home: Option<PathBuf>,
    /// `XDG_STATE_HOME`, or `.local/state` in the home folder.
    pub(crate) state_home: Option<PathBuf>,
    /// `HOME`.
    pub(crate) home: Option<PathBuf>,
    /// `SSH_AUTH_SOCK`.
    pub(crate) ssh_agent: Option<PathBuf>,
    /// Who runs it, for people: `elvis@stat1008`. Behind sudo, who called that.
    pub(crate) by: String,
    /// The effective user id: whose plan files are trusted.
    pub(crate) uid: u32,
    /// `OPSWEEK_CRASH`, in debug builds only: see [`crate::watch`].
    pub(crate) crash: Option<String>,
}

impl Env {
    pub(crate) fn read() -> Self {
        let path = |name| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let text = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let uid = rustix::process::geteuid().as_raw();
        let user = text("SUDO_USER")
            .or_else(|| text("USER"))
            .unwrap_or_else(|| format!("uid{uid}"));
        let uname = rustix::system::uname();
        let host = uname.nodename().to_string_lossy();
        Self {
            config: path("OPSWEEK_CONFIG"),
            config_home: path("XDG_CONFIG_HOME")
                .or_else(|| path("HOME").map(|home| home.join(".config"))),
            state_home: path("XDG_STATE_HOME")
                .or_else(|| std::env::home_dir().map(|home| home.join(".local/state"))),
            home: path("HOME"),
            ssh_agent: path("SSH_AUTH_SOCK"),
            by: clean(&format!("{user}@{host}")),
            uid,
            crash: if cfg!(debug_assertions) {
                text("OPSWEEK_CRASH")
            } else {
                None
            },
        }
    }
}
