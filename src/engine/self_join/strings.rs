//! Texts in a row, whatever holds them.

use std::sync::Arc;

use datafusion::arrow::array::{Array, StringArray, StringViewArray};

/// Bytes of a text that its view holds itself, by Arrow's format.
pub(super) const INLINE: u32 = 12;

/// Texts by place.
#[derive(Debug, Clone)]
pub(super) enum Strings {
    Plain(StringArray),
    /// In the pages that they were read from, and what stands for a null.
    Views(StringViewArray, Option<Arc<str>>),
}

impl Strings {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Plain(texts) => texts.len(),
            Self::Views(texts, _) => texts.len(),
        }
    }

    pub(super) fn get(&self, place: usize) -> Option<&str> {
        match self {
            Self::Plain(texts) => texts.is_valid(place).then(|| texts.value(place)),
            Self::Views(texts, null) if texts.is_null(place) => null.as_deref(),
            Self::Views(texts, _) => Some(texts.value(place)),
        }
    }

    /// Whether the texts at two places are the same, or there is none at both.
    pub(super) fn same(&self, place: usize, other: &Self, at: usize) -> bool {
        match (self, other) {
            (Self::Views(mine, _), Self::Views(theirs, _)) if mine.is_valid(place) && theirs.is_valid(at) => {
                let (my, their) = (mine.views()[place], theirs.views()[at]);
                // The lower half is the length and how the text begins. A short text is in its view as a whole.
                match my as u32 <= INLINE {
                    true => my == their,
                    false => my as u64 == their as u64 && mine.value(place) == theirs.value(at),
                }
            }
            _ => self.get(place) == other.get(at),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Option<&str>> {
        (0..self.len()).map(|place| self.get(place))
    }
}
