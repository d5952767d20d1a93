//! Decimal numbers of any size, as Postgres' numeric has them.

use std::{cmp::Ordering, fmt};

/// A decimal number: `0.d1d2d3… × 10^exponent`, without zeros at either end of its digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

/// Beyond this exponent a number is written with one.
const LONGEST: i64 = 40;
/// Below this exponent too.
const SHORTEST: i64 = -LONGEST;
/// Beyond this exponent there are no numbers. Postgres' numeric ends far below.
const LARGEST: i64 = 1_000_000;

impl Decimal {
    /// Reads a number as JSON and CEL write them. `None`: it is none, or its exponent is beyond all use.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (mantissa, power) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (negative, mantissa) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = whole.bytes().chain(fraction.bytes());
        let digits: Option<Vec<u8>> = digits
            .map(|byte| byte.is_ascii_digit().then(|| byte - b'0'))
            .collect();
        let exponent = i64::try_from(whole.len()).ok()? + i64::from(power);
        let digits = digits.filter(|digits| !digits.is_empty())?;
        let number = Self::normal(negative, digits, exponent);
        number.is_usable().then_some(number)
    }

    /// The number of these digits, which may have zeros at their ends.
    fn normal(negative: bool, mut digits: Vec<u8>, exponent: i64) -> Self {
        let end = digits.iter().rposition(|digit| *digit > 0);
        let start = digits.iter().position(|digit| *digit > 0);
        let (Some(start), Some(end)) = (start, end) else {
            return Self {
                negative: false,
                digits: Vec::new(),
                exponent: 0,
            };
        };
        digits.truncate(end + 1);
        digits.drain(..start);
        Self {
            negative,
            digits,
            exponent: exponent - distance(start),
        }
    }

    /// Is its exponent within bounds?
    pub(super) fn is_usable(&self) -> bool {
        self.exponent.abs() <= LARGEST
    }

    /// The number of its digits.
    pub(super) fn len(&self) -> usize {
        self.digits.len()
    }

    pub(super) fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    /// Where its last digit stands.
    fn lowest(&self) -> i64 {
        self.exponent - distance(self.digits.len())
    }

    /// How many digits a sum of both has at most.
    pub(super) fn sum_digits(&self, other: &Self) -> u64 {
        if self.is_zero() || other.is_zero() {
            return (self.len() + other.len()) as u64;
        }
        let high = self.exponent.max(other.exponent) + 1;
        high.abs_diff(self.lowest().min(other.lowest()))
    }

    /// The sum. Takes as much memory as [`Self::sum_digits`] says.
    pub(super) fn add(&self, other: &Self) -> Self {
        if self.is_zero() || other.is_zero() {
            let one = if self.is_zero() { other } else { self };
            return one.clone();
        }
        let high = self.exponent.max(other.exponent) + 1;
        let width = usize::try_from(self.sum_digits(other)).unwrap_or(usize::MAX);
        let aligned = |number: &Self| {
            let mut all = vec![0_u8; width];
            let at = usize::try_from(high - number.exponent).unwrap_or_default();
            all[at..at + number.len()].copy_from_slice(&number.digits);
            all
        };
        let (mut one, mut two) = (aligned(self), aligned(other));
        let mut negative = self.negative;
        if self.negative == other.negative {
            let mut carry = 0;
            for (one, two) in one.iter_mut().zip(&two).rev() {
                let sum = *one + two + carry;
                (*one, carry) = (sum % 10, sum / 10);
            }
        } else {
            if one < two {
                std::mem::swap(&mut one, &mut two);
                negative = other.negative;
            }
            let mut borrow = 0;
            for (one, two) in one.iter_mut().zip(&two).rev() {
                let difference = 10 + *one - two - borrow;
                (*one, borrow) = (difference % 10, u8::from(difference < 10));
            }
        }
        Self::normal(negative, one, high)
    }

    /// The number with the other sign.
    pub(super) fn negated(&self) -> Self {
        Self {
            negative: !self.negative && !self.is_zero(),
            ..self.clone()
        }
    }

    /// The product. Takes time in proportion to the product of the numbers of digits.
    pub(super) fn multiply(&self, other: &Self) -> Self {
        let mut all = vec![0_u8; self.len() + other.len()];
        for (at, one) in self.digits.iter().enumerate().rev() {
            let mut carry = 0;
            for (to, two) in other.digits.iter().enumerate().rev() {
                let sum = all[at + to + 1] + one * two + carry;
                (all[at + to + 1], carry) = (sum % 10, sum / 10);
            }
            all[at] += carry;
        }
        let negative = self.negative != other.negative;
        Self::normal(negative, all, self.exponent + other.exponent)
    }

    /// The whole part; `None` where it is too large.
    pub(super) fn truncated(&self) -> Option<i128> {
        let whole = usize::try_from(self.exponent.max(0)).ok()?;
        let mut value: i128 = 0;
        for at in 0..whole.min(LONGEST as usize) {
            let digit = self.digits.get(at).copied().unwrap_or(0);
            value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
        }
        let fits = whole <= LONGEST as usize;
        fits.then_some(if self.negative { -value } else { value })
    }

    /// Its value, if it is whole and not too large.
    pub(super) fn whole(&self) -> Option<i128> {
        (self.lowest() >= 0).then(|| self.truncated()).flatten()
    }
}

