//! `rowhook completions` and `rowhook man`: the command line, described for shells and for `man`.

use std::path::Path;

use anyhow::{Context, Result};
use clap::CommandFactory;

use super::{args::Args, output};

/// Prints a completion script.
pub(super) fn completions(shell: clap_complete::Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "rowhook", &mut script);
    output::text(&String::from_utf8_lossy(&script))
}

/// Prints the man page, or writes one for each command into `folder`.
pub(super) fn man(folder: Option<&Path>) -> Result<()> {
    let command = Args::command();
    let Some(folder) = folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command)
            .render(&mut page)
            .context("write the man page")?;
        return output::text(&String::from_utf8_lossy(&page));
    };
    clap_mangen::generate_to(command, folder)
        .with_context(|| format!("write man pages into {}", folder.display()))
}
