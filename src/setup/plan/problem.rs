//! Problems that a person must solve before setup can continue.

use std::{fmt, path::PathBuf};

use crate::config::{Config, Location};

/// Something that a person must change before setup can continue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub what: String,
    /// What to do about it; `None` if that is obvious.
    pub remedy: Option<String>,
    /// The place in hooks.toml that it is about, if any.
    pub place: Option<Location>,
}

impl Problem {
    pub(crate) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: Some(remedy.into()),
            place: None,
        }
    }

    pub(super) fn at(self, place: Location) -> Self {
        Self {
            place: Some(place),
            ..self
        }
    }
}

/// One line: what is wrong, and the remedy.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

/// The problems that keep rowhook from continuing. They are displayed one to a line: the place in the file, what is
/// wrong, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The file that the places are in.
    pub file: PathBuf,
    /// The problems.
    pub problems: Vec<Problem>,
}

impl Refused {
    /// These problems of a configuration.
    pub fn new(config: &Config, problems: impl IntoIterator<Item = Problem>) -> Self {
        Self {
            file: config.path.clone(),
            problems: problems.into_iter().collect(),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            if let Some(place) = problem.place {
                write!(f, "{}:{place}: ", self.file.display())?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}
