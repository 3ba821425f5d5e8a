//! stdout, and files that a person names.

use std::io::{ErrorKind as IoErrorKind, Write};
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// Writes data to stdout. A reader that has seen enough (`| head`) is no error.
pub(super) fn write(bytes: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != IoErrorKind::BrokenPipe => {
            Err(Error::new(ErrorKind::Output, "stdout cannot be written").caused_by(e))
        }
        _ => Ok(()),
    }
}

/// Writes a JSON value on lines of its own.
pub(super) fn json(value: &serde_json::Value) -> Result<()> {
    write(format!("{value:#}\n").as_bytes())
}

/// Writes a file as a whole: who reads it meanwhile never sees half of it. `what` it is, for messages.
pub(super) fn replace(path: &Path, bytes: &[u8], what: &str) -> Result<()> {
    let failed = |e: std::io::Error| {
        Error::new(ErrorKind::Output, format!("{what} cannot be written")).with("file", path.display()).caused_by(e)
    };
    // Beside it, so that it is a rename.
    let mut staged = path.as_os_str().to_owned();
    staged.push(format!(".{}.tmp", std::process::id()));
    std::fs::write(&staged, bytes).and_then(|()| std::fs::rename(&staged, path)).map_err(|e| {
        // Nothing is left behind where that is possible.
        let _ = std::fs::remove_file(&staged);
        failed(e)
    })
}
