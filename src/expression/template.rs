//! `payload` of a table: a minijinja template that makes what is sent in place of the plain row.
//!
//! A template prints JSON. Values print as JSON by themselves, quotes included, and the output is parsed before it is
//! sent.

use minijinja::{AutoEscape, Environment, UndefinedBehavior, value::Serde};
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

/// The most steps of a template. This bounds its time and its output, because the reader waits for it.
const FUEL: u64 = 100_000;
/// The name of the only template of its environment.
const NAME: &str = "payload";

/// A compiled template.
#[derive(Debug, Clone)]
pub struct Template {
    environment: Environment<'static>,
}

/// The variables of a template.
#[derive(Debug, Default, Serialize)]
pub struct View<'a> {
    /// What would be sent without the template: the shown columns by the names that they are shown by, and the fields
    /// of `enrich`.
    pub data: Value,
    /// The row after the change, by the columns' own names; null after a deletion.
    pub new: Value,
    /// The row before the change, as far as it is known; otherwise null.
    pub old: Value,
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
        Ok(Self { environment })
    }

    /// Renders the template for one event. Returns its output, which is JSON.
    ///
    /// # Errors
    /// When rendering fails, or the output is not JSON.
    pub fn render(&self, view: &View<'_>) -> Result<Vec<u8>, Error> {
        let template = self.environment.get_template(NAME);
        let printed = template.and_then(|template| template.render(Serde(view)));
        let printed = printed.map_err(|error| explain(&error))?;
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

/// The error on one line, with the line of the template where that is known.
fn explain(error: &minijinja::Error) -> Error {
    let what = error.detail().map_or_else(
        || error.kind().to_string(),
        |detail| format!("{}: {detail}", error.kind()),
    );
    let line = error.line().map(|line| format!(" (in line {line} of it)"));
    Error::Template(
        what.split_whitespace().collect::<Vec<_>>().join(" ") + &line.unwrap_or_default(),
    )
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
    use serde_json::json;

    use super::*;

    fn render(text: &str) -> Result<String, String> {
        let view = View {
            data: json!({"titel": "Dune \"x\"", "author": {"name": "Herbert"}}),
            new: json!({"title": "Dune \"x\"", "price": 9.5, "tags": ["a"], "sold": null}),
            event: "book.added",
            owner: Some("7"),
            ..View::default()
        };
        let template = Template::compile(text).map_err(|error| error.to_string())?;
        let printed = template.render(&view).map_err(|error| error.to_string())?;
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
    fn what_is_wrong_with_a_template_is_said_in_one_line() {
        for (text, expected) in [
            ("{{ new.title", "(in line 1 of it)"),
            ("{{ new.titel }}", "undefined value"),
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
