//! What went wrong with a scan on another machine, as text on its way here, and back. The engine carries the text of an error
//! from machine to machine, and the kinds of its own; the kind of ours has to travel in the text.

use std::fmt::Display;

use datafusion::common::DataFusionError;

use crate::error::{Error, ErrorKind};
use crate::store::find_cause;

const BEGIN: char = '\u{2}';
const BETWEEN: char = '\u{1f}';
const END: char = '\u{3}';

/// The kinds that reading a lake fails with.
const KINDS: [ErrorKind; 9] = [
    ErrorKind::SourceMissing,
    ErrorKind::Unreachable,
    ErrorKind::AccessDenied,
    ErrorKind::CorruptFile,
    ErrorKind::SourceChanged,
    ErrorKind::SchemaMismatch,
    ErrorKind::ResourcesExhausted,
    ErrorKind::Usage,
    ErrorKind::InvalidJob,
];

/// `error` so that the machine that asked for the scan knows its kind.
pub(super) fn tell(error: DataFusionError) -> DataFusionError {
    let Some(ours) = find_cause::<Error>(&error) else { return error };
    DataFusionError::Execution(format!("{BEGIN}{}{BETWEEN}{ours}{END}", ours.kind()))
}

/// What another machine has told, if `error` is that.
pub(crate) fn told(error: &impl Display) -> Option<Error> {
    let text = error.to_string();
    let (_, told) = text.split_once(BEGIN)?;
    let (told, _) = told.split_once(END)?;
    let (kind, message) = told.split_once(BETWEEN)?;
    let kind = KINDS.into_iter().find(|known| known.to_string() == kind)?;
    Some(Error::new(kind, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_and_its_story_arrive() {
        for kind in KINDS {
            let error = Error::new(kind, "the file is damaged").with("file", "a/b.parquet");
            let sent = tell(DataFusionError::External(Box::new(error.clone())).context("somewhere")).to_string();
            let arrived = told(&DataFusionError::External(sent.into())).unwrap();
            assert_eq!((arrived.kind(), arrived.to_string()), (kind, error.to_string()));
        }
    }

    #[test]
    fn what_is_not_ours_stays_as_it_is() {
        let error = tell(DataFusionError::ResourcesExhausted("memory".into()));
        assert!(matches!(error, DataFusionError::ResourcesExhausted(_)));
        assert!(told(&error).is_none());
    }
}
