//! The templates of the page. MiniJinja escapes what they show, because their names end in `.html`.

use std::sync::LazyLock;

use axum::{
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};
use minijinja::{Environment, Value, context, value::Serde};

use crate::{server::problem::Problem, setup::lag::human_size};

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut templates = Environment::new();
    for (name, text) in [
        ("layout.html", include_str!("layout.html")),
        ("databases.html", include_str!("databases.html")),
        ("backfills.html", include_str!("backfills.html")),
        ("backfills_table.html", include_str!("backfills_table.html")),
        ("catalogue.html", include_str!("catalogue.html")),
        ("login.html", include_str!("login.html")),
        ("entered.html", include_str!("entered.html")),
        ("home.html", include_str!("home.html")),
        ("glance.html", include_str!("glance.html")),
        ("hooks.html", include_str!("hooks.html")),
        ("hook.html", include_str!("hook.html")),
        ("edit.html", include_str!("edit.html")),
        ("fields.html", include_str!("fields.html")),
        ("events.html", include_str!("events.html")),
        ("secret.html", include_str!("secret.html")),
        ("tested.html", include_str!("tested.html")),
        ("deliveries.html", include_str!("deliveries.html")),
        (
            "deliveries_table.html",
            include_str!("deliveries_table.html"),
        ),
        ("delivery.html", include_str!("delivery.html")),
        ("charts.html", include_str!("charts.html")),
        ("hook_charts.html", include_str!("hook_charts.html")),
        ("list.html", include_str!("list.html")),
        ("retry.html", include_str!("retry.html")),
        ("search.html", include_str!("search.html")),
        ("tokens.html", include_str!("tokens.html")),
        ("token.html", include_str!("token.html")),
        ("audit.html", include_str!("audit.html")),
        ("audit_table.html", include_str!("audit_table.html")),
        ("forget.html", include_str!("forget.html")),
        ("problem.html", include_str!("problem.html")),
        ("portal_head.html", include_str!("portal_head.html")),
        ("portal_new.html", include_str!("portal_new.html")),
        ("portal_buttons.html", include_str!("portal_buttons.html")),
        ("portal_ended.html", include_str!("portal_ended.html")),
    ] {
        templates
            .add_template(name, text)
            .expect("the templates are part of the program, and tests render each");
    }
    // The portal has a name of its own, and the word that its owners know.
    templates.add_global("brand", "rowhook");
    templates.add_global("noun", "hook");
    templates.add_filter("brief", brief);
    templates.add_filter("bytes", human_size);
    templates
});

/// A time for tables: without fractions of a second, and with a space in place of the T.
fn brief(time: &str) -> String {
    let time = time.split('.').next().unwrap_or(time);
    time.replace('T', " ")
}

/// A value as a template sees it.
pub(super) fn of(value: &impl serde::Serialize) -> Value {
    Value::from(Serde(value))
}

/// Renders a template. One that fails is logged, and answered with status 500.
pub(super) fn page(name: &str, values: Value) -> Response {
    let rendered = TEMPLATES
        .get_template(name)
        .and_then(|template| template.render(values));
    match rendered {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(%error, page = name, "a page was not rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Renders a problem. `common` is what the layout shows, and empty where nobody is logged in.
pub(super) fn problem(problem: &Problem, common: Value) -> Response {
    let values = context! { problem => of(problem), ..common };
    (problem.status(), page("problem.html", values)).into_response()
}