fn distance(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.is_zero(), number.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let size = || {
            let exponents = self.exponent.cmp(&other.exponent);
            exponents.then_with(|| self.digits.cmp(&other.digits))
        };
        sign(self).cmp(&sign(other)).then_with(|| match sign(self) {
            0 => Ordering::Equal,
            1 => size(),
            _ => size().reverse(),
        })
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0");
        }
        let digits: String = self
            .digits
            .iter()
            .map(|digit| (digit + b'0') as char)
            .collect();
        let sign = if self.negative { "-" } else { "" };
        let before = usize::try_from(self.exponent).unwrap_or_default();
        match self.exponent {
            1..=LONGEST if before >= digits.len() => write!(f, "{sign}{digits:0<before$}"),
            1..=LONGEST => write!(f, "{sign}{}.{}", &digits[..before], &digits[before..]),
            SHORTEST..=0 => {
                let zeros = usize::try_from(-self.exponent).unwrap_or_default();
                write!(f, "{sign}0.{:0<zeros$}{digits}", "")
            }
            _ => write!(f, "{sign}0.{digits}e{}", self.exponent),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn numbers_have_one_form() {
        for (text, expected) in [
            ("19.9000", "19.9"),
            ("-0.0", "0"),
            ("50000000000000000001", "50000000000000000001"),
            ("1e3", "1000"),
            ("1.5E-3", "0.0015"),
            (".5", "0.5"),
            ("-12.5e1", "-125"),
            ("1e400", "0.1e401"),
        ] {
            assert_eq!(decimal(text).to_string(), expected, "{text}");
        }
        for text in ["", "-", "1e", "x", "1e99999999999", "."] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_ordered_as_postgres_orders_numerics() {
        let ascending = [
            "-1e400",
            "-50000000000000000001",
            "-50000000000000000000",
            "-1",
            "-0.1",
            "-1e-400",
            "0",
            "1e-400",
            "0.1",
            "0.10000000000000000001",
            "9.5",
            "10",
            "50000000000000000000",
            "50000000000000000001",
            "1e400",
        ];
        for (one, first) in ascending.iter().enumerate() {
            for (two, second) in ascending.iter().enumerate() {
                assert_eq!(
                    decimal(first).cmp(&decimal(second)),
                    one.cmp(&two),
                    "{first} {second}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn sums_and_products_are_exact(
            one in -1_000_000_000_000_i128..1_000_000_000_000,
            two in -1_000_000_000_000_i128..1_000_000_000_000,
            scales in (0_i32..20, 0_i32..20),
        ) {
            let at = |number: i128, scale: i32| decimal(&format!("{number}e-{scale}"));
            let (a, b) = (at(one, scales.0), at(two, scales.1));
            let low = scales.0.max(scales.1);
            let shift = |number: i128, scale: i32| number * 10_i128.pow((low - scale).unsigned_abs());
            let (left, right) = (shift(one, scales.0), shift(two, scales.1));
            prop_assert_eq!(a.add(&b), at(left + right, low));
            prop_assert_eq!(a.add(&b.negated()), at(left - right, low));
            prop_assert_eq!(a.multiply(&b), at(one * two, scales.0 + scales.1));
            prop_assert_eq!(a.cmp(&b), left.cmp(&right));
            prop_assert_eq!(a.truncated(), Some(one / 10_i128.pow(scales.0.unsigned_abs())));
            prop_assert_eq!(decimal(&a.to_string()), a);
        }

        #[test]
        fn floats_keep_their_order(one: f64, two: f64) {
            prop_assume!(one.is_finite() && two.is_finite());
            let ordering = decimal(&format!("{one:e}")).cmp(&decimal(&format!("{two:e}")));
            prop_assert_eq!(Some(ordering), one.partial_cmp(&two));
        }
    }
}
