//! How a call is made: with a deadline, repeated where that is safe.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::FutureExt;
use hdfs_native::{Client, HdfsError};
use tokio_util::task::AbortOnDropHandle;

use super::Hdfs;
use super::error::{Call, Detail, Error};

/// The pauses between repetitions: 50 ms, doubled up to 1 s.
pub(super) fn backoff() -> impl Iterator<Item = Duration> + Send {
    let mut next = Duration::from_millis(50);
    std::iter::repeat_with(move || {
        let pause = next;
        next = (next * 2).min(Duration::from_secs(1));
        pause
    })
}

impl Call {
    /// The same call with the other path of a rename.
    pub(super) fn to(mut self, target: &str) -> Self {
        self.target = Some(target.to_owned());
        self
    }
}

impl Hdfs {
    /// Names a call, for its error.
    pub(super) fn call(&self, op: &'static str, path: &str) -> Call {
        Call {
            op,
            path: path.to_owned(),
            target: None,
            user: self.inner.config.user.clone(),
        }
    }

    /// Makes a call once, within the deadline.
    pub(super) async fn attempt<T>(
        &self,
        call: impl Fn() -> Call,
        made: impl Future<Output = Result<T, HdfsError>>,
    ) -> Result<T, Error> {
        // The library unwraps what it decodes, such as names that are not UTF-8.
        let guarded = AssertUnwindSafe(made).catch_unwind();
        let deadline = self.inner.config.deadline;
        match tokio::time::timeout(deadline, guarded).await {
            Ok(Ok(Ok(value))) => {
                self.inner.reached.store(true, Ordering::Relaxed);
                Ok(value)
            }
            Ok(Ok(Err(error))) => {
                if matches!(error, HdfsError::RPCError(..)) {
                    self.inner.reached.store(true, Ordering::Relaxed);
                }
                Err(Error::native(call(), &error))
            }
            Ok(Err(panic)) => Err(panicked(call(), panic.as_ref())),
            Err(_) => Err(Error::Deadline {
                call: Box::new(call()),
                seconds: deadline.as_secs(),
            }),
        }
    }

    /// Whether to make the call that met `error` again, `started` being when it was first made.
    /// Once patience has run out for one call, no other is patient until the cluster answers.
    pub(super) fn may_repeat(&self, error: &Error, started: Instant) -> bool {
        if !error.is_transient() || !self.inner.reached.load(Ordering::Relaxed) {
            return false;
        }
        let patient = started.elapsed() < self.inner.config.patience;
        if !patient {
            self.inner.reached.store(false, Ordering::Relaxed);
        }
        patient
    }

    /// As [`Hdfs::attempt`], as a task.
    pub(super) async fn once<T: Send + 'static>(
        &self,
        call: Call,
        made: impl Future<Output = Result<T, HdfsError>> + Send + 'static,
    ) -> Result<T, Error> {
        let hdfs = self.clone();
        task(async move { hdfs.attempt(|| call.clone(), made).await }).await
    }

    /// Makes a call that may be carried out twice without harm, again and again while the
    /// connection breaks or no `NameNode` is active, as long as the configured patience lasts.
    pub(super) async fn repeat<T, F>(
        &self,
        op: &'static str,
        path: &str,
        make: impl Fn(Client, String) -> F + Send + Sync + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, HdfsError>> + Send,
    {
        let (hdfs, path) = (self.clone(), path.to_owned());
        task(async move {
            let started = Instant::now();
            let mut pauses = backoff();
            loop {
                let attempt = make(hdfs.inner.client.clone(), path.clone());
                match hdfs.attempt(|| hdfs.call(op, &path), attempt).await {
                    Err(error) if hdfs.may_repeat(&error, started) => {
                        tokio::time::sleep(pauses.next().unwrap_or_default()).await;
                    }
                    result => return result,
                }
            }
        })
        .await
    }
}

/// Runs a call as a task of its own, ended when nobody waits for it any more. The library hands
/// its connection from call to call in turn; a call that is not polled when its turn comes, such
/// as one inside a stream whose consumer is busy, would hold up all others for ever.
pub(super) async fn task<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    match AbortOnDropHandle::new(tokio::spawn(work)).await {
        Ok(result) => result,
        Err(ended) => Err(Error::Config {
            source: Detail::of(&format!("the runtime ended a call: {ended}")),
        }),
    }
}

