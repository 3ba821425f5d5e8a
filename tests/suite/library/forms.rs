//! What the hunts have in common: every job of the library loads and plans, and says what it is.

use std::path::Path;

use lakehunt::Job;

use crate::lake::block_on;

#[test]
fn every_job_plans_and_has_its_page() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs");
    let mut slugs = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(slug) = name.strip_suffix(".yaml") else { continue };
        let job = Job::load(&path).unwrap();
        block_on(lakehunt::check(&job)).unwrap_or_else(|e| panic!("{slug}: {e}"));
        assert!(!job.description().is_empty() && !job.tactics().is_empty() && !job.techniques().is_empty(), "{slug}");
        assert!(!job.entity_mappings().is_empty(), "{slug}");
        for name in job.parameters().keys() {
            assert!(job.parameter_description(name).is_some_and(|text| !text.is_empty()), "{slug}: {name}");
        }
        slugs.push(slug.to_owned());
    }
    slugs.retain(|slug| *slug != crate::lake::SLUG);
    slugs.sort();
    assert_eq!(slugs, super::SLUGS);
}
