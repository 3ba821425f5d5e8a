//! Who is at work on which windows, so that two runs at once do not do the same work twice.
//!
//! One object holds the claims of all runs of a table, and is replaced only if it is still as it was read; so of two runs
//! that begin at the same moment one sees the other's claim. A claim expires unless its run renews it, so that a run
//! that died holds nobody up for longer than its lease:
//!
//! ```text
//!   take ---- renew ---- renew ---- release
//!   |--------- lease ---------|
//!              |--------- lease ---------|
//! ```
//!
//! Claims save work and decide nothing: what a window is in the end is decided by its commit, which heeds no claim.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use object_store::UpdateVersion;
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use super::record::VERSION;
use super::table::{Put, Table, json};
use crate::error::{Error, ErrorKind, Result};
use crate::window::Window;

/// Times that a change of the claims is tried again because another run was faster.
const TRIES: u32 = 30;

/// A claim is renewed this many times within its lease.
const RENEWALS: i32 = 3;

/// A longer lease is cut to this.
const LONGEST: TimeDelta = TimeDelta::days(366);

/// The claim of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The run's id.
    pub run: String,
    /// The machine that it runs on.
    pub host: String,
    /// Its process there.
    pub pid: u32,
    /// When the run began.
    pub started_at: DateTime<Utc>,
    /// When the claim ends, unless it is renewed; by the clock of its machine.
    pub expires_at: DateTime<Utc>,
    /// The half-open stretches of time whose windows are claimed.
    pub stretches: Vec<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Claim {
    /// Whether it holds `window`.
    pub(crate) fn holds(&self, window: &Window) -> bool {
        self.stretches.iter().any(|(from, to)| *from < window.end() && window.start() < *to)
    }
}

/// The claims of a table.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ClaimsFile {
    version: u32,
    /// Claims that were released, or dropped since they had expired. Whoever finds another number than before knows that
    /// windows may have been done meanwhile.
    ended: u64,
    claims: Vec<Claim>,
}

/// The claims as they were read.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    file: ClaimsFile,
    version: Option<UpdateVersion>,
}

impl Default for Standing {
    fn default() -> Self {
        Self { file: ClaimsFile { version: VERSION, ended: 0, claims: Vec::new() }, version: None }
    }
}

impl Standing {
    /// The claims that have not expired.
    pub(crate) fn live(&self, now: DateTime<Utc>) -> impl Iterator<Item = &Claim> {
        self.file.claims.iter().filter(move |claim| claim.expires_at > now)
    }
}

/// What came of claiming windows.
pub(crate) enum Take {
    /// Claims that were there have ended since the windows were looked at; they may be done now.
    LookAgain,
    Taken(Box<Taken>),
}

pub(crate) struct Taken {
    /// For each window, the claim of another run that holds it.
    pub(crate) others: Vec<Option<Claim>>,
    /// The claim to all other windows, if there are any.
    pub(crate) held: Option<Held>,
    /// Runs whose claims had expired and were dropped.
    pub(crate) dead: Vec<Claim>,
}

/// The claims of one run.
#[derive(Debug, Clone)]
pub(crate) struct Claims {
    run: String,
    started_at: DateTime<Utc>,
    /// How long a claim outlives its run; none is made when it is zero.
    lease: TimeDelta,
}

impl Claims {
    pub(crate) fn new(run: &str, started_at: DateTime<Utc>, lease: Duration) -> Self {
        // No sum with a time of today overflows.
        let lease = TimeDelta::from_std(lease).unwrap_or(LONGEST).min(LONGEST);
        Self { run: run.to_owned(), started_at, lease }
    }

    /// The claims of `table`. Nothing is read when none are made.
    pub(crate) async fn read(&self, table: &Table) -> Result<Standing> {
        if self.lease.is_zero() { Ok(Standing::default()) } else { table.claims().await }
    }

