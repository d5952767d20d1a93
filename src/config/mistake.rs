//! What is wrong with a hooks.toml: all of it at once, each mistake on a line with its place and its mend.

use std::{
    error, fmt,
    path::{Path, PathBuf},
};

/// A line and column of hooks.toml, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Everything that is wrong with a file, in the order of its places. Never holds the value of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes {
    path: PathBuf,
    list: Vec<Mistake>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where; `None` when the file could not be read at all.
    pub place: Option<Place>,
    /// What is wrong and how to mend it, on one line.
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

    /// The mistakes, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.list.iter()
    }
}

/// `hooks.toml:12:9: what is wrong; the mend`, one line for each.
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
