//! Standard output: documents as they come, or one JSON document at the end.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use opsweek_core::engine::render::Document;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::args::Format;
use crate::console::Terminal;
use crate::error::CliError;
use crate::exit::Exit;

/// What the run has to say on standard output.
pub(crate) struct Output {
    terminal: Arc<dyn Terminal>,
    format: Format,
    json: Map<String, Value>,
    /// Of several subjects, the one that values are about, and what is known of each.
    subject: Option<String>,
    subjects: BTreeMap<String, Map<String, Value>>,
    documents: usize,
    broken: Option<io::Error>,
}

impl Output {
    pub(crate) fn new(terminal: Arc<dyn Terminal>, format: Format) -> Self {
        Self {
            terminal,
            format,
            json: Map::new(),
            subject: None,
            subjects: BTreeMap::new(),
            documents: 0,
            broken: None,
        }
    }

    /// Shows the document, unless all goes into one of JSON.
    pub(crate) fn show(&mut self, document: &Document) {
        let text = match self.format {
            Format::Text => document.text(self.terminal.width()),
            Format::Remarkup => document.remarkup(),
            Format::Csv => document.csv(),
            Format::Json => return,
        };
        let apart = self.documents > 0 && self.format != Format::Csv;
        self.documents += 1;
        self.print(&if apart { format!("\n{text}") } else { text });
    }

    /// Puts a value into the JSON document, if there is to be one.
    pub(crate) fn put(&mut self, key: &str, value: &impl Serialize) -> Result<(), CliError> {
        if self.format == Format::Json {
            let value = serde_json::to_value(value).map_err(|source| {
                CliError::new(Exit::Failed, format!("{key} cannot be put into JSON"))
                    .because(&source)
            })?;
            let about = match &self.subject {
                None => &mut self.json,
                Some(subject) => self.subjects.entry(subject.clone()).or_default(),
            };
            about.insert(key.to_owned(), value);
        }
        Ok(())
    }

    /// What is put from now on is about this one of several subjects, or about all.
    pub(crate) fn about(&mut self, subject: Option<&str>) {
        self.subject = subject.map(str::to_owned);
    }

    /// Whether a plan that was shown is to be seen on standard output.
    pub(crate) fn is_for_people(&self) -> bool {
        self.format == Format::Text
    }

    /// Ends the output, and gives the code to exit with: that of the run, or of the output
    /// itself when it could not be written. A reader that left early is no failure.
    pub(crate) fn finish(mut self, exit: Exit) -> (Exit, Option<CliError>) {
        if self.format == Format::Json {
            self.json.insert("exit".to_owned(), exit.code().into());
            if !self.subjects.is_empty() {
                let subjects = std::mem::take(&mut self.subjects).into_iter();
                let subjects = subjects.map(|(subject, about)| (subject, Value::Object(about)));
                self.json.insert("subjects".to_owned(), subjects.collect());
            }
            let text = Value::Object(std::mem::take(&mut self.json)).to_string() + "\n";
            self.print(&text);
        }
        match self.broken {
            Some(source) if source.kind() != io::ErrorKind::BrokenPipe => {
                let error = CliError::new(Exit::Failed, "standard output").because(&source);
                (exit.max(error.exit()), Some(error))
            }
            _ => (exit, None),
        }
    }

    /// A run does not stop half-way because its words get lost: told at the end.
    fn print(&mut self, text: &str) {
        if self.broken.is_none() {
            self.broken = self.terminal.out(text.as_bytes()).err();
        }
    }
}
