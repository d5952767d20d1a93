//! Pages to look at.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use minijinja::{Value, context};
use serde::Deserialize;

use super::{chart, session::Visitor, template::of};
use crate::{
    manage::{
        Error, PageRequest, Who,
        deliveries::{DeliveryQuery, State as DeliveryState},
        hooks::HookQuery,
    },
    server::{
        generation::Home,
        problem::Problem,
        request::{Asked, Id},
    },
};

/// How often, and how many times, it is looked whether a delivery can be shown.
const LOOK: Duration = Duration::from_millis(250);
const LOOKS: u32 = 12;

/// Renders what was found, or what went wrong.
fn answer(visitor: &Visitor, name: &str, here: &str, found: Result<Value, Problem>) -> Response {
    match found {
        Ok(values) => visitor.page(name, here, values),
        Err(problem) => visitor.problem(&problem),
    }
}

pub(super) async fn home(State(home): State<Arc<Home>>, visitor: Visitor) -> Response {
    let found = async {
        let office = visitor.office().await?;
        let newest = office.newest_attempt().await?;
        let mut news = office.news(visitor.who(), None, newest - 500).await?;
        news.reverse();
        news.truncate(20);
        let glance = seen(&home, &visitor).await?;
        Ok(context! { news => of(&news), ..glance })
    };
    let found = found.await;
    answer(&visitor, "home.html", "home", found)
}

/// The part of the home page that a script asks for again and again.
pub(super) async fn glance(State(home): State<Arc<Home>>, visitor: Visitor) -> Response {
    let found = seen(&home, &visitor).await;
    answer(&visitor, "glance.html", "home", found)
}

async fn seen(home: &Arc<Home>, visitor: &Visitor) -> Result<Value, Problem> {
    match visitor.who() {
        Who::Operator => {
            let office = visitor.office().await?;
            let status = office.status().await?;
            let samples = home.samples.read();
            let now = visitor
                .house
                .handles
                .meters
                .now(tokio::time::Instant::now());
            Ok(context! {
                status => of(&status),
                lag_seconds => now.lag.as_secs(),
                link => now.link.word(),
                throughput => of(&chart::bars(&samples, |sample| sample.delivered_per_second)),
                failures => of(&chart::bars(&samples, |sample| sample.failed_per_second)),
                latency => of(&chart::bars(&samples, |sample| sample.mean_ms)),
            })
        }
        Who::Owner(_) => {
            let office = visitor.office().await?;
            let hooks = office
                .hooks(
                    visitor.who(),
                    &HookQuery::default(),
                    &PageRequest::largest(),
                )
                .await?;
            Ok(context! { hooks => of(&hooks.data) })
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Part {
    cursor: Option<String>,
}

impl Part {
    fn page(self) -> PageRequest {
        PageRequest {
            cursor: self.cursor.filter(|cursor| !cursor.is_empty()),
            limit: None,
        }
    }
}

pub(super) async fn hooks(visitor: Visitor, Asked(part): Asked<Part>) -> Response {
    let found = async {
        let office = visitor.office().await?;
        let page = office
            .hooks(visitor.who(), &HookQuery::default(), &part.page())
            .await?;
        let events = visitor.house.config.events.iter();
        let events: Vec<String> = events.map(|rule| rule.name.clone()).collect();
        Ok(context! { hooks => of(&page.data), next => page.next, events })
    };
    let found = found.await;
    answer(&visitor, "hooks.html", "hooks", found)
}

pub(super) async fn hook(visitor: Visitor, Id(id): Id) -> Response {
    let found = async {
        let office = visitor.office().await?;
        let hook = office.hook(visitor.who(), &id).await?;
        let query = DeliveryQuery {
            hook: Some(id),
            ..DeliveryQuery::default()
        };
        let page = PageRequest {
            limit: Some(20),
            cursor: None,
        };
        let deliveries = office.deliveries(visitor.who(), &query, &page).await?;
        Ok(context! { hook => of(&hook), deliveries => of(&deliveries.data) })
    };
    let found = found.await;
    answer(&visitor, "hook.html", "hooks", found)
}

#[derive(Deserialize)]
pub(super) struct Filter {
    hook: Option<String>,
    state: Option<String>,
    event: Option<String>,
    cursor: Option<String>,
}

pub(super) async fn deliveries(visitor: Visitor, Asked(filter): Asked<Filter>) -> Response {
    let found = async {
        // What a form leaves empty is not asked for.
        let asked = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let (hook, state, event) = (
            asked(&filter.hook),
            asked(&filter.state),
            asked(&filter.event),
        );
        let query = DeliveryQuery {
            hook: hook.clone(),
            state: state.as_deref().and_then(DeliveryState::parse),
            event: event.clone(),
        };
        let page = PageRequest {
            cursor: asked(&filter.cursor),
            limit: None,
        };
        let office = visitor.office().await?;
        let found = office.deliveries(visitor.who(), &query, &page).await?;
        Ok(context! { deliveries => of(&found.data), next => found.next, hook, state, event })
    };
    let found = found.await;
    answer(&visitor, "deliveries.html", "deliveries", found)
}

pub(super) async fn delivery(visitor: Visitor, Id(id): Id) -> Response {
    let found = async {
        let office = visitor.office().await?;
        // One that has just arrived is shown when history has noted it, which is a moment later.
        let mut looks = tokio::time::interval(LOOK);
        let mut left = LOOKS;
        let detail = loop {
            looks.tick().await;
            match office.delivery(visitor.who(), &id).await {
                Err(Error::NotFound { .. }) if left > 0 => left -= 1,
                found => break found?,
            }
        };
        Ok(
            context! { delivery => of(&detail.delivery), body => of(&detail.body), attempts => of(&detail.attempt_list) },
        )
    };
    let found = found.await;
    answer(&visitor, "delivery.html", "deliveries", found)
}
