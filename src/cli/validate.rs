//! `lakehunt validate`

use std::path::{Path, PathBuf};

use super::args::ValidateArgs;
use super::output;
use crate::error::{Error, ErrorKind, Result};
use crate::explain;
use crate::job::Job;

pub(super) async fn validate(args: ValidateArgs) -> Result<()> {
    let names = if args.jobs.is_empty() { all()? } else { args.jobs };
    let mut invalid = 0;
    for name in &names {
        match check(name).await {
            Ok(job) => output::write(format!("{name}: valid ({} {})\n", job.name(), job.version()).as_bytes())?,
            Err(error) => {
                invalid += 1;
                tracing::error!(kind = %error.kind(), "{error}");
            }
        }
    }
    match invalid {
        0 => Ok(()),
        count => Err(Error::new(ErrorKind::InvalidJob, format!("{count} of {} jobs are not valid", names.len()))),
    }
}

async fn check(name: &str) -> Result<Job> {
    let job = Job::find(name)?;
    explain::check(&job).await?;
    Ok(job)
}

/// The job files of the folder `jobs` here.
fn all() -> Result<Vec<String>> {
    let folder =
        std::env::var_os("LAKEHUNT_HOME").map_or_else(|| PathBuf::from("jobs"), |home| Path::new(&home).join("jobs"));
    let entries = std::fs::read_dir(&folder).map_err(|e| {
        Error::new(ErrorKind::Usage, "there is no folder of jobs; name a job file")
            .with("folder", folder.display())
            .caused_by(e)
    })?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "yaml" || e == "yml"))
        .map(|path| path.display().to_string())
        .collect();
    names.sort();
    Ok(names)
}
