//! What the columns of a hit table are, from the job's declarations and their names; no hunt is known here.

use datafusion::arrow::datatypes::{DataType, Field, Schema};

use crate::engine::{WINDOW_START, WRITTEN};
use crate::job::Job;

/// The column of Entra's result codes.
const CODE: &str = "ResultType";

/// How columns of application names end.
const APP: &str = "AppDisplayName";

/// How columns of events' times end, the longer ones first.
const TIMES: [&str; 7] = ["TimeGenerated", "LogonTime", "SigninTime", "SignInTime", "EventTime", "Time", "At"];

/// Columns that a hit table has beside its hunt's own values, and that say nothing of a single hit.
const OF_THE_WINDOW: [&str; 2] = [WINDOW_START, "window_end"];

/// The columns of a job's hits, by position.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Columns {
    /// Those that name an entity: the first is what timelines go by.
    pub(super) entities: Vec<EntityColumn>,
    /// Those of applications.
    pub(super) apps: Vec<(String, usize)>,
    /// That of result codes.
    pub(super) code: Option<usize>,
    /// Those of instants at which something happened.
    pub(super) events: Vec<EventColumn>,
    /// What the table shows: the hunt's own values and its numbers.
    pub(super) shown: Vec<usize>,
}

/// A column that names an entity.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EntityColumn {
    /// One of them: `user`, `IP address`, …
    pub(super) one: String,
    /// Many of them: `Users`, `IP addresses`, …
    pub(super) many: String,
    pub(super) position: usize,
}

/// A column of instants at which something happened.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EventColumn {
    /// `success`, `failure` or `other`.
    pub(super) class: &'static str,
    /// What happened, in words.
    pub(super) what: String,
    pub(super) position: usize,
    pub(super) app: Option<usize>,
    /// Whether the result code is of this event.
    pub(super) has_code: bool,
}

impl Columns {
    pub(super) fn of(job: &Job, schema: &Schema) -> Self {
        let position = |name: &str| schema.index_of(name).ok();
        let repeated = repeated(job, schema);
        // The hunt's own values stand before the window.
        let values = position(WINDOW_START).unwrap_or(schema.fields().len());
        let own = |kind: fn(&Field) -> bool| {
            (0..values).filter(move |index| kind(schema.field(*index))).filter(|index| !repeated.contains(index))
        };
        let is_text = |field: &Field| field.data_type() == &DataType::Utf8;
        let is_time = |field: &Field| matches!(field.data_type(), DataType::Timestamp(..));

        let mut entities: Vec<EntityColumn> = Vec::new();
        for mapping in job.entity_mappings() {
            let (one, many) = entity_words(&mapping.entity_type);
            // Identifiers after the first narrow it down, as a domain does a name.
            let column = mapping.field_mappings.first().and_then(|field| position(&field.column_name));
            if let Some(position) = column.filter(|column| entities.iter().all(|known| known.position != *column)) {
                entities.push(EntityColumn { one, many, position });
            }
        }
        // An account is what a hunter looks for first.
        entities.sort_by_key(|entity| entity.one != "user");

        let apps: Vec<(String, usize)> = own(is_text)
            .filter(|index| schema.field(*index).name().ends_with(APP))
            .map(|index| {
                let before = schema.field(index).name().trim_end_matches(APP);
                (if before.is_empty() { "Apps".to_owned() } else { format!("{before} apps") }, index)
            })
            .collect();
        let code = position(CODE).filter(|index| *index < values);
        let mut events: Vec<EventColumn> = own(is_time).map(|index| event(schema, index, &apps)).collect();
        // A code is of the failures; where nothing is called one, of each event.
        let failures = events.iter().any(|event| event.class == "failure");
        for event in &mut events {
            event.has_code = code.is_some() && (event.class == "failure" || !failures);
        }
        let shown = (0..schema.fields().len())
            .filter(|index| {
                let name = schema.field(*index).name().as_str();
                let constant = WRITTEN.contains(&name) || OF_THE_WINDOW.contains(&name);
                !constant && !repeated.contains(index)
            })
            .collect();
        Self { entities, apps, code, events, shown }
    }
}

/// What happened at the times of a column, from its name.
fn event(schema: &Schema, position: usize, apps: &[(String, usize)]) -> EventColumn {
    let name = schema.field(position).name().as_str();
    let before = TIMES.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    let lower = before.to_ascii_lowercase();
    let class = match lower.as_str() {
        text if text.starts_with("succe") => "success",
        text if text.starts_with("fail") => "failure",
        _ => "other",
    };
    let what = match class {
        "success" => "Success".to_owned(),
        "failure" => "Failure".to_owned(),
        _ if before.is_empty() => "Event".to_owned(),
        _ => spaced(before),
    };
    let own = apps.iter().find(|(_, app)| !before.is_empty() && schema.field(*app).name() == &format!("{before}{APP}"));
    // One app column for all is that of each event.
    let app = own.or(if apps.len() == 1 { apps.first() } else { None });
    EventColumn { class, what, position, app: app.map(|(_, app)| *app), has_code: false }
}

/// Columns that only repeat others for Sentinel's entity mapping.
fn repeated(job: &Job, schema: &Schema) -> Vec<usize> {
    // A job that maps its entities to these columns has no others for them.
    let mapped = |name: &str| {
        let mut fields = job.entity_mappings().iter().flat_map(|mapping| &mapping.field_mappings);
        fields.any(|field| field.column_name == name)
    };
    let own_time = |index: usize| {
        let is_time = |field: &Field| matches!(field.data_type(), DataType::Timestamp(..));
        let values = schema.index_of(WINDOW_START).unwrap_or(schema.fields().len());
        (0..values).any(|other| other != index && is_time(schema.field(other)))
    };
    (0..schema.fields().len())
        .filter(|index| match schema.field(*index).name().as_str() {
            "timestamp" => own_time(*index),
            name => name.ends_with("CustomEntity") && !mapped(name),
        })
        .collect()
}

/// One and many of Sentinel's entity types, in words.
fn entity_words(kind: &str) -> (String, String) {
    let (one, many) = match kind {
        "Account" => ("user", "Users"),
        "IP" => ("IP address", "IP addresses"),
        "Host" => ("host", "Hosts"),
        "CloudApplication" => ("app", "Cloud apps"),
        "AzureResource" => ("resource", "Resources"),
        "Mailbox" => ("mailbox", "Mailboxes"),
        "URL" => ("URL", "URLs"),
        "File" => ("file", "Files"),
        "Process" => ("process", "Processes"),
        other => return (spaced(other), spaced(other)),
    };
    (one.to_owned(), many.to_owned())
}

/// `FirstSeen` as `First seen`.
fn spaced(name: &str) -> String {
    let mut text = String::new();
    let mut before = ' ';
    for c in name.trim_matches('_').chars() {
        if c.is_uppercase() && before.is_lowercase() {
            text.push(' ');
            text.extend(c.to_lowercase());
        } else {
            text.push(if c == '_' { ' ' } else { c });
        }
        before = c;
    }
    text
}
