//! What a hook may be sent to, and how long its texts may be.

use http::Uri;
use url::Url;

use super::{
    bounds::{self, Bound, Exceeded},
    reader::Value,
};

/// The URL of a target. Messages do not show it, because targets often carry a token.
pub(crate) fn read(value: &Value<'_>, allow_http: bool) -> Option<Url> {
    let text = bounded(value, bounds::TARGET)?;
    let url = Url::parse(&text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|h| !h.is_empty())
    });
    let Some(url) = url else {
        value.wrong(format!(
            "{} is not an http or https URL; write one such as \"https://example.com/hooks\"",
            value.key
        ));
        return None;
    };
    // Written in other characters, it is longer when it is sent.
    if !within(value, bounds::TARGET.check(url.as_str())) {
        return None;
    }
    if let Err(error) = Uri::try_from(url.as_str()) {
        value.wrong(format!("{} cannot be sent to: {error}", value.key));
        return None;
    }
    if url.scheme() == "http" && !allow_http {
        value.wrong(format!(
            "{} is not encrypted; write https, or set allow_http = true in [delivery]",
            value.key
        ));
    }
    Some(url)
}

/// A string that is no larger than a hook's may be.
pub(super) fn bounded(value: &Value<'_>, bound: Bound) -> Option<String> {
    let text = value.string()?;
    within(value, bound.check(&text)).then_some(text)
}

/// Whether something is no larger than it may be. If not, that is reported.
pub(super) fn within(value: &Value<'_>, checked: Result<(), Exceeded>) -> bool {
    if let Err(exceeded) = checked {
        value.wrong(exceeded.to_string());
    }
    checked.is_ok()
}
