//! `lakehunt completions`

use clap::CommandFactory;

use super::args::{Args, CompletionsArgs};
use super::output;
use crate::error::Result;

pub(super) fn completions(args: CompletionsArgs) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "lakehunt", &mut script);
    output::write(&script)
}
