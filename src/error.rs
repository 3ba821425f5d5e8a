//! Errors: a kind, a message, where it happened, and what caused it.
//!
//! The kind decides the exit code and whether another try can help; the context says which file, window, column or
//! parameter is meant. Messages are lower case, without a full stop, and say what to do.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// The result of anything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as a caller can act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A flag, a setting or their combination makes no sense.
    Usage,
    /// The job file or its SQL is not valid.
    InvalidJob,
    /// The source, or every partition that was asked for, does not exist.
    SourceMissing,
    /// The source or the output does not answer, or the output's bucket does not exist.
    Unreachable,
    /// The source or the output refuses access.
    AccessDenied,
    /// A file of the lake is damaged.
    CorruptFile,
    /// A file of the lake changed or vanished between its listing and its reading.
    SourceChanged,
    /// A column of a file cannot be the type that the job declares.
    SchemaMismatch,
    /// The run needs more memory or disk than it may use.
    ResourcesExhausted,
    /// The output cannot be written.
    Output,
    /// Another run wrote the same window, or the output holds something else.
    Conflict,
    /// The engine failed while it evaluated the hunt.
    Engine,
}

impl ErrorKind {
    /// The exit code of a process that ends with an error of this kind.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Usage | Self::InvalidJob => 2,
            Self::Conflict => 4,
            Self::SourceMissing | Self::Unreachable | Self::AccessDenied => 5,
            Self::CorruptFile
            | Self::SourceChanged
            | Self::SchemaMismatch
            | Self::ResourcesExhausted
            | Self::Output
            | Self::Engine => 1,
        }
    }

    /// Whether the same call may succeed later, with nothing changed by the caller.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Unreachable | Self::Conflict | Self::SourceChanged)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Usage => "usage",
            Self::InvalidJob => "invalid job",
            Self::SourceMissing => "source missing",
            Self::Unreachable => "unreachable",
            Self::AccessDenied => "access denied",
            Self::CorruptFile => "corrupt file",
            Self::SourceChanged => "source changed",
            Self::SchemaMismatch => "schema mismatch",
            Self::ResourcesExhausted => "resources exhausted",
            Self::Output => "output",
            Self::Conflict => "conflict",
            Self::Engine => "engine",
        })
    }
}

/// An error of this crate. `Display` gives the whole story on one line: message, context, causes.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    context: Vec<(&'static str, String)>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind` with a message: lower case, no full stop, and what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), context: Vec::new(), source: None }
    }

    /// Adds where it happened, for example `("file", path)`.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.context.push((key, value.to_string()));
        self
    }

    /// Adds what caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// What went wrong, as far as a caller can act on it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The value of a context key, for example the file's name.
    pub fn context(&self, key: &str) -> Option<&str> {
        self.context.iter().find(|(k, _)| *k == key).map(|(_, v)| v.as_str())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if !self.context.is_empty() {
            f.write_str(" (")?;
            for (i, (key, value)) in self.context.iter().enumerate() {
                let comma = if i == 0 { "" } else { ", " };
                write!(f, "{comma}{key}: {value}")?;
            }
            f.write_str(")")?;
        }
        let mut cause = self.source.as_deref().map(|source| source as &(dyn StdError + 'static));
        let mut said = String::new();
        while let Some(error) = cause {
            // Libraries often repeat their cause in their own text; say each thing once.
            let text = error.to_string();
            if !said.contains(&text) {
                write!(f, ": {text}")?;
                said = text;
            }
            cause = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// The word of `known` that is nearest to `word`, when it is near enough to have been meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().max(word.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `; did you mean …` for the nearest word, or all known words when none is near.
pub(crate) fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(word, known.clone()) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => {
            let known: Vec<_> = known.into_iter().collect();
            if known.is_empty() { String::new() } else { format!("; known are: {}", known.join(", ")) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_tells_message_context_and_cause_once() {
        let cause = Error::new(ErrorKind::Unreachable, "connection refused");
        let error = Error::new(ErrorKind::CorruptFile, "the footer cannot be read")
            .with("file", "a.parquet")
            .with("window", "2024-05-01")
            .caused_by(cause);
        assert_eq!(
            error.to_string(),
            "the footer cannot be read (file: a.parquet, window: 2024-05-01): connection refused"
        );
        assert_eq!(error.context("file"), Some("a.parquet"));
    }

    #[test]
    fn nearest_needs_likeness() {
        let known = ["logon_diff", "max_distribution"];
        assert_eq!(nearest("logn_diff", known), Some("logon_diff"));
        assert_eq!(nearest("MAX_DISTRIBUTON", known), Some("max_distribution"));
        assert_eq!(nearest("zebra", known), None);
        assert_eq!(suggestion("zebra", known), "; known are: logon_diff, max_distribution");
    }
}
