//! What a tenant is made of, and which of it makes sense.

use chrono::{DateTime, Datelike, Duration, NaiveDate, NaiveTime, Utc};

use super::GenerateError;
use super::attacks::ROWS_PER_ATTACK;

/// How `TimeGenerated` (and `CreatedDateTime`) are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, clap::ValueEnum)]
#[non_exhaustive]
pub enum TimeUnit {
    /// INT64 timestamp in milliseconds, UTC. Azure Data Explorer's exports.
    Ms,
    /// INT64 timestamp in microseconds, UTC. Most lakes.
    #[default]
    Us,
    /// INT64 timestamp in nanoseconds, UTC; instants stay whole ticks of 100 ns, as in KQL.
    Ns,
    /// The old INT96 of Spark and Impala, nanoseconds, UTC.
    Int96,
    /// ISO 8601 text with seven digits and a Z, such as `2024-05-01T08:15:00.1234567Z`.
    Text,
}

impl TimeUnit {
    /// The instant, in ticks of 100 ns, that a column of this unit gives back.
    pub(super) fn cut(self, ticks: i64) -> i64 {
        match self {
            Self::Ms => ticks - ticks.rem_euclid(10_000),
            Self::Us => ticks - ticks.rem_euclid(10),
            Self::Ns | Self::Int96 | Self::Text => ticks,
        }
    }
}

/// A synthetic tenant and the shape of its lake.
///
/// The default is a week of a company of two thousand people, which takes a second.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantSpec {
    /// Seed of all that is drawn. Any value.
    pub seed: u64,
    /// First UTC day, 1970-01-02 to 2199-12-31.
    pub start: NaiveDate,
    /// Number of UTC days, at least 1; the last one must not lie after 2199-12-31.
    pub days: u32,
    /// Sign-in rows of every day, attacks and decoys included; exact. At least 1.
    pub rows_per_day: u64,
    /// People, 1 to 4,000,000. Administrators (one in 200, with accounts and workstations of their own) and service
    /// accounts come on top.
    pub users: u32,
    /// Apps that people and service accounts sign in to, 1 to 100,000. The apps that only administrators and attackers
    /// use (20 or more) come on top.
    pub apps: u32,
    /// Zipf exponent of people and apps, 0 (all alike) to 10. At 1 the first of 2,000 people makes an eighth
    /// of all sign-ins, in sessions that overlap, which gives hits besides the planted ones; at 0.5 few are left.
    pub skew: f64,
    /// Accounts that sign in all day from one address each, 0 to 100,000.
    pub service_accounts: u32,
    /// Share of all rows that belongs to service accounts, 0 to 1; 0 if there are none.
    pub service_share: f64,
    /// Attacks planted in each day, 0 to 10,000, and as many decoys that look alike and are no hits. At most one for
    /// 20 rows of the day.
    pub attacks_per_day: u32,
    /// Share of values that are NULL, 0 to 1, in each of UserPrincipalName, IPAddress, AppDisplayName, and in the
    /// ResultDescription of failures (that of successes is NULL or empty anyway). Never in planted rows.
    pub null_share: f64,
    /// Share of the sign-ins of people and service accounts that fail, 0 to 1.
    pub failure_share: f64,
    /// Physical type of the time columns.
    pub time_unit: TimeUnit,
    /// Files of one folder and day, 1 to 500, all open at once. Rows are dealt out in turn, so every file spans the whole folder, as
    /// parallel tasks of one engine leave them. A folder with fewer rows has fewer files.
    pub files_per_partition: u32,
    /// Rows in no order inside a folder and day; false: in order of time in every file.
    pub shuffle_rows: bool,
    /// Dictionary-encode strings (up to the usual 1 MB of dictionary a column chunk); false: plain.
    pub dictionary: bool,
    /// Rows of a row group, 1 to 100,000,000.
    pub row_group_rows: usize,
    /// Also write CreatedDateTime (the instant of the sign-in; TimeGenerated trails it by seconds to minutes),
    /// CorrelationId, UserId, Location, ClientAppUsed and ConditionalAccessStatus, so that reading only the
    /// needed columns pays.
    pub extra_columns: bool,
}

