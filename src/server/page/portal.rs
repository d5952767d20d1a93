//! `/portal`: the page in the dress of the application, for an owner whom the application has sent here with a link.
//!
//! It is the same page, with the same handlers and templates, behind another door. Pages of the origins that `[portal]`
//! names may embed it, and nobody else may.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use url::Url;

use super::{catalogue, door::Door, dress, headers, user::Watcher};
use crate::{
    act::Via,
    config::PortalPart,
    manage::portal::Guest,
    server::{
        access,
        generation::{Generation, STRANGERS},
        problem::Problem,
        request::Path,
        sessions::Lifetime,
        state::AppState,
        visitor::Visitor,
    },
};

/// The portal, with the pages that it shares with the operators' one, and the script that embeds it.
pub(super) fn router(
    state: &Arc<AppState>,
    shared: Router<Arc<AppState>>,
) -> Router<Arc<AppState>> {
    let portal = shared
        .route("/enter/{key}", get(enter))
        .route("/events", get(catalogue::in_portal))
        .route("/session", get(session))
        .route("/look.css", get(look))
        .route("/frame.js", get(frame))
        .route("/logo", get(logo))
        .layer(middleware::from_fn_with_state(Arc::clone(state), guard));
    Router::new()
        .nest(dress::PLACE, portal)
        .route("/portal.js", get(element))
}

/// Middleware that lets nobody in where there is no portal, and to no part that is not shown. It refuses forms of other
/// origins, and says who may embed what is answered.
async fn guard(State(state): State<Arc<AppState>>, mut request: Request, next: Next) -> Response {
    let generation = state.current();
    let Some(portal) = &generation.config.portal else {
        return Problem::no_such_address().into_response();
    };
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let cache = headers::cache_of(&request);
    let part = part_of(request.uri().path());
    let mut response = if part.is_some_and(|part| !portal.shows(part)) {
        Door::Portal.problem(&generation, &Problem::no_such_address())
    } else if changes && !is_of_own_page(request.headers(), portal.url.as_ref()) {
        let problem =
            Problem::forbidden("this was not sent from a page of the portal; open it again");
        Door::Portal.problem(&generation, &problem)
    } else {
        request.extensions_mut().insert(Door::Portal);
        next.run(request).await
    };
    // Without this, a browser would not say of a form which page it is of.
    let referrer = HeaderValue::from_static("same-origin");
    response
        .headers_mut()
        .insert(header::REFERRER_POLICY, referrer);
    headers::set(&mut response, &portal.frame, cache);
    response
}

/// The part that an address belongs to, where it belongs to one alone.
fn part_of(path: &str) -> Option<PortalPart> {
    let first = path.split('/').nth(1).unwrap_or_default();
    match first {
        "deliveries" | "live" | "search" => Some(PortalPart::Deliveries),
        "events" => Some(PortalPart::Events),
        _ => None,
    }
}

/// Whether a form is of a page of this server. Browsers say so; what says nothing is none, and needs the word of a form
/// as every request does.
fn is_of_own_page(headers: &HeaderMap, named: Option<&Url>) -> bool {
    let text = |name: &str| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or_default())
    };
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    let Some(origin) = text("origin") else {
        return true;
    };
    let (Ok(origin), host) = (Url::parse(origin), text("host")) else {
        return false;
    };
    let is_named = named.is_some_and(|named| named.origin() == origin.origin());
    let of_host = host.and_then(|host| Url::parse(&format!("{}://{host}", origin.scheme())).ok());
    is_named || of_host.is_some_and(|host| host.origin() == origin.origin())
}

/// `GET /portal/enter/{key}`: opens a session for whoever has a link that was not used yet.
async fn enter(
    State(state): State<Arc<AppState>>,
    visitor: Visitor,
    method: Method,
    headers: HeaderMap,
    Path(key): Path,
) -> Response {
    let generation = state.current();
    // Whoever only looks whether there is something, or loads it in case it is wanted, does not use the link up.
    if method == Method::HEAD || headers.contains_key("sec-purpose") {
        return StatusCode::NO_CONTENT.into_response();
    }
    match let_in(&generation, visitor, &key).await {
        Ok(Some(guest)) => {
            let lifetime = Lifetime::of(&generation.server);
            let database = generation.config.name.clone();
            let cookie = state.sessions.open_portal(guest, database, lifetime);
            let home = Redirect::to(&Door::Portal.root(&generation));
            ([(header::SET_COOKIE, cookie)], home).into_response()
        }
        Ok(None) => {
            let stranger = visitor.as_stranger(Via::Page);
            generation.record_refusal(stranger).await;
            let why = "This link was used already, or is older than ten minutes.";
            dress::ended(&generation, StatusCode::UNAUTHORIZED, why)
        }
        Err(problem) => Door::Portal.problem(&generation, &problem),
    }
}

