//! The rows of a day, minute by minute, in order of time.
//!
//! ```text
//! minute m:  sessions that start in m ──▶ their rows go to the minutes they fall into (a ring)
//!            service accounts' rows   ──▶ ring[m]
//!            planted rows of m        ──▶ ring[m] ──▶ sorted, out
//! ```
//!
//! Sessions are cut at midnight and at the day's number of rows; so a day is complete in itself and its count exact.

use std::collections::VecDeque;

use chrono::{Datelike, Weekday};
use rand_chacha::ChaCha8Rng;

use super::draw::{Chance, Stream, Weighted, below, stream};
use super::names;
use super::spec::TenantSpec;
use super::tenant::{
    EMPTY_DESCRIPTION, KEEP_ME_SIGNED_IN, NO_DESCRIPTION, NULL, OTHER_DESCRIPTION, Row, SUCCESS, Tenant,
};

/// Ticks of 100 ns.
pub(super) const SECOND: i64 = 10_000_000;
pub(super) const MINUTE: i64 = 60 * SECOND;
/// Minutes of a day.
pub(super) const MINUTES: u32 = 24 * 60;

/// Sign-ins by the hour (UTC) of a day with work and of one without.
const WORKDAY: [u64; 24] = [4, 3, 3, 3, 4, 8, 20, 48, 84, 96, 90, 80, 66, 82, 92, 86, 74, 56, 36, 24, 18, 13, 9, 6];
const WEEKEND: [u64; 24] = [6, 5, 4, 4, 4, 5, 7, 10, 15, 19, 21, 21, 20, 19, 19, 20, 20, 19, 18, 17, 15, 12, 9, 7];

/// Rows of the longest session, and the longest pause inside of one.
const LONGEST_SESSION: u32 = 8;
const LONGEST_PAUSE: i64 = 150 * SECOND;
/// Minutes that a session can reach, its first included.
const REACH: usize = (LONGEST_SESSION as i64 * LONGEST_PAUSE / MINUTE) as usize + 2;

/// One of so many sessions has its failures anywhere, not before its successes.
const SESSIONS_PER_MIXED_SESSION: u32 = 50;

/// One of so many sessions is an administrator's.
const SESSIONS_PER_ADMIN_SESSION: u32 = 150;

/// The traffic of one day.
#[derive(Debug)]
pub(super) struct Traffic<'a> {
    tenant: &'a Tenant,
    rng: ChaCha8Rng,
    start: i64,
    /// The minutes from the current one on.
    ring: VecDeque<Vec<Row>>,
    planted: Vec<Row>,
    planted_out: usize,
    session_rows: u64,
    session_rows_out: u64,
    service_rows: u64,
    service_rows_out: u64,
    rhythm: Rhythm,
    failure: Chance,
    null: Chance,
    failures: Weighted,
}

impl<'a> Traffic<'a> {
    /// `planted` are rows of that day in order of time, not more than the day has.
    pub(super) fn new(spec: &TenantSpec, tenant: &'a Tenant, day: u32, planted: Vec<Row>) -> Self {
        let rest = spec.rows_per_day.saturating_sub(planted.len() as u64);
        let service_rows = ((spec.rows_per_day as f64 * spec.service_share) as u64).min(rest);
        let failures: Vec<f64> = names::RESULTS.iter().map(|r| f64::from(r.2)).collect();
        Self {
            tenant,
            rng: stream(spec.seed, day, Stream::Traffic),
            start: spec.day_start(day),
            ring: (0..REACH).map(|_| Vec::new()).collect(),
            planted,
            planted_out: 0,
            session_rows: rest - service_rows,
            session_rows_out: 0,
            service_rows,
            service_rows_out: 0,
            rhythm: Rhythm::new(spec.date(day).weekday()),
            failure: Chance::new(spec.failure_share),
            null: Chance::new(spec.null_share),
            failures: Weighted::new(&failures),
        }
    }

    /// Appends the rows of a minute in order of time. To be called for every minute of the day in turn.
    pub(super) fn minute(&mut self, minute: u32, out: &mut Vec<Row>) {
        let target = self.rhythm.share_of(self.session_rows, minute);
        while self.session_rows_out < target {
            self.session(minute);
        }
        let target = self.service_rows * u64::from(minute + 1) / u64::from(MINUTES);
        while self.service_rows_out < target {
            self.service_row(minute);
        }
        let end = self.minute_start(minute + 1);
        while let Some(row) = self.planted.get(self.planted_out)
            && row.time < end
        {
            self.ring[0].push(*row);
            self.planted_out += 1;
        }
        if let Some(mut rows) = self.ring.pop_front() {
            // Stable, so that rows of one tick keep an order that no version of the sort can change.
            rows.sort_by_key(|row| row.time);
            out.append(&mut rows);
            self.ring.push_back(rows);
        }
    }

    fn minute_start(&self, minute: u32) -> i64 {
        self.start + i64::from(minute) * MINUTE
    }

