//! What happened around each hit, by entity: the instants that a hit has, in order.

use std::collections::HashMap;

use super::codes::Codes;
use super::columns::Columns;
use super::rows::Rows;
use super::tops::EMPTY;
use super::values::{Count, Entity, Event, Moment, Timelines};
use crate::error::Result;

/// Entities that a page shows.
const MOST_ENTITIES: usize = 40;

/// Hits of an entity that a page shows.
const MOST_HITS: usize = 8;

const SECOND: i64 = 1_000_000;

/// The columns that timelines need, as text and as times.
struct Texts {
    columns: HashMap<usize, Vec<Option<String>>>,
}

impl Texts {
    fn of(rows: &Rows, columns: &Columns) -> Result<Self> {
        let events = columns.events.iter().flat_map(|event| [Some(event.position), event.app]).flatten();
        let entities = columns.entities.iter().map(|entity| entity.position);
        let all = entities.chain(events).chain(columns.code);
        Ok(Self { columns: all.map(|column| Ok((column, rows.texts(column)?))).collect::<Result<_>>()? })
    }

    fn at(&self, column: usize, row: usize) -> String {
        let text = self.columns.get(&column).and_then(|texts| texts.get(row)?.as_deref());
        text.filter(|text| !text.is_empty()).unwrap_or(EMPTY).to_owned()
    }
}

/// Timelines by the first of the job's entities; `longest` is the longest time that a hit can take, in microseconds.
pub(super) fn timelines(rows: &Rows, columns: &Columns, codes: &Codes, longest: i64) -> Result<Timelines> {
    let Some(entity) = columns.entities.first().filter(|_| !columns.events.is_empty()) else {
        return Ok(Timelines::default());
    };
    let texts = Texts::of(rows, columns)?;
    let times: Vec<Vec<Option<i64>>> = columns.events.iter().map(|event| rows.times(event.position)).collect();
    let begin = |row: usize| times.iter().filter_map(|times| times[row]).min();
    let mut by_entity: HashMap<String, Vec<usize>> = HashMap::new();
    for row in 0..rows.len() {
        by_entity.entry(texts.at(entity.position, row)).or_default().push(row);
    }
    let mut groups: Vec<(String, Vec<usize>)> = by_entity.into_iter().collect();
    for (_, group) in &mut groups {
        group.sort_by_key(|row| begin(*row));
    }
    // Who has most of them first, and then who was first.
    groups.sort_by_cached_key(|(name, group)| (std::cmp::Reverse(group.len()), begin(group[0]), name.clone()));
    let rarity = rarity(rows);
    let total = groups.len();
    let entities = groups.into_iter().take(MOST_ENTITIES).map(|(name, group)| {
        let shown = group.iter().take(MOST_HITS).map(|row| {
            let mut events: Vec<(Option<i64>, Event)> = columns
                .events
                .iter()
                .zip(&times)
                .map(|(column, times)| {
                    let code = columns.code.filter(|_| column.has_code).map(|code| texts.at(code, *row));
                    let event = Event {
                        class: column.class,
                        time: texts.at(column.position, *row),
                        what: column.what.clone(),
                        app: column.app.map(|app| texts.at(app, *row)),
                        meaning: code.as_deref().and_then(|code| codes.meaning(code)).map(str::to_owned),
                        code,
                        place: 0.0,
                    };
                    (times[*row], event)
                })
                .collect();
            events.sort_by_key(|(time, _)| *time);
            moment(events, longest, |day| {
                let with = columns.entities.iter().skip(1);
                let with = with.map(|other| (other.one.clone(), texts.at(other.position, *row))).collect();
                (day, with, rarity(*row))
            })
        });
        Entity {
            shown: shown.collect(),
            hits: Count(group.len() as u64),
            left: Count(group.len().saturating_sub(MOST_HITS) as u64),
            name,
        }
    });
    Ok(Timelines {
        what: entity.one.clone(),
        entities: entities.collect(),
        entities_left: Count(total.saturating_sub(MOST_ENTITIES) as u64),
    })
}

type Around = (String, Vec<(String, String)>, Option<String>);

