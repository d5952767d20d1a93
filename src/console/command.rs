//! What can be asked, and how it is written.

/// What the console understands, for whoever writes something else.
pub(super) const KNOWN: &str = "SHOW HOOKS, SHOW LANES, SHOW LAG, SHOW DELIVERIES, SHOW CONFIG, SHOW VERSION, SHOW HELP, \
                                PAUSE, RESUME, RELOAD, RETRY id, DISABLE id, ENABLE id";

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Hooks,
    Lanes,
    Lag,
    Deliveries,
    Config,
    Version,
    Help,
    Pause,
    Resume,
    Reload,
    Retry(String),
    Disable(String),
    Enable(String),
}

impl Command {
    /// Reads a command; letters of any case, a semicolon at the end, ids in quotes or without.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim().trim_end_matches(';').trim();
        let words: Vec<&str> = text.split_whitespace().collect();
        let upper: Vec<String> = words.iter().map(|word| word.to_ascii_uppercase()).collect();
        let upper: Vec<&str> = upper.iter().map(String::as_str).collect();
        let id = || {
            words
                .get(1)
                .map(|id| id.trim_matches(['\'', '"']).to_owned())
        };
        let with_id = |make: fn(String) -> Self| id().map(make);
        let command = match upper.as_slice() {
            ["SHOW", "HOOKS"] => Some(Self::Hooks),
            ["SHOW", "LANES"] => Some(Self::Lanes),
            ["SHOW", "LAG"] => Some(Self::Lag),
            ["SHOW", "DELIVERIES"] => Some(Self::Deliveries),
            ["SHOW", "CONFIG"] => Some(Self::Config),
            ["SHOW", "VERSION"] => Some(Self::Version),
            ["SHOW", "HELP"] | ["SHOW"] | ["HELP"] => Some(Self::Help),
            ["PAUSE"] => Some(Self::Pause),
            ["RESUME"] => Some(Self::Resume),
            ["RELOAD"] => Some(Self::Reload),
            ["RETRY", _] => with_id(Self::Retry),
            ["DISABLE", _] => with_id(Self::Disable),
            ["ENABLE", _] => with_id(Self::Enable),
            _ => None,
        };
        command.ok_or_else(|| format!("{text:?} is no command of rowhook's; there are {KNOWN}"))
    }

    /// The columns of its answer; none where it answers with a word.
    pub(super) fn columns(&self) -> &'static [&'static str] {
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
            Self::Config => &["key", "value"],
            Self::Version => &["version"],
            Self::Help => &["command"],
            Self::Pause
            | Self::Resume
            | Self::Reload
            | Self::Retry(_)
            | Self::Disable(_)
            | Self::Enable(_) => &[],
        }
    }

    /// The word that it ends with.
    pub(super) fn tag(&self) -> &'static str {
        match self {
            Self::Pause => "PAUSE",
            Self::Resume => "RESUME",
            Self::Reload => "RELOAD",
            Self::Retry(_) => "RETRY",
            Self::Disable(_) => "DISABLE",
            Self::Enable(_) => "ENABLE",
            Self::Hooks
            | Self::Lanes
            | Self::Lag
            | Self::Deliveries
            | Self::Config
            | Self::Version
            | Self::Help => "SHOW",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_as_people_write_them() {
        for (text, expected) in [
            ("SHOW HOOKS;", Command::Hooks),
            ("  show   lag ", Command::Lag),
            ("Retry 'msg_1';", Command::Retry("msg_1".into())),
            ("disable 7", Command::Disable("7".into())),
            ("help", Command::Help),
        ] {
            assert_eq!(Command::parse(text).unwrap(), expected, "{text}");
        }
        for text in ["select 1", "show", "retry", "disable 7 8", "drop table x"] {
            match Command::parse(text) {
                Ok(command) => assert_eq!((text, command), ("show", Command::Help)),
                Err(error) => assert!(error.contains("SHOW HOOKS"), "{error}"),
            }
        }
    }
}
