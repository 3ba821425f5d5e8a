//! Finds a job file, reads it and what it names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::list::List;
use super::manifest::{Manifest, SourceSpec};
use super::parameter::Value;
use super::sql::HuntSql;
use super::{Duplicates, Job, RUN_PARAMETERS};
use crate::error::{Error, ErrorKind, Result, suggestion};
use crate::secrets::{redact, suspicious};

/// The job file that `name` means: a path, or a slug looked up in `$LAKEHUNT_HOME/jobs`, then in `jobs` of the current
/// folder and of each one above it.
pub(super) fn locate(name: &str) -> Result<PathBuf> {
    let path = Path::new(name);
    let typed_as_path = path.components().count() > 1 || is_yaml(path);
    if typed_as_path {
        return Ok(path.to_owned());
    }
    let mut slugs = Vec::new();
    for folder in folders() {
        for ending in ["yaml", "yml"] {
            let candidate = folder.join(name).with_extension(ending);
            if candidate.is_file() {
                return Ok(candidate);
            }
        }
        slugs.extend(files(&folder).iter().filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())));
    }
    slugs.sort();
    slugs.dedup();
    let known = if slugs.is_empty() {
        "; there is no folder `jobs` here or above, so give the path of a job file or set LAKEHUNT_HOME".to_owned()
    } else {
        suggestion(name, slugs.iter().map(String::as_str))
    };
    Err(Error::new(ErrorKind::InvalidJob, format!("there is no job `{name}`{known}")))
}

/// The job files of the folder `jobs` that goes before the others, by name.
pub(super) fn all() -> Result<Vec<PathBuf>> {
    let mut files = folders().find(|folder| folder.is_dir()).map(|folder| files(&folder)).ok_or_else(|| {
        Error::new(ErrorKind::Usage, "there is no folder `jobs` here or above; name a job file, or set LAKEHUNT_HOME")
    })?;
    files.sort();
    Ok(files)
}

/// Where jobs are looked for: `jobs` in `$LAKEHUNT_HOME`, in the current folder and in each one above it.
fn folders() -> impl Iterator<Item = PathBuf> {
    let home = std::env::var_os("LAKEHUNT_HOME").map(PathBuf::from);
    let current = std::env::current_dir().unwrap_or_default();
    let above: Vec<PathBuf> = current.ancestors().map(Path::to_owned).collect();
    home.into_iter().chain(above).map(|root| root.join("jobs"))
}

/// Where a new job goes.
pub(super) fn root() -> PathBuf {
    if let Some(home) = std::env::var_os("LAKEHUNT_HOME") {
        return home.into();
    }
    let jobs = folders().find(|folder| folder.is_dir());
    jobs.and_then(|jobs| Some(jobs.parent()?.to_owned())).unwrap_or_default()
}

/// The YAML files of a folder; of one that cannot be read, none.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file() && is_yaml(path)).collect()
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml")
}

pub(super) fn load(path: &Path) -> Result<Job> {
    let text = read(path)?;
    // Before anything that would repeat a line of the file in a message.
    refuse_secrets(&text).map_err(|e| e.with("file", path.display()))?;
    let manifest: Manifest = serde_saphyr::from_str(&text).map_err(|e| unreadable("the job file is", path, &e))?;
    let invalid = |message: String| Error::new(ErrorKind::InvalidJob, message).with("file", path.display());

    let slug = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .filter(|stem| stem.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)))
        .ok_or_else(|| {
            invalid("name the file with letters, digits, `-`, `_` and `.` only; it names the output".into())
        })?
        .to_owned();
    for (key, value) in [("id", &manifest.id), ("name", &manifest.name), ("version", &manifest.version)] {
        if value.trim().is_empty() {
            return Err(invalid(format!("`{key}` is empty")));
        }
    }

    let mut parameters = BTreeMap::new();
    for (name, spec) in &manifest.parameters {
        if RUN_PARAMETERS.contains(&name.as_str()) {
            return Err(invalid(format!("parameter `{name}` has the name of one that every run gives; rename it")));
        }
        let value = Value::from_literal(spec.kind, spec.default.clone())
            .map_err(|e| invalid(format!("the default of parameter `{name}` is not valid")).caused_by(e))?;
        parameters.insert(name.clone(), value);
    }

    let source = &manifest.source;
    check_source(source, "source").map_err(&invalid)?;
    for (index, further) in manifest.sources.iter().enumerate() {
        check_source(further, &format!("sources[{index}]")).map_err(&invalid)?;
        let before = std::iter::once(source).chain(&manifest.sources[..index]);
        if before.into_iter().any(|other| other.table.eq_ignore_ascii_case(&further.table)) {
            return Err(invalid(format!("two tables are named `{}` (case aside)", further.table)));
        }
    }
    if source.optional {
        return Err(invalid(
            "source.optional is true, but a hunt needs its source; only those of `sources` can be".into(),
        ));
    }

    let folder = path.parent().unwrap_or(Path::new(""));
    let sql = HuntSql::load(&folder.join(&manifest.sql)).map_err(|e| e.with("job", path.display()))?;
    let views = std::iter::once(source)
        .chain(&manifest.sources)
        .map(|source| source.view.as_ref().map(|view| HuntSql::load(&folder.join(view))).transpose());
    let views: Vec<Option<HuntSql>> = views.collect::<Result<_>>().map_err(|e| e.with("job", path.display()))?;
    let mut lists = BTreeMap::new();
    for (name, spec) in &manifest.lists {
        let table = |other: &str| name.eq_ignore_ascii_case(other);
        if table("raw")
            || std::iter::once(source).chain(&manifest.sources).any(|source| table(&source.table))
            || RUN_PARAMETERS.contains(&name.as_str())
            || parameters.contains_key(name)
        {
            return Err(invalid(format!("the list `{name}` has the name of a table or a parameter; rename it")));
        }
        let list = match &spec.file {
            Some(file) => List::load(spec, &folder.join(file)),
            None => List::empty(spec),
        };
        lists.insert(name.clone(), list.map_err(|e| e.with("list", name).with("job", path.display()))?);
    }
    let names = parameters.keys().chain(lists.keys()).map(String::as_str);
    let known: Vec<&str> = RUN_PARAMETERS.into_iter().chain(names).collect();
    for sql in std::iter::once(&sql).chain(views.iter().flatten()) {
        sql.check_parameters(&known)?;
    }

    let job = Job { slug, path: path.to_owned(), manifest, sql, views, parameters, lists };
    job.reach(crate::window::Scope::Overlap)?;
    Ok(job)
}

