//! Programs of this machine, with what they start themselves.

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;

/// A process with its children: ended when it is dropped before they ended by themselves. It must
/// have been started as the first of a group of its own.
pub(crate) struct Group(Option<Pid>);

impl Group {
    pub(crate) fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| id.try_into().ok());
        Self(id.and_then(Pid::from_raw))
    }

    /// Its number, for who shall belong to it as well; 0 when its first has ended.
    pub(crate) fn number(&self) -> i32 {
        self.0.map_or(0, |group| group.as_raw_nonzero().get())
    }

    pub(crate) fn has_ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may have ended this very moment.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
