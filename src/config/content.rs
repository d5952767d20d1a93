//! `content`, `content_type`, `user_agent` and `template`: how a hook's requests look beside the format of their
//! bodies.

use std::sync::Arc;

use http::HeaderValue;

use super::{
    bounds,
    reader::{Table, Value},
};
use crate::expression::template::Template;

/// How bodies are encoded, and the content type that says so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// The encoding. Default JSON.
    pub encoding: Encoding,
    /// The content type; `None`: the usual one of the encoding and the format.
    pub content_type: Option<Arc<str>>,
}

/// How bodies are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// As JSON.
    #[default]
    Json,
    /// As a form: each key of the body is a field.
    Form,
}

const ENCODINGS: [(&str, Encoding); 2] = [("json", Encoding::Json), ("form", Encoding::Form)];

impl Encoding {
    /// The word for it in hooks.toml.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Form => "form",
        }
    }
}

impl Content {
    /// Puts together what a row of the hook table says in place of `self`.
    ///
    /// # Errors
    /// What of it cannot be used, in words for the owner.
    pub fn with(&self, encoding: Option<&str>, content_type: Option<&str>) -> Result<Self, String> {
        let encoding = match encoding {
            None => self.encoding,
            Some(text) => {
                let named = ENCODINGS.iter().find(|(name, _)| *name == text);
                let known = named.map(|(_, encoding)| *encoding);
                known.ok_or_else(|| format!("its content is {text:?}; it can be json or form"))?
            }
        };
        let content_type = match content_type {
            // Another encoding than that of hooks.toml does not have the content type of that.
            None if encoding != self.encoding => None,
            None => self.content_type.clone(),
            Some(text) => Some(Arc::from(text)),
        };
        let content = Self {
            encoding,
            content_type,
        };
        content.check().map_err(|error| format!("its {error}"))?;
        Ok(content)
    }

    fn check(&self) -> Result<(), String> {
        let Some(text) = &self.content_type else {
            return Ok(());
        };
        let (kind, rest) = text.split_once('/').unwrap_or_default();
        if kind.is_empty() || rest.is_empty() || HeaderValue::try_from(&**text).is_err() {
            return Err("content_type is none; write one such as \"application/json\"".into());
        }
        if self.encoding == Encoding::Form && text.to_ascii_lowercase().contains("json") {
            return Err(
                "content_type says JSON, but content = \"form\"; keep one of the two".into(),
            );
        }
        Ok(())
    }
}

/// Sets the keys that `table` has.
pub(super) fn overlay(table: &Table<'_>, content: &mut Content) {
    let before = content.encoding;
    if let Some(value) = table.find("content")
        && let Some(encoding) = value.choice(&ENCODINGS)
    {
        content.encoding = encoding;
        if encoding != before {
            content.content_type = None;
        }
    }
    if let Some(value) = table.find("content_type")
        && let Some(text) = value.string()
    {
        content.content_type = Some(text.into());
        if let Err(error) = content.check() {
            value.wrong(error);
        }
    }
}

/// Reads a minijinja template, and compiles it.
pub(super) fn template(value: &Value<'_>) -> Option<Template> {
    match Template::compile(&value.string()?) {
        Ok(template) => Some(template),
        Err(error) => {
            value.wrong(format!("{} is no template: {error}", value.key));
            None
        }
    }
}

/// Reads the value of the header `user-agent`.
pub(super) fn user_agent(value: &Value<'_>) -> Option<HeaderValue> {
    let parsed = parse_user_agent(&value.string()?);
    parsed.map_err(|error| value.wrong(error)).ok()
}

/// Reads the value of the header `user-agent` of a row.
///
/// # Errors
/// When no request can have it.
pub fn parse_user_agent(text: &str) -> Result<HeaderValue, String> {
    let checked = bounds::USER_AGENT.check(text);
    checked.map_err(|error| error.to_string())?;
    let visible = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    let value = HeaderValue::try_from(text).ok();
    value
        .filter(|_| visible && !text.trim().is_empty())
        .ok_or_else(|| {
            "the user_agent is not visible ASCII; write one such as \"books/1.0\"".into()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_differs() {
        let base = Content {
            encoding: Encoding::Json,
            content_type: Some("application/vnd.books+json".into()),
        };
        assert_eq!(base.with(None, None), Ok(base.clone()));
        let form = base.with(Some("form"), None).unwrap();
        assert_eq!((form.encoding, form.content_type), (Encoding::Form, None));
        let own = base.with(None, Some("text/plain; charset=utf-8")).unwrap();
        assert_eq!(
            own.content_type.as_deref(),
            Some("text/plain; charset=utf-8")
        );
        for (content, content_type) in [
            (Some("xml"), None),
            (None, Some("json")),
            (None, Some("text/")),
            (None, Some("a/b\r\nx: y")),
            (Some("form"), Some("application/json")),
        ] {
            assert!(
                base.with(content, content_type).is_err(),
                "{content:?} {content_type:?}"
            );
        }
    }

    #[test]
    fn a_user_agent_is_visible_ascii() {
        assert!(parse_user_agent("books/1.0 (+https://books.example)").is_ok());
        for text in ["", " ", "a\nb", "\u{e9}", &"a".repeat(1025)] {
            assert!(parse_user_agent(text).is_err(), "{text}");
        }
    }
}
