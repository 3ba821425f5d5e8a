//! `lakehunt new`

use std::fmt::Write as _;

use super::args::NewArgs;
use super::output;
use crate::error::Result;
use crate::scaffold;

pub(super) fn new(args: &NewArgs) -> Result<()> {
    let written = scaffold::write(&args.name)?;
    let mut text = String::new();
    // Writing to a string cannot fail.
    for file in &written {
        let _ = writeln!(text, "{}", file.display());
    }
    let name = &args.name;
    let _ = write!(
        text,
        "
Next:
  lakehunt test {name}       its tests, which pass
  lakehunt explain {name}    the SQL with its parameters, and its plans
  lakehunt run {name} --source … --output … --from 2024-05-01 --to 2024-05-08
"
    );
    output::write(text.as_bytes())
}
