//! How the page is dressed as the portal, as `[portal]` says.

use axum::{http::StatusCode, response::Response};
use minijinja::{Value, context};

use super::template;
use crate::{
    config::{Config, Portal, PortalPart},
    server::generation::Generation,
};

/// Where the portal is, below the root of its database.
pub(super) const PLACE: &str = "/portal";

/// What the layout of the portal shows on every page.
pub(super) fn of(config: &Config) -> Value {
    let root = format!("{}{PLACE}", config.root());
    let Some(portal) = &config.portal else {
        return context! { root };
    };
    context! {
        root,
        brand => portal.name.clone(),
        noun => "endpoint",
        shows => shows(Some(portal)),
        portal => context! {
            logo => portal.logo.is_some(),
            frame => portal.frame.join(" "),
        },
    }
}

/// Which parts are shown. Without a portal, the page is the whole one.
pub(super) fn shows(portal: Option<&Portal>) -> Value {
    let has = |part| portal.is_none_or(|portal| portal.shows(part));
    context! {
        hooks => has(PortalPart::Hooks),
        test => has(PortalPart::Test),
        deliveries => has(PortalPart::Deliveries),
        retry => has(PortalPart::Retry),
        events => has(PortalPart::Events),
        acts => has(PortalPart::Acts),
    }
}

/// The page of somebody whose session is over, or never began. It says so to the page around it, too.
pub(super) fn ended(generation: &Generation, status: StatusCode, why: &str) -> Response {
    let values = context! { why, ended => true, ..of(&generation.config) };
    let mut page = template::page("portal_ended.html", values);
    if page.status() == StatusCode::OK {
        *page.status_mut() = status;
    }
    page
}

/// The style sheet with the colours.
pub(super) fn look(portal: &Portal) -> String {
    let themes = [("light", portal.light), ("dark", portal.dark)];
    let themes = themes.into_iter().filter_map(|(name, colour)| {
        let colour = colour?;
        Some(format!(
            "@media (prefers-color-scheme: {name}) {{\n  :root {{ --link: {colour}; --main: {colour}; --on-main: {}; }}\n}}\n",
            colour.text_on()
        ))
    });
    themes.collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(portal: &str) -> Config {
        let text = format!(
            "database.url = \"host=localhost\"\nevents.a = \"b.created\"\n[server]\nlisten = \"127.0.0.1:1\"\n\
             [portal]\n{portal}"
        );
        Config::parse(Path::new("hooks.toml"), &text, &|_| None).unwrap()
    }

    #[test]
    fn each_theme_has_its_colour_with_text_that_can_be_read_on_it() {
        let config = config("colours = { light = \"#7a1fa2\", dark = \"#e0b0f0\" }");
        assert_eq!(
            look(config.portal.as_ref().unwrap()),
            "@media (prefers-color-scheme: light) {\n  :root { --link: #7a1fa2; --main: #7a1fa2; --on-main: #ffffff; }\n}\n\
             @media (prefers-color-scheme: dark) {\n  :root { --link: #e0b0f0; --main: #e0b0f0; --on-main: #000000; }\n}\n"
        );
    }

    #[test]
    fn a_portal_shows_what_hooks_toml_says_and_the_page_shows_everything() {
        let config = config("show = [\"hooks\", \"events\"]");
        let portal = config.portal.as_ref();
        let shown = |portal, name: &str| shows(portal).get_attr(name).unwrap().is_true();
        assert!(shown(portal, "hooks") && shown(portal, "events"));
        assert!(!shown(portal, "deliveries") && !shown(portal, "retry"));
        assert!(shown(None, "deliveries"));
    }
}
