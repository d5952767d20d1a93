//! The password file: `~/.pgpass`, or the one that `passfile` or PGPASSFILE names.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::secret::Secret;

/// What a line of the password file has to match.
pub(super) struct Login<'a> {
    /// The host's name or IP address; `localhost` for the usual unix socket.
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// Looks up the password for a login. Returns `None` if there is no file, if no line of it matches, or if other users
/// may read the file; libpq ignores such a file too.
pub(super) fn look_up(path: &Path, login: &Login<'_>) -> Option<Secret> {
    let metadata = fs::metadata(path).ok()?;
    if !metadata.is_file() {
        tracing::warn!(path = %path.display(), "ignored as a password file, as it is not a plain file");
        return None;
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "ignored, as others may read it; run: chmod 600");
        return None;
    }
    // A line that is not UTF-8 does not take the others with it.
    find(&String::from_utf8_lossy(&fs::read(path).ok()?), login)
}

/// The password of the first line `host:port:database:user:password` that matches; `*` matches anything.
fn find(file: &str, login: &Login<'_>) -> Option<Secret> {
    let port = login.port.to_string();
    let wanted = [login.host, port.as_str(), login.database, login.user];
    file.lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let mut rest = line;
            for wanted in wanted {
                rest = after(rest, wanted)?;
            }
            Some(Secret::new(unescape(rest)))
        })
}

/// What follows the first field of `line` and its colon, if the field is `wanted` or `*`.
fn after<'a>(line: &'a str, wanted: &str) -> Option<&'a str> {
    if let Some(rest) = line.strip_prefix("*:") {
        return Some(rest);
    }
    let mut wanted = wanted.chars();
    let mut characters = line.char_indices();
    while let Some((at, character)) = characters.next() {
        let literal = match character {
            ':' => return wanted.next().is_none().then(|| &line[at + 1..]),
            '\\' => characters.next().map_or(character, |(_, escaped)| escaped),
            other => other,
        };
        if wanted.next() != Some(literal) {
            return None;
        }
    }
    None
}

/// A password without its escapes. A colon that is not escaped ends it.
fn unescape(text: &str) -> String {
    let mut password = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        password.push(match character {
            '\\' => characters.next().unwrap_or(character),
            ':' => break,
            other => other,
        });
    }
    password
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let file = "# a comment\ndb:5432:shop:bob:no\n*:*:shop:ada:a\\:b\\\\c\r\n\\*:*:*:*:star\nd\\:b:*:*:*:co:lon\n*:*:*:*:rest\n";
        let password = |user, host, database| {
            let login = Login {
                host,
                port: 5432,
                database,
                user,
            };
            find(file, &login).map(|found| found.expose().to_owned())
        };
        assert_eq!(password("ada", "db", "shop").as_deref(), Some(r"a:b\c"));
        assert_eq!(password("bob", "db", "shop").as_deref(), Some("no"));
        assert_eq!(password("eve", "localhost", "x").as_deref(), Some("rest"));
        assert_eq!(password("eve", "d:b", "x").as_deref(), Some("co"));
        assert_eq!(password("eve", "*", "x").as_deref(), Some("star"));
    }
}
