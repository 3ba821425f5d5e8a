//! `lakehunt generate`

use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::args::GenerateArgs;
use super::output;
use crate::error::{Error, ErrorKind, Result};
use crate::generate::{GenerateError, Generated, PlantedHit, TenantSpec};
use crate::lake::Layout;
use crate::report::{human_bytes, human_count};

pub(super) fn run(args: GenerateArgs) -> Result<()> {
    let layout: Layout = args.layout.parse()?;
    let spec = TenantSpec {
        seed: args.seed,
        start: args.start,
        days: args.days,
        rows_per_day: args.rows_per_day,
        users: args.users,
        apps: args.apps,
        skew: args.skew,
        service_accounts: args.service_accounts,
        service_share: args.service_share,
        attacks_per_day: args.attacks_per_day,
        time_unit: args.time_unit,
        files_per_partition: args.files,
        shuffle_rows: args.shuffle,
        dictionary: !args.plain,
        extra_columns: !args.six_columns,
        ..TenantSpec::default()
    };
    let made = tenant(&spec, &args.output, &layout)?;
    if args.planted {
        for hit in &made.planted {
            output::write(format!("{}\n", planted(hit)).as_bytes())?;
        }
    } else {
        output::write(summary(&made, &args.output).as_bytes())?;
    }
    Ok(())
}

/// Makes a tenant below `root`, which has to be empty, with a bar on stderr.
pub(super) fn tenant(spec: &TenantSpec, root: &Path, layout: &Layout) -> Result<Generated> {
    if std::fs::read_dir(root).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Error::new(ErrorKind::Usage, "the folder is not empty; files of two tenants would mix")
            .with("folder", root.display()));
    }
    let bar = ProgressBar::new(u64::from(spec.days) * spec.rows_per_day);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} rows  {elapsed}") {
        bar.set_style(style);
    }
    let folder = |instant| layout.partition_of(instant).map(|partition| partition.path).unwrap_or_default();
    let made = crate::generate::generate(spec, root, &folder, &mut |rows| bar.set_position(rows));
    bar.finish_and_clear();
    made.map_err(|e| {
        let kind = match e {
            GenerateError::Spec { .. } => ErrorKind::Usage,
            _ => ErrorKind::Output,
        };
        Error::new(kind, "the tenant cannot be made").caused_by(e)
    })
}

pub(super) fn summary(made: &Generated, root: &Path) -> String {
    format!(
        "made {} rows in {} files, {}, with {} planted hits, in {}\n",
        human_count(made.rows),
        human_count(made.files),
        human_bytes(made.bytes),
        made.planted.len(),
        root.display()
    )
}

fn planted(hit: &PlantedHit) -> serde_json::Value {
    json!({
        "UserPrincipalName": hit.user,
        "SuccessLogonTime": hit.success_time,
        "IPAddress": hit.ip,
        "SuccessAppDisplayName": hit.success_app,
        "FailedLogonTime": hit.failed_time,
        "FailedAppDisplayName": hit.failed_app,
        "ResultType": hit.result_type,
        "ResultDescription": hit.result_description,
        "distribution_count": hit.pairs,
    })
}
