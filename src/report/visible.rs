//! Text of the data as a person can read it: what would not show, or would make other text show otherwise, is named.

use std::borrow::Cow;

/// The text with control characters, marks of direction and characters without width written out: `\n`, `\u{202e}`.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if hidden(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

/// Joiners (U+200C, U+200D) stay: words of some scripts need them.
fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_show_is_named_and_all_else_stays() {
        for text in ["", "Zoë Ünal", "محمد@contoso.com", "名前", "a | b <c> \u{200d}", "👩\u{200d}💻"] {
            assert!(matches!(visible(text), Cow::Borrowed(same) if same == text), "{text}");
        }
        assert_eq!(visible("a\nb\t\0"), "a\\nb\\t\\u{0}");
        assert_eq!(visible("moc.\u{202e}evil\u{2066}x\u{feff}"), "moc.\\u{202e}evil\\u{2066}x\\u{feff}");
    }
}