/// A panic of the library, as an error.
fn panicked(call: Call, panic: &(dyn Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or_default();
    let call = Box::new(call);
    // After what was called on what.
    let said = text.rsplit_once("value: ").map_or(text, |(_, said)| said);
    let source = Detail::of(said);
    if text.contains("Utf8Error") {
        Error::NotUtf8 { call, source }
    } else {
        Error::Other { call, source }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    fn client(deadline: Duration) -> Hdfs {
        Hdfs::connect(Config {
            url: Some("hdfs://127.0.0.1:1".into()),
            deadline,
            ..Config::new("elvis")
        })
        .unwrap()
    }

    #[tokio::test]
    async fn a_panic_of_the_library_becomes_an_error() {
        let hdfs = client(Duration::from_secs(9));
        let call = || hdfs.call("list", "/user/elvis");
        let name = vec![b'a', 0xff];
        let utf8 = async { Ok(std::str::from_utf8(&name).unwrap().len()) };
        let error = hdfs.attempt(call, utf8).await.unwrap_err();
        let Error::NotUtf8 { source, .. } = error else {
            panic!("{error:?}")
        };
        assert!(source.message.starts_with("Utf8Error {"), "{source}");
        let other = async { Ok(name.iter().position(|b| *b == 7).unwrap()) };
        let error = hdfs.attempt(call, other).await.unwrap_err();
        assert!(matches!(error, Error::Other { .. }), "{error:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_hangs_meets_its_deadline() {
        let hdfs = client(Duration::from_secs(7));
        let call = || hdfs.call("list", "/user/elvis");
        let error = hdfs.attempt(call, std::future::pending::<Result<(), _>>());
        let error = error.await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "list /user/elvis as elvis: no answer within 7 s"
        );
    }

    #[tokio::test]
    async fn a_cluster_that_never_answered_is_given_up_at_once() {
        let started = Instant::now();
        let error = client(Duration::from_mins(1))
            .stat("/user/elvis")
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_connection_is_repeated_until_it_works() {
        let hdfs = client(Duration::from_mins(1));
        hdfs.inner.reached.store(true, Ordering::Relaxed);
        let made = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&made);
        let done = hdfs.repeat("set the owner of", "/user/elvis", move |_, _| {
            let made = count.fetch_add(1, Ordering::Relaxed);
            let broken = std::io::Error::from(std::io::ErrorKind::ConnectionAborted);
            let standby = "org.apache.hadoop.ipc.StandbyException".to_owned();
            std::future::ready(match made {
                0 => Err(HdfsError::IOError(broken)),
                1 => Err(HdfsError::RPCError(standby, String::new())),
                _ => Ok(()),
            })
        });
        done.await.unwrap();
        assert_eq!(made.load(Ordering::Relaxed), 3);

        let made = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&made);
        let refused = hdfs.repeat("set the owner of", "/user/elvis", move |_, _| {
            count.fetch_add(1, Ordering::Relaxed);
            let class = "org.apache.hadoop.security.AccessControlException".to_owned();
            std::future::ready(Err::<(), _>(HdfsError::RPCError(class, String::new())))
        });
        assert!(matches!(
            refused.await.unwrap_err(),
            Error::PermissionDenied { .. }
        ));
        assert_eq!(made.load(Ordering::Relaxed), 1, "a refusal is final");
    }

    #[tokio::test]
    async fn patience_runs_out_once_for_all_calls() {
        let hdfs = client(Duration::from_mins(1));
        hdfs.inner.reached.store(true, Ordering::Relaxed);
        let broken = Error::Unreachable {
            call: Box::new(hdfs.call("stat", "/user/elvis")),
            source: Detail::of("gone"),
        };
        let now = Instant::now();
        let long_ago = now.checked_sub(hdfs.inner.config.patience).unwrap();
        assert!(hdfs.may_repeat(&broken, now));
        assert!(!hdfs.may_repeat(&broken, long_ago));
        assert!(!hdfs.may_repeat(&broken, now), "all have lost patience");
    }
}
