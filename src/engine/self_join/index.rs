//! The later events of a slice by key and stretch of time, with a bitmap in front.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::Result;

use super::gather::Place;
use super::kin::{Kin, hash as among_kin};
use super::line::Slice;
use super::rows::{Rows, hash};
use super::spec::{Side, Spec};
use super::strings::Strings;

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

/// A column of the key in one batch.
struct KeyColumn<'a> {
    places: &'a [i32],
    strings: &'a Strings,
    /// Equal for equal texts of equal dictionaries, in a slice.
    dictionary: u32,
}

/// A first event and the later events in its reach.
#[derive(Debug, Clone, Copy)]
pub(super) struct Match {
    pub(super) first: Place,
    begin: u32,
    end: u32,
}

impl Match {
    /// How many later events there are.
    pub(super) fn len(&self) -> usize {
        (self.end - self.begin) as usize
    }
}

/// Room for the first events that pass the bitmap, used again for each batch: hash and row.
#[derive(Debug, Default)]
pub(super) struct Passed(Vec<(u64, u32)>);

impl Passed {
    /// Room for some events and one more.
    fn room(&mut self, events: usize) -> &mut [(u64, u32)] {
        if self.0.len() <= events {
            self.0.resize(events + 1, (0, 0));
        }
        &mut self.0
    }
}

