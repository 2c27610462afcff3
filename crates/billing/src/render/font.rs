//! Helvetica, which every reader of PDF has: nothing is embedded. Its widths are those of Adobe's metrics.

use pdf_writer::Name;

/// Upright or bold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Font {
    Regular,
    Bold,
}

/// Widths of the characters from the space to `~`, in thousandths of the size.
const REGULAR: [u16; 95] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556,
    556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667,
    611, 778, 722, 278, 500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667,
    667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500,
    222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
];

const BOLD: [u16; 95] = [
    278, 333, 474, 556, 556, 889, 722, 238, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556,
    556, 556, 556, 556, 556, 556, 556, 333, 333, 584, 584, 584, 611, 975, 722, 722, 722, 722, 667,
    611, 778, 722, 278, 556, 722, 611, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667,
    667, 611, 333, 278, 333, 584, 556, 333, 556, 611, 556, 611, 556, 333, 611, 611, 278, 278, 556,
    278, 889, 611, 611, 611, 611, 389, 556, 333, 611, 556, 778, 556, 556, 500, 389, 280, 389, 584,
];

/// Of accented letters and signs: as wide as most of them, which is enough for text that is cut or wrapped.
const OTHER: u16 = 611;

impl Font {
    pub(super) const ALL: [Self; 2] = [Self::Regular, Self::Bold];

    /// What the page's resources call it.
    pub(super) fn name(self) -> Name<'static> {
        match self {
            Self::Regular => Name(b"F1"),
            Self::Bold => Name(b"F2"),
        }
    }

    /// What readers know it as.
    pub(super) fn base(self) -> Name<'static> {
        match self {
            Self::Regular => Name(b"Helvetica"),
            Self::Bold => Name(b"Helvetica-Bold"),
        }
    }

    /// How wide `text` is at a size.
    pub(super) fn width(self, text: &str, size: f32) -> f32 {
        let widths = match self {
            Self::Regular => &REGULAR,
            Self::Bold => &BOLD,
        };
        let of = |byte: u8| {
            let index = byte.checked_sub(b' ').map(usize::from);
            widths.get(index.unwrap_or_default()).copied().unwrap_or(OTHER)
        };
        let thousandths: u32 = encode(text).into_iter().map(of).map(u32::from).sum();
        // Exact: a page of text has no more than 2^24 thousandths.
        #[expect(clippy::cast_precision_loss, reason = "far below 2^24")]
        let width = thousandths as f32;
        width * size / 1_000.0
    }

    /// `text`, cut to what fits.
    pub(super) fn cut(self, text: &str, size: f32, width: f32) -> String {
        if self.width(text, size) <= width {
            return text.to_owned();
        }
        let mut cut = String::new();
        for character in text.chars() {
            let longer = format!("{cut}{character}\u{2026}");
            if self.width(&longer, size) > width {
                break;
            }
            cut.push(character);
        }
        cut.push('\u{2026}');
        cut
    }
}

/// Text in the encoding of the fonts (Windows-1252); a question mark for what that does not have.
pub(super) fn encode(text: &str) -> Vec<u8> {
    let byte = |character: char| match character {
        ' '..='~' => u8::try_from(character).unwrap_or(b'?'),
        '\u{a0}'..='\u{ff}' => u8::try_from(u32::from(character)).unwrap_or(b'?'),
        '\u{20ac}' => 0x80,
        '\u{2026}' => 0x85,
        '\u{2018}' => 0x91,
        '\u{2019}' => 0x92,
        '\u{201c}' => 0x93,
        '\u{201d}' => 0x94,
        '\u{2022}' => 0x95,
        '\u{2013}' => 0x96,
        '\u{2014}' => 0x97,
        _ => b'?',
    };
    text.chars().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_all_as_wide_so_that_amounts_stand_below_each_other() {
        for font in Font::ALL {
            for digit in '0'..='9' {
                assert!((font.width(&digit.to_string(), 10.0) - 5.56).abs() < 0.001);
            }
        }
        assert!(
            (Font::Bold.width("Total", 10.0) - 23.89).abs() < 0.001,
            "611 + 611 + 333 + 556 + 278"
        );
    }

    #[test]
    fn what_does_not_fit_is_cut() {
        assert_eq!(Font::Regular.cut("claude", 10.0, 100.0), "claude");
        let cut = Font::Regular.cut("a-very-long-name-of-a-model", 10.0, 60.0);
        assert!(cut.ends_with('\u{2026}') && Font::Regular.width(&cut, 10.0) <= 60.0, "{cut}");
    }

    #[test]
    fn what_the_font_does_not_have_is_a_question_mark() {
        assert_eq!(encode("Zürich – 3 €, 東"), b"Z\xfcrich \x96 3 \x80, ?");
    }
}
