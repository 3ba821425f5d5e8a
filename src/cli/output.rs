//! stdout.

use std::io::{ErrorKind as IoErrorKind, Write};

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
