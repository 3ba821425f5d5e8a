//! The files that a new hunt begins with: a job, its SQL and its tests, with a comment wherever there is a choice.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::job::Job;

const JOB: &str = include_str!("job.yaml");
const TESTS: &str = include_str!("tests.yaml");
const SQL: &str = include_str!("hunt.sql");
const VIEW: &str = include_str!("../../sql/views/signin-logs.sql");

/// Writes the hunt `name` beside the jobs that are there (or into the current folder), and gives the files. None that
/// exists is touched.
pub(crate) fn write(name: &str) -> Result<Vec<PathBuf>> {
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        return Err(Error::new(
            ErrorKind::Usage,
            format!("`{name}` is no name for a job; write small letters, digits and `-`: it names files and folders"),
        ));
    }
    write_below(&Job::root(), name, &uuid::Uuid::new_v4().to_string())
}

fn write_below(root: &Path, name: &str, id: &str) -> Result<Vec<PathBuf>> {
    let filled = |text: &str| text.replace("{{name}}", name).replace("{{id}}", id);
    let files = [
        (root.join(format!("jobs/{name}.yaml")), filled(JOB)),
        (root.join(format!("jobs/tests/{name}.yaml")), filled(TESTS)),
        (root.join(format!("sql/{name}.sql")), filled(SQL)),
    ];
    if let Some((taken, _)) = files.iter().find(|(path, _)| path.exists()) {
        return Err(Error::new(ErrorKind::Usage, "there is such a file already; choose another name")
            .with("file", taken.display()));
    }
    let view = (root.join("sql/views/signin-logs.sql"), VIEW.to_owned());
    let view = if view.0.exists() { None } else { Some(view) };
    let mut written = Vec::new();
    for (path, text) in files.into_iter().chain(view) {
        create(&path, &text).map_err(|e| {
            Error::new(ErrorKind::Output, "the file cannot be written").with("file", path.display()).caused_by(e)
        })?;
        written.push(path);
    }
    Ok(written)
}

fn create(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    File::create_new(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_new_hunt_is_valid_and_its_tests_pass() {
        let folder = tempfile::tempdir().unwrap();
        let written = write_below(folder.path(), "many-failures", "0b9b0f7a-0000-4000-8000-000000000000").unwrap();
        assert_eq!(written.len(), 4, "with the view, which is not there yet");
        let job = Job::load(&written[0]).unwrap();
        crate::explain::check(&job).await.unwrap();
        let cases = job.cases().unwrap();
        assert!(cases.len() >= 3);
        for case in &cases {
            let verdict = crate::hunt_test::test(&job, case).await.unwrap();
            assert!(verdict.has_passed(), "{verdict:?}");
        }
        let again = write_below(folder.path(), "many-failures", "").unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Usage);
        assert_eq!(write_below(folder.path(), "other", "x").unwrap().len(), 3, "the view is left as it is");
    }

    #[test]
    fn names_that_no_folder_should_have_are_refused() {
        for name in ["", "../x", "A b", "x.yaml"] {
            assert_eq!(write(name).unwrap_err().kind(), ErrorKind::Usage, "{name}");
        }
    }
}
