//! The password file: `~/.pgpass`, or the file that PGPASSFILE names.

use std::{env, fs, os::unix::fs::PermissionsExt, path::PathBuf};

use crate::secret::Secret;

/// What a line of the password file has to match.
pub(super) struct Login<'a> {
    /// The host's name or IP address; `localhost` for a unix socket.
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// Looks up the password for a login. Returns `None` if there is no file, if no line of it matches, or if other users
/// may read the file; libpq ignores such a file too.
pub(super) fn look_up(login: &Login<'_>) -> Option<Secret> {
    let path = match env::var_os("PGPASSFILE") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(env::var_os("HOME")?).join(".pgpass"),
    };
    let mode = fs::metadata(&path).ok()?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "ignored, as others may read it; run: chmod 600");
        return None;
    }
    find(&fs::read_to_string(&path).ok()?, login)
}

/// The password of the first line `host:port:database:user:password` that matches; `*` matches anything.
fn find(file: &str, login: &Login<'_>) -> Option<Secret> {
    let port = login.port.to_string();
    let wanted = [login.host, port.as_str(), login.database, login.user];
    file.lines()
        .filter(|line| !line.starts_with('#'))
        .map(fields)
        .find_map(|mut fields| {
            let fits = |(field, wanted): (&String, &&str)| field == "*" || field == wanted;
            (fields.len() == 5 && fields.iter().zip(&wanted).all(fits))
                .then(|| Secret::new(fields.swap_remove(4)))
        })
}

/// The fields between the colons; `\` escapes the next character.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let literal = match character {
            ':' => {
                fields.push(String::new());
                continue;
            }
            '\\' => characters.next(),
            other => Some(other),
        };
        if let Some(field) = fields.last_mut() {
            field.extend(literal);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let file = "# a comment\ndb:5432:shop:bob:no\n*:*:shop:ada:a\\:b\\\\c\n*:*:*:*:rest\n";
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
    }
}
