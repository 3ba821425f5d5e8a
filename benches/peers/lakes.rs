//! The lakes that are hunted, made once.

use std::path::{Path, PathBuf};

use chrono::{Days, NaiveDate};
use lakehunt::{Layout, TenantSpec};

use crate::Result;
use crate::contender::Setup;

/// How the rows of a day lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One file a day, in order of time, text as dictionaries.
    Ordered,
    Shuffled,
    TenFiles,
    Plain,
}

impl Shape {
    pub(crate) const ALL: [Self; 4] = [Self::Ordered, Self::Shuffled, Self::TenFiles, Self::Plain];
}

/// A lake of a million rows a day.
#[derive(Debug)]
pub(crate) struct Lake {
    pub(crate) path: PathBuf,
    pub(crate) from: NaiveDate,
    pub(crate) to: NaiveDate,
}

impl Lake {
    /// So many million rows of 20,000 users and 300 apps, if `skew` a tenth of them by one service account.
    pub(crate) fn get(setup: &Setup, millions: u64, skew: bool, shape: Shape) -> Result<Self> {
        let spec = TenantSpec {
            days: u32::try_from(millions)?,
            rows_per_day: 1_000_000,
            users: 20_000,
            apps: 300,
            service_accounts: u32::from(skew),
            service_share: if skew { 0.1 } else { 0.0 },
            extra_columns: false,
            shuffle_rows: shape == Shape::Shuffled,
            files_per_partition: if shape == Shape::TenFiles { 10 } else { 1 },
            dictionary: shape != Shape::Plain,
            ..TenantSpec::default()
        };
        Self::made(setup, &format!("{millions}m-{}-{shape:?}", if skew { "skew" } else { "even" }), &spec)
    }

    /// A day of 200,000 rows, of one account and one address within an hour or so.
    pub(crate) fn one_account(setup: &Setup) -> Result<Self> {
        let spec = TenantSpec { days: 1, rows_per_day: 1, attacks_per_day: 0, ..TenantSpec::default() };
        let mut lake = Self::made(setup, "one-account", &spec)?;
        lake.path = setup.lakes().join("one-account-hour");
        if !lake.path.exists() {
            crate::contender::write_one_account(&lake.path)?;
        }
        Ok(lake)
    }

    fn made(setup: &Setup, name: &str, spec: &TenantSpec) -> Result<Self> {
        let path = setup.lakes().join(name);
        if !path.exists() {
            let layout: Layout = "date={yyyy-MM-dd}".parse()?;
            let folder = |instant| layout.partition_of(instant).map(|partition| partition.path).unwrap_or_default();
            let making = setup.lakes().join(format!("{name}.making"));
            let _ = std::fs::remove_dir_all(&making);
            lakehunt::generate(spec, &making, &folder, &mut |_| {})?;
            std::fs::rename(making, &path)?;
        }
        let to = spec.start.checked_add_days(Days::new(u64::from(spec.days))).ok_or("no such day")?;
        Ok(Self { path, from: spec.start, to })
    }
}

/// The files of a lake, in the order of their days.
pub(crate) fn files(lake: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for day in std::fs::read_dir(lake)? {
        for file in std::fs::read_dir(day?.path())? {
            files.push(file?.path());
        }
    }
    files.sort();
    Ok(files)
}