    /// One user at one address signs in to one app after the other.
    fn session(&mut self, minute: u32) {
        let minute_start = self.minute_start(minute);
        let day_end = self.minute_start(MINUTES);
        let admin = below(&mut self.rng, SESSIONS_PER_ADMIN_SESSION) == 0;
        let (user, ip) = if admin {
            self.tenant.admin(below(&mut self.rng, self.tenant.admins))
        } else {
            let person = self.tenant.people_weights.draw(&mut self.rng);
            (person, self.tenant.address_of(person, &mut self.rng))
        };
        // Short sessions are the many.
        let most = below(&mut self.rng, LONGEST_SESSION) + 1;
        let length = below(&mut self.rng, most) + 1;
        let mut time = minute_start + i64::from(below(&mut self.rng, MINUTE as u32));
        // People fail before they get in, on the app they try; one that is in and then fails elsewhere is rare, which is
        // what the hunt lives on.
        let failures_first = below(&mut self.rng, SESSIONS_PER_MIXED_SESSION) != 0;
        let failures = if failures_first {
            let draws = (0..length).filter(|_| self.failure.draw(&mut self.rng));
            draws.count() as u32
        } else {
            0
        };
        let mut app = NULL;
        for step in 0..length {
            if time >= day_end || self.session_rows_out == self.session_rows {
                break;
            }
            let retry = step > 0 && step <= failures;
            if app == NULL || (!retry && below(&mut self.rng, 2) == 0) {
                app = if admin {
                    self.tenant.common_apps + below(&mut self.rng, self.tenant.reserved_apps())
                } else {
                    self.tenant.app_weights.draw(&mut self.rng)
                };
            }
            let row = if admin {
                // Neither failures nor nulls: either could make a hit of a reserved app.
                let description = self.success_description();
                Row { time, user, ip, app, result: SUCCESS, description }
            } else {
                let fails = step < failures || (!failures_first && self.failure.draw(&mut self.rng));
                self.row(time, user, ip, app, fails)
            };
            self.ring[((time - minute_start) / MINUTE) as usize].push(row);
            self.session_rows_out += 1;
            let longest = if below(&mut self.rng, 4) == 0 { LONGEST_PAUSE } else { 40 * SECOND };
            time += SECOND + i64::from(below(&mut self.rng, (longest - SECOND) as u32));
        }
    }

    /// A service account signs in to one of its two apps.
    fn service_row(&mut self, minute: u32) {
        let index = match &self.tenant.service_weights {
            Some(weights) => weights.draw(&mut self.rng),
            None => 0,
        };
        let (user, ip) = self.tenant.service(index);
        let second = below(&mut self.rng, 4) == 0;
        let app = (index * 7 + if second { 5 } else { 8 }) % self.tenant.common_apps;
        let time = self.minute_start(minute) + i64::from(below(&mut self.rng, MINUTE as u32));
        let fails = self.failure.draw(&mut self.rng);
        let row = self.row(time, user, ip, app, fails);
        self.ring[0].push(row);
        self.service_rows_out += 1;
    }

    /// A row that succeeds or fails in one way or another, with nulls here and there.
    fn row(&mut self, time: i64, user: u32, ip: u32, app: u32, fails: bool) -> Row {
        let (result, description) = if fails {
            let result = self.failures.draw(&mut self.rng) as u8;
            let description = if self.null.draw(&mut self.rng) {
                NO_DESCRIPTION
            } else if below(&mut self.rng, 32) == 0 && result != KEEP_ME_SIGNED_IN {
                OTHER_DESCRIPTION
            } else {
                result
            };
            (result, description)
        } else {
            (SUCCESS, self.success_description())
        };
        Row { time, user: self.or_null(user), ip: self.or_null(ip), app: self.or_null(app), result, description }
    }

    fn or_null(&mut self, index: u32) -> u32 {
        if self.null.draw(&mut self.rng) { NULL } else { index }
    }

    fn success_description(&mut self) -> u8 {
        if below(&mut self.rng, 2) == 0 { NO_DESCRIPTION } else { EMPTY_DESCRIPTION }
    }
}

/// How a day's sessions spread over its minutes.
#[derive(Debug)]
struct Rhythm {
    /// Weights of all minutes up to and including this one.
    sums: Vec<u64>,
}

impl Rhythm {
    fn new(day: Weekday) -> Self {
        let hours = match day {
            Weekday::Sat | Weekday::Sun => WEEKEND,
            _ => WORKDAY,
        };
        let mut sum = 0;
        let sums = (0..MINUTES as usize)
            .map(|minute| {
                let (hour, past) = (minute / 60, (minute % 60) as u64);
                // From one hour's weight to the next in a straight line.
                sum += hours[hour] * (60 - past) + hours[(hour + 1) % 24] * past;
                sum
            })
            .collect();
        Self { sums }
    }

    /// How many of `rows` fall into the minutes up to and including this one.
    fn share_of(&self, rows: u64, minute: u32) -> u64 {
        let all = u128::from(self.sums[MINUTES as usize - 1]);
        (u128::from(rows) * u128::from(self.sums[minute as usize]) / all) as u64
    }
}
