//! Numbers as expressions have them. Those of a row are exact, whatever their size; whole numbers and floats that the
//! expression makes itself are those of CEL.

use std::{cmp::Ordering, fmt, rc::Rc};

use super::{
    decimal::Decimal,
    fuel::{Fuel, Halt, failed},
};

/// A number.
#[derive(Debug, Clone)]
pub(super) enum Number<'a> {
    /// A whole number.
    Int(i64),
    /// A whole number without sign.
    UInt(u64),
    /// A float.
    Double(f64),
    /// A number of the row that is neither, as Postgres wrote it; or a literal that a float cannot hold.
    Written(&'a str),
    /// The result of an exact calculation.
    Exact(Rc<Decimal>),
}

/// What two numbers are made into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl<'a> Number<'a> {
    /// A number as JSON writes it.
    pub(super) fn written(text: &'a str) -> Self {
        if let Ok(whole) = text.parse() {
            return Self::Int(whole);
        }
        text.parse().map_or(Self::Written(text), Self::UInt)
    }

    /// A literal with a fraction or an exponent.
    pub(super) fn literal(text: &'a str, float: f64) -> Self {
        match (Decimal::parse(text), Decimal::parse(&float_text(float))) {
            (Some(exact), Some(near)) if exact != near => Self::Written(text),
            _ => Self::Double(float),
        }
    }

    fn is_whole_kind(&self) -> bool {
        matches!(self, Self::Int(_) | Self::UInt(_))
    }

    /// The name of its type in CEL.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Int(_) => "int",
            Self::UInt(_) => "uint",
            Self::Double(_) | Self::Written(_) | Self::Exact(_) => "double",
        }
    }

    /// How many bytes it takes to look at it.
    fn size(&self) -> usize {
        match self {
            Self::Int(_) | Self::UInt(_) | Self::Double(_) => 0,
            Self::Written(text) => text.len(),
            Self::Exact(decimal) => decimal.len(),
        }
    }

    /// Its exact value; `None` for infinities and what is not a number.
    fn decimal(&self, fuel: &Fuel) -> Result<Option<Rc<Decimal>>, Halt> {
        fuel.spend(4)?;
        fuel.make(self.size())?;
        let text = match self {
            Self::Int(value) => value.to_string(),
            Self::UInt(value) => value.to_string(),
            Self::Double(value) if value.is_finite() => float_text(*value),
            Self::Double(_) => return Ok(None),
            Self::Written(text) => (*text).to_owned(),
            Self::Exact(decimal) => return Ok(Some(Rc::clone(decimal))),
        };
        let decimal = Decimal::parse(&text);
        let decimal = decimal.ok_or_else(|| failed("a number has too large an exponent"))?;
        Ok(Some(Rc::new(decimal)))
    }

    /// The order of two numbers; `None` where one is not a number.
    pub(super) fn compare(&self, other: &Self, fuel: &Fuel) -> Result<Option<Ordering>, Halt> {
        match (self, other) {
            (Self::Int(one), Self::Int(two)) => return Ok(Some(one.cmp(two))),
            (Self::UInt(one), Self::UInt(two)) => return Ok(Some(one.cmp(two))),
            (Self::Double(one), Self::Double(two)) => return Ok(one.partial_cmp(two)),
            (Self::Written(one), Self::Written(two)) if one == two => {
                return Ok(Some(Ordering::Equal));
            }
            _ => {}
        }
        Ok(match (self.decimal(fuel)?, other.decimal(fuel)?) {
            (Some(one), Some(two)) => Some(one.cmp(&two)),
            _ => self.endless().partial_cmp(&other.endless()),
        })
    }

    /// Itself if it is infinite or not a number, and otherwise zero.
    fn endless(&self) -> f64 {
        match self {
            Self::Double(value) if !value.is_finite() => *value,
            _ => 0.0,
        }
    }

    /// Applies an operator.
    pub(super) fn apply(
        &self,
        operator: Operator,
        other: &Self,
        fuel: &Fuel,
    ) -> Result<Self, Halt> {
        if let Some(number) = self.apply_within_kind(operator, other)? {
            return Ok(number);
        }
        let (one, two) = match operator {
            Operator::Divide => return self.divide(other, fuel).map(Self::Double),
            Operator::Remainder => return Err(failed("% is for whole numbers of one kind")),
            _ => (self.decimal(fuel)?, other.decimal(fuel)?),
        };
        let (Some(one), Some(two)) = (one, two) else {
            let (one, two) = (self.float(fuel)?, other.float(fuel)?);
            return Ok(Self::Double(match operator {
                Operator::Add => one + two,
                Operator::Subtract => one - two,
                _ => one * two,
            }));
        };
        let result = if operator == Operator::Multiply {
            fuel.spend((one.len() as u64).saturating_mul(two.len() as u64) / 8)?;
            fuel.make(one.len() + two.len())?;
            one.multiply(&two)
        } else {
            let digits = usize::try_from(one.sum_digits(&two)).unwrap_or(usize::MAX);
            fuel.make(digits.saturating_mul(3))?;
            fuel.spend(digits as u64 / 8)?;
            match operator {
                Operator::Subtract => one.add(&two.negated()),
                _ => one.add(&two),
            }
        };
        if !result.is_usable() {
            return Err(failed("a number has too large an exponent"));
        }
        Ok(Self::Exact(Rc::new(result)))
    }

    /// The result for two numbers of one kind, if that kind can hold it.
    fn apply_within_kind(&self, operator: Operator, other: &Self) -> Result<Option<Self>, Halt> {
        let divides = matches!(operator, Operator::Divide | Operator::Remainder);
        let by_zero = matches!(other, Self::Int(0) | Self::UInt(0));
        if divides && by_zero && self.is_whole_kind() {
            return Err(failed("a number is divided by zero"));
        }
        Ok(match (self, other) {
            (Self::Int(one), Self::Int(two)) => match operator {
                Operator::Add => one.checked_add(*two),
                Operator::Subtract => one.checked_sub(*two),
                Operator::Multiply => one.checked_mul(*two),
                Operator::Divide => one.checked_div(*two),
                Operator::Remainder => one.checked_rem(*two),
            }
            .map(Self::Int),
            (Self::UInt(one), Self::UInt(two)) => match operator {
                Operator::Add => one.checked_add(*two),
                Operator::Subtract => one.checked_sub(*two),
                Operator::Multiply => one.checked_mul(*two),
                Operator::Divide => one.checked_div(*two),
                Operator::Remainder => one.checked_rem(*two),
            }
            .map(Self::UInt),
            (Self::Double(one), Self::Double(two)) => match operator {
                Operator::Add => Some(one + two),
                Operator::Subtract => Some(one - two),
                Operator::Multiply => Some(one * two),
                Operator::Divide => Some(one / two),
                Operator::Remainder => None,
            }
            .map(Self::Double),
            _ => None,
        })
    }

    /// The quotient, as float8 has it.
    fn divide(&self, other: &Self, fuel: &Fuel) -> Result<f64, Halt> {
        let (one, two) = (self.float(fuel)?, other.float(fuel)?);
        let quotient = one / two;
        if quotient.is_infinite() && one.is_finite() && two != 0.0 {
            return Err(failed("a quotient is too large for a float"));
        }
        Ok(quotient)
    }

    /// The number with the other sign.
    pub(super) fn negated(&self, fuel: &Fuel) -> Result<Self, Halt> {
        match self {
            Self::Double(value) => Ok(Self::Double(-value)),
            Self::UInt(_) => Err(failed("a number without sign cannot become negative")),
            _ => Self::Int(0).apply(Operator::Subtract, self, fuel),
        }
    }

    /// The float next to it.
    pub(super) fn float(&self, fuel: &Fuel) -> Result<f64, Halt> {
        fuel.read(self.size())?;
        #[expect(clippy::cast_precision_loss, reason = "asked for")]
        let float = match self {
            Self::Int(value) => *value as f64,
            Self::UInt(value) => *value as f64,
            Self::Double(value) => return Ok(*value),
            Self::Written(text) => text.parse().unwrap_or(f64::INFINITY),
            Self::Exact(decimal) => decimal.to_string().parse().unwrap_or(f64::INFINITY),
        };
        if float.is_finite() {
            Ok(float)
        } else {
            Err(failed("a number is too large for a float"))
        }
    }

    /// Its whole part.
    pub(super) fn truncated(&self, fuel: &Fuel) -> Result<Option<i128>, Halt> {
        Ok(match self {
            Self::Int(value) => Some(i128::from(*value)),
            Self::UInt(value) => Some(i128::from(*value)),
            _ => self.decimal(fuel)?.and_then(|decimal| decimal.truncated()),
        })
    }

    /// Its value if it is whole.
    pub(super) fn whole(&self, fuel: &Fuel) -> Result<Option<i128>, Halt> {
        Ok(match self {
            Self::Int(value) => Some(i128::from(*value)),
            Self::UInt(value) => Some(i128::from(*value)),
            _ => self.decimal(fuel)?.and_then(|decimal| decimal.whole()),
        })
    }
}

/// The shortest text that stands for the float.
fn float_text(float: f64) -> String {
    format!("{float:e}")
}

impl fmt::Display for Number<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => value.fmt(f),
            Self::UInt(value) => value.fmt(f),
            Self::Double(value) => value.fmt(f),
            Self::Written(text) => f.write_str(text),
            Self::Exact(decimal) => decimal.fmt(f),
        }
    }
}
