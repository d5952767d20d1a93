//! Why a row of the hook table cannot be a hook, and which part of it is to blame.

/// Why a row cannot be a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// What is to blame, as the API calls it, such as `timeout`; `None`: no part alone.
    pub part: Option<&'static str>,
    /// Why, in words for the owner of the hook.
    pub reason: String,
}

impl From<String> for Unfit {
    fn from(reason: String) -> Self {
        Self { part: None, reason }
    }
}

/// Blames a part of the row.
pub trait Blame<T> {
    /// The same, where a failure is that of `part`.
    ///
    /// # Errors
    /// As before.
    fn blame(self, part: &'static str) -> Result<T, Unfit>;
}

impl<T, E: ToString> Blame<T> for Result<T, E> {
    fn blame(self, part: &'static str) -> Result<T, Unfit> {
        self.map_err(|error| Unfit {
            part: Some(part),
            reason: error.to_string(),
        })
    }
}