impl Default for TenantSpec {
    fn default() -> Self {
        Self {
            seed: 1,
            start: NaiveDate::from_ymd_opt(2024, 5, 1).unwrap_or_default(),
            days: 7,
            rows_per_day: 100_000,
            users: 2_000,
            apps: 120,
            skew: 0.8,
            service_accounts: 4,
            service_share: 0.1,
            attacks_per_day: 5,
            null_share: 0.001,
            failure_share: 0.1,
            time_unit: TimeUnit::Us,
            files_per_partition: 1,
            shuffle_rows: false,
            dictionary: true,
            row_group_rows: 1 << 20,
            extra_columns: true,
        }
    }
}

impl TenantSpec {
    /// The UTC day of this index.
    pub(super) fn date(&self, day: u32) -> NaiveDate {
        // Checked by `validate`; an index beyond the last day is a mistake of this module alone.
        self.start.checked_add_signed(Duration::days(i64::from(day))).unwrap_or(self.start)
    }

    /// The start of a minute of a day.
    pub(super) fn instant(&self, day: u32, minute: u32) -> DateTime<Utc> {
        self.date(day).and_time(NaiveTime::MIN).and_utc() + Duration::minutes(i64::from(minute))
    }

    /// Ticks of 100 ns from the epoch to the day's start.
    pub(super) fn day_start(&self, day: u32) -> i64 {
        self.instant(day, 0).timestamp() * super::traffic::SECOND
    }

    /// Says which field makes no sense.
    pub(super) fn validate(&self) -> Result<(), GenerateError> {
        within("days", self.days, 1, u32::MAX)?;
        let years = 1970..=2199;
        let last = self.start.checked_add_signed(Duration::days(i64::from(self.days) - 1));
        let epoch = self.start.year() == 1970 && self.start.ordinal() == 1;
        if epoch || !years.contains(&self.start.year()) {
            return Err(bad("start", "must lie in 1970-01-02 to 2199-12-31"));
        }
        if !last.is_some_and(|last| years.contains(&last.year())) {
            return Err(bad("days", "must not reach beyond 2199-12-31"));
        }
        within("rows_per_day", self.rows_per_day, 1, u64::from(u32::MAX))?;
        within("users", self.users, 1, 4_000_000)?;
        within("apps", self.apps, 1, 100_000)?;
        within("skew", self.skew, 0.0, 10.0)?;
        within("service_accounts", self.service_accounts, 0, 100_000)?;
        within("service_share", self.service_share, 0.0, 1.0)?;
        within("attacks_per_day", self.attacks_per_day, 0, 10_000)?;
        within("null_share", self.null_share, 0.0, 1.0)?;
        within("failure_share", self.failure_share, 0.0, 1.0)?;
        within("files_per_partition", self.files_per_partition, 1, 500)?;
        within("row_group_rows", self.row_group_rows, 1, 100_000_000)?;
        if self.service_share > 0.0 && self.service_accounts == 0 {
            return Err(bad("service_share", "must be 0 without service_accounts"));
        }
        let most = self.rows_per_day / ROWS_PER_ATTACK;
        if u64::from(self.attacks_per_day) > most {
            return Err(bad(
                "attacks_per_day",
                format!("must be at most {most}, one for {ROWS_PER_ATTACK} of rows_per_day"),
            ));
        }
        Ok(())
    }
}

/// Says that a field is outside its bounds; NaN is outside of any.
fn within<T>(field: &'static str, value: T, low: T, high: T) -> Result<(), GenerateError>
where
    T: PartialOrd + std::fmt::Display,
{
    if low <= value && value <= high {
        return Ok(());
    }
    Err(bad(field, format!("must be in {low} to {high}, not {value}")))
}

fn bad(field: &'static str, problem: impl Into<String>) -> GenerateError {
    GenerateError::Spec { field, problem: problem.into() }
}
