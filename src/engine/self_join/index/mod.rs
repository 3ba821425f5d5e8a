//! The later events of a slice by key and stretch of time, with bitmaps in front.

mod keys;
mod lookup;

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::Result;

pub(super) use keys::{mix, spread};
pub(super) use lookup::{Match, Passed};

use super::gather::Place;
use super::kin::{Kin, hash as among_kin};
use super::line::Slice;
use super::rows::Rows;
use super::spec::{Side, Spec};
use keys::Keys;

/// Bits of the bitmap for each slot of a table. A table has two to four slots for each event.
const BITS: usize = 16;

/// Bytes of an index for each later event while it is made, with room to spare.
pub(super) const INDEXING_AN_EVENT: usize = 256;

/// A later event.
struct Event {
    time: i64,
    hash: u64,
    place: Place,
}

/// The later events that first events of one stretch of time can have, those in the stretch and in the next, by key.
///
/// Stretches are as long as the span, or longer. Where the lake is in order of time, neighbouring rows ask one table,
/// which stays in the cache.
#[derive(Debug, Clone, Copy, Default)]
struct Table {
    /// Where its slots begin; its bits begin at `BITS` times that.
    at: usize,
    /// A power of two, or zero where there are no events.
    slots: usize,
}

/// A place of a table: a piece of the hash, and the number of the group plus one; zero in an empty one.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    tag: u32,
    group: u32,
}

/// The events of one key in a table.
struct Group {
    hash: u64,
    /// One of its events, which has its key.
    one: u32,
    begin: u32,
    end: u32,
}

/// The later events of a slice.
pub(super) struct Index<'a> {
    spec: &'a Spec,
    rows: &'a [Arc<Rows>],
    /// By batch.
    first_keys: Vec<Keys<'a>>,
    then_keys: Vec<Keys<'a>>,
    /// By stretch, from the one before the first event's.
    tables: Vec<Table>,
    slots: Vec<Slot>,
    /// Which hashes the slots of a table can hold.
    bits: Vec<u64>,
    /// Which hashes the first columns of keys can have that are in a table. Of a first event nothing else is looked at, as a
    /// rule. None where it is as quick to look at all columns: of kin, and of keys of one.
    heads: Option<Vec<u64>>,
    /// The batches, if they are kin: all hashes are those among kin, then.
    kin: Option<Kin<'a>>,
    /// Whether equal hashes are equal keys.
    exact: bool,
    groups: Vec<Group>,
    /// By group, and within one in order of time: when, and which event.
    times: Vec<i64>,
    events: Vec<u32>,
    /// By event.
    places: Vec<Place>,
    /// The length of a stretch is two to the power of it.
    width: u32,
    /// The stretch of the first table.
    stretch: u64,
    /// No match lies outside: first events are at least at `from`, which is a span before the slice, and at most at `to`.
    from: i64,
    to: i64,
}

impl<'a> Index<'a> {
    pub(super) fn new(spec: &'a Spec, slice: &'a Slice<Rows>) -> Result<Self> {
        let kin = Kin::of(spec, &slice.rows)?;
        let mut known = HashMap::new();
        let then_keys = Keys::of(spec, &slice.rows, Side::Then, &mut known)?;
        let events = events(slice, &then_keys, kin.as_ref());
        let mut index = Self {
            spec,
            rows: &slice.rows,
            first_keys: Keys::of(spec, &slice.rows, Side::First, &mut known)?,
            then_keys,
            tables: Vec::new(),
            slots: Vec::new(),
            bits: Vec::new(),
            heads: (kin.is_none() && spec.side(Side::Then).keys.len() > 1).then(Vec::new),
            exact: kin.as_ref().is_some_and(Kin::is_exact),
            kin,
            groups: Vec::with_capacity(events.len()),
            times: Vec::with_capacity(2 * events.len()),
            events: Vec::with_capacity(2 * events.len()),
            places: events.iter().map(|event| event.place).collect(),
            width: 0,
            stretch: 0,
            from: slice.from.saturating_sub(spec.span),
            to: slice.to,
        };
        if let (Some(first), Some(last)) = (events.first(), events.last()) {
            index.divide(first.time, last.time);
            index.fill(&events);
        }
        Ok(index)
    }

