//! The headers that restrict what a browser may do with a page, and who may embed it.

use axum::{
    extract::Request,
    http::{HeaderValue, header},
    middleware::Next,
    response::Response,
};

/// The Content-Security-Policy of every page, but for who may embed it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      form-action 'self'; base-uri 'none'; frame-ancestors ";
/// For the operators' page, and for all others unless something else is said.
const NOBODY: &str = "'none'";

const KEPT_SHORTLY: HeaderValue = HeaderValue::from_static("max-age=300");
const NEVER_KEPT: HeaderValue = HeaderValue::from_static("no-store");

/// Middleware that sets the headers of pages which nobody may embed.
pub(super) async fn secure(request: Request, next: Next) -> Response {
    let cache = cache_of(&request);
    let mut response = next.run(request).await;
    set(&mut response, &[], cache);
    response
}

/// How long what a request asks for may be kept.
pub(super) fn cache_of(request: &Request) -> HeaderValue {
    let path = request.uri().path();
    match path.ends_with(".css") || path.ends_with(".js") || path == "/logo" {
        true => KEPT_SHORTLY,
        false => NEVER_KEPT,
    }
}

/// Sets the headers of a page that is not kept, and that nobody may embed.
pub(super) fn set_for_nobody(response: &mut Response) {
    set(response, &[], NEVER_KEPT);
}

/// Sets the headers of a page that pages of these origins may embed.
pub(super) fn set(response: &mut Response, frame: &[String], cache: HeaderValue) {
    let headers = response.headers_mut();
    let ancestors = match frame {
        [] => NOBODY.to_owned(),
        _ => frame.join(" "),
    };
    let policy = HeaderValue::try_from(format!("{POLICY}{ancestors}"));
    // An origin that was checked is plain text. Were it not, nobody could embed the page.
    let policy = policy.unwrap_or(HeaderValue::from_static("default-src 'none'"));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    if frame.is_empty() {
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    }
    headers
        .entry(header::REFERRER_POLICY)
        .or_insert(HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, cache);
}
