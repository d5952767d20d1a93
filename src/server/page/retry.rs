//! Sending many deliveries again: first how many that would be, and then, when somebody has confirmed that, doing it.

use axum::{extract::Form, response::Response};
use minijinja::context;

use super::{
    deliveries::{fields, query_of},
    list::Asked,
    template::of,
    user::User,
};
use crate::{
    manage::act::Act,
    server::{problem::Problem, request::Query},
};

/// `GET /deliveries/retry`: how many would be sent again, and the button that does it.
pub(super) async fn preview(user: User, Query(asked): Query<Asked>) -> Response {
    let found = async {
        user.caller.identity.require(Act::SendAgain)?;
        let query = query_of(&asked)?;
        let counted = user.admin().await?;
        let counted = counted.count_to_retry(user.actor(), &query).await?;
        let list = asked.list("/deliveries", &fields(&user), None);
        Ok::<_, Problem>(context! { counted => of(&counted), all => counted.all(), list })
    };
    match found.await {
        Ok(values) => user.page("retry.html", "deliveries", values),
        Err(problem) => user.problem(&problem),
    }
}

/// `POST /deliveries/retry`: sends them again, and goes back to the list.
pub(super) async fn retry(user: User, Form(asked): Form<Asked>) -> Response {
    let done = async {
        let csrf = asked.text("csrf").unwrap_or_default();
        user.check(&csrf, Act::SendAgain)?;
        let query = query_of(&asked)?;
        let mut admin = user.admin().await?;
        let retried = admin.retry_all(user.actor(), &query, &mut |_| {}).await?;
        // The same list, of all states: they are in another one now.
        let hook = asked.text("hook");
        Ok::<_, Problem>((retried, hook))
    };
    match done.await {
        Ok((retried, hook)) => {
            let values = context! { done => of(&retried), all => retried.all(), hook };
            user.page("retry.html", "deliveries", values)
        }
        Err(problem) => user.problem(&problem),
    }
}
