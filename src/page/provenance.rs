//! Where the figures come from, as the run records tell; and what the hunt left out as too common.

use std::collections::{BTreeMap, BTreeSet};

use super::Request;
use super::coverage::Covered;
use super::read::Material;
use super::values::{Common, CommonKey, Count, Provenance, WindowOrigin};
use crate::job::Job;
use crate::report::{human_bytes, visible};
use crate::sink::RunRecord;

/// Windows that are listed one by one; the newest.
const MOST_WINDOWS: usize = 120;

/// Common keys that are listed.
const MOST_KEYS: usize = 15;

/// Values of a fact that are listed.
const MOST_VALUES: usize = 5;

/// Keys over the limit of the distribution, over all windows, those with most pairs first.
pub(super) fn common(job: &Job, material: &Material) -> Common {
    let columns = &job.output().key;
    let mut keys: BTreeMap<Vec<String>, (u64, u64)> = BTreeMap::new();
    for key in records(material).flat_map(|record| &record.over_limit) {
        let value = |column: &String| key.value(column).map_or(String::new(), |text| visible(text).into_owned());
        let entry = keys.entry(columns.iter().map(value).collect()).or_default();
        entry.0 += 1;
        entry.1 += key.pairs.and_then(|pairs| u64::try_from(pairs).ok()).unwrap_or_default();
    }
    let distinct = keys.len();
    let mut keys: Vec<CommonKey> = keys
        .into_iter()
        .map(|(values, (windows, pairs))| CommonKey { values, windows: Count(windows), pairs: Count(pairs) })
        .collect();
    keys.sort_by(|a, b| b.pairs.cmp(&a.pairs).then_with(|| a.values.cmp(&b.values)));
    keys.truncate(MOST_KEYS);
    Common {
        columns: columns.clone(),
        keys,
        distinct: Count(distinct as u64),
        left: Count(distinct.saturating_sub(MOST_KEYS) as u64),
    }
}

pub(super) fn provenance(job: &Job, material: &Material, windows: &[Covered], request: &Request) -> Provenance {
    let newest = records(material).max_by_key(|record| record.finished_at);
    let all = |value: fn(&RunRecord) -> Vec<String>| -> String {
        let values: BTreeSet<String> = records(material).flat_map(value).collect();
        let left = values.len().saturating_sub(MOST_VALUES);
        let mut text = values.into_iter().take(MOST_VALUES).collect::<Vec<_>>().join(", ");
        if left > 0 {
            text.push_str(&format!(" and {left} more"));
        }
        visible(&text).into_owned()
    };
    let files: BTreeMap<&str, u64> =
        records(material).flat_map(|record| &record.inputs).map(|input| (input.path.as_str(), input.size)).collect();
    let finished = |record: &RunRecord| record.finished_at;
    let (first, last) = (records(material).map(finished).min(), records(material).map(finished).max());
    let evaluated = first.zip(last).map_or(String::new(), |(first, last)| {
        let show = |instant: chrono::DateTime<chrono::Utc>| instant.format("%Y-%m-%d %H:%M:%S").to_string();
        if first == last { show(first) } else { format!("{} to {}", show(first), show(last)) }
    });
    let mut facts = vec![
        ("Hunt".to_owned(), format!("{} version {}, id {}", job.slug(), job.version(), job.id())),
        ("Hit table".to_owned(), format!("{}/hits/job={}", request.output.trim_end_matches('/'), job.slug())),
        ("Lake".to_owned(), all(|record| vec![record.source.clone()])),
        ("Folders".to_owned(), all(|record| vec![record.layout.clone()])),
        ("Files".to_owned(), format!("{}, {}", Count(files.len() as u64), human_bytes(files.values().sum()))),
        ("Windows".to_owned(), all(|record| vec![format!("{}, {}", record.window.size, record.window.scope)])),
        ("Time from".to_owned(), all(|record| record.time_columns.clone())),
        ("Coarsest time unit".to_owned(), all(|record| record.time_unit.iter().cloned().collect())),
        ("Fingerprint".to_owned(), all(|record| vec![record.job.fingerprint.clone()])),
        ("Evaluated (UTC)".to_owned(), evaluated),
        ("Runs".to_owned(), all(|record| record.run.iter().cloned().collect())),
        (
            "Versions".to_owned(),
            all(|record| record.versions.iter().map(|(name, version)| format!("{name} {version}")).collect()),
        ),
        ("Report by".to_owned(), format!("lakehunt {}", env!("CARGO_PKG_VERSION"))),
    ];
    facts.retain(|(_, value)| !value.is_empty());
    let parameter = |(name, value): (&String, &String)| {
        let description = job.parameter_description(name).unwrap_or_default();
        (name.clone(), visible(value).into_owned(), visible(description).into_owned())
    };
    let warnings: BTreeSet<String> =
        records(material).flat_map(|record| &record.warnings).map(|text| visible(text).into_owned()).collect();
    let origins: Vec<&Covered> = windows.iter().filter(|window| record_of(material, window).is_some()).collect();
    let left = origins.len().saturating_sub(MOST_WINDOWS);
    let listed = origins.into_iter().skip(left);
    Provenance {
        facts,
        parameters: newest.map(|record| record.parameters.iter().map(parameter).collect()).unwrap_or_default(),
        windows: listed.filter_map(|window| Some(origin(window, record_of(material, window)?))).collect(),
        windows_left: Count(left as u64),
        warnings: warnings.into_iter().take(MOST_VALUES * 2).collect(),
    }
}

fn origin(window: &Covered, record: &RunRecord) -> WindowOrigin {
    let digest = record.hit_file.as_ref().map_or("", |file| file.sha256.as_str());
    WindowOrigin {
        label: window.label.clone(),
        hits: Count(window.hits),
        files: Count(record.inputs.len() as u64),
        rows_read: Count(record.rows_read),
        finished: record.finished_at.format("%Y-%m-%d %H:%M:%S").to_string(),
        run: record.run.clone().unwrap_or_default(),
        digest: digest.get(..16).unwrap_or(digest).to_owned(),
    }
}

fn records(material: &Material) -> impl Iterator<Item = &RunRecord> {
    material.windows.values().filter_map(|found| found.record.as_ref())
}

fn record_of<'a>(material: &'a Material, window: &Covered) -> Option<&'a RunRecord> {
    material.windows.get(&window.label)?.record.as_ref()
}
