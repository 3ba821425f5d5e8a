//! Who signs in, from where, to what: the strings of a tenant, found by index.
//!
//! Rows hold indices; text is met only when a file is written.

use std::fmt::Write;

use rand_chacha::ChaCha8Rng;

use super::draw::{Weighted, below, mix};
use super::names;
use super::spec::TenantSpec;

/// A NULL in place of an index of a user, an address or an app.
pub(super) const NULL: u32 = u32::MAX;

/// Descriptions are the results' own, by the same index, and these.
pub(super) const NO_DESCRIPTION: u8 = u8::MAX;
pub(super) const EMPTY_DESCRIPTION: u8 = u8::MAX - 1;
pub(super) const OTHER_DESCRIPTION: u8 = u8::MAX - 2;

/// Places in [`names::RESULTS`].
pub(super) const SUCCESS: u8 = 0;
pub(super) const BAD_PASSWORD: u8 = 1;
pub(super) const KEEP_ME_SIGNED_IN: u8 = 2;

/// A sign-in; `time` in ticks of 100 ns since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) time: i64,
    pub(super) user: u32,
    pub(super) ip: u32,
    pub(super) app: u32,
    pub(super) result: u8,
    pub(super) description: u8,
}

/// Many short strings in one buffer.
#[derive(Debug, Clone, Default)]
pub(super) struct Strings {
    text: String,
    ends: Vec<u32>,
}

impl Strings {
    /// Writes `n` strings one after the other; `write` appends the text of its index.
    pub(super) fn build(n: u32, mut write: impl FnMut(u32, &mut String)) -> Self {
        let mut text = String::new();
        let ends = (0..n)
            .map(|index| {
                write(index, &mut text);
                text.len() as u32
            })
            .collect();
        Self { text, ends }
    }

    pub(super) fn len(&self) -> u32 {
        self.ends.len() as u32
    }

    pub(super) fn get(&self, index: u32) -> &str {
        let index = index as usize;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.text[start as usize..self.ends[index] as usize]
    }
}

/// The parts of a tenant that do not change from day to day.
///
/// ```text
/// users:     people | administrators | services
/// addresses: egress | homes | mobile IPv6 | admin workstations | services | (those of a day's attackers)
/// apps:      everybody's | reserved
/// ```
///
/// Nobody but administrators, each from a workstation that nothing else uses and where nothing ever fails, and attackers,
/// each from an address of his own, succeeds on a reserved app. So a success on a reserved app that is followed by a
/// failure can only be planted.
#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) users: Strings,
    pub(super) addresses: Strings,
    pub(super) apps: Strings,
    pub(super) people: u32,
    pub(super) admins: u32,
    pub(super) common_apps: u32,
    pub(super) people_weights: Weighted,
    pub(super) service_weights: Option<Weighted>,
    pub(super) app_weights: Weighted,
    egress: u32,
    mobile: u32,
}

/// One of so many people also signs in from a mobile address.
const PEOPLE_PER_MOBILE: u32 = 3;

impl Tenant {
    pub(super) fn new(spec: &TenantSpec) -> Self {
        let people = spec.users;
        let admins = (people / 200).clamp(1, 200);
        let services = spec.service_accounts;
        // One of several hundred people shares an office's way out.
        let egress = (people / 500).clamp(2, 60);
        let mobile = people.div_ceil(PEOPLE_PER_MOBILE);
        let salt = mix(spec.seed) as u32;

        let users = Strings::build(people + admins + services, |i, text| {
            if i < people {
                person(i, salt, text);
            } else if i < people + admins {
                text.push_str("adm.");
                person(i - people, salt, text);
            } else {
                service(i - people - admins, text);
            }
        });
        let addresses = Strings::build(egress + people + mobile + admins + services, |i, text| {
            address(i, [egress, people, mobile, admins], salt, text);
        });

        // Every attack and every decoy of a day needs a (reserved app, ResultType) of its own.
        let keys = 2 * spec.attacks_per_day;
        let reserved = (names::RESERVED_APPS.len() as u32).max(keys.div_ceil(names::ATTACK_RESULTS.len() as u32));
        let apps = Strings::build(spec.apps + reserved, |i, text| {
            if i < spec.apps {
                app(i, text);
            } else {
                reserved_app(i - spec.apps, text);
            }
        });

        Self {
            users,
            addresses,
            apps,
            people,
            admins,
            common_apps: spec.apps,
            people_weights: Weighted::zipf(people, spec.skew),
            service_weights: (services > 0).then(|| Weighted::zipf(services, spec.skew.min(1.0))),
            app_weights: Weighted::zipf(spec.apps, spec.skew),
            egress,
            mobile,
        }
    }

    pub(super) fn reserved_apps(&self) -> u32 {
        self.apps.len() - self.common_apps
    }

    /// Where a person signs in from this time: mostly at home, at times through the office, or on the move.
    pub(super) fn address_of(&self, person: u32, rng: &mut ChaCha8Rng) -> u32 {
        let place = below(rng, 100);
        if place < 20 {
            // The office of this person, of few.
            (mix(u64::from(person)) % u64::from(self.egress)) as u32
        } else if place < 35 && person.is_multiple_of(PEOPLE_PER_MOBILE) {
            self.egress + self.people + person / PEOPLE_PER_MOBILE
        } else {
            self.egress + person
        }
    }

    /// The user and the address of an administrator.
    pub(super) fn admin(&self, index: u32) -> (u32, u32) {
        (self.people + index, self.egress + self.people + self.mobile + index)
    }

    /// The user and the address of a service account.
    pub(super) fn service(&self, index: u32) -> (u32, u32) {
        (self.people + self.admins + index, self.egress + self.people + self.mobile + self.admins + index)
    }

