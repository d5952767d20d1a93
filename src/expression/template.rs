//! `payload` of a table: a minijinja template that makes what is sent in place of the plain row.
//!
//! A template prints JSON. Values print as JSON by themselves, quotes included, and the output is parsed before it is
//! sent.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value, context};
use thiserror::Error;

use super::{
    document::{self, Document},
    fuel::{OWNER_SPENT, STEPS, steps_in},
    view::{self, BYTES_OF_FUEL, DEEPEST, Numbers},
};

/// The most steps of a template, of which one is paid for 64 bytes that it prints or makes. This bounds its time and
/// its memory, because the reader waits for it.
pub const FUEL: u64 = 100_000;
/// How many steps of a filter take as long as one of a template.
const STEPS_OF_FUEL: u64 = 2;
/// The name of the only template of its environment.
const NAME: &str = "payload";

/// A compiled template.
#[derive(Debug, Clone)]
pub struct Template {
    environment: Environment<'static>,
    /// The paths of the variables that it names, such as `data.author.name`.
    paths: Vec<String>,
}

/// The variables of a template.
#[derive(Debug, Default)]
pub struct View<'a> {
    /// What would be sent without the template: the shown columns by the names that they are shown by, and the fields
    /// of `enrich`.
    pub data: Arc<Document>,
    /// The row after the change, by the columns' own names; null after a deletion.
    pub new: Arc<Document>,
    /// The row before the change, as far as it is known; otherwise null.
    pub old: Arc<Document>,
    /// The columns that changed; null where this is unknown.
    pub changed: Option<Vec<&'a str>>,
    /// The event's name.
    pub event: &'a str,
    /// Whose row it is.
    pub owner: Option<&'a str>,
    /// The qualified name of the table.
    pub table: String,
    /// `insert`, `update`, `delete`, or the name of a user-defined action.
    pub op: &'a str,
    /// The time of the commit: RFC 3339, in UTC.
    pub timestamp: String,
}

