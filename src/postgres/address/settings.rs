//! The text of an address as settings: a URL or key=value pairs, a service file, and the environment.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use super::{
    mistake::{ParseError, mistake},
    parameter::{self, Meaning},
};

/// The settings of an address, by the names of their parameters.
///
/// One that is given as empty is remembered: libpq then takes the default, and not what the environment has.
#[derive(Debug, Default)]
pub(super) struct Settings(BTreeMap<&'static str, String>);

impl Settings {
    /// Reads a URL (`postgresql://…`) or key=value pairs.
    pub(super) fn read(text: &str) -> Result<Self, ParseError> {
        let url = ["postgresql://", "postgres://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        match url {
            Some(rest) => Self::from_url(rest),
            None if text
                .split('=')
                .next()
                .is_some_and(|first| first.contains("://")) =>
            {
                mistake("the URL of the database must begin with postgresql:// or postgres://")
            }
            None => Self::from_pairs(text),
        }
    }

    /// The value of a parameter that is given and not empty.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|value| !value.is_empty())
    }

    /// Adds a setting of the text. It replaces an earlier one of the same name.
    pub(super) fn add(&mut self, name: &str, value: String) -> Result<(), ParseError> {
        let Some(parameter) = parameter::find(name) else {
            // The name is not shown, because it can be part of an unencoded password.
            return match parameter::like(name) {
                Some(near) => mistake(format!(
                    "the database's address has an unknown setting; did you mean {near}?"
                )),
                None => mistake(
                    "the database's address has a setting that rowhook does not know (in a password, / ? # @ & are percent-encoded)",
                ),
            };
        };
        match &parameter.meaning {
            Meaning::Nothing => {}
            Meaning::Obeyed => {
                self.0.insert(parameter.name, value);
            }
            Meaning::Refused { except, .. }
                if value.is_empty() || except.contains(&value.as_str()) => {}
            Meaning::Refused { instead, .. } => {
                return mistake(cannot(
                    &format!("the setting {name} of a database's address"),
                    instead,
                ));
            }
        }
        Ok(())
    }

    /// Adds a setting that the text does not have.
    pub(super) fn add_missing(&mut self, name: &str, value: String) -> Result<(), ParseError> {
        match self.0.contains_key(name) {
            true => Ok(()),
            false => self.add(name, value),
        }
    }

    /// Adds what only the environment has.
    pub(super) fn add_environment(
        &mut self,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), ParseError> {
        for parameter in parameter::ALL {
            let Some((variable, value)) = parameter
                .variable
                .and_then(|variable| Some((variable, environment(variable)?)))
            else {
                continue;
            };
            match &parameter.meaning {
                Meaning::Refused { except, instead }
                    if !value.is_empty() && !except.contains(&value.as_str()) =>
                {
                    return mistake(cannot(&format!("the variable {variable}"), instead));
                }
                _ => self.add_missing(parameter.name, value)?,
            }
        }
        // The older way to say sslmode=require.
        if environment("PGREQUIRESSL").is_some_and(|value| value.starts_with('1')) {
            self.add_missing("sslmode", "require".into())?;
        }
        Ok(())
    }

    /// Reads `[user[:password]@][host[:port],…][/database][?key=value&…]`, in libpq's order: what is before the first
    /// `@` is the user, unless a `/` comes first.
    fn from_url(rest: &str) -> Result<Self, ParseError> {
        let mut settings = Self::default();
        let before_path = rest.split('/').next().unwrap_or_default();
        let rest = match before_path.split_once('@') {
            Some((credentials, _)) => {
                let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
                settings.add_decoded("user", user)?;
                settings.add_decoded("password", password)?;
                &rest[credentials.len() + 1..]
            }
            None => rest,
        };
        let end = end_of_hosts(rest)?;
        let (hosts, rest) = rest.split_at(end);
        settings.add_hosts(hosts)?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        settings.add_decoded("dbname", path.strip_prefix('/').unwrap_or(path))?;
        settings.add_query(query)?;
        Ok(settings)
    }

    /// Adds what a URL has in this place, unless that is empty.
    fn add_decoded(&mut self, name: &str, text: &str) -> Result<(), ParseError> {
        match text {
            "" => Ok(()),
            text => self.add(name, decode(text)?),
        }
    }

    fn add_hosts(&mut self, hosts: &str) -> Result<(), ParseError> {
        let mut names = Vec::new();
        let mut ports = Vec::new();
        for host in hosts.split(',') {
            let (name, port) = split_port(host)?;
            if name.contains('@') {
                return mistake(
                    "the host in the database's URL has an @ (in a password, / ? # @ are percent-encoded)",
                );
            }
            names.push(decode(name)?);
            ports.push(decode(port)?);
        }
        for (name, values) in [("host", names), ("port", ports)] {
            let values = values.join(",");
            if !values.is_empty() {
                self.add(name, values)?;
            }
        }
        Ok(())
    }

    fn add_query(&mut self, query: &str) -> Result<(), ParseError> {
        let query = query.strip_suffix('&').unwrap_or(query);
        for pair in query.split('&').filter(|_| !query.is_empty()) {
            let Some((key, value)) = pair.split_once('=') else {
                return mistake(
                    "after the ? of the database's URL, each setting is written key=value",
                );
            };
            if value.contains('=') {
                return mistake(
                    "a setting after the ? of the database's URL has a second = sign; write it %3D",
                );
            }
            // JDBC writes `ssl=true`, which libpq accepts too.
            match (decode(key)?.as_str(), decode(value)?) {
                ("ssl", value) if value == "true" => self.add("sslmode", "require".into())?,
                (key, value) => self.add(key, value)?,
            }
        }
        Ok(())
    }

    /// Reads `key=value key='a value'`, in which `\` escapes a quote or a backslash.
    fn from_pairs(text: &str) -> Result<Self, ParseError> {
        let mut settings = Self::default();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let pair = rest.split_once('=');
            let Some((key, after)) =
                pair.filter(|(key, _)| !key.trim_end().contains(char::is_whitespace))
            else {
                return mistake(
                    "the database's address is neither a URL (postgresql://…) nor key=value pairs",
                );
            };
            let (value, after) = read_value(after.trim_start())?;
            settings.add(key.trim_end(), value)?;
            rest = after.trim_start();
        }
        Ok(settings)
    }
}

