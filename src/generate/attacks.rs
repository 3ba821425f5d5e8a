//! Attacks whose hits are known, and decoys that look like them and are no hits.
//!
//! Each has a key (success app, ResultType) of that day for itself, or shares it with one other attack, and comes from
//! an address that nothing else uses. The success app is a reserved one, on which nobody else makes a pair (see
//! [`Tenant`]); so what is planned here is all that the hunt can find for the key.

use chrono::{DateTime, Utc};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

use super::PlantedHit;
use super::draw::{Stream, below, stream};
use super::names;
use super::spec::{TenantSpec, TimeUnit};
use super::tenant::{
    BAD_PASSWORD, EMPTY_DESCRIPTION, KEEP_ME_SIGNED_IN, OTHER_DESCRIPTION, Row, SUCCESS, Strings, Tenant,
    attacker_address,
};
use super::traffic::SECOND;

/// Rows that an attack and its decoy need at most.
pub(super) const ROWS_PER_ATTACK: u64 = 20;

/// The hunt's `logon_diff`, in milliseconds.
const REACH: i64 = 60_000;
/// The hunt's limit of pairs a key.
const LIMIT: u64 = 5;

/// Successes and failures of an attack, in milliseconds from its start.
type Shape = (&'static [i64], &'static [i64]);

///
/// ```text
/// 0 s ......... 60 s
/// S    F              one pair
/// S  F   F     F      one success, several failures
/// S          S F    F   the first success reaches one failure only: three pairs
/// S            F      the whole minute, which still counts
/// ```
const ATTACKS: [Shape; 6] = [
    (&[0], &[25_000]),
    (&[0], &[12_400, 31_000, 48_700]),
    (&[0, 50_000], &[55_000, 70_000]),
    (&[0], &[60_000]),
    (&[0, 9_300], &[41_000]),
    (&[0], &[5_200, 10_100, 20_800, 35_000, 50_300]),
];

/// What keeps a decoy from being a hit.
#[derive(Debug, Clone, Copy)]
enum Decoy {
    /// The failure comes 61 s after the success.
    TooLate,
    /// The failure comes one minute and a millisecond after the success.
    JustTooLate,
    FailureFirst,
    SameInstant,
    SameApp,
    /// One success and six failures: more pairs than a key may have.
    OverLimit,
    /// Two successes, three failures.
    OverLimitByBoth,
    DescribedOther,
    KeepMeSignedIn,
    /// The failure comes from another address.
    OtherAddress,
    /// The failure is on an app that the hunt leaves out.
    ExcludedApp,
}

const DECOYS: [Decoy; 11] = [
    Decoy::TooLate,
    Decoy::OverLimit,
    Decoy::FailureFirst,
    Decoy::SameApp,
    Decoy::JustTooLate,
    Decoy::DescribedOther,
    Decoy::OverLimitByBoth,
    Decoy::OtherAddress,
    Decoy::SameInstant,
    Decoy::KeepMeSignedIn,
    Decoy::ExcludedApp,
];

/// What is planted in one day.
#[derive(Debug)]
pub(super) struct Plan {
    /// All rows in order of time; they lie inside the UTC day, more than a minute from its edges.
    pub(super) rows: Vec<Row>,
    /// The addresses of the day, whose indices follow the tenant's.
    pub(super) ips: Strings,
    /// The hits in order of time.
    pub(super) planted: Vec<PlantedHit>,
}

impl Plan {
    pub(super) fn new(spec: &TenantSpec, tenant: &Tenant, day: u32) -> Self {
        let mut rng = stream(spec.seed, day, Stream::Attacks);
        let salt = rng.next_u32();
        let planner = Planner {
            tenant,
            unit: spec.time_unit,
            day_start: spec.day_start(day),
            first_key: rng.next_u32(),
            rng,
            rows: Vec::new(),
            ips: 0,
            keys: 0,
        };
        planner.plan(spec.attacks_per_day, day, salt)
    }
}

/// A hit before its texts are looked up.
struct Hit {
    success: Row,
    failure: Row,
    pairs: u64,
    key: u32,
}

struct Planner<'a> {
    tenant: &'a Tenant,
    unit: TimeUnit,
    day_start: i64,
    first_key: u32,
    rng: ChaCha8Rng,
    rows: Vec<Row>,
    ips: u32,
    keys: u32,
}

