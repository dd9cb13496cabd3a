//! The same work on many hosts at once.

use std::sync::Mutex;
use std::thread;

/// More than cores: the work is mostly waiting for a program or for ssh.
const WORKERS: usize = 8;

/// Does `work` on every item, eight at a time. The first error ends it, after what
/// has begun.
pub(super) fn each<T: Sync, E: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let queue = Mutex::new(items.iter());
    let next = || queue.lock().ok().and_then(|mut queue| queue.next());
    thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS.min(items.len()))
            .map(|_| {
                scope.spawn(|| {
                    while let Some(item) = next() {
                        if let Err(error) = work(item) {
                            while next().is_some() {}
                            return Err(error);
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| match worker.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            })
    })
}
