//! `method`: the method of the requests of a hook.

use http::Method;

use super::reader::Table;

/// Reads the key `method` of a hook. Default `POST`.
pub(super) fn read(table: &Table<'_>) -> Method {
    let methods = [Method::POST, Method::PUT, Method::PATCH];
    let methods = methods.each_ref().map(|method| (method.as_str(), method));
    let method = table.find("method");
    let method = method.and_then(|value| value.choice(&methods));
    method.cloned().unwrap_or(Method::POST)
}
