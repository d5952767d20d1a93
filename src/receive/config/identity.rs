//! `id_header` and `same_body`: by which id requests are known.

use axum::http::HeaderName;

use crate::{
    config::reader::{Table, Value},
    receive::envelope::{IdRule, SameBody},
};

pub(super) fn read(file: &Table<'_>) -> IdRule {
    let choices = [("new", SameBody::New), ("repeated", SameBody::Repeated)];
    let same_body = file
        .find("same_body")
        .and_then(|value| value.choice(&choices));
    IdRule {
        header: file.find("id_header").and_then(header),
        same_body: same_body.unwrap_or_default(),
    }
}

/// The name of a header.
pub(super) fn header(value: &Value<'_>) -> Option<HeaderName> {
    let text = value.string()?;
    let header = HeaderName::try_from(&text).ok();
    if header.is_none() {
        value.wrong(format!(
            "{} is no header; write a name such as \"X-Hook-Signature\"",
            value.quote(&text)
        ));
    }
    header
}