/// A hit from its events in order; the day goes before all of them, the time of day to each.
fn moment(events: Vec<(Option<i64>, Event)>, longest: i64, around: impl Fn(String) -> Around) -> Moment {
    let known = || events.iter().filter_map(|(time, _)| *time);
    let (first, last) = (known().min(), known().max());
    let taken = first.zip(last).map(|(first, last)| last - first).unwrap_or_default();
    // A job whose hits take longer than it declares is drawn to their own measure.
    let scale = longest.max(taken).max(1);
    let day_of = |event: &Event| event.time.split_once(' ').map(|(day, _)| day.to_owned());
    let first_day = events.iter().find_map(|(_, event)| day_of(event)).unwrap_or_default();
    let events: Vec<Event> = events
        .into_iter()
        .map(|(time, mut event)| {
            let same_day = day_of(&event).as_deref() == Some(&first_day);
            if let Some((_, clock)) = event.time.split_once(' ').filter(|_| same_day) {
                event.time = clock.to_owned();
            }
            if let Some((time, first)) = time.zip(first) {
                event.place = ((time - first) as f64 / scale as f64 * 1000.0).round() / 10.0;
            }
            event
        })
        .collect();
    let span = (events.len() > 1).then(|| span(taken));
    let (day, with, rarity) = around(first_day);
    Moment { day, with, events, span, rarity }
}

/// `28.875 s`, `1 h 03 min 20 s`
fn span(micros: i64) -> String {
    let (seconds, rest) = (micros.div_euclid(SECOND), micros.rem_euclid(SECOND));
    match seconds {
        0 if rest < 1_000 => format!("{rest} µs"),
        0..120 => format!("{seconds}.{:03} s", rest / 1_000),
        120..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3_600..172_800 => format!("{} h {:02} min {:02} s", seconds / 3_600, seconds / 60 % 60, seconds % 60),
        _ => format!("{} days {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// How rare a hit is, where a hunt counts its distribution.
fn rarity(rows: &Rows) -> impl Fn(usize) -> Option<String> {
    let counts = rows.numbers("distribution_count");
    let pairs = rows.numbers("pair_count");
    let ranks = rows.numbers("kql_rank");
    move |row| {
        let count = counts.as_ref()?[row]?;
        let own = pairs.as_ref().and_then(|pairs| pairs[row]).unwrap_or(1);
        let first = ranks.as_ref().is_some_and(|ranks| ranks[row] == Some(1));
        let rank = if first { "; in KQL's own answer" } else { "" };
        Some(match (own, count) {
            (1, 1) => format!("the only pair of its key in the window{rank}"),
            _ => format!("{own} of {count} pairs of its key in the window{rank}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_between_events_are_as_exact_as_they_are_long() {
        for (micros, text) in [
            (1, "1 µs"),
            (1_000, "0.001 s"),
            (59_999_999, "59.999 s"),
            (60_000_000, "60.000 s"),
            (125_000_000, "2 min 05 s"),
            (3_800_000_000, "1 h 03 min 20 s"),
            (190_000_000_000, "2 days 4 h"),
        ] {
            assert_eq!(span(micros), text);
        }
    }

    #[test]
    fn events_are_placed_by_their_times_and_dated_where_the_day_is_another() {
        let event = |time: &str| Event {
            class: "other",
            time: time.to_owned(),
            what: String::new(),
            app: None,
            code: None,
            meaning: None,
            place: 0.0,
        };
        let midnight = 86_400 * SECOND;
        let events = vec![
            (Some(midnight - 15 * SECOND), event("1970-01-01 23:59:45.000")),
            (Some(midnight), event("1970-01-02 00:00:00.000")),
        ];
        let moment = moment(events, 60 * SECOND, |day| (day, Vec::new(), None));
        assert_eq!(moment.day, "1970-01-01");
        assert_eq!((moment.events[0].time.as_str(), moment.events[0].place), ("23:59:45.000", 0.0));
        assert_eq!((moment.events[1].time.as_str(), moment.events[1].place), ("1970-01-02 00:00:00.000", 25.0));
        assert_eq!(moment.span.as_deref(), Some("15.000 s"));
    }
}