/// Uses a link up. A link that is not good counts as a guess of its visitor.
async fn let_in(
    generation: &Generation,
    visitor: Visitor,
    key: &str,
) -> Result<Option<Guest>, Problem> {
    access::count_link(generation, visitor)?;
    let guest = {
        let mut admin = generation.admin(STRANGERS).await?;
        let who = visitor.as_stranger(Via::Page);
        let life = generation.server.session_max;
        admin.use_portal_link(key, life, who).await?
    };
    if guest.is_some() {
        generation.guesses.give_back(&visitor.name());
    }
    Ok(guest)
}

/// `GET /portal/session`: whether there still is one, which open pages ask now and then.
async fn session(Watcher(_): Watcher) -> StatusCode {
    StatusCode::NO_CONTENT
}

/// `GET /portal/look.css`: the colours.
async fn look(State(state): State<Arc<AppState>>) -> Response {
    let generation = state.current();
    let look = generation.config.portal.as_ref().map(dress::look);
    let css = [(header::CONTENT_TYPE, "text/css; charset=utf-8")];
    (css, look.unwrap_or_default()).into_response()
}

/// `GET /portal/logo`: the picture beside the name.
async fn logo(State(state): State<Arc<AppState>>) -> Response {
    let generation = state.current();
    let portal = generation.config.portal.as_ref();
    match portal.and_then(|portal| portal.logo.as_ref()) {
        Some(logo) => {
            let kind = [(header::CONTENT_TYPE, logo.content_type)];
            (kind, logo.bytes.to_vec()).into_response()
        }
        None => Problem::no_such_address().into_response(),
    }
}

const SCRIPT: [(header::HeaderName, &str); 1] =
    [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];

/// `GET /portal/frame.js`: what the portal tells the page around it.
async fn frame() -> impl IntoResponse {
    (SCRIPT, include_str!("frame.js"))
}

/// `GET /portal.js`: the element that embeds the portal.
async fn element(State(state): State<Arc<AppState>>) -> Response {
    let generation = state.current();
    if generation.config.portal.is_none() {
        return Problem::no_such_address().into_response();
    }
    // Pages that isolate themselves load a script of another origin only where it says that they may.
    let policy = header::HeaderName::from_static("cross-origin-resource-policy");
    let anyone = [(policy, HeaderValue::from_static("cross-origin"))];
    let mut response = (SCRIPT, anyone, include_str!("portal.js")).into_response();
    headers::set(&mut response, &[], HeaderValue::from_static("max-age=300"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.insert(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_forms_of_its_own_pages_are_taken() {
        let named = Url::parse("https://hooks.example").unwrap();
        for (lines, expected) in [
            (&[][..], true),
            (
                &[("sec-fetch-site", "same-origin"), ("origin", "null")],
                true,
            ),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (
                &[
                    ("origin", "http://127.0.0.1:8640"),
                    ("host", "127.0.0.1:8640"),
                ],
                true,
            ),
            (
                &[
                    ("origin", "http://127.0.0.1:8641"),
                    ("host", "127.0.0.1:8640"),
                ],
                false,
            ),
            (
                &[
                    ("origin", "https://other.example"),
                    ("host", "other.example.hooks.example"),
                ],
                false,
            ),
            (
                &[
                    ("origin", "https://hooks.example"),
                    ("host", "10.0.0.1:8640"),
                ],
                true,
            ),
            (&[("origin", "null"), ("host", "127.0.0.1:8640")], false),
            (
                &[
                    ("origin", "https://hooks.example.org"),
                    ("host", "10.0.0.1:8640"),
                ],
                false,
            ),
        ] {
            assert_eq!(
                is_of_own_page(&headers(lines), Some(&named)),
                expected,
                "{lines:?}"
            );
        }
    }

    #[test]
    fn the_element_is_small() {
        assert!(include_str!("portal.js").len() < 15_000);
    }

    #[test]
    fn an_address_belongs_to_its_part() {
        for (path, part) in [
            ("/deliveries", Some(PortalPart::Deliveries)),
            ("/deliveries/msg_1/retry", Some(PortalPart::Deliveries)),
            ("/live", Some(PortalPart::Deliveries)),
            ("/events", Some(PortalPart::Events)),
            ("/hooks/deliveries", None),
            ("/", None),
        ] {
            assert_eq!(part_of(path), part, "{path}");
        }
    }
}
