//! Whether commits wait for us: `synchronous_standby_names` means the WAL sender of a logical slot too.
//!
//! Such a commit would wait until we have confirmed it, which takes as long as deliveries do, and for ever where
//! nothing is confirmed because there is too little of it.

use std::fmt;

/// A setting of `synchronous_standby_names` that counts us among the standbys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// The setting.
    setting: String,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "synchronous_standby_names is {:?}, so that every commit would wait for rowhook as for a standby; {}",
            self.setting,
            self.remedy()
        )
    }
}

impl std::error::Error for Counted {}

impl Counted {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        "name the standbys in it, and nothing else: alter system set synchronous_standby_names = 'FIRST 1 (standby_1, standby_2)'; select pg_reload_conf()"
    }
}

/// Whether `setting` counts sessions with the application_name `ours`, or one that begins with it, as standbys.
pub fn counts(setting: &str, ours: &str) -> Option<Counted> {
    let is_ours = |name: &str| {
        let (name, ours) = (name.to_lowercase(), ours.to_lowercase());
        name == "*" || name == ours || name.starts_with(&format!("{ours} "))
    };
    names(setting)
        .iter()
        .any(|name| is_ours(name))
        .then(|| Counted {
            setting: setting.to_owned(),
        })
}

/// The names in `FIRST 1 (a, "b")`, `ANY 1 (a, "b")`, `1 (a, "b")` or `a, "b"`.
fn names(setting: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = setting.chars().peekable();
    while let Some(first) = rest.next() {
        match first {
            // What stood before the list says how many of it are waited for.
            '(' => names.clear(),
            '"' => {
                let mut name = String::new();
                while let Some(char) = rest.next() {
                    if char == '"' && rest.next_if_eq(&'"').is_none() {
                        break;
                    }
                    name.push(char);
                }
                names.push(name);
            }
            ')' | ',' => {}
            space if space.is_whitespace() => {}
            first => {
                let mut name = String::from(first);
                let ends = |char: &char| char.is_whitespace() || "(),\"*".contains(*char);
                while let Some(char) = rest.next_if(|char| first != '*' && !ends(char)) {
                    name.push(char);
                }
                names.push(name);
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_name_us_is_found_and_nothing_else() {
        for (setting, counted) in [
            ("", false),
            ("*", true),
            (" \"*\" ", true),
            ("rowhook", true),
            ("RowHook", true),
            ("\"rowhook 1a2b3c4d\"", true),
            ("s1, rowhook", true),
            ("FIRST 1 (s1, *)", true),
            ("any 2(s1,s2,\"rowhook\")", true),
            ("2 (s1, rowhook)", true),
            ("s1", false),
            ("rowhook_standby, my_rowhook", false),
            ("FIRST 1 (s1, \"a * b\")", false),
            ("FIRST 1 (\"say \"\"rowhook\"\"\")", false),
            ("1 (s1)", false),
        ] {
            assert_eq!(counts(setting, "rowhook").is_some(), counted, "{setting}");
        }
        assert_eq!(counts("rowhook", "shop"), None);
        assert_eq!(counts("FIRST 1 (rowhook)", "first"), None);
    }

    #[test]
    fn quotes_within_a_name_are_doubled() {
        assert_eq!(names("ANY 1 (\"a\"\"b\", c, 7)"), ["a\"b", "c", "7"]);
    }
}
