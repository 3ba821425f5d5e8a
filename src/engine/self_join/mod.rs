//! The interval join of a table with itself: one scan feeds both sides.
//!
//! ```text
//!   parts of the scan by time      [ part 1 ][ part 2 ] [ part 3 ] ...    each read once, by whoever is free
//!        |  text as dictionaries, if files have them: conditions, key hashes and codes are worked out once a value
//!        v
//!   rows of both sides             f f t f f t f f f t f f ...            no copy: the scan's own buffers
//!        |  what lies before the pages to come of a part that is alone in its time is complete, and is joined at once;
//!        |  of all else, what lies before every part that is not read yet
//!        v
//!   a slice of time                later events by key, and a bitmap of (key, time) in front of them
//!        |  first events ask the bitmap, then the table; strings are compared
//!        v
//!   pairs -> rows, or counted by group as they are found
//! ```
//!
//! Memory holds what is not complete yet, so it follows the disorder of the lake and not its length. Rows of the answer
//! are those of the two-input join; their order is none.

mod codes;
mod count;
mod dictionary;
mod exec;
mod gather;
mod index;
mod kin;
mod line;
mod outputs;
mod own;
mod pairs;
mod reading;
mod rows;
mod rule;
mod schedule;
mod seen;
mod spec;
mod stream;
mod strings;
mod view;

#[cfg(test)]
mod tests;

pub(super) use exec::passes;
pub(super) use rule::SelfJoinRule;
