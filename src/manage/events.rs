//! The events that hooks may subscribe to, and what receivers get of them.

use super::{Admin, Error, Result};
use crate::preview::catalogue::{self, Described};

impl Admin {
    /// An event with the schema of its body and an example in each payload format, for the table as it is now.
    ///
    /// # Errors
    /// When there is no such event, or its table does not exist.
    pub async fn describe_event(&self, event: &str) -> Result<Described> {
        let rules = &self.rules.events;
        let described = catalogue::describe(&self.client, &self.config, rules, event).await?;
        described.ok_or_else(|| Error::not_found("event", event))
    }

    /// All events, as [`Self::describe_event`] shows each. Those whose tables do not exist are left out.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn describe_events(&self) -> Result<Vec<Described>> {
        let rules = &self.rules.events;
        Ok(catalogue::describe_all(&self.client, &self.config, rules).await?)
    }
}

impl From<catalogue::Error> for Error {
    fn from(error: catalogue::Error) -> Self {
        match error {
            catalogue::Error::NoTable { .. } => Self::Conflict(error.to_string()),
            catalogue::Error::Other(error) => error.into(),
        }
    }
}
