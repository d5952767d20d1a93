//! The address by which browsers reach the server.

use axum::http::{HeaderMap, header};
use url::Url;

use super::visitor::Visitor;

/// The address that hooks.toml names, or else the one that a request says it is for; `None` if it says none.
pub(super) fn of_server(named: Option<&Url>, visitor: Visitor, headers: &HeaderMap) -> Option<Url> {
    if let Some(url) = named {
        return Some(url.clone());
    }
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let scheme = if visitor.over_tls { "https" } else { "http" };
    let url = Url::parse(&format!("{scheme}://{host}")).ok()?;
    let is_bare = url.path() == "/" && url.username().is_empty() && url.query().is_none();
    Some(url).filter(|_| is_bare)
}
