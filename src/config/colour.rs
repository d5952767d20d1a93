//! Colours, and how well one can be read on another.

use std::fmt;

/// A colour as screens have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour([u8; 3]);

impl Colour {
    /// Black.
    pub const BLACK: Self = Self([0, 0, 0]);
    /// White.
    pub const WHITE: Self = Self([255, 255, 255]);

    /// Reads `#rrggbb`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = [0; 3];
        hex::decode_to_slice(text.strip_prefix('#')?, &mut parts).ok()?;
        Some(Self(parts))
    }

    /// How well text of one colour can be read on the other, from 1 to 21, as WCAG 2.2 computes it.
    pub fn contrast(self, other: Self) -> f64 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }

    /// Black or white, whichever can be read better on it. That has a contrast of 4.5 on every colour.
    pub fn text_on(self) -> Self {
        match self.contrast(Self::WHITE) >= self.contrast(Self::BLACK) {
            true => Self::WHITE,
            false => Self::BLACK,
        }
    }

    fn luminance(self) -> f64 {
        let [red, green, blue] = self.0.map(|part| {
            let part = f64::from(part) / 255.0;
            match part <= 0.04045 {
                true => part / 12.92,
                false => ((part + 0.055) / 1.055).powf(2.4),
            }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
}

/// `#rrggbb`
impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_is_written_as_it_is_read() {
        for text in ["#1d5a8f", "#000000", "#ffffff"] {
            assert_eq!(Colour::parse(text).unwrap().to_string(), text);
        }
        for bad in ["1d5a8f", "#1d5", "#1d5a8g", "#1d5a8f00", "red", ""] {
            assert_eq!(Colour::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn contrast_is_that_of_wcag() {
        let contrast = Colour::BLACK.contrast(Colour::WHITE);
        assert!((contrast - 21.0).abs() < 1e-9, "{contrast}");
        let grey = Colour::parse("#767676").unwrap();
        assert!(grey.contrast(Colour::WHITE) >= 4.5);
        assert!(Colour::parse("#777777").unwrap().contrast(Colour::WHITE) < 4.5);
        assert!((grey.contrast(grey) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn black_or_white_can_be_read_on_every_colour() {
        for grey in 0..=255 {
            for colour in [[grey; 3], [grey, 0, 255 - grey], [0, grey, 128]] {
                let colour = Colour(colour);
                assert!(colour.contrast(colour.text_on()) >= 4.5, "{colour}");
            }
        }
    }
}
