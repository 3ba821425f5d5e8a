//! The later events of a slice by key and time, with a bitmap in front.

use std::sync::Arc;

use datafusion::common::Result;
use hashbrown::HashTable;

use super::gather::Place;
use super::rows::{Rows, hash};
use super::schedule::Slice;
use super::spec::{Side, Spec};

/// Bits of the bitmap for each later event: about one first event in ten passes it by chance.
const BITS: usize = 16;

/// A later event, before events are put in order.
struct Entry {
    group: u32,
    place: Place,
    time: i64,
}

/// The events of one key.
struct Group {
    hash: u64,
    /// One of its events, which has its key.
    one: Place,
    begin: u32,
    end: u32,
}

/// A first event and the later events in its reach.
#[derive(Debug, Clone, Copy)]
pub(super) struct Match {
    pub(super) first: Place,
    /// From here in the index, not to `end`.
    pub(super) begin: u32,
    pub(super) end: u32,
}

/// The later events of a slice.
pub(super) struct Index<'a> {
    spec: &'a Spec,
    rows: &'a [Arc<Rows>],
    table: HashTable<u32>,
    groups: Vec<Group>,
    /// By group, and within one in order of time.
    times: Vec<i64>,
    places: Vec<Place>,
    bitmap: Bitmap,
    /// No match lies outside: first events are at least at `from - span` and at most at `to`.
    from: i64,
    to: i64,
}

impl<'a> Index<'a> {
    pub(super) fn new(spec: &'a Spec, slice: &'a Slice<Rows>) -> Result<Self> {
        let mut index = Self {
            spec,
            rows: &slice.rows,
            table: HashTable::new(),
            groups: Vec::new(),
            times: Vec::new(),
            places: Vec::new(),
            bitmap: Bitmap::new(spec.span, slice.rows.iter().map(|rows| rows.then.len()).sum()),
            from: slice.from.saturating_sub(spec.span),
            to: slice.to,
        };
        let mut entries = Vec::new();
        for (batch, rows) in slice.rows.iter().enumerate() {
            if rows.bounds.0 > slice.to || rows.bounds.1 < slice.from {
                continue;
            }
            for later in &rows.then {
                let time = rows.times[later.row as usize];
                if slice.from <= time && time <= slice.to {
                    // Batches of a slice and rows of a batch are far from 2^32.
                    let place = Place { batch: batch as u32, row: later.row };
                    index.bitmap.insert(later.hash, time);
                    entries.push(Entry { group: index.group(later.hash, place)?, place, time });
                }
            }
        }
        index.order(entries);
        Ok(index)
    }

    /// The group of an event's key, new if need be.
    fn group(&mut self, hash: u64, place: Place) -> Result<u32> {
        let mut failed = None;
        let same = |group: &u32| {
            let group = &self.groups[*group as usize];
            group.hash == hash
                && self.same_key(place, Side::Then, group.one).unwrap_or_else(|error| {
                    failed = Some(error);
                    false
                })
        };
        let found = self.table.find(hash, same).copied();
        if let Some(error) = failed {
            return Err(error);
        }
        let group = match found {
            Some(group) => group,
            None => {
                let group = self.groups.len() as u32;
                self.groups.push(Group { hash, one: place, begin: 0, end: 0 });
                let groups = &self.groups;
                self.table.insert_unique(hash, group, |group| groups[*group as usize].hash);
                group
            }
        };
        self.groups[group as usize].end += 1;
        Ok(group)
    }

    /// Puts events by group and time; `end` of a group is the number of its events so far.
    fn order(&mut self, mut entries: Vec<Entry>) {
        let mut begin = 0;
        for group in &mut self.groups {
            group.begin = begin;
            begin += group.end;
            group.end = group.begin;
        }
        self.times = vec![0; entries.len()];
        self.places = vec![Place { batch: 0, row: 0 }; entries.len()];
        // Most lakes are in order of time, or nearly.
        if !entries.is_sorted_by_key(|entry| entry.time) {
            entries.sort_by_key(|entry| entry.time);
        }
        for entry in &entries {
            let group = &mut self.groups[entry.group as usize];
            self.times[group.end as usize] = entry.time;
            self.places[group.end as usize] = entry.place;
            group.end += 1;
        }
    }