    /// Claims those of `windows` that no other run holds. They were looked at after the claims were `seen`.
    pub(crate) async fn take(&self, table: &Table, seen: Standing, windows: &[&Window]) -> Result<Take> {
        if self.lease.is_zero() {
            let others = vec![None; windows.len()];
            return Ok(Take::Taken(Box::new(Taken { others, held: None, dead: Vec::new() })));
        }
        let ended = seen.file.ended;
        let mut standing = seen;
        for attempt in 0..TRIES {
            if attempt > 0 {
                pause(attempt).await;
                standing = table.claims().await?;
            }
            if standing.file.ended != ended {
                return Ok(Take::LookAgain);
            }
            // Expiry is about the machines' own time, whatever instant a run is for.
            let now = Utc::now();
            // One that is there already is of a put whose answer was lost.
            standing.file.claims.retain(|claim| claim.run != self.run);
            let (live, dead): (Vec<_>, Vec<_>) =
                standing.file.claims.drain(..).partition(|claim| claim.expires_at > now);
            let of_others = |window: &&Window| live.iter().find(|claim| claim.holds(window)).cloned();
            let others: Vec<Option<Claim>> = windows.iter().map(of_others).collect();
            let free: Vec<&Window> =
                windows.iter().zip(&others).filter(|(_, other)| other.is_none()).map(|(window, _)| *window).collect();
            if free.is_empty() {
                return Ok(Take::Taken(Box::new(Taken { others, held: None, dead: Vec::new() })));
            }
            let claim = Claim {
                run: self.run.clone(),
                host: host(),
                pid: std::process::id(),
                started_at: self.started_at,
                expires_at: now + self.lease,
                stretches: stretches(&free),
            };
            standing.file.claims = live;
            standing.file.claims.push(claim);
            standing.file.ended += dead.len() as u64;
            if let Put::Done(_) = table.put_claims(&standing).await? {
                let renewing = tokio::spawn(renew(table.clone(), self.clone()));
                let held = Held { table: table.clone(), run: self.run.clone(), renewing };
                return Ok(Take::Taken(Box::new(Taken { others, held: Some(held), dead })));
            }
        }
        Err(table.too_busy())
    }
}

/// A claim that is renewed as long as this is there, and then left to expire unless it is released.
pub(crate) struct Held {
    table: Table,
    run: String,
    renewing: JoinHandle<()>,
}

impl Held {
    /// Gives the windows free at once. What cannot be released expires.
    pub(crate) async fn release(self) {
        self.renewing.abort();
        let released = change(&self.table, |file| {
            let before = file.claims.len();
            file.claims.retain(|claim| claim.run != self.run);
            file.ended += (before - file.claims.len()) as u64;
            before != file.claims.len()
        });
        if let Err(error) = released.await {
            tracing::debug!(%error, "the claim cannot be released; it expires by itself");
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

async fn renew(table: Table, claims: Claims) {
    let pause = (claims.lease / RENEWALS).to_std().unwrap_or(Duration::from_secs(1));
    loop {
        tokio::time::sleep(pause).await;
        let renewed = change(&table, |file| {
            let own = file.claims.iter_mut().find(|claim| claim.run == claims.run);
            own.map(|claim| claim.expires_at = Utc::now() + claims.lease).is_some()
        });
        match renewed.await {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!("this run's claim expired before it was renewed; another run may do the same windows");
                return;
            }
            Err(error) => tracing::debug!(%error, "the claim cannot be renewed"),
        }
    }
}

/// Changes the claims until no other run comes in between; `change` says whether there is anything to put, and so does
/// this.
async fn change(table: &Table, change: impl Fn(&mut ClaimsFile) -> bool) -> Result<bool> {
    for attempt in 0..TRIES {
        if attempt > 0 {
            pause(attempt).await;
        }
        let mut standing = table.claims().await?;
        if !change(&mut standing.file) {
            return Ok(false);
        }
        if let Put::Done(_) = table.put_claims(&standing).await? {
            return Ok(true);
        }
    }
    Err(table.too_busy())
}

/// Waits a moment that differs from run to run and grows.
async fn pause(attempt: u32) {
    let most = u64::from(attempt.min(8)) * 40;
    tokio::time::sleep(Duration::from_millis(5 + super::random() % most.max(1))).await;
}

/// Neighbouring windows as one stretch.
fn stretches(windows: &[&Window]) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let mut stretches: Vec<(DateTime<Utc>, DateTime<Utc>)> = Vec::new();
    for window in windows {
        match stretches.last_mut() {
            Some((_, end)) if *end == window.start() => *end = window.end(),
            _ => stretches.push((window.start(), window.end())),
        }
    }
    stretches
}

/// The name of this machine.
pub(crate) fn host() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}

impl Table {
    fn claims_path(&self) -> Path {
        self.path("claims.json")
    }

    pub(super) async fn claims(&self) -> Result<Standing> {
        let read = self.read::<ClaimsFile>(&self.claims_path()).await?;
        Ok(read.map_or_else(Standing::default, |(file, version)| Standing { file, version: Some(version) }))
    }

    async fn put_claims(&self, standing: &Standing) -> Result<Put> {
        self.put(&self.claims_path(), json(&standing.file)?, standing.version.clone()).await
    }

    fn too_busy(&self) -> Error {
        Error::new(ErrorKind::Conflict, "the claims change faster than this run can add its own; run it again")
            .with("file", self.name(&self.claims_path()))
    }
}

/// The claims on an output that have not expired, for those who look on.
pub(crate) async fn live_claims(table: &Table) -> Result<Vec<Claim>> {
    Ok(table.claims().await?.live(Utc::now()).cloned().collect())
}