impl Planner<'_> {
    fn plan(mut self, attacks: u32, day: u32, salt: u32) -> Plan {
        let mut hits: Vec<Hit> = Vec::new();
        for n in 0..attacks {
            let shape = ATTACKS[n as usize % ATTACKS.len()];
            // Two attacks of one key show a hunter what the portal's answer, one row a key, leaves out.
            let shared = hits.last().filter(|hit| n % 5 == 4 && hit.pairs + pairs(shape) <= LIMIT);
            let key = match shared {
                Some(hit) => hit.key,
                None => self.next_key(),
            };
            hits.push(self.attack(shape, key, n % 3 == 1));
            // From day to day another kind of decoy comes first, so that few attacks a day show all kinds too.
            let kind = (u64::from(day) * u64::from(attacks) + u64::from(n)) % DECOYS.len() as u64;
            self.decoy(DECOYS[kind as usize]);
        }
        let Self { tenant, mut rows, ips, .. } = self;
        rows.sort_by_key(|row| row.time);
        let ips = Strings::build(ips, |n, text| attacker_address(n, salt, text));
        let mut planted: Vec<PlantedHit> = hits
            .iter()
            .map(|hit| PlantedHit {
                success_time: instant(hit.success.time),
                failed_time: instant(hit.failure.time),
                user: tenant.users.get(hit.success.user).to_owned(),
                ip: ips.get(hit.success.ip - tenant.addresses.len()).to_owned(),
                success_app: tenant.apps.get(hit.success.app).to_owned(),
                failed_app: tenant.apps.get(hit.failure.app).to_owned(),
                result_type: names::RESULTS[hit.failure.result as usize].0.to_owned(),
                result_description: names::RESULTS[hit.failure.result as usize].1.to_owned(),
                pairs: hits.iter().filter(|other| other.key == hit.key).map(|other| other.pairs).sum(),
            })
            .collect();
        planted.sort();
        Plan { rows, ips, planted }
    }

    fn attack(&mut self, shape: Shape, key: u32, over_the_hour: bool) -> Hit {
        let (app, result) = self.key(key);
        let start = self.start(over_the_hour);
        let user = self.person();
        let ip = self.next_ip();
        let failed_app = self.app_but(app);
        // Wrong guesses on the same app come first in half of the attacks, and can be no pair.
        for guess in 0..below(&mut self.rng, 2) * 2 {
            let time = start - SECOND * (25 - 11 * i64::from(guess));
            self.push(time, user, ip, app, BAD_PASSWORD, BAD_PASSWORD);
        }
        let successes: Vec<Row> = shape
            .0
            .iter()
            .map(|ms| self.push(start + ms * 10_000, user, ip, app, SUCCESS, EMPTY_DESCRIPTION))
            .collect();
        let failures: Vec<Row> =
            shape.1.iter().map(|ms| self.push(start + ms * 10_000, user, ip, failed_app, result, result)).collect();
        Hit {
            // The first success of every shape reaches its first failure, so these two are the minima of the pairs.
            success: successes[0],
            failure: failures[0],
            pairs: pairs(shape),
            key,
        }
    }

    fn decoy(&mut self, kind: Decoy) {
        let key = self.next_key();
        let (app, result) = self.key(key);
        let start = self.start(false);
        let user = self.person();
        let ip = self.next_ip();
        let failed_app = match kind {
            Decoy::SameApp => app,
            // "Office 365 Exchange Online".
            Decoy::ExcludedApp => 0,
            _ => self.app_but(app),
        };
        let failed_ip = match kind {
            Decoy::OtherAddress => self.next_ip(),
            _ => ip,
        };
        let (result, description) = match kind {
            Decoy::DescribedOther => (result, OTHER_DESCRIPTION),
            Decoy::KeepMeSignedIn => (KEEP_ME_SIGNED_IN, KEEP_ME_SIGNED_IN),
            _ => (result, result),
        };
        let (successes, failures): (&[i64], &[i64]) = match kind {
            Decoy::TooLate => (&[0], &[61_000]),
            Decoy::JustTooLate => (&[0], &[60_001]),
            Decoy::FailureFirst => (&[0], &[-20_000]),
            Decoy::SameInstant => (&[0], &[0]),
            Decoy::OverLimit => (&[0], &[4_000, 9_000, 15_000, 22_000, 40_000, 55_000]),
            Decoy::OverLimitByBoth => (&[0, 2_000], &[20_000, 30_000, 45_000]),
            _ => (&[0], &[18_000]),
        };
        for ms in successes {
            let time = start + ms * 10_000;
            self.push(time, user, ip, app, SUCCESS, EMPTY_DESCRIPTION);
        }
        for ms in failures {
            let time = start + ms * 10_000;
            self.push(time, user, failed_ip, failed_app, result, description);
        }
    }

    fn push(&mut self, time: i64, user: u32, ip: u32, app: u32, result: u8, description: u8) -> Row {
        let row = Row { time: self.unit.cut(time), user, ip, app, result, description };
        self.rows.push(row);
        row
    }

    /// A start whose attack keeps more than a minute from the day's edges; `over_the_hour`: just before a full hour.
    fn start(&mut self, over_the_hour: bool) -> i64 {
        let second = if over_the_hour {
            i64::from(1 + below(&mut self.rng, 23)) * 3_600 - 10
        } else {
            i64::from(120 + below(&mut self.rng, 24 * 3_600 - 320))
        };
        self.day_start + second * SECOND + i64::from(below(&mut self.rng, SECOND as u32))
    }

    fn person(&mut self) -> u32 {
        below(&mut self.rng, self.tenant.people)
    }

    fn next_ip(&mut self) -> u32 {
        self.ips += 1;
        self.tenant.addresses.len() + self.ips - 1
    }

    fn next_key(&mut self) -> u32 {
        self.keys += 1;
        self.keys - 1
    }

    /// The success app and the failure's result of the n-th key of the day.
    fn key(&self, n: u32) -> (u32, u8) {
        let apps = self.tenant.reserved_apps();
        let results = names::ATTACK_RESULTS.len() as u32;
        // Apps change fastest; the round is complete after every app met every result.
        let app = (n + self.first_key % apps) % apps;
        let result = (n / apps + self.first_key / 64 + app) % results;
        (self.tenant.common_apps + app, names::ATTACK_RESULTS[result as usize])
    }

    /// A reserved app, not this one.
    fn app_but(&mut self, app: u32) -> u32 {
        let apps = self.tenant.reserved_apps();
        let step = 1 + below(&mut self.rng, apps - 1);
        self.tenant.common_apps + (app - self.tenant.common_apps + step) % apps
    }
}

/// The pairs of an attack. Whole milliseconds apart stays so in every unit.
fn pairs((successes, failures): Shape) -> u64 {
    let reaches = |s: i64, f: i64| s < f && f - s <= REACH;
    successes.iter().map(|s| failures.iter().filter(|f| reaches(*s, **f)).count() as u64).sum()
}

fn instant(ticks: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(ticks.div_euclid(SECOND), (ticks.rem_euclid(SECOND) * 100) as u32).unwrap_or_default()
}
