//! Stands for the console in a build without it: a `[console]` in hooks.toml is an error that says so.

use anyhow::{Result, ensure};

use crate::server::Served;

/// The console, of which there is none.
pub(super) struct Console;

impl Console {
    /// Starts nothing.
    ///
    /// # Errors
    /// When the configuration has a `[console]`.
    pub(super) async fn start(databases: &[Served]) -> Result<Self> {
        ensure!(
            databases
                .iter()
                .all(|served| served.config.console.is_none()),
            "there is no [console] here: this rowhook was built without the feature console; leave the section out"
        );
        Ok(Self)
    }

    /// As [`Self::start`].
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(super) async fn reload(&mut self, databases: &[Served]) -> Result<()> {
        *self = Self::start(databases).await?;
        Ok(())
    }

    /// Stops nothing.
    pub(super) async fn stop(&mut self) {}
}
