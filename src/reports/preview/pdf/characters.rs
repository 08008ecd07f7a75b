//! What a character is to a line: whether it draws anything, and where the line may end beside it. A small
//! part of UAX #14 (<https://www.unicode.org/reports/tr14/>): spaces, hyphens, and ideographs with the
//! punctuation that must not begin or end a line.

/// How a character behaves at the end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Stays with what it follows, and may hang over the line's end.
    Space,
    /// Nothing breaks beside it.
    Glue,
    /// Stays with what follows.
    Opening,
    /// Stays with what it follows.
    Closing,
    /// The same, of a script without spaces.
    WideClosing,
    /// Has breaks on either side.
    Ideograph,
    /// A break follows, unless a digit does.
    Hyphen,
    Digit,
    Other,
}

/// What becomes of a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// As itself.
    Plain,
    /// As room up to the next stop.
    Tab,
    /// Ends the line.
    LineEnd,
    /// Not at all.
    Nothing,
    /// Not at all, but the line may end here.
    Break,
    /// As U+FFFD: it was there, and has no look of its own.
    Replaced,
}

/// What becomes of a character.
pub fn shown(c: char) -> Shown {
    match c {
        '\t' => Shown::Tab,
        '\n' | '\u{b}' | '\u{c}' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => Shown::LineEnd,
        '\u{ad}' | '\u{200b}' => Shown::Break,
        _ if c.is_control() || (c as u32 & 0xfffe) == 0xfffe => Shown::Replaced,
        _ if is_invisible(c) => Shown::Nothing,
        _ => Shown::Plain,
    }
}

/// Code points that are ignored where they are not understood (Unicode's `Default_Ignorable_Code_Point`):
/// joiners, marks of direction, selectors of variants, tags, fillers.
fn is_invisible(c: char) -> bool {
    matches!(c as u32,
        0x34f | 0x61c | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f | 0x200c..=0x200f
        | 0x202a..=0x202e | 0x2060..=0x206f | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb
        | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff)
}

/// How a character behaves at the end of a line.
pub fn class(c: char) -> Class {
    match c {
        '\u{a0}' | '\u{2007}' | '\u{202f}' | '"' | '\'' => Class::Glue,
        '(' | '[' | '{' | '‘' | '“' | '«' | '（' | '「' | '『' | '【' | '《' | '〈' | '〔' | '［' | '｛'
        | '〖' | '〘' | '〚' | '〝' | '￥' | '＄' => Class::Opening,
        ')' | ']' | '}' | ',' | '.' | ';' | ':' | '!' | '?' | '%' | '’' | '”' | '»' | '…' => {
            Class::Closing
        }
        '、' | '。' | '，' | '．' | '：' | '；' | '！' | '？' | '）' | '」' | '』' | '】' | '》' | '〉'
        | '〕' | '］' | '｝' | '〗' | '〙' | '〛' | '〟' | '％' | '℃' | '々' | 'ー' | '・' | 'ぁ' | 'ぃ'
        | 'ぅ' | 'ぇ' | 'ぉ' | 'っ' | 'ゃ' | 'ゅ' | 'ょ' | 'ゎ' | 'ァ' | 'ィ' | 'ゥ' | 'ェ' | 'ォ' | 'ッ'
        | 'ャ' | 'ュ' | 'ョ' | 'ヮ' => Class::WideClosing,
        '-' | '\u{2010}' | '\u{2013}' | '\u{2014}' => Class::Hyphen,
        _ if c.is_whitespace() => Class::Space,
        _ if c.is_numeric() && c.is_ascii() => Class::Digit,
        _ if is_ideograph(c) => Class::Ideograph,
        _ => Class::Other,
    }
}

/// Scripts that are written without spaces or may break anywhere, full-width forms, and pictures.
fn is_ideograph(c: char) -> bool {
    matches!(c as u32,
        0x2e80..=0x4dbf | 0x4e00..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe4f
        | 0xff00..=0xffef | 0x1f300..=0x1faff | 0x20000..=0x3fffd)
}

/// Whether a line may end between two characters that follow each other.
pub fn may_break(before: Class, after: Class) -> bool {
    use Class::{Closing, Digit, Glue, Hyphen, Ideograph, Opening, Space, WideClosing};
    match (before, after) {
        (_, Space | Glue | Closing | WideClosing) | (Glue | Opening, _) => false,
        (Space | Ideograph | WideClosing, _) | (_, Ideograph) => true,
        (Hyphen, Digit | Hyphen) => false,
        (Hyphen, _) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaks(text: &str) -> String {
        let characters: Vec<char> = text.chars().collect();
        let mut broken: String = characters.iter().take(1).collect();
        for pair in characters.windows(2) {
            if may_break(class(pair[0]), class(pair[1])) {
                broken.push('|');
            }
            broken.push(pair[1]);
        }
        broken
    }

    #[test]
    fn a_line_ends_after_spaces_and_hyphens_and_between_ideographs() {
        assert_eq!(breaks("some  words"), "some  |words");
        assert_eq!(breaks("well-being on 2026-11-23"), "well-|being |on |2026-11-23");
        assert_eq!(breaks("患者报告"), "患|者|报|告");
        assert_eq!(breaks("体温38.5℃时"), "体|温|38.5℃|时");
    }

    #[test]
    fn no_punctuation_stands_alone_at_the_wrong_end_of_a_line() {
        assert_eq!(breaks("（头痛）、发热。Then"), "（头|痛）、|发|热。|Then");
        assert_eq!(breaks("(a) b, \"c\"!"), "(a) |b, \"c\"!");
        assert_eq!(breaks("5\u{a0}mg"), "5\u{a0}mg");
    }

    #[test]
    fn what_draws_nothing_is_left_out_and_what_cannot_be_drawn_is_replaced() {
        for c in ['\u{200d}', '\u{202e}', '\u{feff}', '\u{fe0f}', '\u{e0041}'] {
            assert_eq!(shown(c), Shown::Nothing, "{c:?}");
        }
        for c in ['\0', '\u{1b}', '\u{7f}', '\u{9b}', '\u{ffff}', '\u{10fffe}'] {
            assert_eq!(shown(c), Shown::Replaced, "{c:?}");
        }
        assert_eq!(shown('\u{ad}'), Shown::Break);
        assert_eq!(shown('é'), Shown::Plain);
    }
}
