//! One folder of a template: what its name is made of, and reading numbers back from it.

/// A unit of time that a folder name holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unit {
    Year,
    Month,
    Day,
    Hour,
    Minute,
}

/// A piece of a folder's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    /// A number; `width` digits with leading zeros.
    Number(Unit, usize),
}

/// One folder of the template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folder {
    pub(super) pieces: Vec<Piece>,
    /// The finest unit that is known once this folder's name is.
    pub(super) grain: Option<Unit>,
}

/// What `key=` without braces stands for.
const KEYS: [(&str, &str); 13] = [
    ("year", "{yyyy}"),
    ("y", "{yyyy}"),
    ("month", "{MM}"),
    ("m", "{MM}"),
    ("day", "{dd}"),
    ("d", "{dd}"),
    ("hour", "{HH}"),
    ("h", "{HH}"),
    ("minute", "{mm}"),
    ("date", "{yyyy-MM-dd}"),
    ("dt", "{yyyy-MM-dd}"),
    ("eventday", "{yyyyMMdd}"),
    ("timestamp", "{yyyy-MM-ddTHH}"),
];

/// Writes the short forms of a folder out: `m=` is the month, or the minute once the hour is known.
pub(super) fn expand(segment: &str, known: Option<Unit>) -> String {
    if segment.contains('{') {
        return segment.to_owned();
    }
    if let Some(key) = segment.strip_suffix('=') {
        let lower = key.to_ascii_lowercase();
        if lower == "m" && known == Some(Unit::Hour) {
            return format!("{key}={{mm}}");
        }
        if let Some((_, pattern)) = KEYS.iter().find(|(name, _)| *name == lower) {
            return format!("{key}={pattern}");
        }
    }
    let bare = !segment.is_empty() && segment.chars().all(|c| "yMdHm-_T".contains(c));
    if bare && segment.contains(['y', 'M', 'd', 'H', 'm']) { format!("{{{segment}}}") } else { segment.to_owned() }
}

pub(super) fn pieces(segment: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = segment;
    while !rest.is_empty() {
        let (text, after) = rest.split_once('{').unwrap_or((rest, ""));
        if text.contains('}') {
            return Err(format!("`{segment}` closes a brace that it did not open"));
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text.to_owned()));
        }
        if text.len() == rest.len() {
            break;
        }
        let (pattern, after) = after.split_once('}').ok_or_else(|| format!("`{segment}` leaves a brace open"))?;
        pieces.extend(numbers(pattern)?);
        rest = after;
    }
    if segment.ends_with('=') {
        return Err(format!("`{segment}` has no pattern and is no well-known key"));
    }
    Ok(pieces)
}

/// The pieces of a date pattern.
fn numbers(pattern: &str) -> Result<Vec<Piece>, String> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        let mut width = 1;
        while chars.next_if_eq(&c).is_some() {
            width += 1;
        }
        let unit = match (c, width) {
            ('y', 4) => Unit::Year,
            ('M', 1 | 2) => Unit::Month,
            ('d', 1 | 2) => Unit::Day,
            ('H', 1 | 2) => Unit::Hour,
            ('m', 1 | 2) => Unit::Minute,
            ('-' | '_' | 'T' | '.', _) => {
                pieces.push(Piece::Text(c.to_string().repeat(width)));
                continue;
            }
            _ => return Err(format!("`{}` is no date pattern", c.to_string().repeat(width))),
        };
        if width == 1 && matches!(pieces.last(), Some(Piece::Number(..))) {
            return Err(format!("`{{{pattern}}}` runs numbers together that have no fixed width"));
        }
        pieces.push(Piece::Number(unit, width));
    }
    Ok(pieces)
}

/// Reads a folder's name by its pattern; `None` when it does not fit.
pub(super) fn read_numbers(folder: &Folder, name: &str, numbers: &mut [u32; 5]) -> Option<()> {
    let mut rest = name;
    for piece in &folder.pieces {
        match piece {
            Piece::Text(text) => rest = rest.strip_prefix(text.as_str())?,
            Piece::Number(unit, width) => {
                let longest = (*width).max(2);
                let digits = rest.bytes().take(longest).take_while(u8::is_ascii_digit).count();
                if digits < *width {
                    return None;
                }
                numbers[*unit as usize] = rest[..digits].parse().ok()?;
                rest = &rest[digits..];
            }
        }
    }
    rest.is_empty().then_some(())
}
