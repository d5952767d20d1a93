//! Which tables `rowhook init` takes: those of the command line, or those that somebody at a terminal picks.

use std::{
    collections::BTreeMap,
    io::{BufRead, IsTerminal, stdin, stdout},
};

use anyhow::{Result, bail, ensure};

use super::{found::Found, toml};
use crate::{cli::output, nearest::nearest};

/// So many tables are listed one by one; of more, those whose names begin alike stand on one line.
const LISTED: usize = 40;

/// What the command line says of tables.
#[derive(Debug, Default, Clone)]
pub(super) struct Choice {
    /// Names of tables, with `*` for any characters; none: all tables but those of frameworks.
    pub(super) tables: Vec<String>,
    /// Only tables of these schemas; none: of all.
    pub(super) schemas: Vec<String>,
}

impl Choice {
    /// The tables that are chosen.
    ///
    /// # Errors
    /// If a pattern or a schema fits no table.
    pub(super) fn of<'a>(&self, found: &'a [Found]) -> Result<Vec<&'a Found>> {
        for schema in &self.schemas {
            if found.iter().all(|found| found.table.schema != *schema) {
                let schemas = found.iter().map(|found| found.table.schema.as_str());
                bail!(
                    "there are no tables in the schema {schema}{}",
                    meant(schema, schemas)
                );
            }
        }
        let is_in =
            |found: &&Found| self.schemas.is_empty() || self.schemas.contains(&found.table.schema);
        let within: Vec<&Found> = found.iter().filter(is_in).collect();
        for pattern in &self.tables {
            if !within.iter().any(|found| fits(pattern, found)) {
                let names: Vec<String> =
                    within.iter().map(|found| found.table.to_string()).collect();
                let names = names.iter().map(String::as_str);
                bail!("no table is called {pattern}{}", meant(pattern, names));
            }
        }
        let is_chosen = |found: &&Found| match &self.tables[..] {
            [] => !found.of_framework,
            patterns => patterns.iter().any(|pattern| fits(pattern, found)),
        };
        Ok(within.into_iter().filter(is_chosen).collect())
    }

    fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.schemas.is_empty()
    }
}

fn meant<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = nearest(wanted, known);
    near.map_or(String::new(), |near| format!("; did you mean {near}?"))
}

/// Does a pattern with `*` for any characters fit the name of a table? With a dot in it, it may begin with the schema.
/// `*` alone takes no table of a framework.
fn fits(pattern: &str, found: &Found) -> bool {
    let table = &found.table;
    let qualified = format!("{}.{}", table.schema, table.name);
    let is_named =
        matches(pattern, &table.name) || pattern.contains('.') && matches(pattern, &qualified);
    is_named && !(found.of_framework && pattern.trim_matches('*').is_empty())
}

/// Does `text` match a pattern in which `*` stands for any characters?
fn matches(pattern: &str, text: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(begin) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    // Each part as early as it can be leaves the most for those after it.
    for part in parts {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(end)
}

/// The tables that are chosen on the command line; where it says nothing and there is a terminal, those that somebody
/// picks there.
pub(super) fn choose<'a>(choice: &Choice, found: &'a [Found]) -> Result<Vec<&'a Found>> {
    let all = choice.of(found)?;
    let can_ask = stdin().is_terminal() && stdout().is_terminal();
    if !choice.is_empty() || !can_ask || all.is_empty() {
        return Ok(all);
    }
    let offers = offers(&all);
    for (at, offer) in offers.iter().enumerate() {
        output::line(&format!("{:>4}  {}", at + 1, offer.label))?;
    }
    for answer in
        stdin_lines("Which tables? Numbers, 3-7, or names such as shop_*; Enter for all: ")
    {
        match pick(&answer?, &offers, found) {
            Ok(picked) if picked.is_empty() => return Ok(all),
            Ok(picked) => return Ok(picked),
            Err(error) => output::line(&format!("{error:#}"))?,
        }
    }
    bail!("no tables were picked; name them with --tables")
}

/// Asks until nobody reads the answers any more.
fn stdin_lines(question: &str) -> impl Iterator<Item = Result<String>> {
    std::iter::from_fn(move || {
        if let Err(error) = output::text(question) {
            return Some(Err(error));
        }
        let mut line = String::new();
        match stdin().lock().read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(Ok(line)),
            Err(error) => Some(Err(error.into())),
        }
    })
}

/// A line of the list.
struct Offer<'a> {
    label: String,
    tables: Vec<&'a Found>,
}

/// Each table, or where there are many of them, those whose names begin alike.
fn offers<'a>(all: &[&'a Found]) -> Vec<Offer<'a>> {
    let mut groups: BTreeMap<String, Vec<&Found>> = BTreeMap::new();
    for &found in all {
        let name = toml::shown(&found.table);
        let group = match name.split_once('_') {
            Some((begin, _)) if all.len() > LISTED => format!("{begin}_*"),
            _ => name,
        };
        groups.entry(group).or_default().push(found);
    }
    let offer = |(label, tables): (String, Vec<&'a Found>)| match &tables[..] {
        [only] => Offer {
            label: toml::shown(&only.table),
            tables,
        },
        several => Offer {
            label: format!("{label}  ({} tables)", several.len()),
            tables,
        },
    };
    groups.into_iter().map(offer).collect()
}

