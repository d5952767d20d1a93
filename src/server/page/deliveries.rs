//! The pages of deliveries: the list of them, and each with its attempts.

use std::time::Duration;

use axum::response::Response;
use minijinja::context;

use super::{
    list::{Asked, Field},
    template::of,
    user::User,
};
use crate::{
    manage::{
        Error,
        deliveries::{Delivery, DeliveryQuery, State, tables_of_events},
    },
    server::{
        problem::Problem,
        request::{Path, Query},
    },
};

/// A delivery that is not found is looked for again after this time, and at most this many times.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
const MAX_POLLS: u32 = 12;

/// The fields by which deliveries are limited.
pub(super) fn fields(user: &User) -> Vec<Field> {
    let config = &user.caller.generation.config;
    let tables = tables_of_events(config);
    let events = config.events.iter().map(|rule| rule.name.clone());
    let mut fields = vec![
        Field::choice("state", "State", ["parked", "dead", "delivered"]),
        Field::text("hook", "Hook", 8),
        Field::text("event", "Event", 14).proposing(events),
        Field::text("since", "Since", 10).such_as("2h"),
        Field::text("until", "Until", 10).such_as("10m"),
    ];
    if !tables.is_empty() {
        let tables = tables.iter().map(ToString::to_string);
        fields.push(Field::choice("table", "Row of", tables));
        fields.push(Field::text("key", "Key", 8).such_as("7"));
    }
    fields
}

/// Which deliveries are asked for.
pub(super) fn query_of(asked: &Asked) -> Result<DeliveryQuery, Problem> {
    Ok(DeliveryQuery {
        hook: asked.text("hook"),
        state: asked.text("state").as_deref().and_then(State::parse),
        event: asked.text("event"),
        id: None,
        since: asked.time("since")?,
        until: asked.time("until")?,
        row: asked.row()?,
    })
}

/// Has a delivery say nothing that only operators can do, where somebody is in the portal.
pub(super) fn retell(user: &User, delivery: &mut Delivery) {
    user.retell(&mut delivery.reason);
    user.retell_sentence(&mut delivery.why);
}

/// `GET /deliveries`: a page of deliveries.
pub(super) async fn list(user: User, Query(asked): Query<Asked>) -> Response {
    let found = async {
        let query = query_of(&asked)?;
        let admin = user.admin().await?;
        let mut found = admin
            .deliveries(user.actor(), &query, &asked.page())
            .await?;
        found.data.iter_mut().for_each(|one| retell(&user, one));
        // What is sent again is that of a hook, or of all for whoever sees all.
        let is_of_one = query.hook.is_some() || user.caller.identity.role().is_some();
        let is_retried = is_of_one && query.state != Some(State::Delivered);
        Ok::<_, Problem>(context! {
            list => asked.list("/deliveries", &fields(&user), found.next.as_deref()),
            deliveries => of(&found.data),
            is_retried,
        })
    };
    match found.await {
        Ok(values) => user.page("deliveries.html", "deliveries", values),
        Err(problem) => user.problem(&problem),
    }
}

/// `GET /deliveries/{id}`: a delivery with its body and its attempts.
pub(super) async fn one(user: User, Path(id): Path) -> Response {
    let found = async {
        // One that has just been delivered is found once history has noted it, which is a moment later.
        let mut polls = tokio::time::interval(POLL_INTERVAL);
        let mut left = MAX_POLLS;
        let mut detail = loop {
            polls.tick().await;
            let found = user.admin().await?.delivery(user.actor(), &id).await;
            match found {
                Err(Error::NotFound { .. }) if left > 0 => left -= 1,
                found => break found?,
            }
        };
        let errors = detail.attempt_list.iter_mut();
        user.retell(errors.filter_map(|attempt| attempt.error.as_mut()));
        retell(&user, &mut detail.delivery);
        Ok::<_, Problem>(context! {
            delivery => of(&detail.delivery),
            body => of(&detail.body),
            attempts => of(&detail.attempt_list),
        })
    };
    match found.await {
        Ok(values) => user.page("delivery.html", "deliveries", values),
        Err(problem) => user.problem(&problem),
    }
}
