//! A figure of the report: the samples of a measurement, its target, and whether it is met.

use std::fmt;

use serde::Serialize;

/// What the median of a figure should be.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
}

/// One measured quantity.
#[derive(Debug, Serialize)]
pub struct Figure {
    /// What was measured, in a few words.
    pub name: String,
    /// The unit of `samples`, such as `×`, `ms` or `MiB`.
    pub unit: &'static str,
    /// One sample for each round.
    pub samples: Samples,
    pub target: Option<Target>,
    /// Other numbers that the figure was computed from, or that help to read it.
    pub details: Vec<Detail>,
    /// Why it could not be measured; `None` if it was.
    pub missing: Option<String>,
}

/// A number printed below a figure.
#[derive(Debug, Serialize)]
pub struct Detail {
    pub what: String,
    pub unit: &'static str,
    pub samples: Samples,
}

/// The samples of the rounds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Samples(pub Vec<f64>);

/// Whether a figure meets its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Met,
    Missed,
    /// The figure has no target.
    Shown,
    NotAvailable,
}

impl Figure {
    pub fn new(name: impl Into<String>, unit: &'static str, samples: Samples) -> Self {
        Self {
            name: name.into(),
            unit,
            samples,
            target: None,
            details: Vec::new(),
            missing: None,
        }
    }

    /// The ratio of `ours` to `theirs`, round by round. Both are its details.
    pub fn ratio(
        name: impl Into<String>,
        unit: &'static str,
        (our_name, ours): (&str, &Samples),
        (their_name, theirs): (&str, &Samples),
    ) -> Self {
        let ratios = ours
            .0
            .iter()
            .zip(&theirs.0)
            .map(|(ours, theirs)| ours / theirs);
        Self::new(name, "×", Samples(ratios.collect()))
            .with(our_name, unit, ours.clone())
            .with(their_name, unit, theirs.clone())
    }

    /// A figure that could not be measured.
    pub fn missing(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            missing: Some(why.into()),
            ..Self::new(name, "", Samples::default())
        }
    }

    pub fn at_least(self, target: f64) -> Self {
        Self {
            target: Some(Target::AtLeast(target)),
            ..self
        }
    }

    pub fn at_most(self, target: f64) -> Self {
        Self {
            target: Some(Target::AtMost(target)),
            ..self
        }
    }

    pub fn with(mut self, what: impl Into<String>, unit: &'static str, samples: Samples) -> Self {
        self.details.push(Detail {
            what: what.into(),
            unit,
            samples,
        });
        self
    }

    /// Compares the median with the target.
    pub fn verdict(&self) -> Verdict {
        let median = self.samples.median();
        match self.target {
            _ if self.missing.is_some() => Verdict::NotAvailable,
            None => Verdict::Shown,
            Some(Target::AtLeast(least)) if median >= least => Verdict::Met,
            Some(Target::AtMost(most)) if median <= most => Verdict::Met,
            Some(_) => Verdict::Missed,
        }
    }
}

impl Samples {
    pub fn one(sample: f64) -> Self {
        Self(vec![sample])
    }

    pub fn push(&mut self, sample: f64) {
        self.0.push(sample);
    }

    pub fn median(&self) -> f64 {
        self.part(0.5)
    }

    pub fn min(&self) -> f64 {
        self.part(0.0)
    }

    pub fn max(&self) -> f64 {
        self.part(1.0)
    }

    /// The quantile: the sample below which this part of all samples lies.
    pub fn part(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1);
        let at = (last as f64 * part).round() as usize;
        sorted.get(at).copied().unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [min, median, max] = [self.min(), self.median(), self.max()].map(short);
        match self.0.len() {
            0 => f.write_str("–"),
            1 => f.write_str(&median),
            _ => write!(f, "{median} ({min} – {max})"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "≥ {}", short(*least)),
            Self::AtMost(most) => write!(f, "≤ {}", short(*most)),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Met => "met",
            Self::Missed => "MISSED",
            Self::Shown => "",
            Self::NotAvailable => "not available",
        })
    }
}

/// Formats a number with three significant digits.
fn short(number: f64) -> String {
    match number.abs() {
        size if size >= 1000.0 => thousands(number.round() as i64),
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

fn thousands(number: i64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut grouped = digits[..first].to_owned();
    for start in (first..digits.len()).step_by(3) {
        if !grouped.is_empty() {
            grouped.push(',');
        }
        grouped.push_str(&digits[start..start + 3]);
    }
    grouped
}
