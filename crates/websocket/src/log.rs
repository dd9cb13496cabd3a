//! Logs as the Node.js server writes them: a JSON object a line with `level`, `message` and
//! `timestamp`.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::path::Path;

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::writer::MakeWriterExt;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use crate::config::LogConfig;

/// How many lines may wait for a slow reader of the log before further ones are dropped.
const WAITING_LINES: usize = 8192;

/// Keeps the log's writers; dropping it writes out what waits.
pub struct LogGuard {
    _writers: Vec<WorkerGuard>,
}

/// Starts logging for the process: to the standard output and, if configured, to a file as well.
///
/// Fails when the file can't be opened or a log was started already. A reader that doesn't keep up
/// loses lines; it never holds up the server.
pub fn start(config: &LogConfig) -> std::io::Result<LogGuard> {
    let (stdout, guard) = non_blocking(std::io::stdout());
    let mut writers = vec![guard];
    let Some(path) = &config.file else {
        set_global(config, stdout)?;
        return Ok(LogGuard { _writers: writers });
    };
    let (file, guard) = non_blocking(open(path)?);
    writers.push(guard);
    set_global(config, stdout.and(file))?;
    Ok(LogGuard { _writers: writers })
}

/// Fails when [`start`] would for its file. Leaves none behind that wasn't there.
pub(crate) fn check(config: &LogConfig) -> std::io::Result<()> {
    let Some(path) = &config.file else {
        return Ok(());
    };
    let known = path.exists();
    drop(open(path)?);
    if known {
        Ok(())
    } else {
        std::fs::remove_file(path)
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

fn non_blocking<W: std::io::Write + Send + 'static>(
    writer: W,
) -> (tracing_appender::non_blocking::NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING_LINES)
        .finish(writer)
}

fn set_global<W>(config: &LogConfig, writer: W) -> std::io::Result<()>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level(&config.level))
        .event_format(Lines)
        .with_writer(writer)
        .finish();
    tracing::subscriber::set_global_default(subscriber).map_err(std::io::Error::other)
}

/// The level of a winston name; an unknown one logs as `info` does.
fn level(name: &str) -> LevelFilter {
    match name {
        "error" => LevelFilter::ERROR,
        "warn" => LevelFilter::WARN,
        "debug" => LevelFilter::DEBUG,
        "silly" => LevelFilter::TRACE,
        _ => LevelFilter::INFO,
    }
}

struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut message = Message(String::new());
        event.record(&mut message);
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "silly",
        };
        let line = serde_json::json!({
            "level": level,
            "message": message.0,
            "timestamp": format!("{:.3}", Timestamp::now()),
        });
        writeln!(writer, "{line}")
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        use fmt::Write;
        if field.name() == "message" {
            // Writing to a String cannot fail.
            let _ = write!(self.0, "{value:?}");
        }
    }
}
