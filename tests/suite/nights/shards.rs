//! Parts of a range on several machines at once.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Stdio};

use crate::lake::SLUG;
use crate::nights::{generate, json, passed, run};
use crate::stores::place::{Backend, Place};

const RANGE: [&str; 4] = ["--from", "2024-05-01", "--to", "2024-06-10"];

#[test]
fn four_shards_at_once_are_the_whole_and_no_window_is_done_twice() {
    let folder = tempfile::tempdir().unwrap();
    generate(&folder.path().join("lake"), 40, 800, &[]);
    for backend in Backend::all() {
        let place = Place::new(backend);
        place.upload_folder(&folder.path().join("lake"), "lake");
        passed(&place, &run(&place, "whole", &RANGE).output().unwrap());
        let whole: BTreeMap<_, _> = hits(&place, "whole");
        assert_eq!(whole.len(), 40);

        let start = |shard: &str| -> Child {
            let mut command = run(&place, "out", &[&RANGE[..], &["--shard", shard]].concat());
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let shards: Vec<Child> = ["1/4", "2/4", "3/4", "4/4"].into_iter().map(start).collect();
        for shard in shards {
            passed(&place, &shard.wait_with_output().unwrap());
        }
        assert!(hits(&place, "out") == whole, "{}: the same bytes", backend.name());

        let history = json(&place.lakehunt(&["history", SLUG, "--output", &place.url("out"), "--json"]));
        let runs = history["runs"].as_array().unwrap();
        assert_eq!(runs.len(), 4);
        let mut seen = BTreeSet::new();
        for run in runs {
            let done = run["done"].as_array().unwrap();
            assert!((8..=12).contains(&done.len()), "{}: shards are of a size: {history}", backend.name());
            for window in done {
                let label = window["window"].as_str().unwrap().to_owned();
                assert!(seen.insert(label), "{}: {window} was done twice", backend.name());
            }
        }
        assert_eq!(seen.len(), 40);
    }
}

fn hits(place: &Place, output: &str) -> BTreeMap<String, Vec<u8>> {
    let objects = place.objects(&format!("{output}/hits/job={SLUG}")).into_iter();
    objects.filter(|(name, _)| name.ends_with("hits.parquet")).collect()
}

#[test]
fn a_shard_needs_a_range_that_all_agree_on() {
    let place = Place::new(Backend::Local);
    std::fs::create_dir_all(place.url("lake")).unwrap();
    for (flags, why) in [
        (&["--shard", "1/4"][..], "have to agree"),
        (&["--shard", "5/4", "--from", "2024-05-01", "--to", "2024-05-02"], "is no shard"),
        (&["--shard", "1/4", "--from", "2024-05-01", "--to", "2024-05-02", "--window", "all"], "has no part"),
    ] {
        let output = run(&place, "out", flags).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(why), "{said}");
    }
}
