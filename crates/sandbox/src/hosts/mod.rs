//! Stand-in until the hosts are merged.
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A host.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Host {
    /// Name.
    pub name: String,
    /// Address.
    pub address: Ipv4Addr,
    /// Port.
    pub port: u16,
    /// Root folder.
    pub root: PathBuf,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not there.
    #[error("no hosts in this build")]
    None,
}

impl Error {
    /// None.
    pub fn hint(&self) -> Option<String> {
        None
    }
}

/// What to seed.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostSeed {
    /// A mount in a home.
    pub mount: bool,
    /// Files in each home.
    pub files: usize,
}

/// Starts.
pub fn up(
    _dir: &Path,
    _count: usize,
    _marker: &dyn Fn(&str) -> (String, String),
    _progress: &dyn Fn(&str),
) -> Result<Vec<Host>, Error> {
    Err(Error::None)
}

/// Stops.
pub fn down(_dir: &Path, _marker: &dyn Fn(&str) -> (String, String)) -> Result<(), Error> {
    Ok(())
}

/// Runs.
pub fn running(_dir: &Path, _marker: &dyn Fn(&str) -> (String, String)) -> Vec<Host> {
    Vec::new()
}

/// Client.
pub fn ssh_command(_dir: &Path, _host: &str) -> Command {
    Command::new("ssh")
}

/// Seeds.
pub fn seed(_dir: &Path, _user: &str, _options: &HostSeed) -> Result<(), Error> {
    Err(Error::None)
}

/// Packages.
pub fn debian_packages() -> &'static [&'static str] {
    &[]
}
