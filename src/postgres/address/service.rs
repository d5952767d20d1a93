//! Connection service files: `~/.pg_service.conf`, and `pg_service.conf` of the system.

use std::{fs, path::PathBuf};

use super::{
    mistake::{ParseError, mistake},
    settings::Settings,
};

/// Where the file of the system is, unless PGSYSCONFDIR says so: libpq is built with one of these.
const SYSTEM: [&str; 3] = ["/etc/postgresql-common", "/etc", "/usr/local/pgsql/etc"];

/// Adds the settings of the service that the address or PGSERVICE names. What the address has itself comes first.
pub(super) fn add(
    settings: &mut Settings,
    home: Option<&PathBuf>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<(), ParseError> {
    let variable = |name| environment(name).filter(|value: &String| !value.is_empty());
    let Some(service) = settings.take("service").or_else(|| variable("PGSERVICE")) else {
        return Ok(());
    };
    let own = settings
        .take("servicefile")
        .or_else(|| variable("PGSERVICEFILE"))
        .map(PathBuf::from);
    let own = own.or_else(|| Some(home?.join(".pg_service.conf")));
    let system = match variable("PGSYSCONFDIR") {
        Some(folder) => vec![PathBuf::from(folder)],
        None => SYSTEM.map(PathBuf::from).to_vec(),
    };
    let system = system
        .into_iter()
        .map(|folder| folder.join("pg_service.conf"));
    for path in own.into_iter().chain(system) {
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                return mistake(format!(
                    "cannot read the service file {}: {error}",
                    path.display()
                ));
            }
        };
        match read(&text, &service) {
            Ok(None) => {}
            Ok(Some(found)) => {
                for (name, value) in found {
                    settings.add_missing(name, value.to_owned())?;
                }
                return Ok(());
            }
            Err(problem) => return mistake(format!("{}, {problem}", path.display())),
        }
    }
    mistake(format!(
        "no service file defines the service {service:?}; looked for it in PGSERVICEFILE, ~/.pg_service.conf and PGSYSCONFDIR"
    ))
}

/// The settings below `[service]`, the first of each name; `None` if there is no such section.
fn read<'a>(text: &'a str, service: &str) -> Result<Option<Vec<(&'a str, &'a str)>>, String> {
    let mut found: Option<Vec<(&str, &str)>> = None;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(section) = line.strip_prefix('[') {
            if found.is_some() {
                break;
            }
            if section.strip_suffix(']') == Some(service) {
                found = Some(Vec::new());
            }
            continue;
        }
        let Some(settings) = &mut found else { continue };
        let number = number + 1;
        if line.starts_with("ldap") {
            return Err(format!(
                "line {number}: rowhook does not ask LDAP for services"
            ));
        }
        let Some((name, value)) = line.split_once('=') else {
            return Err(format!("line {number}: a setting is written name=value"));
        };
        if matches!(name, "service" | "servicefile") {
            return Err(format!("line {number}: a service cannot name another one"));
        }
        if settings.iter().all(|(known, _)| *known != name) {
            settings.push((name, value));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_of_the_service_is_read_up_to_the_next() {
        let text = "# all\nhost=x\n[other]\nhost=y\n[ shop]\n[shop]\n  host=db\n\nport=5433\nhost=late\npassword=a=b\n[more]\nport=1\n";

        let found = read(text, "shop").unwrap().unwrap();

        assert_eq!(
            found,
            [("host", "db"), ("port", "5433"), ("password", "a=b")]
        );
        assert_eq!(read(text, "shops").unwrap(), None);
    }

    #[test]
    fn what_is_no_setting_is_named_with_its_line() {
        for (line, said) in [
            ("host", "line 2: a setting is written name=value"),
            ("service=a", "line 2: a service cannot name another one"),
            (
                "ldap://x/y?z?base",
                "line 2: rowhook does not ask LDAP for services",
            ),
        ] {
            assert_eq!(read(&format!("[a]\n{line}\n"), "a").unwrap_err(), said);
        }
    }
}