    /// Divides the time of the events into stretches: as long as the span at least, and not many more than events.
    fn divide(&mut self, first: i64, last: i64) {
        let span = self.spec.span.max(1) as u64;
        let most = 4 * self.places.len() as u64 + 64;
        self.width = (64 - (span - 1).leading_zeros()).min(63);
        while self.width < 63 && (since_ever(last) >> self.width) - (since_ever(first) >> self.width) > most {
            self.width += 1;
        }
        // No time lies before the first stretch there is.
        self.stretch = (since_ever(first) >> self.width).saturating_sub(1);
        let stretches = (since_ever(last) >> self.width) - self.stretch + 1;
        self.tables = vec![Table::default(); stretches as usize];
    }

    /// Fills the tables with events, which are in order of time.
    fn fill(&mut self, events: &[Event]) {
        let stretches: Vec<u32> = events.iter().map(|event| self.table(event.time) as u32).collect();
        let mut groups: Vec<u32> = Vec::new();
        let (mut begin, mut end) = (0, 0);
        for stretch in 0..self.tables.len() {
            begin += stretches[begin..].iter().take_while(|of| (**of as usize) < stretch).count();
            end = end.max(begin);
            end += stretches[end..].iter().take_while(|of| **of as usize <= stretch + 1).count();
            if begin == end {
                continue;
            }
            let table = Table { at: self.slots.len(), slots: (2 * (end - begin)).next_power_of_two().max(4) };
            self.tables[stretch] = table;
            self.slots.resize(table.at + table.slots, Slot::default());
            self.bits.resize(self.slots.len() * BITS / 64, 0);
            if let Some(heads) = &mut self.heads {
                heads.resize(self.bits.len(), 0);
            }
            let first = self.groups.len();
            groups.clear();
            // Events of a slice are counted in 32 bits: memory ends before.
            groups.extend((begin..end).map(|event| self.group(table, events[event].hash, event as u32)));
            self.order(first, &events[begin..end], &groups, begin);
        }
    }

    /// The group of an event's key in a table, new if need be.
    fn group(&mut self, table: Table, hash: u64, event: u32) -> u32 {
        let place = self.places[event as usize];
        let slot = match self.find(table, hash, place) {
            Ok(group) => {
                self.groups[group as usize].end += 1;
                return group;
            }
            Err(slot) => slot,
        };
        set(&mut self.bits, table, hash);
        if let Some(heads) = &mut self.heads {
            set(heads, table, self.then_keys[place.batch as usize].head(place.row as usize));
        }
        self.groups.push(Group { hash, one: event, begin: 0, end: 1 });
        self.slots[slot] = Slot { tag: tag(hash), group: self.groups.len() as u32 };
        self.groups.len() as u32 - 1
    }

    /// Puts the events of a table, the first of which is number `from`, by group and time. Its groups are those from
    /// `first`, and `end` of each is the number of its events so far.
    fn order(&mut self, first: usize, events: &[Event], groups: &[u32], from: usize) {
        let mut begin = self.times.len() as u32;
        for group in &mut self.groups[first..] {
            group.begin = begin;
            begin += group.end;
            group.end = group.begin;
        }
        self.times.resize(begin as usize, 0);
        self.events.resize(begin as usize, 0);
        for (at, (event, group)) in events.iter().zip(groups).enumerate() {
            let group = &mut self.groups[*group as usize];
            self.times[group.end as usize] = event.time;
            self.events[group.end as usize] = (from + at) as u32;
            group.end += 1;
        }
    }

