//! The password that `~/.pgpass` (or PGPASSFILE) has for an address without one.

use std::{borrow::Cow, env, fs, os::unix::fs::PermissionsExt, path::PathBuf};

use super::address::{Address, Host};
use crate::secret::Secret;

impl Address {
    /// The address's password or, where it has none, that of the password file as it is now.
    pub(super) fn find_password(&self) -> Option<Cow<'_, Secret>> {
        match &self.password {
            Some(password) => Some(Cow::Borrowed(password)),
            None => look_up(self).map(Cow::Owned),
        }
    }
}

/// Looks it up. `None`: there is no file, others may read it (libpq ignores it then, too), or no line fits.
fn look_up(address: &Address) -> Option<Secret> {
    let path = match env::var_os("PGPASSFILE") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(env::var_os("HOME")?).join(".pgpass"),
    };
    let mode = fs::metadata(&path).ok()?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "ignored, as others may read it; run: chmod 600");
        return None;
    }
    find(&fs::read_to_string(&path).ok()?, address)
}

/// The password of the first line `host:port:database:user:password` that fits; `*` fits anything.
fn find(file: &str, address: &Address) -> Option<Secret> {
    let (host, port) = match address.hosts.first()? {
        Host::Tcp { name, port } => (name.clone(), port),
        Host::Unix { port, .. } => ("localhost".into(), port),
    };
    let wanted = [
        host,
        port.to_string(),
        address.database.clone(),
        address.user.clone(),
    ];
    file.lines()
        .filter(|line| !line.starts_with('#'))
        .map(fields)
        .find_map(|mut fields| {
            let fits = |(field, wanted): (&String, &String)| field == "*" || field == wanted;
            (fields.len() == 5 && fields.iter().zip(&wanted).all(fits))
                .then(|| Secret::new(fields.swap_remove(4)))
        })
}

/// The parts between the colons; `\` takes the next character as it is.
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
        let password = |url: &str| {
            let address = Address::parse_with(url, &|_| None).unwrap();
            find(file, &address).map(|found| found.expose().to_owned())
        };
        assert_eq!(
            password("postgres://ada@db/shop").as_deref(),
            Some(r"a:b\c")
        );
        assert_eq!(password("postgres://bob@db/shop").as_deref(), Some("no"));
        assert_eq!(
            password("postgres://eve@/x?host=/tmp").as_deref(),
            Some("rest")
        );
    }
}