/// The later events of a slice.
pub(super) struct Index<'a> {
    spec: &'a Spec,
    rows: &'a [Arc<Rows>],
    /// By batch, and in it by column of the key.
    first_keys: Vec<KeyColumn<'a>>,
    then_keys: Vec<KeyColumn<'a>>,
    /// By stretch, from the one before the first event's.
    tables: Vec<Table>,
    slots: Vec<Slot>,
    /// Which hashes the slots of a table can hold.
    bits: Vec<u64>,
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
        let events = events(spec, slice, kin.as_ref())?;
        let mut known = HashMap::new();
        let mut index = Self {
            spec,
            rows: &slice.rows,
            first_keys: key_columns(spec, &slice.rows, Side::First, &mut known)?,
            then_keys: key_columns(spec, &slice.rows, Side::Then, &mut known)?,
            tables: Vec::new(),
            slots: Vec::new(),
            bits: Vec::new(),
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
        let bit = bit(table, hash);
        self.bits[bit / 64] |= 1 << (bit % 64);
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
                let is_it = || self.exact || self.same_key(place, &self.then_keys, self.places[group.one as usize]);
                if group.hash == hash && is_it() {
                    return Ok(found.group - 1);
                }
            }
            slot = (slot + 1) & (table.slots - 1);
        }
    }

    /// Whether the key of `place`, whose side has `keys`, is that of the later event at `one`.
    fn same_key(&self, place: Place, keys: &[KeyColumn<'_>], one: Place) -> bool {
        let columns = self.spec.side(Side::Then).keys.len();
        let of = |batch: u32| batch as usize * columns..(batch as usize + 1) * columns;
        keys[of(place.batch)].iter().zip(&self.then_keys[of(one.batch)]).all(|(mine, theirs)| {
            let (my, their) = (mine.places[place.row as usize], theirs.places[one.row as usize]);
            mine.dictionary == theirs.dictionary && my == their
                || mine.strings.same(my as usize, theirs.strings, their as usize)
        })
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

    /// The numbers of a match's later events, in order of time.
    pub(super) fn later(&self, found: &Match) -> &[u32] {
        &self.events[found.begin as usize..found.end as usize]
    }

    /// Bytes that it takes.
    pub(super) fn size(&self) -> usize {
        self.tables.capacity() * size_of::<Table>()
            + self.slots.capacity() * size_of::<Slot>()
            + self.groups.capacity() * size_of::<Group>()
            + self.times.capacity() * size_of::<i64>()
            + self.events.capacity() * size_of::<u32>()
            + self.places.capacity() * size_of::<Place>()
            + self.bits.capacity() * size_of::<u64>()
            + self.kin.as_ref().map_or(0, Kin::size)
    }

    /// The matches of the first events of a batch, how many of these events were asked for, and how many of them passed
    /// the bitmap.
    pub(super) fn matches(&self, batch: usize, passed: &mut Passed) -> Result<(Vec<Match>, usize, usize)> {
        let rows = &self.rows[batch];
        if self.is_empty() || rows.bounds.0 > self.to || rows.bounds.1 < self.from {
            return Ok((Vec::new(), 0, 0));
        }
        match self.kin.as_ref().map(|kin| kin.places(batch)) {
            None => {
                let keys = rows.keys(self.spec, Side::First)?;
                Ok(self.ask(batch, passed, |row| hash(&keys, row)))
            }
            // Most keys are of two columns. So there is no loop for each row.
            Some([one, two]) => Ok(self.ask(batch, passed, |row| among_kin([one[row], two[row]].into_iter()))),
            Some(all) => Ok(self.ask(batch, passed, |row| among_kin(all.iter().map(|places| places[row])))),
        }
    }

    /// What `matches` gives, where keys have these hashes by row.
    fn ask(&self, batch: usize, passed: &mut Passed, hash: impl Fn(usize) -> u64) -> (Vec<Match>, usize, usize) {
        let rows = &self.rows[batch];
        let times = rows.times.as_ref();
        let asked = rows.first.count_set_bits();
        // In two steps, so that the misses of the second do not stand in the way of the first.
        let passed = passed.room(asked);
        let mut many = 0;
        for row in rows.first.set_indices() {
            let Some(table) = self.tables.get(self.table(times[row])).filter(|table| table.slots > 0) else { continue };
            let hash = hash(row);
            let bit = bit(*table, hash);
            // Who passes cannot be foreseen, so that it is quicker to write all and to keep those.
            passed[many] = (hash, row as u32);
            many += (self.bits[bit / 64] >> (bit % 64) & 1) as usize;
        }
        let passed = &passed[..many];
        let mut matches = Vec::with_capacity(passed.len());
        for (hash, row) in passed {
            let first = Place { batch: batch as u32, row: *row };
            matches.extend(self.match_of(*hash, first, times[*row as usize]));
        }
        (matches, asked, passed.len())
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
                    let is_near = begin < end;
                    if is_near
                        && (self.exact || self.same_key(first, &self.first_keys, self.places[group.one as usize]))
                    {
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

    /// The later events that some matches have, in their order.
    pub(super) fn reached<'m>(&self, matches: impl Iterator<Item = &'m Match>) -> Vec<u32> {
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

/// The later events of a slice in order of time.
fn events(spec: &Spec, slice: &Slice<Rows>, kin: Option<&Kin<'_>>) -> Result<Vec<Event>> {
    let mut events = Vec::with_capacity(slice.rows.iter().map(|rows| rows.then.len()).sum());
    for (batch, rows) in slice.rows.iter().enumerate() {
        if rows.bounds.0 > slice.to || rows.bounds.1 < slice.from {
            continue;
        }
        let keys = rows.keys(spec, Side::Then)?;
        let of_kin = kin.map(|kin| kin.places(batch));
        for row in &rows.then {
            let (time, at) = (rows.times[*row as usize], *row as usize);
            if slice.from <= time && time <= slice.to {
                let hash = match of_kin {
                    None => hash(&keys, at),
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
    Ok(events)
}

/// The columns of a side's key in each batch.
fn key_columns<'a>(
    spec: &Spec,
    rows: &'a [Arc<Rows>],
    side: Side,
    known: &mut HashMap<(usize, *const ()), u32>,
) -> Result<Vec<KeyColumn<'a>>> {
    let mut columns = Vec::new();
    for rows in rows {
        for text in &spec.side(side).keys {
            let column = rows.text(spec.texts[*text].lifted.column)?;
            let one = (*text, Arc::as_ptr(&column.dictionary).cast());
            let next = known.len() as u32;
            let dictionary = *known.entry(one).or_insert(next);
            columns.push(KeyColumn {
                places: column.places(),
                strings: &column.dictionary.text(*text)?.strings,
                dictionary,
            });
        }
    }
    Ok(columns)
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
