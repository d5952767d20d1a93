//! Which database a session is about: the one that it names when it connects, as with Postgres.

use anyhow::{Result, anyhow};

use super::{
    answers::{Answers, Rows},
    command::{Command, Show},
};
use crate::server::Served;

/// The answers about each database, by its name in `[[databases]]`.
pub(super) struct Databases(Vec<(Option<String>, Answers)>);

impl Databases {
    pub(super) fn new(databases: &[Served]) -> Self {
        let answers = databases.iter().map(|served| {
            let answers = Answers::new(served.config.clone(), served.handles.clone());
            (served.config.name.clone(), answers)
        });
        Self(answers.collect())
    }

    /// Does what a command asks for in a session that has named this database.
    ///
    /// # Errors
    /// When it cannot be done, or when it is about one of several databases and the session has named none of them.
    pub(super) async fn answer(&self, named: Option<&str>, command: &Command) -> Result<Rows> {
        let is_meant = |(name, _): &&(Option<String>, Answers)| match name {
            Some(name) => Some(name.as_str()) == named || is_about_all(command),
            None => true,
        };
        match self.0.iter().find(is_meant) {
            Some((_, answers)) => answers.answer(command).await,
            None => {
                let names = self.0.iter().filter_map(|(name, _)| name.as_deref());
                let names: Vec<&str> = names.collect();
                Err(anyhow!(
                    "this is about one database, and the session names none of hooks.toml; connect to one: psql … {}",
                    names.join(", or psql … ")
                ))
            }
        }
    }
}

/// Whether a command is about the process, and so about all databases.
fn is_about_all(command: &Command) -> bool {
    matches!(
        command,
        Command::Pause
            | Command::Resume
            | Command::Reload
            | Command::Show(Show::Version | Show::Help)
    )
}
