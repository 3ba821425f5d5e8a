//! `lakehunt validate`

use super::args::ValidateArgs;
use super::output;
use crate::error::{Error, ErrorKind, Result};
use crate::explain;
use crate::job::Job;

pub(super) async fn validate(args: ValidateArgs) -> Result<()> {
    let names = named_or_all(args.jobs)?;
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
    job.cases()?;
    Ok(job)
}

/// The jobs that were named; without any, all of the folder `jobs`.
pub(super) fn named_or_all(named: Vec<String>) -> Result<Vec<String>> {
    if !named.is_empty() {
        return Ok(named);
    }
    Ok(Job::all()?.iter().map(|path| path.display().to_string()).collect())
}
