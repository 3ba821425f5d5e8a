//! What a run refuses before it begins.

use crate::error::{Error, ErrorKind, Result};
use crate::job::Job;
use crate::lake::Layout;
use crate::settings::Settings;
use crate::store::Location;

/// A flat lake that holds its own output would read its hits as sign-ins.
pub(super) fn refuse_output_in_source(job: &Job, settings: &Settings) -> Result<()> {
    let further = job.sources().skip(1).filter_map(|source| {
        let layout = source.layout.parse::<Layout>().ok()?;
        Some((settings.tables.get(&source.table)?, layout.is_flat()))
    });
    let output = Location::parse(&settings.output)?;
    for (source, is_flat) in std::iter::once((&settings.source, settings.layout.is_flat())).chain(further) {
        if is_flat && is_inside(&output, &Location::parse(source)?) {
            return Err(Error::new(
                ErrorKind::Usage,
                "the output lies inside the source, whose layout is flat: its hits would be read as rows; choose another --output",
            )
            .with("url", &settings.output));
        }
    }
    Ok(())
}

/// Whether `output` lies in `source`, or will once it is made.
fn is_inside(output: &Location, source: &Location) -> bool {
    match (source, output) {
        (Location::Folder(source), Location::Folder(output)) => {
            match (source.canonicalize(), nearest_that_exists(output)) {
                (Ok(source), Some(output)) => output.starts_with(source),
                _ => false,
            }
        }
        // By whole paths: the https forms have the container in it.
        (Location::Remote { url: source, .. }, Location::Remote { url: output, .. }) => {
            let folder = |url: &url::Url| format!("{}/", url.path().trim_end_matches('/'));
            source.authority() == output.authority() && folder(output).starts_with(&folder(source))
        }
        _ => false,
    }
}

/// The folder itself, or the nearest one above it that exists: where a new folder will stand.
fn nearest_that_exists(folder: &std::path::Path) -> Option<std::path::PathBuf> {
    let absolute = std::path::absolute(folder).ok()?;
    absolute.ancestors().find_map(|folder| folder.canonicalize().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_inside_its_source_is_known_wherever_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let local = |path: &str| folder.path().join(path).display().to_string();
        std::fs::create_dir(folder.path().join("lake")).unwrap();
        for (source, output, inside) in [
            (local("lake"), local("lake/not/there/yet"), true),
            (local("lake"), local("lake2"), false),
            (local("lake"), local("lake/../hunts"), false),
            ("s3://b/lake".to_owned(), "s3://b/lake/hunts".to_owned(), true),
            ("s3://b".to_owned(), "s3://b/hunts".to_owned(), true),
            ("s3://b/lake".to_owned(), "s3://b/lake2".to_owned(), false),
            ("s3://b/lake".to_owned(), "s3://c/lake/hunts".to_owned(), false),
            ("abfss://a@x.dfs.core.windows.net/l".to_owned(), "abfss://b@x.dfs.core.windows.net/l/h".to_owned(), false),
            ("https://x.blob.core.windows.net/a".to_owned(), "https://x.blob.core.windows.net/b/h".to_owned(), false),
            ("https://x.blob.core.windows.net/a".to_owned(), "https://x.blob.core.windows.net/a/h".to_owned(), true),
            (local("lake"), "s3://b/lake".to_owned(), false),
        ] {
            let parse = |text: &str| Location::parse(text).unwrap();
            assert_eq!(is_inside(&parse(&output), &parse(&source)), inside, "{output} in {source}");
        }
    }
}
