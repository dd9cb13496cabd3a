//! Sandboxes of some tests' own, whose servers may be killed and filled.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use opsweek_sandbox::Sandbox;

/// A sandbox whose servers end with it.
pub(crate) struct Ending(Sandbox);

impl Deref for Ending {
    type Target = Sandbox;

    fn deref(&self) -> &Sandbox {
        &self.0
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.down(&quiet).unwrap();
    }
}

pub(crate) fn quiet(_: &str) {}

/// As many sandboxes, each for one test at a time, and there as long as a test wants it.
pub(crate) struct Slots<T, const COUNT: usize> {
    name: &'static str,
    slots: Mutex<[Weak<Mutex<T>>; COUNT]>,
}

impl<T: From<Ending>, const COUNT: usize> Slots<T, COUNT> {
    pub(crate) const fn new(name: &'static str) -> Self {
        let slots = Mutex::new([const { Weak::new() }; COUNT]);
        Self { name, slots }
    }

    /// The one that fewest tests want, without servers when it is new.
    pub(crate) fn one(&self) -> Arc<Mutex<T>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let users = |slot: &(usize, &mut Weak<Mutex<T>>)| slot.1.strong_count();
        let (index, slot) = slots.iter_mut().enumerate().min_by_key(users).unwrap();
        slot.upgrade().unwrap_or_else(|| {
            let folder = format!("{}/{}-{index}", env!("CARGO_TARGET_TMPDIR"), self.name);
            let sandbox = Sandbox::open(&folder).unwrap();
            sandbox.down(&quiet).unwrap();
            if sandbox.dir().exists() {
                std::fs::remove_dir_all(sandbox.dir()).unwrap();
            }
            let made = Arc::new(Mutex::new(Ending(sandbox).into()));
            *slot = Arc::downgrade(&made);
            made
        })
    }
}
