//! The reference of the command line, made from what clap knows of it.

use clap::{Arg, Command, CommandFactory};

use super::text::{cell, escaped, head, row};

/// All commands, below the introduction of the chapter.
pub fn all() -> String {
    let mut command = rowhook::cli::Args::command();
    command.build();
    let globals: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| arg.is_global_set())
        .collect();
    let mut chapter = format!("## With every command\n\n{}\n", table(&globals));
    for sub in visible(&command) {
        one(sub, "rowhook", &mut chapter);
    }
    chapter
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    let subs = command.get_subcommands();
    subs.filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
}

fn one(command: &Command, parent: &str, chapter: &mut String) {
    let name = format!("{parent} {}", command.get_name());
    let level = "#".repeat(name.matches(' ').count() + 1);
    chapter.push_str(&format!("{level} {name}\n\n"));
    let about = command.get_long_about().or(command.get_about());
    if let Some(about) = about {
        chapter.push_str(&format!("{}\n\n", finished(&escaped(&about.to_string()))));
    }
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").replace("       ", "");
    chapter.push_str(&format!("```text\n{usage}\n```\n\n"));
    let own: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| !arg.is_global_set() && !arg.is_hide_set())
        .filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version"))
        .collect();
    if !own.is_empty() {
        chapter.push_str(&table(&own));
        chapter.push('\n');
    }
    if let Some(after) = command.get_after_help() {
        let after = after.to_string();
        let examples = after
            .trim_start_matches("Examples:")
            .trim_start_matches("Example:");
        let lines = examples
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty());
        let lines: Vec<&str> = lines.collect();
        chapter.push_str(&format!("```text\n{}\n```\n\n", lines.join("\n")));
    }
    for sub in visible(command) {
        one(sub, &name, chapter);
    }
}

fn table(args: &[&Arg]) -> String {
    let mut table = head(["", "what it is"]);
    for arg in args {
        let mut what = finished(&cell(&help(arg)));
        let values: Vec<String> = arg
            .get_possible_values()
            .iter()
            .filter(|_| arg.get_action().takes_values())
            .map(|value| format!("`{}`", value.get_name()))
            .collect();
        if !values.is_empty() {
            what.push_str(&format!(" One of {}.", values.join(", ")));
        }
        let defaults = arg.get_default_values();
        if !defaults.is_empty() && arg.get_action().takes_values() {
            let defaults: Vec<_> = defaults
                .iter()
                .map(|value| value.to_string_lossy())
                .collect();
            what.push_str(&format!(" Default: `{}`.", defaults.join(" ")));
        }
        if let Some(variable) = arg.get_env() {
            what.push_str(&format!(
                " Or `{}` in the environment.",
                variable.to_string_lossy()
            ));
        }
        table.push_str(&row([&format!("`{}`", spelled(arg)), &what]));
    }
    table
}

fn help(arg: &Arg) -> String {
    let help = arg.get_long_help().or(arg.get_help());
    help.map(ToString::to_string).unwrap_or_default()
}

/// How an argument is written.
fn spelled(arg: &Arg) -> String {
    let values = arg.get_value_names().unwrap_or_default().iter();
    let values: Vec<String> = values.map(|name| format!("<{name}>")).collect();
    let value = match arg.get_action().takes_values() {
        true => values.join(" "),
        false => String::new(),
    };
    let long = arg.get_long().map(|long| format!("--{long}"));
    let short = arg.get_short().map(|short| format!("-{short}"));
    let names: Vec<String> = short.into_iter().chain(long).collect();
    format!("{} {value}", names.join(", "))
        .trim()
        .replace('|', "\\|")
}

fn finished(text: &str) -> String {
    match text.ends_with(['.', '?', '!', ':', ')']) {
        true => text.to_owned(),
        false => format!("{text}."),
    }
}

#[test]
fn the_reference_has_every_command() {
    let chapter = all();
    for heading in [
        "## rowhook init\n",
        "### rowhook hooks add\n",
        "### rowhook receive dead\n",
        "## rowhook teardown\n",
    ] {
        assert!(chapter.contains(heading), "{heading} in {chapter}");
    }
    assert!(chapter.contains("Or `DATABASE_URL` in the environment."));
}