    /// Whether the key of `place`, a row of `side`, is that of the later event `one`.
    fn same_key(&self, place: Place, side: Side, one: Place) -> Result<bool> {
        let (rows, others) = (&self.rows[place.batch as usize], &self.rows[one.batch as usize]);
        let (side, then) = (self.spec.side(side), self.spec.side(Side::Then));
        for (text, other) in side.keys.iter().zip(&then.keys) {
            let column = rows.text(self.spec.texts[*text].lifted.column)?;
            let theirs = others.text(self.spec.texts[*other].lifted.column)?;
            let (key, their_key) = (column.keys[place.row as usize], theirs.keys[one.row as usize]);
            let one_value = text == other && key == their_key && Arc::ptr_eq(&column.dictionary, &theirs.dictionary);
            if !one_value {
                let strings = &column.dictionary.text(*text)?.strings;
                let their_strings = &theirs.dictionary.text(*other)?.strings;
                if strings.value(key as usize) != their_strings.value(their_key as usize) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Whether there is nothing to find.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The rows of the slice.
    pub(super) fn rows(&self) -> &'a [Arc<Rows>] {
        self.rows
    }

    /// The later events, as matches count them.
    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    /// Bytes that it takes.
    pub(super) fn size(&self) -> usize {
        self.table.allocation_size()
            + self.groups.capacity() * size_of::<Group>()
            + self.times.capacity() * size_of::<i64>()
            + self.places.capacity() * size_of::<Place>()
            + self.bitmap.words.len() * size_of::<u64>()
    }

    /// The matches of the first events of a batch, and how many of these events were asked for, and how many passed the
    /// bitmap.
    pub(super) fn matches(&self, batch: usize) -> Result<(Vec<Match>, usize, usize)> {
        let rows = &self.rows[batch];
        if self.is_empty() || rows.bounds.0 > self.to || rows.bounds.1 < self.from {
            return Ok((Vec::new(), 0, 0));
        }
        let keys = rows.keys(self.spec, Side::First)?;
        let times = rows.times.as_ref();
        let mut asked = 0;
        // In two steps, so that the misses of the table do not stand in each other's way.
        let mut passed: Vec<(u64, u32)> = Vec::new();
        for row in rows.first.set_indices() {
            asked += 1;
            let hash = hash(&keys, row);
            if self.bitmap.holds(hash, times[row]) {
                passed.push((hash, row as u32));
            }
        }
        let mut matches = Vec::new();
        for (hash, row) in &passed {
            let first = Place { batch: batch as u32, row: *row };
            let Some(group) = self.find(*hash, first)? else { continue };
            let (begin, end) = self.reach(group, times[*row as usize]);
            if begin < end {
                matches.push(Match { first, begin, end });
            }
        }
        Ok((matches, asked, passed.len()))
    }

    fn find(&self, hash: u64, first: Place) -> Result<Option<&Group>> {
        let mut failed = None;
        let found = self.table.find(hash, |group| {
            let group = &self.groups[*group as usize];
            group.hash == hash
                && self.same_key(first, Side::First, group.one).unwrap_or_else(|error| {
                    failed = Some(error);
                    false
                })
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(found.map(|group| &self.groups[*group as usize])),
        }
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

/// A Bloom filter of one bit over (key, stretch of time). A stretch is as long as the span, or up to twice as long.
struct Bitmap {
    words: Vec<u64>,
    /// The width of a stretch is two to the power of it.
    width: u32,
    /// How much of a hash is no index of a bit.
    shift: u32,
}

impl Bitmap {
    fn new(span: i64, events: usize) -> Self {
        let bits = (events * BITS).next_power_of_two().max(64);
        let width = (64 - (span.max(1) as u64 - 1).leading_zeros()).min(63);
        Self { words: vec![0; bits / 64], width, shift: 64 - bits.trailing_zeros() }
    }

    /// Stretches are counted from the least time.
    fn stretch(&self, time: i64) -> u64 {
        (time as u64 ^ 1 << 63) >> self.width
    }

    fn bit(&self, hash: u64, stretch: u64) -> (usize, u64) {
        let bit =
            (hash ^ stretch.wrapping_mul(0xd6e8_feb8_6659_fd93)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift;
        ((bit / 64) as usize, 1 << (bit % 64))
    }

    /// A later event: its first events are in its stretch or in the one before.
    fn insert(&mut self, hash: u64, time: i64) {
        let stretch = self.stretch(time);
        for stretch in [stretch, stretch.wrapping_sub(1)] {
            let (word, bit) = self.bit(hash, stretch);
            self.words[word] |= bit;
        }
    }

    /// Whether a first event can have a later one.
    fn holds(&self, hash: u64, time: i64) -> bool {
        let (word, bit) = self.bit(hash, self.stretch(time));
        self.words[word] & bit != 0
    }
}