    /// The group of a table that has the key of a later event; or else the slot that is free for it.
    fn find(&self, table: Table, hash: u64, place: Place) -> std::result::Result<u32, usize> {
        let mut slot = hash as usize & (table.slots - 1);
        loop {
            let found = self.slots[table.at + slot];
            if found.group == 0 {
                return Err(table.at + slot);
            }
            if found.tag == tag(hash) {
                let group = &self.groups[found.group as usize - 1];
                let is_it = || self.exact || self.is_of(&self.then_keys, place, group);
                if group.hash == hash && is_it() {
                    return Ok(found.group - 1);
                }
            }
            slot = (slot + 1) & (table.slots - 1);
        }
    }

    /// Whether the key of `place`, whose side has `keys`, is that of a group.
    fn is_of(&self, keys: &[Keys<'_>], place: Place, group: &Group) -> bool {
        let one = self.places[group.one as usize];
        keys[place.batch as usize].same(place.row as usize, &self.then_keys[one.batch as usize], one.row as usize)
    }

    /// The number of the table for a time; a number that no table has where there is none.
    fn table(&self, time: i64) -> usize {
        (since_ever(time) >> self.width).wrapping_sub(self.stretch) as usize
    }

    /// Whether there is nothing to find.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The rows of the slice.
    pub(super) fn rows(&self) -> &'a [Arc<Rows>] {
        self.rows
    }

    /// Where the later events stand, by number.
    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    /// Bytes that it takes.
    pub(super) fn size(&self) -> usize {
        self.tables.capacity() * size_of::<Table>()
            + self.slots.capacity() * size_of::<Slot>()
            + self.groups.capacity() * size_of::<Group>()
            + self.times.capacity() * size_of::<i64>()
            + self.events.capacity() * size_of::<u32>()
            + self.places.capacity() * size_of::<Place>()
            + (self.bits.capacity() + self.heads.as_ref().map_or(0, Vec::capacity)) * size_of::<u64>()
            + self.kin.as_ref().map_or(0, Kin::size)
    }
}

/// The later events of a slice in order of time.
fn events(slice: &Slice<Rows>, keys: &[Keys<'_>], kin: Option<&Kin<'_>>) -> Vec<Event> {
    let mut events = Vec::with_capacity(slice.rows.iter().map(|rows| rows.then.len()).sum());
    for (batch, rows) in slice.rows.iter().enumerate() {
        if rows.bounds.0 > slice.to || rows.bounds.1 < slice.from {
            continue;
        }
        let of_kin = kin.map(|kin| kin.places(batch));
        for row in &rows.then {
            let (time, at) = (rows.times[*row as usize], *row as usize);
            if slice.from <= time && time <= slice.to {
                let hash = match of_kin {
                    None => keys[batch].hash(at),
                    Some(all) => among_kin(all.iter().map(|places| places[at])),
                };
                // Batches of a slice, and rows of a batch, are far from 2^32.
                events.push(Event { time, hash, place: Place { batch: batch as u32, row: *row } });
            }
        }
    }
    // Most lakes are in order of time, or nearly.
    if !events.is_sorted_by_key(|event| event.time) {
        events.sort_by_key(|event| event.time);
    }
    events
}

/// Time as a number that begins at zero.
fn since_ever(time: i64) -> u64 {
    time as u64 ^ 1 << 63
}

/// The piece of a hash that a slot holds.
fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// The bit of a hash in a table.
fn bit(table: Table, hash: u64) -> usize {
    table.at * BITS + ((hash >> 24) as usize & (table.slots * BITS - 1))
}

/// Sets the bit of a hash in a table.
fn set(bits: &mut [u64], table: Table, hash: u64) {
    let bit = bit(table, hash);
    bits[bit / 64] |= 1 << (bit % 64);
}

/// Whether the bit of a hash in a table is set, as a number.
fn is_set(bits: &[u64], table: Table, hash: u64) -> usize {
    let bit = bit(table, hash);
    (bits[bit / 64] >> (bit % 64) & 1) as usize
}
