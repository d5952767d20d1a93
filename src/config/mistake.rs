//! The mistakes in a hooks.toml: all of them at once, each on a line with its place and a remedy.

use std::{
    error, fmt,
    path::{Path, PathBuf},
};

/// A line and column of hooks.toml, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Location {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// All mistakes in a file, in the order of the file. They never hold the value of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes {
    path: PathBuf,
    list: Vec<Mistake>,
}

/// One mistake in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where it is; `None` when the file could not be read at all.
    pub place: Option<Location>,
    /// What is wrong and how to fix it, on one line.
    pub text: String,
}

impl Mistakes {
    pub(super) fn new(path: &Path, mut list: Vec<Mistake>) -> Self {
        list.sort_by_key(|mistake| mistake.place);
        Self {
            path: path.to_owned(),
            list,
        }
    }

    /// The mistakes, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.list.iter()
    }
}

/// One line for each mistake: `hooks.toml:12:9: what is wrong; the remedy`.
impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        for (number, mistake) in self.list.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            match mistake.place {
                Some(place) => write!(f, "{path}:{place}: {}", mistake.text)?,
                None => write!(f, "{path}: {}", mistake.text)?,
            }
        }
        Ok(())
    }
}

impl error::Error for Mistakes {}