/// Checks what a table says of itself; `key` is where it stands.
fn check_source(source: &SourceSpec, key: &str) -> Result<(), String> {
    let known = |name: &str| suggestion(name, source.columns.keys().map(String::as_str));
    match source.columns.get(&source.time) {
        Some(column) if column.kind == super::ColumnType::Datetime => {}
        Some(_) => return Err(format!("{key}.time names `{}`, which is no datetime column", source.time)),
        None => {
            let known = known(&source.time);
            return Err(format!("{key}.time names `{}`, which is no column of the source{known}", source.time));
        }
    }
    match (source.duplicates, &source.id) {
        (Duplicates::ById, None) => {
            return Err(format!("{key}.duplicates is by_id; name the column that tells rows apart in {key}.id"));
        }
        (_, Some(id)) => match source.columns.get(id) {
            Some(column) if column.kind == super::ColumnType::String => {}
            Some(_) => return Err(format!("{key}.id names `{id}`, which is no string column")),
            None => return Err(format!("{key}.id names `{id}`, which is no column of the source{}", known(id))),
        },
        _ => {}
    }
    if source.table.eq_ignore_ascii_case("raw") {
        return Err(format!("{key}.table is `raw`, the name of the lake's own rows; choose another"));
    }
    Ok(())
}

/// Refuses a file that holds a credential: job files are shared, kept in repositories and shown.
fn refuse_secrets(text: &str) -> Result<()> {
    // One that is no YAML at all is told of by the reader of the manifest.
    let Ok(file) = serde_saphyr::from_str::<serde_json::Value>(text) else { return Ok(()) };
    fn walk(place: &str, value: &serde_json::Value) -> Result<()> {
        use serde_json::Value as Json;
        match value {
            Json::Object(fields) => fields.iter().try_for_each(|(key, value)| {
                let place = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
                // Names of parameters and columns are the hunt's own business.
                let named = !["parameters.", "source.columns.", "sources.columns.", "tests."].iter().any(|own| place.starts_with(own));
                let found = match value {
                    Json::String(text) => suspicious(if named { key } else { "" }, text),
                    Json::Number(_) if named => suspicious(key, ""),
                    _ => None,
                };
                match found {
                    Some(why) => Err(Error::new(
                        ErrorKind::InvalidJob,
                        format!(
                            "a job file holds no secrets, and `{place}` looks like one: {why}; take it out and give it in \
                             the environment, for example as AWS_SECRET_ACCESS_KEY or AZURE_STORAGE_ACCOUNT_KEY, or by a \
                             profile"
                        ),
                    )),
                    None => walk(&place, value),
                }
            }),
            Json::Array(items) => items.iter().try_for_each(|item| match item {
                Json::String(text) if suspicious("", text).is_some() => walk(place, &serde_json::json!({ "": text })),
                item => walk(place, item),
            }),
            _ => Ok(()),
        }
    }
    walk("", &file)
}

/// What a reader of YAML has to say of the file `path`.
pub(super) fn unreadable(what: &str, path: &Path, error: &serde_saphyr::Error) -> Error {
    let text = redact(&error.to_string()).into_owned();
    Error::new(ErrorKind::InvalidJob, format!("{what} not valid: {}", with_suggestion(&text)))
        .with("file", path.display())
}

pub(super) fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| {
        Error::new(ErrorKind::InvalidJob, "the file cannot be read").with("file", path.display()).caused_by(e)
    })
}

/// serde names an unknown key and all known ones; this adds which of them was probably meant.
fn with_suggestion(message: &str) -> String {
    let meant = message.split_once("unknown ").and_then(|(_, rest)| {
        let (unknown, known) = rest.lines().next()?.split_once("expected ")?;
        let unknown = unknown.split('`').nth(1)?;
        let known = known.trim_start_matches("one of ");
        crate::error::nearest(unknown, known.split(", ").map(|word| word.trim_matches('`')))
    });
    match meant {
        Some(near) => format!("{}\n  did you mean `{near}`?", message.trim_end()),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_followed_by_the_nearest_known_one() {
        for message in [
            "line 3: unknown field `severty`, expected one of id, name, severity\n  |",
            "unknown variant `severty`, expected one of `id`, `severity`",
        ] {
            assert!(with_suggestion(message).ends_with("did you mean `severity`?"), "{message}");
        }
        assert_eq!(with_suggestion("missing field `id`"), "missing field `id`");
    }
}