    /// The country of an address.
    pub(super) fn country(&self, ip: u32) -> &'static str {
        let hash = mix(u64::from(ip));
        if ip >= self.addresses.len() {
            // Attackers come from where the company has nobody.
            return names::COUNTRIES[9 + (hash % 3) as usize];
        }
        // Most people live in the first two.
        names::COUNTRIES[((hash % 9) * (hash / 16 % 9) / 9) as usize]
    }
}

/// `given.family@contoso.com`, with a number from the second of that name on; the most active first, in no order of
/// names.
fn person(index: u32, salt: u32, text: &mut String) {
    const NAMES: u32 = (names::GIVEN.len() * names::FAMILY.len()) as u32;
    // 1009 is prime and divides no number of names: every name comes once in NAMES.
    let name = (index % NAMES * 1009 + salt % NAMES) % NAMES;
    let given = names::GIVEN[name as usize % names::GIVEN.len()];
    let family = names::FAMILY[name as usize / names::GIVEN.len()];
    text.push_str(given);
    text.push('.');
    text.push_str(family);
    if index >= NAMES {
        number(text, "", index / NAMES + 1, 1);
    }
    text.push_str("@contoso.com");
}

fn service(index: u32, text: &mut String) {
    let kinds = names::SERVICES.len() as u32;
    text.push_str("svc-");
    text.push_str(names::SERVICES[(index % kinds) as usize]);
    if index >= kinds {
        number(text, "-", index / kinds + 1, 2);
    }
    text.push_str("@contoso.com");
}

fn app(index: u32, text: &mut String) {
    if let Some(name) = names::APPS.get(index as usize) {
        text.push_str(name);
        return;
    }
    let index = index - names::APPS.len() as u32;
    let lines = names::LINES_OF_BUSINESS.len() as u32;
    text.push_str("Contoso ");
    text.push_str(names::LINES_OF_BUSINESS[(index % lines) as usize]);
    number(text, " ", index / lines + 1, 1);
}

fn reserved_app(index: u32, text: &mut String) {
    match names::RESERVED_APPS.get(index as usize) {
        Some(name) => text.push_str(name),
        None => number(text, "Contoso Vault ", index, 3),
    }
}

/// Addresses for documentation, benchmarks, carriers and private networks only, so that no real one is accused.
fn address(index: u32, groups: [u32; 4], salt: u32, text: &mut String) {
    let mut index = index;
    for (group, size) in groups.into_iter().enumerate() {
        if index >= size {
            index -= size;
            continue;
        }
        match group {
            0 => dotted(0xc633_6400 + 1 + index, text), // 198.51.100.0/24
            // 100.64.0.0/10; an odd factor reaches every address of the 2^22 once.
            1 => dotted(0x6440_0000 + (index.wrapping_mul(2_654_435_761).wrapping_add(salt) & 0x3f_ffff), text),
            2 => ipv6(0x1000 + (index >> 16), index & 0xffff, salt, text),
            _ => dotted(0xc000_0200 + 1 + index, text), // 192.0.2.0/24
        }
        return;
    }
    dotted(0x0a14_0000 + 4 + index, text); // 10.20.0.0/14
}

/// The address of the n-th attacker of a day, in 198.18.0.0/15 or 2001:db8:bad::/48, which nobody else has.
pub(super) fn attacker_address(n: u32, salt: u32, text: &mut String) {
    if n % 5 == 4 {
        ipv6(0x0bad, n, salt, text);
    } else {
        let host = n.wrapping_mul(40_503).wrapping_add(salt) & 0x1_ffff;
        dotted(0xc612_0000 + host, text);
    }
}

fn dotted(address: u32, text: &mut String) {
    let [a, b, c, d] = address.to_be_bytes();
    number(text, "", u32::from(a), 1);
    number(text, ".", u32::from(b), 1);
    number(text, ".", u32::from(c), 1);
    number(text, ".", u32::from(d), 1);
}

fn ipv6(network: u32, subnet: u32, salt: u32, text: &mut String) {
    let host = mix(u64::from(subnet) << 32 | u64::from(salt)) as u16 | 1;
    // Writing to a String does not fail.
    let _ = write!(text, "2001:db8:{network:x}:{subnet:x}::{host:x}");
}

fn number(text: &mut String, before: &str, value: u32, digits: usize) {
    // Writing to a String does not fail.
    let _ = write!(text, "{before}{value:0digits$}");
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn people_addresses_and_apps_are_distinct() {
        let spec =
            TenantSpec { users: 9_000, apps: 300, service_accounts: 30, attacks_per_day: 200, ..TenantSpec::default() };
        let tenant = Tenant::new(&spec);
        let day = Strings::build(2_000, |n, text| attacker_address(n, 77, text));
        for (what, strings) in
            [("users", vec![&tenant.users]), ("addresses", vec![&tenant.addresses, &day]), ("apps", vec![&tenant.apps])]
        {
            let mut seen = HashSet::new();
            for list in strings {
                for index in 0..list.len() {
                    let text = list.get(index).to_owned();
                    assert!(!text.is_empty(), "{what}");
                    assert!(seen.insert(text.clone()), "{what}: {text} twice");
                }
            }
        }
    }

    #[test]
    fn attack_results_are_failures_of_the_hunt() {
        for result in names::ATTACK_RESULTS {
            assert!(result != SUCCESS && result != KEEP_ME_SIGNED_IN);
        }
        assert_eq!(names::RESULTS[SUCCESS as usize].0, "0");
        assert_eq!(names::RESULTS[BAD_PASSWORD as usize].0, "50126");
        assert_eq!(names::RESULTS[KEEP_ME_SIGNED_IN as usize].0, "50140");
    }
}