/// The tables that an answer names, in the order of the database; none for an empty answer.
fn pick<'a>(answer: &str, offers: &[Offer<'a>], found: &'a [Found]) -> Result<Vec<&'a Found>> {
    let words = answer.split([',', ' ', '\t', '\r', '\n']);
    let mut picked: BTreeMap<_, &Found> = BTreeMap::new();
    for word in words.filter(|word| !word.is_empty()) {
        let number = |text: &str| text.parse::<usize>().ok();
        let range = match word.split_once('-') {
            Some((first, last)) => number(first).zip(number(last)),
            None => number(word).map(|number| (number, number)),
        };
        let tables: Vec<&Found> = match range {
            Some((first, last)) => {
                ensure!(
                    1 <= first && first <= last && last <= offers.len(),
                    "{word} is not in the list; numbers are from 1 to {}",
                    offers.len()
                );
                let offers = offers[first - 1..last].iter();
                offers
                    .flat_map(|offer| offer.tables.iter().copied())
                    .collect()
            }
            None => {
                let tables = vec![word.to_owned()];
                let schemas = Vec::new();
                Choice { tables, schemas }.of(found)?
            }
        };
        picked.extend(tables.into_iter().map(|found| (&found.table, found)));
    }
    Ok(picked.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::TableName;

    fn found(names: &[&str]) -> Vec<Found> {
        let found = |name: &&str| Found {
            table: TableName::parse(name).unwrap(),
            of_framework: name.starts_with("django_"),
            identified: true,
            readable: true,
            columns: Vec::new(),
            primary_key: Vec::new(),
            references: Vec::new(),
        };
        names.iter().map(found).collect()
    }

    fn names(found: &[&Found]) -> Vec<String> {
        found.iter().map(|found| found.table.to_string()).collect()
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text, expected) in [
            ("book", "book", true),
            ("book", "books", false),
            ("book*", "book", true),
            ("*book", "notebook", true),
            ("b*k", "book", true),
            ("b*k", "bk", true),
            ("bo*ok", "bok", false),
            ("*o*o*", "book", true),
            ("*o*o*o*", "book", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn tables_are_chosen_by_pattern_and_schema_and_a_framework_s_own_only_by_name() {
        let found = found(&["book", "book_copy", "clinic.pet", "django_session"]);
        let choose = |tables: &[&str], schemas: &[&str]| {
            let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
            let choice = Choice {
                tables: texts(tables),
                schemas: texts(schemas),
            };
            choice
                .of(&found)
                .map(|found| names(&found))
                .map_err(|error| error.to_string())
        };
        assert_eq!(
            choose(&[], &[]).unwrap(),
            ["book", "book_copy", "clinic.pet"]
        );
        assert_eq!(
            choose(&["*"], &[]).unwrap(),
            ["book", "book_copy", "clinic.pet"]
        );
        assert_eq!(
            choose(&["book*", "django_*"], &[]).unwrap(),
            ["book", "book_copy", "django_session"]
        );
        assert_eq!(choose(&["clinic.*"], &[]).unwrap(), ["clinic.pet"]);
        assert_eq!(choose(&["p*"], &[]).unwrap(), ["clinic.pet"]);
        assert_eq!(choose(&["public.b*"], &[]).unwrap(), ["book", "book_copy"]);
        assert_eq!(choose(&[], &["clinic"]).unwrap(), ["clinic.pet"]);
        assert_eq!(
            choose(&["bok"], &[]).unwrap_err(),
            "no table is called bok; did you mean book?"
        );
        let error = choose(&[], &["clinik"]).unwrap_err();
        assert_eq!(
            error,
            "there are no tables in the schema clinik; did you mean clinic?"
        );
    }

    #[test]
    fn numbers_ranges_and_names_are_picked_from_a_list() {
        let found = found(&["book", "box", "clinic.pet", "shelf"]);
        let all: Vec<&Found> = found.iter().collect();
        let offers = offers(&all);
        let picked = |answer: &str| {
            let picked = pick(answer, &offers, &found);
            picked
                .map(|found| names(&found))
                .map_err(|error| error.to_string())
        };
        assert_eq!(picked("\n").unwrap(), [""; 0]);
        assert_eq!(picked("1 3\n").unwrap(), ["clinic.pet", "book"]);
        assert_eq!(picked("2-3, s*\n").unwrap(), ["clinic.pet", "box", "shelf"]);
        assert_eq!(
            picked("5").unwrap_err(),
            "5 is not in the list; numbers are from 1 to 4"
        );
        assert_eq!(
            picked("0-2").unwrap_err(),
            "0-2 is not in the list; numbers are from 1 to 4"
        );
        assert_eq!(
            picked("bok").unwrap_err(),
            "no table is called bok; did you mean book?"
        );
    }

    #[test]
    fn many_tables_are_offered_by_what_their_names_begin_with() {
        let names: Vec<String> = (0..50)
            .map(|at| format!("{}_t{at}", ["auth", "shop"][at % 2]))
            .collect();
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        names.push("lone");
        let found = found(&names);
        let all: Vec<&Found> = found.iter().collect();
        let labels: Vec<String> = offers(&all).into_iter().map(|offer| offer.label).collect();
        assert_eq!(
            labels,
            ["auth_*  (25 tables)", "lone", "shop_*  (25 tables)"]
        );
    }
}
