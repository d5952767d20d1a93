//! The schemas that bodies are checked against: what `rowhook schema` prints for the configurations of the test.
//!
//! A table may be altered while a test runs. A body may therefore match the schemas of any time they were read.

use std::{
    cell::RefCell,
    path::Path,
    sync::{Arc, Mutex},
};

use axum::body::Bytes;
use rowhook::{
    config::{Config, Databases, EventSource, PayloadFormat},
    event::{EventMap, shape::Shape},
    expression::{document::Document, template::Template},
    postgres::relation::Relation,
    preview::schema::{About, Subject, schema},
};
use serde_json::Value;

/// What the rowhooks of one test may send.
#[derive(Clone, Default)]
pub(crate) struct Schemas(Arc<Mutex<Vec<Rowhook>>>);

struct Rowhook {
    config: Config,
    known: Vec<Known>,
}

struct Known {
    event: String,
    payload: &'static str,
    validator: jsonschema::Validator,
}

impl Schemas {
    /// The schemas of the test that runs on this thread.
    pub(crate) fn of_test() -> Self {
        thread_local! {
            static TEST: RefCell<Schemas> = RefCell::default();
        }
        TEST.with_borrow(Schemas::clone)
    }

    /// Adds what a rowhook with this hooks.toml may send.
    pub(crate) fn add(&self, config: &str) {
        let databases = Databases::parse(Path::new("hooks.toml"), config, &|name| {
            std::env::var(name).ok()
        });
        // A rowhook that refuses its configuration sends nothing.
        for config in databases.iter().flat_map(Databases::all) {
            self.0.lock().unwrap().push(Rowhook {
                config: Config::clone(config),
                known: Vec::new(),
            });
        }
    }

    /// Reads the tables as they are now, of all rowhooks if `again`, and else of those whose tables were never read.
    pub(crate) async fn read(&self, again: bool) {
        let configs: Vec<(usize, Config)> = {
            let rowhooks = self.0.lock().unwrap();
            let wanted = rowhooks.iter().enumerate();
            wanted
                .filter(|(_, rowhook)| again || rowhook.known.is_empty())
                .map(|(at, rowhook)| (at, rowhook.config.clone()))
                .collect()
        };
        for (at, config) in configs {
            let known = schemas_of(&config).await;
            self.0.lock().unwrap()[at].known.extend(known);
        }
    }

    /// Checks that each body matches a schema. Reads the tables again before it gives up.
    ///
    /// # Panics
    /// When a body matches none. The message contains the body and the reasons.
    pub(crate) async fn check(&self, bodies: &[Bytes]) {
        if bodies.iter().all(|body| self.fits(body).is_ok()) {
            return;
        }
        self.read(true).await;
        for body in bodies {
            if let Err(reasons) = self.fits(body) {
                panic!(
                    "no schema allows {}\n{}",
                    String::from_utf8_lossy(body),
                    reasons.join("\n")
                );
            }
        }
    }

    fn fits(&self, body: &Bytes) -> Result<(), Vec<String>> {
        let rowhooks = self.0.lock().unwrap();
        if rowhooks.is_empty() {
            // This test has started no rowhook, so the body is not from one.
            return Ok(());
        }
        let body: Value = match serde_json::from_slice(body) {
            Ok(body) => body,
            // Some JSON of Postgres has no value here: 1e400, or half of a surrogate pair. Tests look at its bytes.
            Err(_) if Document::parse(String::from_utf8_lossy(body)).is_ok() => return Ok(()),
            Err(error) => return Err(vec![error.to_string()]),
        };
        // A template may call something else its type.
        let is_ours = body.get("position").is_some() || body.get("specversion").is_some();
        let event = [&body["hook"]["event"], &body["type"]]
            .into_iter()
            .take(if is_ours { 2 } else { 1 })
            .find_map(Value::as_str);
        // The event of `rowhook hooks test` has no schema.
        if event == Some(rowhook::manage::ping::TEST_EVENT) {
            return Ok(());
        }
        let known = rowhooks.iter().flat_map(|rowhook| &rowhook.known);
        let possible = known.filter(|known| {
            event.is_none_or(|event| event == known.event) && looks_like(&body, known.payload)
        });
        let possible: Vec<&Known> = possible.collect();
        if possible.iter().any(|known| known.validator.is_valid(&body)) {
            return Ok(());
        }
        let reasons = possible.iter().flat_map(|known| {
            let errors = known.validator.iter_errors(&body);
            errors.map(|error| format!("{} as {}: {error}", known.event, known.payload))
        });
        Err(reasons.collect())
    }
}

/// Does `body` have the outline of this payload? Without this, the loose schema of one payload would accept another.
fn looks_like(body: &Value, payload: &str) -> bool {
    let has = |key| body.get(key).is_some();
    match payload {
        "rest-hooks" | "django" => has("hook") && has("data"),
        "standard" => has("position"),
        _ => !has("hook") && !has("position"),
    }
}

async fn schemas_of(config: &Config) -> Vec<Known> {
    let client = config.database.address.connect("test").await.unwrap();
    let events = EventMap::new(config);
    let mut known = Vec::new();
    // `rowhook hooks test` sends an event that no configuration names.
    let test = Arc::from(rowhook::manage::ping::TEST_EVENT);
    for name in events.names().iter().chain([&test]) {
        let rule = config.events.iter().find(|rule| *rule.name == **name);
        let source = rule.map(|rule| &rule.source);
        let relation = match source {
            Some(EventSource::Row { table, .. }) => Relation::find(&client, table).await.unwrap(),
            _ => None,
        };
        let about = match (&relation, source) {
            (Some(relation), Some(EventSource::Row { table, action, .. })) => About::Row {
                relation,
                action,
                shape: &events.of_table(table).unwrap().shape,
            },
            _ => About::Anything,
        };
        // The template of a hook makes anything of a row.
        let anything = Shape::default().or_template(Template::compile("1").ok());
        let may_be_anything = match about {
            About::Row {
                relation, action, ..
            } if has_templates(config) => Some(About::Row {
                relation,
                action,
                shape: &anything,
            }),
            _ => None,
        };
        let formats = PayloadFormat::all();
        let versions = ["4.3", "4.4", "4.5", "4.7"].map(|version| {
            let format = PayloadFormat::parse(&format!("netbox-{version}"));
            ("netbox", format.unwrap())
        });
        for (payload, format) in formats.chain(versions) {
            for about in [Some(about), may_be_anything].into_iter().flatten() {
                let subject = Subject { event: name, about };
                let options = jsonschema::options().should_validate_formats(true);
                known.push(Known {
                    event: name.to_string(),
                    payload,
                    validator: options.build(&schema(subject, format)).unwrap(),
                });
            }
        }
    }
    known
}

fn has_templates(config: &Config) -> bool {
    let hooks = config.hooks.iter();
    config.limits.template || hooks.clone().any(|hook| hook.delivery.template_is_own)
}
