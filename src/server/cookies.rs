//! The cookies of the page. Over TLS their names begin with `__Host-`, so that no other host of the same domain can set
//! them.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use cookie::Cookie;
pub(super) use cookie::SameSite;

/// A text that nobody can guess.
pub(super) fn random() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// The value of a cookie that a request has.
pub(super) fn value_of(headers: &HeaderMap, name: &str, over_tls: bool) -> Option<String> {
    let name = name_of(name, over_tls);
    let cookies = headers.get_all(header::COOKIE).iter();
    cookies
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(Cookie::split_parse)
        .filter_map(Result::ok)
        .find_map(|cookie| (cookie.name() == name).then(|| cookie.value().to_owned()))
}

/// The `Set-Cookie` header that gives a browser a cookie which scripts cannot read.
pub(super) fn set(
    name: &str,
    value: &str,
    max_age: Duration,
    same_site: SameSite,
    over_tls: bool,
) -> HeaderValue {
    let seconds = i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX);
    let cookie = Cookie::build((name_of(name, over_tls), value))
        .path("/")
        .http_only(true)
        .secure(over_tls)
        .same_site(same_site)
        .max_age(cookie::time::Duration::seconds(seconds));
    HeaderValue::try_from(cookie.to_string()).unwrap_or(HeaderValue::from_static(""))
}

/// The `Set-Cookie` header that gives a browser a cookie for a page which others embed. It is kept apart for each site
/// that does, and comes along there. Browsers take it over TLS only, and from this host.
pub(super) fn set_embedded(name: &str, value: &str, max_age: Duration) -> HeaderValue {
    let seconds = i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX);
    let cookie = Cookie::build((name_of(name, true), value))
        .path("/")
        .http_only(true)
        .secure(true)
        .same_site(SameSite::None)
        .partitioned(true)
        .max_age(cookie::time::Duration::seconds(seconds));
    HeaderValue::try_from(cookie.to_string()).unwrap_or(HeaderValue::from_static(""))
}

/// The `Set-Cookie` header that makes a browser forget a cookie.
pub(super) fn clear(name: &str, same_site: SameSite, over_tls: bool) -> HeaderValue {
    set(name, "", Duration::ZERO, same_site, over_tls)
}

fn name_of(name: &str, over_tls: bool) -> String {
    match over_tls {
        true => format!("__Host-{name}"),
        false => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_tls_a_cookie_is_of_this_host_alone_and_no_other_counts() {
        let set = set("a", "b", Duration::from_secs(7), SameSite::Strict, true);
        assert_eq!(
            set,
            "__Host-a=b; HttpOnly; SameSite=Strict; Secure; Path=/; Max-Age=7"
        );
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "a=planted".parse().unwrap());
        assert_eq!(value_of(&headers, "a", true), None);
        headers.insert(header::COOKIE, "x=1; __Host-a=c".parse().unwrap());
        assert_eq!(value_of(&headers, "a", true).as_deref(), Some("c"));
    }

    #[test]
    fn a_cookie_of_an_embedded_page_is_kept_apart_for_each_site_that_embeds_it() {
        assert_eq!(
            set_embedded("a", "b", Duration::from_secs(7)),
            "__Host-a=b; HttpOnly; SameSite=None; Partitioned; Secure; Path=/; Max-Age=7"
        );
    }
}
