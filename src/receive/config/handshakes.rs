//! `[handshakes]`: what senders ask before they send, and is answered.

use super::verifier::secret;
use crate::{
    config::reader::{Keys, Value},
    receive::handshake::Handshakes,
};

pub(super) const KEYS: Keys = Keys {
    known: &[
        "cloudevents",
        "meta",
        "slack",
        "zoom",
        "dropbox",
        "woocommerce",
    ],
    later: &[],
};

pub(super) fn read(value: &Value<'_>) -> Option<Handshakes> {
    let table = value.table(&KEYS)?;
    let flag = |name: &str| table.find(name).and_then(Value::flag).unwrap_or_default();
    let origins = table.find("cloudevents").and_then(Value::strings);
    Some(Handshakes {
        cloudevents: origins.unwrap_or_default(),
        meta: table.find("meta").and_then(secret),
        slack: flag("slack"),
        zoom: table.find("zoom").and_then(secret),
        dropbox: flag("dropbox"),
        woocommerce: flag("woocommerce"),
    })
}