/// Why a template cannot be used, or printed nothing that can be sent.
#[derive(Debug, Error)]
pub enum Error {
    /// The template cannot be compiled or rendered.
    #[error("{0}")]
    Template(String),
    /// A variable has no value.
    #[error("undefined value: {variable}{place}")]
    Undefined {
        /// Its path, and why it has none.
        variable: String,
        /// The line of the template, where that is known.
        place: String,
    },
    /// The row cannot be read.
    #[error("it cannot read the row: {0}")]
    Row(#[from] document::Error),
    /// Its owner may take no more time now.
    #[error("{OWNER_SPENT}")]
    Spent,
    /// The row is nested too deep.
    #[error("the row has {depth} levels; a template takes {deepest}")]
    TooDeep {
        /// The levels of the row.
        depth: u32,
        /// The most that are allowed.
        deepest: u32,
    },
    /// The output is not JSON.
    #[error("what it prints is not JSON: {reason}, in {printed:?}")]
    NotJson {
        /// The message of the JSON parser.
        reason: String,
        /// The output around the error.
        printed: String,
    },
}

impl Template {
    /// Compiles `text`.
    ///
    /// # Errors
    /// When it is not a template. The message names the line within the template.
    pub fn compile(text: &str) -> Result<Self, Error> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Json);
        // By default an unknown column prints as nothing, and the output would not be JSON.
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment
            .add_template_owned(NAME, text.to_owned())
            .map_err(|error| explain(&error))?;
        let template = environment.get_template(NAME);
        let template = template.map_err(|error| explain(&error))?;
        let paths = template.undeclared_variables(true);
        let mut paths: Vec<String> = paths.into_iter().collect();
        paths.sort();
        Ok(Self { environment, paths })
    }

    /// What it was compiled from.
    pub fn text(&self) -> String {
        let template = self.environment.get_template(NAME);
        template.map_or_else(|_| String::new(), |template| template.source().to_owned())
    }

    /// The paths of the variables that it names, such as `data.author.name`.
    pub fn paths(&self) -> &[String] {
        &self.paths
    }

    /// Which variable has no value in `context`, and why, where one is the reason of `error`.
    fn undefined(&self, error: &minijinja::Error, context: &Value) -> Option<String> {
        if error.kind() != ErrorKind::UndefinedError {
            return None;
        }
        self.paths.iter().find_map(|path| {
            let mut value = context.clone();
            let mut known = "";
            for name in path.split('.') {
                if value.is_none() {
                    return Some(format!("{path}, because {known} is null"));
                }
                value = value.get_attr(name).ok()?;
                let end = known.len() + usize::from(!known.is_empty()) + name.len();
                known = path.get(..end)?;
                if value.is_undefined() {
                    return Some(match known == path {
                        true => path.clone(),
                        false => format!("{path}, because there is no {known}"),
                    });
                }
            }
            None
        })
    }

    /// Renders the template for one event. Returns its output, which is JSON.
    ///
    /// # Errors
    /// When rendering fails, or the output is not JSON.
    pub fn render(&self, view: View<'_>) -> Result<Vec<u8>, Error> {
        self.render_within(view, &mut { STEPS })
    }

    /// Renders the template with at most `allowance` steps, which are those of filters, and takes from that what it
    /// took.
    ///
    /// # Errors
    /// When rendering fails or takes too much, or the output is not JSON.
    pub fn render_within(&self, view: View<'_>, allowance: &mut u64) -> Result<Vec<u8>, Error> {
        let documents = [&*view.data, &*view.new, &*view.old];
        let depth = documents.map(Document::depth).into_iter().max();
        if let Some(depth) = depth.filter(|depth| *depth > DEEPEST) {
            let deepest = DEEPEST;
            return Err(Error::TooDeep { depth, deepest });
        }
        let numbers = Arc::new(Numbers::new(documents));
        let value = |document| view::value(document, &numbers);
        let changed = view
            .changed
            .map(|names| names.into_iter().map(str::to_owned));
        let changed = changed.map(Iterator::collect::<Vec<_>>);
        let context = context! {
            data => value(view.data),
            new => value(view.new),
            old => value(view.old),
            changed => changed,
            event => view.event,
            owner => view.owner,
            table => view.table,
            op => view.op,
            timestamp => view.timestamp,
        };
        // How numbers print depends on the row.
        let mut environment = self.environment.clone();
        view::print_with(&mut environment, &numbers);
        let allowed = FUEL.min(*allowance / STEPS_OF_FUEL);
        environment.set_fuel(Some(allowed));
        let begun = Instant::now();
        let template = environment.get_template(NAME);
        let printed = template.and_then(|template| template.render_captured(&context));
        let spent = match &printed {
            Ok(captured) => captured.state().fuel_levels().map_or(0, |(spent, _)| spent),
            Err(error) if error.kind() == ErrorKind::OutOfFuel => allowed,
            // What was spent until then is not told.
            Err(_) => fuel_of(begun.elapsed()).min(allowed),
        };
        let spent = spent + numbers.taken() / BYTES_OF_FUEL;
        *allowance = allowance.saturating_sub(spent * STEPS_OF_FUEL);
        if numbers.are_exhausted() {
            return Err(Error::Template("it looks at too much of the row".into()));
        }
        let printed = printed.map_err(|error| match self.undefined(&error, &context) {
            _ if error.kind() == ErrorKind::OutOfFuel && allowed < FUEL => Error::Spent,
            Some(variable) => Error::Undefined {
                variable,
                place: place(&error),
            },
            None => explain(&error),
        })?;
        let printed = printed.into_output();
        let json = printed.trim();
        match serde_json::from_str::<serde::de::IgnoredAny>(json) {
            Ok(_) => Ok(json.as_bytes().to_vec()),
            Err(error) => Err(Error::NotJson {
                reason: error.to_string(),
                printed: around(json, error.line(), error.column()),
            }),
        }
    }
}

/// About the fuel that a template burns in this time.
fn fuel_of(time: Duration) -> u64 {
    steps_in(time) / STEPS_OF_FUEL
}

/// The error on one line, with the line of the template where that is known.
fn explain(error: &minijinja::Error) -> Error {
    let what = error.detail().map_or_else(
        || error.kind().to_string(),
        |detail| format!("{}: {detail}", error.kind()),
    );
    Error::Template(what.split_whitespace().collect::<Vec<_>>().join(" ") + &place(error))
}