/// What is said of a setting that asks for too much.
fn cannot(what: &str, instead: &str) -> String {
    let instead = match instead {
        "" => String::new(),
        instead => format!("; {instead}"),
    };
    format!("rowhook cannot do what {what} asks for{instead}")
}

/// The length of the list of hosts that a URL begins with, once its credentials are gone.
fn end_of_hosts(rest: &str) -> Result<usize, ParseError> {
    let mut in_brackets = false;
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            b'[' => in_brackets = true,
            b']' => in_brackets = false,
            b'/' | b'?' if !in_brackets => return Ok(at),
            _ => {}
        }
    }
    match in_brackets {
        true => mistake("an IPv6 address in the database's URL needs its closing ]"),
        false => Ok(rest.len()),
    }
}

/// Splits `name`, `name:port` or `[ipv6]:port` into name and port; the port is empty if there is none.
fn split_port(host: &str) -> Result<(&str, &str), ParseError> {
    let Some(rest) = host.strip_prefix('[') else {
        return Ok(host.split_once(':').unwrap_or((host, "")));
    };
    let Some((name, after)) = rest.split_once(']').filter(|(name, _)| !name.is_empty()) else {
        return mistake("an IPv6 address in the database's URL stands between [ and ]");
    };
    match after.strip_prefix(':') {
        Some(port) => Ok((name, port)),
        None if after.is_empty() => Ok((name, "")),
        None => mistake("after the ] of an IPv6 address in the database's URL comes :port"),
    }
}

/// Undoes percent-encoding: `%41` becomes `A`.
fn decode(text: &str) -> Result<String, ParseError> {
    let is_escape = |after: &str| {
        let digits = after.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit) && digits != b"00")
    };
    // `percent_decode_str` would leave an invalid escape as it is.
    let decoded = match text.split('%').skip(1).all(is_escape) {
        true => percent_decode_str(text).decode_utf8().ok(),
        false => None,
    };
    match decoded {
        Some(decoded) => Ok(decoded.into()),
        None => mistake(
            "the database's URL has a % that is not followed by two hex digits of UTF-8 (write %25 for a % sign)",
        ),
    }
}

/// Reads one value of a key=value string, and returns it with the text that follows it.
fn read_value(text: &str) -> Result<(String, &str), ParseError> {
    let (quoted, body) = match text.strip_prefix('\'') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let mut value = String::new();
    let mut characters = body.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, &body[at + 1..])),
            space if !quoted && space.is_whitespace() => return Ok((value, &body[at..])),
            _ => value.push(character),
        }
    }
    if quoted {
        return mistake("a quoted value in the database's address has no closing quote");
    }
    Ok((value, ""))
}
