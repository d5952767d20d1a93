//! Where bytes of a file stand, as lines and columns. Each is found in a few steps, however large the file and its
//! lines are, because every value of a file has a place.

use super::mistake::Location;

/// The most bytes that are looked at for one place.
const STRIDE: usize = 256;

/// A text, with the places that others are counted from.
pub(super) struct Places<'a> {
    text: &'a str,
    /// The beginning of each line, and in a long line a character every [`STRIDE`] bytes.
    marks: Vec<(usize, Location)>,
}

impl<'a> Places<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let mut place = Location { line: 1, column: 1 };
        let mut marks = vec![(0, place)];
        let mut last = 0;
        for (at, character) in text.char_indices() {
            if at - last >= STRIDE {
                marks.push((at, place));
                last = at;
            }
            if character == '\n' {
                place = Location {
                    line: place.line + 1,
                    column: 1,
                };
                last = at + 1;
                marks.push((last, place));
            } else {
                place.column += 1;
            }
        }
        Self { text, marks }
    }

    /// The line and column of a byte. Beyond the end it is that of the end.
    pub(super) fn of(&self, byte: usize) -> Location {
        let (from, mark) = self.mark(byte);
        let between = self.text.get(from..byte).or(self.text.get(from..));
        Location {
            column: mark.column + between.unwrap_or_default().chars().count(),
            ..mark
        }
    }

    /// The last mark up to a byte.
    fn mark(&self, byte: usize) -> (usize, Location) {
        let after = self.marks.partition_point(|(at, _)| *at <= byte);
        self.marks[after.saturating_sub(1)]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Counted from the beginning.
    fn counted(text: &str, byte: usize) -> Location {
        let before = &text[..byte];
        let line = before.rsplit('\n').next().unwrap();
        Location {
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
        }
    }

    proptest! {
        #[test]
        fn a_place_is_found_near_by_and_is_the_one_that_counting_finds(
            text in "([a-z =\"]{0,400}|[äß漢🦀]{0,300}|\n){0,8}"
        ) {
            let places = Places::new(&text);
            let bytes = text.char_indices().map(|(byte, _)| byte);
            for byte in bytes.chain([text.len()]) {
                prop_assert_eq!(places.of(byte), counted(&text, byte));
                let (mark, _) = places.mark(byte);
                // A mark stands on a character, which may begin up to three bytes late.
                prop_assert!(byte - mark <= STRIDE + 3, "{} bytes", byte - mark);
            }
            prop_assert_eq!(places.of(text.len() + 7), counted(&text, text.len()));
        }
    }
}
