//! Looks up the first events of a slice.

use super::{Group, Index, is_set, tag};
use crate::engine::self_join::gather::Place;
use crate::engine::self_join::kin::hash as among_kin;
use crate::engine::self_join::rows::Rows;

/// A first event and the later events in its reach.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine::self_join) struct Match {
    pub(in crate::engine::self_join) first: Place,
    begin: u32,
    end: u32,
}

impl Match {
    /// How many later events there are.
    pub(in crate::engine::self_join) fn len(&self) -> usize {
        (self.end - self.begin) as usize
    }
}

/// Room for the first events that pass the bitmaps, used again for each batch: hash and row.
#[derive(Debug, Default)]
pub(in crate::engine::self_join) struct Passed(Vec<(u64, u32)>);

impl Passed {
    /// Room for some events and one more.
    fn room(&mut self, events: usize) -> &mut [(u64, u32)] {
        if self.0.len() <= events {
            self.0.resize(events + 1, (0, 0));
        }
        &mut self.0
    }
}

impl Index<'_> {
    /// The matches of the first events of a batch, how many of these events were asked for, and how many of them passed
    /// the bitmaps.
    pub(in crate::engine::self_join) fn matches(
        &self,
        batch: usize,
        passed: &mut Passed,
    ) -> (Vec<Match>, usize, usize) {
        let rows = &self.rows[batch];
        if self.is_empty() || rows.bounds.0 > self.to || rows.bounds.1 < self.from {
            return (Vec::new(), 0, 0);
        }
        let asked = rows.first.count_set_bits();
        let passed = passed.room(asked);
        let many = match self.kin.as_ref().map(|kin| kin.places(batch)) {
            None => self.pass_by_text(batch, passed),
            // Most keys are of two columns. So there is no loop for each row.
            Some([one, two]) => self.pass(rows, &self.bits, passed, |row| among_kin([one[row], two[row]].into_iter())),
            Some(all) => self.pass(rows, &self.bits, passed, |row| among_kin(all.iter().map(|places| places[row]))),
        };
        let passed = &passed[..many];
        // A step of its own, so that its misses do not stand in the way of the others.
        let mut matches = Vec::with_capacity(passed.len());
        for (hash, row) in passed {
            let first = Place { batch: batch as u32, row: *row };
            matches.extend(self.match_of(*hash, first, rows.times[*row as usize]));
        }
        (matches, asked, passed.len())
    }

    /// Puts the hash and the row of first events that pass `bits` into `passed`; how many.
    fn pass(&self, rows: &Rows, bits: &[u64], passed: &mut [(u64, u32)], hash: impl Fn(usize) -> u64) -> usize {
        let times = rows.times.as_ref();
        let mut many = 0;
        for row in rows.first.set_indices() {
            let Some(table) = self.tables.get(self.table(times[row])).filter(|table| table.slots > 0) else { continue };
            let hash = hash(row);
            // Who passes cannot be foreseen, so that it is quicker to write all and to keep those.
            passed[many] = (hash, row as u32);
            many += is_set(bits, *table, hash);
        }
        many
    }

    /// What `pass` does, where keys are known by the hashes of their texts.
    fn pass_by_text(&self, batch: usize, passed: &mut [(u64, u32)]) -> usize {
        let (rows, keys) = (&self.rows[batch], &self.first_keys[batch]);
        let Some(heads) = &self.heads else { return self.pass(rows, &self.bits, passed, |row| keys.hash(row)) };
        let begun = self.pass(rows, heads, passed, |row| keys.head(row));
        let mut many = 0;
        for at in 0..begun {
            let row = passed[at].1;
            let hash = keys.hash(row as usize);
            passed[many] = (hash, row);
            many += is_set(&self.bits, self.tables[self.table(rows.times[row as usize])], hash);
        }
        many
    }

    /// The match of a first event.
    fn match_of(&self, hash: u64, first: Place, time: i64) -> Option<Match> {
        let table = self.tables[self.table(time)];
        let mut slot = hash as usize & (table.slots - 1);
        loop {
            let found = self.slots[table.at + slot];
            if found.group == 0 {
                return None;
            }
            if found.tag == tag(hash) {
                let group = &self.groups[found.group as usize - 1];
                if group.hash == hash {
                    // Most keys have nothing in reach, which is quicker to see than whether texts are the same.
                    let (begin, end) = self.reach(group, time);
                    if begin < end && (self.exact || self.is_of(&self.first_keys, first, group)) {
                        return Some(Match { first, begin, end });
                    }
                    if self.exact {
                        return None;
                    }
                }
            }
            slot = (slot + 1) & (table.slots - 1);
        }
    }

    /// The numbers of a match's later events, in order of time.
    pub(in crate::engine::self_join) fn later(&self, found: &Match) -> &[u32] {
        &self.events[found.begin as usize..found.end as usize]
    }

    /// The later events that some matches have, in their order.
    pub(in crate::engine::self_join) fn reached<'m>(&self, matches: impl Iterator<Item = &'m Match>) -> Vec<u32> {
        // Matches of one key overlap, so that only the ends of each are marked.
        let mut marks = vec![0_i32; self.events.len() + 1];
        for found in matches {
            marks[found.begin as usize] += 1;
            marks[found.end as usize] -= 1;
        }
        let mut is_reached = vec![false; self.places.len()];
        let mut within = 0;
        for (event, mark) in self.events.iter().zip(marks) {
            within += mark;
            is_reached[*event as usize] |= within > 0;
        }
        (0..).zip(is_reached).filter_map(|(event, is_reached)| is_reached.then_some(event)).collect()
    }

    /// Events of a group in `(time, time + span]`.
    fn reach(&self, group: &Group, time: i64) -> (u32, u32) {
        let times = &self.times[group.begin as usize..group.end as usize];
        // A sum beyond all times is beyond all events as well.
        let last = time.saturating_add(self.spec.span);
        let begin = times.partition_point(|then| *then <= time);
        let end = begin + times[begin..].partition_point(|then| *then <= last);
        (group.begin + begin as u32, group.begin + end as u32)
    }
}
