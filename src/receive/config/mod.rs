//! receive.toml: where `rowhook receive` listens, which requests it believes, and which tasks it runs.

mod handshakes;
mod identity;
mod task;
mod verifier;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use url::Url;

use super::{
    gate::Gate,
    options::Options,
    queue::{Limits, Storage},
    task::Task,
    verify::Verifier,
};
use crate::{
    config::{
        Mistakes, load,
        reader::{Keys, Table, Value},
    },
    secret::Secret,
};

/// The name of the file, unless another is given.
pub const FILE: &str = "receive.toml";

const TOP: Keys = Keys {
    known: &[
        "listen",
        "path",
        "secrets",
        "signature",
        "tolerance",
        "id_header",
        "same_body",
        "handshakes",
        "max_body",
        "timeout",
        "queue",
        "queue_size",
        "remember",
        "keep_dead",
        "concurrency",
        "grace",
        "plugins",
        "tasks",
    ],
    later: &[],
};

/// Every section and its keys, so that tests can compare the manual with them. The first is the file itself.
pub const KEYS: [(&str, &[&str]); 4] = [
    ("", TOP.known),
    ("signature", verifier::KEYS.known),
    ("handshakes", handshakes::KEYS.known),
    ("tasks", task::KEYS.known),
];

/// A whole receive.toml.
#[derive(Debug)]
pub struct Config {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The options of the receiver.
    pub options: Options,
    /// The folders that plugins are in.
    pub plugins: Vec<PathBuf>,
    /// `[[tasks]]`, in the order of the file.
    pub tasks: Vec<Task>,
}

impl Config {
    /// Reads and checks the file at `path`. `env` looks up environment variables.
    ///
    /// # Errors
    /// All mistakes in the file, in its order.
    pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Mistakes> {
        Self::parse(path, &load::read_text(path)?, env)
    }

    /// Checks `text`, which messages call by the name `path`.
    ///
    /// # Errors
    /// All mistakes in the text, in its order.
    pub fn parse(
        path: &Path,
        text: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Mistakes> {
        let config = load::parse_text(path, FILE, text, env, read)?;
        Ok(config)
    }
}

fn read(file: &Table<'_>) -> Option<Config> {
    file.refuse_unknown(&TOP);
    let listen = file
        .need("listen", "listen = \"127.0.0.1:9000\"")
        .and_then(address);
    let verifier = verifier::read(file);
    let options = verifier.map(|verifier| options(file, verifier));
    let plugins = file.find("plugins").and_then(Value::strings);
    let plugins = plugins.unwrap_or_default();
    let tasks = file.find("tasks").map(task::read_all).unwrap_or_default();
    let mut options = options?;
    let filled = file.reader.secret_variables();
    options.hidden_variables.extend(filled);
    Some(Config {
        listen: listen?,
        options,
        plugins: plugins.into_iter().map(PathBuf::from).collect(),
        tasks,
    })
}

fn options(file: &Table<'_>, verifier: Verifier) -> Options {
    let default = Options::new(Gate::new(verifier));
    let time = |key, default| {
        file.find(key)
            .and_then(Value::positive_duration)
            .unwrap_or(default)
    };
    let max_body = file.find("max_body").and_then(|value| value.size(1, "1B"));
    let queue_size = file
        .find("queue_size")
        .and_then(|value| value.size(1 << 20, "1MiB"));
    let concurrency = file.find("concurrency").and_then(task::concurrency);
    let grace = file.find("grace").and_then(Value::duration);
    let handshakes = file.find("handshakes").and_then(handshakes::read);
    Options {
        path: file.find("path").and_then(path),
        queue: file.find("queue").and_then(queue).unwrap_or(default.queue),
        limits: Limits {
            size: queue_size.map_or(default.limits.size, |size| size as u64),
            remember: time("remember", default.limits.remember),
            keep_dead: time("keep_dead", default.limits.keep_dead),
        },
        concurrency: concurrency.unwrap_or(default.concurrency),
        grace: grace.unwrap_or(default.grace),
        hidden_variables: default.hidden_variables,
        gate: Gate {
            id: identity::read(file),
            handshakes: handshakes.unwrap_or_default(),
            max_body: max_body.unwrap_or(default.gate.max_body),
            timeout: time("timeout", default.gate.timeout),
            ..default.gate
        },
    }
}

fn address(value: &Value<'_>) -> Option<SocketAddr> {
    let text = value.string()?;
    let address = text.parse().ok();
    if address.is_none() {
        value.wrong(format!(
            "{} is no address to listen on; write an IP address and a port, such as \"127.0.0.1:9000\"",
            value.quote(&text)
        ));
    }
    address
}

fn path(value: &Value<'_>) -> Option<String> {
    let path = value.string()?;
    if !path.starts_with('/') {
        value.wrong(format!(
            "{} begins with no slash; write a path such as \"/hooks\"",
            value.quote(&path)
        ));
        return None;
    }
    Some(path)
}

/// A folder, or the URL of a NATS server.
fn queue(value: &Value<'_>) -> Option<Storage> {
    // The URL of a server may have a password.
    let text = value.secret()?.expose().to_owned();
    let Some((scheme, _)) = text.split_once("://") else {
        return Some(Storage::Folder(text.into()));
    };
    let server = Url::parse(&text).ok();
    let server = server.filter(|url| url.host_str().is_some_and(|host| !host.is_empty()));
    if server.is_none() || !["nats", "tls"].contains(&scheme) {
        value.wrong(format!(
            "{} is neither a folder nor a server of NATS; write one such as \"rowhook-queue\" or \"nats://127.0.0.1:4222\"",
            value.key
        ));
        return None;
    }
    Some(Storage::Nats(Secret::new(text)))
}
