//! The search box: finds a hook or a delivery by its id, or an event by its name.

use axum::response::{IntoResponse, Redirect, Response};
use minijinja::context;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{list::Asked, user::User};
use crate::{
    manage::{Error, PageRequest, deliveries::DeliveryQuery},
    server::{problem::Problem, request::Query},
};

/// `GET /search`: leads to what has this id or name, or says that nothing has.
pub(super) async fn search(user: User, Query(asked): Query<Asked>) -> Response {
    let text = asked.text("q").unwrap_or_default();
    match find(&user, &text).await {
        Ok(Some(path)) => {
            let root = user.root();
            Redirect::to(&format!("{root}{path}")).into_response()
        }
        Ok(None) => user.page("search.html", "search", context! { text }),
        Err(problem) => user.problem(&problem),
    }
}

/// The path of what is meant, below the root of the database.
async fn find(user: &User, text: &str) -> Result<Option<String>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    let encoded = utf8_percent_encode(text, NON_ALPHANUMERIC);
    let admin = user.admin().await?;
    match admin.hook(user.actor(), text).await {
        Ok(_) => return Ok(Some(format!("/hooks/{encoded}"))),
        Err(Error::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let query = DeliveryQuery {
        id: Some(text.to_owned()),
        ..DeliveryQuery::default()
    };
    let found = admin
        .deliveries(user.actor(), &query, &PageRequest::default())
        .await?;
    if !found.data.is_empty() {
        return Ok(Some(format!("/deliveries/{encoded}")));
    }
    let mut events = user.caller.generation.config.events.iter();
    let is_event = events.any(|rule| rule.name == text);
    Ok(is_event.then(|| format!("/deliveries?event={encoded}")))
}
