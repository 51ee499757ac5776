//! Texts that pfSense can store.
//!
//! The box keeps its configuration as XML. A character that XML does not know is taken with 200 and loses the write,
//! together with whatever was not yet saved. So such texts are never sent. Must not know fields or tables.

/// A text that must not be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// A character that does not survive in the box's configuration.
    #[error("holds the character U+{code:04X}, which pfSense cannot store: take it out")]
    Character {
        /// Its code.
        code: u32,
    },
    /// Longer than the field.
    #[error(
        "is {bytes} bytes long, the field takes {limit}: shorten it (a letter outside ASCII counts 2 to 4 bytes)"
    )]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
}

/// Which characters a text may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// Ours: one line, nothing invisible that could come back changed.
    Ours,
    /// A row of the box sent back to it: whatever XML can hold.
    Foreign,
}

/// Checks a text before it is sent.
pub(crate) fn check(text: &str, limit: usize, strictness: Strictness) -> Result<(), TextError> {
    let refused = |character: char| match strictness {
        Strictness::Ours => character.is_control() || is_no_xml(character),
        Strictness::Foreign => is_no_xml(character),
    };
    if let Some(character) = text.chars().find(|character| refused(*character)) {
        return Err(TextError::Character { code: character.into() });
    }
    if text.len() > limit {
        return Err(TextError::TooLong { bytes: text.len(), limit });
    }
    Ok(())
}

/// Makes a text storable: each run of characters that cannot be stored, and of line breaks, becomes one blank; blanks
/// at the ends go (the box drops a trailing line break itself).
pub fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    let mut gap = false;
    for character in text.chars() {
        if character.is_control() || is_no_xml(character) {
            gap = true;
        } else {
            if std::mem::take(&mut gap) && !cleaned.ends_with(' ') && character != ' ' {
                cleaned.push(' ');
            }
            cleaned.push(character);
        }
    }
    cleaned.trim().to_owned()
}

fn is_no_xml(character: char) -> bool {
    matches!(character, '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn refuses(text: &str, code: u32) {
        assert_eq!(check(text, 100, Strictness::Ours), Err(TextError::Character { code }), "{text:?}");
    }

    #[test]
    fn characters_that_lose_the_write_are_refused() {
        for (text, code) in
            [("bell \u{7}", 7), ("nul\0", 0), ("\u{fffe}", 0xfffe), ("\u{ffff}", 0xffff), ("\u{1f}", 0x1f)]
        {
            refuses(text, code);
            assert!(check(text, 100, Strictness::Foreign).is_err(), "{text:?}");
        }
    }

    #[test]
    fn characters_that_come_back_changed_are_refused_in_ours_only() {
        for (text, code) in [("a\nb", 10), ("a\rb", 13), ("a\tb", 9), ("\u{7f}", 0x7f), ("\u{85}", 0x85)] {
            refuses(text, code);
            assert_eq!(check(text, 100, Strictness::Foreign), Ok(()), "{text:?}");
        }
    }

    #[test]
    fn lengths_count_in_bytes() {
        assert_eq!(check(&"ü".repeat(512), 1024, Strictness::Ours), Ok(()));
        let expected = Err(TextError::TooLong { bytes: 1026, limit: 1024 });
        assert_eq!(check(&"ü".repeat(513), 1024, Strictness::Ours), expected);
    }

    #[test]
    fn cleaning_keeps_words_apart() {
        assert_eq!(clean("a\r\nb \u{7} c\n"), "a b  c");
        assert_eq!(clean("\u{7}x\u{fffe}"), "x");
        assert_eq!(clean("ümläut 漢字 🙂"), "ümläut 漢字 🙂");
    }

    proptest! {
        #[test]
        fn cleaned_texts_are_storable_and_stay_so(text in any::<String>()) {
            let cleaned = clean(&text);
            prop_assert_eq!(check(&cleaned, usize::MAX, Strictness::Ours), Ok(()));
            prop_assert_eq!(clean(&cleaned), cleaned.clone());
            prop_assert!(cleaned.len() <= text.len());
        }

        #[test]
        fn storable_texts_are_left_alone(text in "[a-zA-Z0-9äöü漢🙂.:/_-]([ a-zA-Z0-9äöü]*[a-z])?") {
            prop_assert_eq!(clean(&text), text);
        }
    }
}