/// The line of the template that an error is in, where that is known.
fn place(error: &minijinja::Error) -> String {
    let line = error.line().map(|line| format!(" (in line {line} of it)"));
    line.unwrap_or_default()
}

/// The text around a place, so that a person finds it. Line and column count from 1.
fn around(json: &str, line: usize, column: usize) -> String {
    const SHOWN: usize = 20;
    let line = json.lines().nth(line.saturating_sub(1)).unwrap_or(json);
    let shown = line.chars().skip(column.saturating_sub(SHOWN));
    shown.take(2 * SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = r#"{"title": "Dune \"x\"", "price": 9.5, "tags": ["a"], "sold": null, "exact": 19.9000,
        "large": 50000000000000000001, "huge": 1e400, "tiny": 1e-400, "float": 1e+20, "odd": "\ud83d",
        "long": 0.12345678901234567891, "longer": 0.12345678901234567892, "prices": [1.0, 1.00, 2.50, 3], "zero": -0,
        "deep": {"all": [19.900, {"b": 1e400}]}}"#;

    fn document(json: &str) -> Arc<Document> {
        Arc::new(Document::parse(json).unwrap())
    }

    fn render(text: &str) -> Result<String, String> {
        let view = View {
            data: document(r#"{"titel": "Dune \"x\"", "author": {"name": "Herbert"}}"#),
            new: document(NEW),
            old: document(r#"{"price": 19.9}"#),
            event: "book.added",
            owner: Some("7"),
            ..View::default()
        };
        let template = Template::compile(text).map_err(|error| error.to_string())?;
        let printed = template.render(view).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(printed).unwrap())
    }

    #[test]
    fn values_print_as_json() {
        for (text, expected) in [
            ("{{ new.title }}", r#""Dune \"x\"""#),
            (
                r#" {"price": {{ new.price }}, "sold": {{ new.sold }}, "tags": {{ new.tags }}} "#,
                r#"{"price": 9.5, "sold": null, "tags": ["a"]}"#,
            ),
            (
                "{{ data }}",
                r#"{"titel":"Dune \"x\"","author":{"name":"Herbert"}}"#,
            ),
            (
                "{{ new.title ~ ' by ' ~ data.author.name }}",
                r#""Dune \"x\" by Herbert""#,
            ),
            (
                "[{% for tag in new.tags %}{{ tag|upper }}{% endfor %}]",
                r#"["A"]"#,
            ),
            (
                "{% if owner == '7' %}{{ event }}{% else %}null{% endif %}",
                r#""book.added""#,
            ),
        ] {
            assert_eq!(render(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn numbers_print_as_they_stand_in_the_row() {
        for (text, expected) in [
            ("{{ new.exact }}", "19.9000"),
            ("{{ new.large }}", "50000000000000000001"),
            (
                "[{{ new.huge }}, {{ new.tiny }}, {{ new.float }}, {{ new.zero }}]",
                "[1e400, 1e-400, 1e+20, -0]",
            ),
            (
                "[{{ new.exact }}, {{ old.price }}, {{ new.exact }}]",
                "[19.9000, 19.9, 19.9000]",
            ),
            (
                "[{{ new.long }}, {{ new.longer }}]",
                "[0.12345678901234567891, 0.12345678901234567892]",
            ),
            (
                "[{% for price in new.prices %}{{ price }}{% if not loop.last %},{% endif %}{% endfor %}]",
                "[1.0,1.00,2.50,3]",
            ),
            ("{{ new.prices }}", "[1.0,1.00,2.50,3]"),
            ("{{ new.deep }}", r#"{"all":[19.900,{"b":1e400}]}"#),
            ("{{ new.deep|tojson }}", r#"{"all":[19.900,{"b":1e400}]}"#),
            (
                "{{ {'a': new.exact, 'b': [new.huge, new.tags]} }}",
                r#"{"a":19.9000,"b":[1e400,["a"]]}"#,
            ),
            ("{{ new.exact|string }}", r#""19.9000""#),
            ("{{ new.odd }}", r#""\ud83d""#),
            ("{{ new.exact * 2 }}", "39.8"),
            (
                "{{ new.exact > 10 and new.exact < 20 and new.exact == 19.9 }}",
                "true",
            ),
            ("{{ new.price + 1 }}", "10.5"),
            ("{{ new.large - 1 }}", "50000000000000000000"),
            ("{{ new.prices|length }}", "4"),
            ("{{ new.prices|sum }}", "7.5"),
            ("{{ new.deep.all[1].b }}", "1e400"),
            (
                "{{ new.deep == new.deep and new.deep != new.tags }}",
                "true",
            ),
            ("{{ new.deep|items|list|length }}", "1"),
        ] {
            assert_eq!(render(text).as_deref(), Ok(expected), "{text}");
        }
        let whole = render("{{ new }}").unwrap();
        assert!(
            whole.contains(r#""exact":19.9000"#) && whole.contains(r#""odd":"\ud83d""#),
            "{whole}"
        );
    }

    #[test]
    fn a_number_that_is_none_is_an_error_and_not_null() {
        for text in [
            "{{ new.price * 1e308 * 10 }}",
            "{{ new.huge * 2 }}",
            "{{ [new.price * 1e308 * 10] }}",
        ] {
            assert!(render(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_row_of_many_levels_is_rendered_and_one_of_too_many_is_an_error() {
        let at = |levels: usize| {
            let json = format!("{}1.50{}", "[".repeat(levels), "]".repeat(levels));
            let view = View {
                new: document(&json),
                ..View::default()
            };
            let template = Template::compile("{{ new }}").unwrap();
            let printed = template.render(view).map_err(|error| error.to_string());
            printed.map(|printed| printed == json.as_bytes())
        };
        assert_eq!(at(200), Ok(true));
        assert_eq!(
            at(5000),
            Err("the row has 5000 levels; a template takes 512".to_owned())
        );
    }

    #[test]
    fn a_template_takes_no_more_of_the_row_than_it_may() {
        let row = format!(
            r#"{{"t": "{}", "l": [{}]}}"#,
            "x".repeat(1 << 20),
            vec!["1.5"; 50_000].join(",")
        );
        for text in [
            "{% set ns = namespace(all=[]) %}{% for i in range(9000) %}{% set ns.all = ns.all + [new.t] %}{% endfor %}1",
            "{% for i in range(9000) %}{% if new.l == old.l %}{% endif %}{% endfor %}1",
            "[{% for i in range(9000) %}{{ new.l }},{% endfor %}1]",
            "{% for i in range(9000) %}{% set x = new.l|tojson %}{% endfor %}1",
            "{{ (new.t ~ new.t) * 1000 }}",
            "{{ [new.l] * 100000 }}",
            "{{ ([new.l] * 100000)|tojson }}",
        ] {
            let view = View {
                new: document(&row),
                old: document(&row),
                ..View::default()
            };
            let error = Template::compile(text)
                .unwrap()
                .render(view)
                .unwrap_err()
                .to_string();
            let bounded = ["fuel", "too much of the row", "too large"];
            assert!(
                bounded.iter().any(|part| error.contains(part)),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn what_is_wrong_with_a_template_is_said_in_one_line() {
        for (text, expected) in [
            ("{{ new.title", "(in line 1 of it)"),
            (
                "{{ new.titel }}",
                "undefined value: new.titel (in line 1 of it)",
            ),
            (
                "{{ data.author.nmae }}",
                "undefined value: data.author.nmae",
            ),
            (
                "1\n{{ new.sold.username }}",
                "undefined value: new.sold.username, because new.sold is null (in line 2 of it)",
            ),
            (
                "{{ data.owner.username.x }}",
                "undefined value: data.owner.username.x, because there is no data.owner",
            ),
            (
                "{{ new.title|shout }}",
                "unknown filter: filter shout is unknown (in line 1 of it)",
            ),
            (
                "{\n\"a\": }",
                "what it prints is not JSON: expected value at line 2 column 6",
            ),
            ("{{ new.title }} and more", "trailing characters"),
            ("", "EOF while parsing"),
            (
                "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}1",
                "fuel",
            ),
        ] {
            let error = render(text).unwrap_err();
            assert!(
                error.contains(expected) && !error.contains('\n'),
                "{text}: {error}"
            );
        }
    }
}
