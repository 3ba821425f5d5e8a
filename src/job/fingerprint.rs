//! What decides a window's rows, as one short text: when it changes, a window has to be evaluated again.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::{Duplicates, Job, WindowSpec};
use crate::window::{Scope, WindowSize};

/// Raised when a custom function or the way in which rows are read changes its answer.
const SEMANTICS_VERSION: u32 = 1;

impl Job {
    /// The first 16 bytes of a SHA-256 over everything but the data that decides a window's rows: the SQL of hunt and
    /// view, parameters, columns, what is written into each row, the windows' size and scope.
    pub fn fingerprint(&self, size: WindowSize, scope: Scope, slack: u32, time_column: Option<&str>) -> String {
        let mut hash = Sha256::new();
        // Each part goes in with its length, so that no two lists of parts look alike.
        let mut part = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        };
        part(&SEMANTICS_VERSION.to_string());
        part(self.sql.text());
        part(self.views.first().and_then(Option::as_ref).map_or("", |view| view.text()));
        for (name, value) in &self.parameters {
            part(name);
            part(&value.to_string());
        }
        for (name, column) in &self.manifest.source.columns {
            part(name);
            part(&serde_json::to_string(column).unwrap_or_default());
        }
        part(&self.manifest.source.time);
        part(&self.manifest.window.lookback);
        let history = &self.manifest.window.history;
        for text in [&self.manifest.id, &self.manifest.version, &self.manifest.severity.to_string()] {
            part(text);
        }
        for list in [self.tactics(), self.techniques(), &self.output().sort, &self.output().key] {
            part(&list.join("\u{1f}"));
        }
        part(&format!("{size} {scope} {slack}"));
        // As the time column: windows of jobs without lists are done as before.
        for (name, list) in &self.lists {
            part(name);
            part(list.sha256());
        }
        // Only where one was chosen, so that windows done without are still done.
        if let Some(name) = time_column {
            part(name);
        }
        let source = &self.manifest.source;
        if source.duplicates != Duplicates::Keep {
            part(&format!("duplicates {} {}", source.duplicates, source.id.as_deref().unwrap_or_default()));
        }
        for (source, view) in self.tables().skip(1) {
            part(&format!("table {} {} {:?}", source.table, source.time, source.columns));
            part(view.map_or("", |view| view.text()));
            part(&format!("duplicates {} {}", source.duplicates, source.id.as_deref().unwrap_or_default()));
        }
        if *history != WindowSpec::default().history {
            part(&format!("history {history}"));
        }
        hash.finalize().iter().take(16).fold(String::new(), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}
