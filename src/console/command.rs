//! The commands of the console: their syntax, and the columns of their answers.

use crate::manage::act::Act;

/// All commands, for whoever has typed something else.
pub(super) const KNOWN: &str = "SHOW HOOKS, SHOW LANES, SHOW LAG, SHOW DELIVERIES, SHOW AUDIT, SHOW SENDERS, SHOW PARTITIONS, \
                                SHOW CONFIG, SHOW VERSION, SHOW HELP, PAUSE, RESUME, RELOAD, RETRY id, DISABLE id, ENABLE id";

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// Answers with rows.
    Show(Show),
    /// Stops reading and sending.
    Pause,
    /// Ends a pause.
    Resume,
    /// Reads hooks.toml again.
    Reload,
    /// Sends the delivery with this `webhook-id` again.
    Retry(String),
    /// Switches the hook with this id off.
    Disable(String),
    /// Switches the hook with this id on.
    Enable(String),
}

/// What SHOW can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Show {
    Hooks,
    Lanes,
    Lag,
    Deliveries,
    Audit,
    Senders,
    Partitions,
    Config,
    Version,
    Help,
}

impl Command {
    /// Parses a command. Upper and lower case are the same, a semicolon may end it, and an id may stand in quotes.
    ///
    /// # Errors
    /// A message that lists the commands, when `text` is none of them.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim().trim_end_matches(';').trim();
        let words: Vec<&str> = text.split_whitespace().collect();
        let upper: Vec<String> = words.iter().map(|word| word.to_ascii_uppercase()).collect();
        let upper: Vec<&str> = upper.iter().map(String::as_str).collect();
        let id = || {
            let id = words.get(1)?;
            Some(id.trim_matches(['\'', '"']).to_owned())
        };
        let command = match upper.as_slice() {
            ["SHOW"] | ["HELP"] => Some(Self::Show(Show::Help)),
            ["SHOW", what] => Show::parse(what).map(Self::Show),
            ["PAUSE"] => Some(Self::Pause),
            ["RESUME"] => Some(Self::Resume),
            ["RELOAD"] => Some(Self::Reload),
            ["RETRY", _] => id().map(Self::Retry),
            ["DISABLE", _] => id().map(Self::Disable),
            ["ENABLE", _] => id().map(Self::Enable),
            _ => None,
        };
        command.ok_or_else(|| format!("{text:?} is no command of rowhook's; there are {KNOWN}"))
    }

    /// What whoever gives the command has to be allowed.
    pub(super) fn act(&self) -> Act {
        match self {
            Self::Show(Show::Hooks) => Act::SeeHooks,
            Self::Show(Show::Lanes | Show::Deliveries) => Act::SeeDeliveries,
            Self::Show(Show::Audit) => Act::SeeActs,
            Self::Show(
                Show::Lag
                | Show::Senders
                | Show::Partitions
                | Show::Config
                | Show::Version
                | Show::Help,
            ) => Act::SeeStatus,
            Self::Pause | Self::Resume | Self::Reload => Act::Control,
            Self::Retry(_) => Act::SendAgain,
            Self::Disable(_) | Self::Enable(_) => Act::ChangeHooks,
        }
    }

    /// The columns of the answer; none if the command answers with its tag alone.
    pub(super) fn columns(&self) -> &'static [&'static str] {
        match self {
            Self::Show(show) => show.columns(),
            _ => &[],
        }
    }

    /// The command tag that ends the answer.
    pub(super) fn tag(&self) -> &'static str {
        match self {
            Self::Show(_) => "SHOW",
            Self::Pause => "PAUSE",
            Self::Resume => "RESUME",
            Self::Reload => "RELOAD",
            Self::Retry(_) => "RETRY",
            Self::Disable(_) => "DISABLE",
            Self::Enable(_) => "ENABLE",
        }
    }
}

impl Show {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "HOOKS" => Self::Hooks,
            "LANES" => Self::Lanes,
            "LAG" => Self::Lag,
            "DELIVERIES" => Self::Deliveries,
            "AUDIT" => Self::Audit,
            "SENDERS" => Self::Senders,
            "PARTITIONS" => Self::Partitions,
            "CONFIG" => Self::Config,
            "VERSION" => Self::Version,
            "HELP" => Self::Help,
            _ => return None,
        })
    }

    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Hooks => &[
                "id",
                "owner",
                "event",
                "target",
                "state",
                "parked",
                "dead",
                "last_answer",
            ],
            Self::Lanes => &["hook", "lane", "parked", "next_attempt", "oldest"],
            Self::Lag => &["name", "value"],
            Self::Deliveries => &[
                "at",
                "id",
                "hook",
                "event",
                "state",
                "attempts",
                "next_attempt",
                "reason",
            ],
            Self::Audit => &["at", "by", "what", "hook", "owner", "before", "after"],
            Self::Senders => &["sender", "host", "version", "partitions", "since", "seen"],
            Self::Partitions => &["partition", "sender", "epoch", "since", "parked", "oldest"],
            Self::Config => &["key", "value"],
            Self::Version => &["version"],
            Self::Help => &["command"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_as_people_write_them() {
        for (text, expected) in [
            ("SHOW HOOKS;", Command::Show(Show::Hooks)),
            ("  show   lag ", Command::Show(Show::Lag)),
            ("Retry 'msg_1';", Command::Retry("msg_1".into())),
            ("disable 7", Command::Disable("7".into())),
            ("help", Command::Show(Show::Help)),
        ] {
            assert_eq!(Command::parse(text).unwrap(), expected, "{text}");
        }
        for text in ["select 1", "show", "retry", "disable 7 8", "drop table x"] {
            match Command::parse(text) {
                Ok(command) => assert_eq!((text, command), ("show", Command::Show(Show::Help))),
                Err(error) => assert!(error.contains("SHOW HOOKS"), "{error}"),
            }
        }
    }
}
