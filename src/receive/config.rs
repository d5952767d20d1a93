//! receive.toml: what `rowhook receive` listens on, whom it believes, and what it does then.

use std::{net::SocketAddr, num::NonZeroUsize, path::Path, path::PathBuf, time::Duration};

use axum::http::HeaderName;
use url::Url;

use crate::receive::{
    gate::Gate,
    service::{Options, Place},
    task::{Action, Call, Path as BodyPath, Task},
    verify::{Algorithm, Encoding, HmacScheme, Verifier},
};
use crate::{
    config::{
        Mistakes, Pattern, hooks, load,
        reader::{Keys, Table, Value},
        retries,
    },
    secret::Secret,
    signature::SignatureScheme,
};

/// What the file is called where nobody says otherwise.
pub const FILE: &str = "receive.toml";

const TOP: Keys = Keys {
    known: &[
        "listen",
        "path",
        "secrets",
        "signature",
        "tolerance",
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

const SIGNATURE: Keys = Keys {
    known: &["header", "algorithm", "encoding", "prefix"],
    later: &[],
};

const TASKS: Keys = Keys {
    known: &[
        "name",
        "model",
        "event",
        "command",
        "url",
        "secret",
        "timeout",
        "retries",
        "concurrency",
        "order_by",
    ],
    later: &[],
};

/// Every section and its keys, so that the manual can be held against them. The first is the file itself.
pub const KEYS: [(&str, &[&str]); 3] = [
    ("", TOP.known),
    ("signature", SIGNATURE.known),
    ("tasks", TASKS.known),
];

/// A whole receive.toml.
#[derive(Debug)]
pub struct Receive {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Whom it believes, and where it keeps what it accepts.
    pub options: Options,
    /// Folders with plugins.
    pub plugins: Vec<PathBuf>,
    /// `[[tasks]]`, in the order of the file.
    pub tasks: Vec<Task>,
}

impl Receive {
    /// Reads and checks the file at `path`. `env` answers what the environment says of a name.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the file.
    pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Mistakes> {
        Self::parse(path, &load::read_text(path)?, env)
    }

    /// Checks `text`, which messages call by the name `path`.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the file.
    pub fn parse(
        path: &Path,
        text: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Mistakes> {
        let receive = load::parse_text(path, FILE, text, env, read)?;
        Ok(receive)
    }
}

fn read(file: &Table<'_>) -> Option<Receive> {
    file.refuse_unknown(&TOP);
    let listen = file
        .need("listen", "listen = \"127.0.0.1:9000\"")
        .and_then(address);
    let verifier = verifier(file);
    let options = verifier.map(|verifier| options(file, verifier));
    let plugins = file.find("plugins").and_then(Value::strings);
    let plugins = plugins.unwrap_or_default();
    let tasks = file.find("tasks").map(tasks).unwrap_or_default();
    Some(Receive {
        listen: listen?,
        options: options?,
        plugins: plugins.into_iter().map(PathBuf::from).collect(),
        tasks,
    })
}

fn options(file: &Table<'_>, verifier: Verifier) -> Options {
    let mut options = Options::new(Gate::new(verifier));
    if let Some(value) = file.find("path") {
        options.path = path(value);
    }
    if let Some(value) = file.find("max_body") {
        set(&mut options.gate.max_body, value.size(1, "1B"));
    }
    if let Some(value) = file.find("timeout") {
        set(&mut options.gate.timeout, value.positive_duration());
    }
    if let Some(value) = file.find("queue") {
        set(&mut options.queue, queue(value));
    }
    if let Some(value) = file.find("queue_size") {
        let size = value.size(1 << 20, "1MiB");
        set(&mut options.limits.size, size.map(|size| size as u64));
    }
    if let Some(value) = file.find("remember") {
        set(&mut options.limits.remember, value.positive_duration());
    }
    if let Some(value) = file.find("keep_dead") {
        set(&mut options.limits.keep_dead, value.positive_duration());
    }
    if let Some(value) = file.find("concurrency") {
        set(&mut options.concurrency, count(value));
    }
    if let Some(value) = file.find("grace") {
        set(&mut options.grace, value.duration());
    }
    options
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
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

/// How signatures are checked: `signature` and `secrets` together.
fn verifier(file: &Table<'_>) -> Option<Verifier> {
    let tolerance = file.find("tolerance").and_then(Value::positive_duration);
    let signature = match file.find("signature") {
        Some(value) => signature(value)?,
        None => Signature::Standard,
    };
    let verifier = match signature {
        Signature::None => {
            if let Some(secrets) = file.find("secrets") {
                secrets
                    .wrong("secrets are not used with signature = \"none\"; remove one of the two");
                return None;
            }
            Verifier::unsigned()
        }
        Signature::Standard => {
            let good = |value: &Value<'_>| {
                let secret = value.secret()?;
                if let Err(mend) = Verifier::standard([secret.expose()]) {
                    value.wrong(format!("{}: {mend}", value.key));
                    return None;
                }
                Some(secret)
            };
            let secrets = secrets(file, good)?;
            // Each was tried above.
            Verifier::standard(secrets.iter().map(Secret::expose)).ok()?
        }
        Signature::Hmac(scheme) => {
            let secrets = secrets(file, Value::secret)?;
            Verifier::hmac(scheme, secrets.iter().map(Secret::expose))
        }
    };
    Some(match tolerance {
        Some(tolerance) => verifier.tolerating(tolerance),
        None => verifier,
    })
}

enum Signature {
    Standard,
    Hmac(HmacScheme),
    None,
}

fn signature(value: &Value<'_>) -> Option<Signature> {
    if !value.is_table() {
        let standard = value.text_of(&["standard"]).map(|_| Signature::Standard);
        let none = value.text_of(&["none"]).map(|_| Signature::None);
        if let Some(known) = standard.or(none) {
            return Some(known);
        }
        value.choice(&[("standard", ()), ("none", ())])?;
        return None;
    }
    let table = value.table(&SIGNATURE)?;
    let header = table
        .need("header", "header = \"X-Hook-Signature\"")
        .and_then(|value| {
            let text = value.string()?;
            let header = HeaderName::try_from(&text).ok();
            if header.is_none() {
                value.wrong(format!(
                    "{} is no header; write a name such as \"X-Hook-Signature\"",
                    value.quote(&text)
                ));
            }
            header
        });
    let algorithms = [
        ("sha1", Algorithm::Sha1),
        ("sha256", Algorithm::Sha256),
        ("sha512", Algorithm::Sha512),
    ];
    let algorithm = table
        .need("algorithm", "algorithm = \"sha512\"")
        .and_then(|value| value.choice(&algorithms));
    let encodings = [("hex", Encoding::Hex), ("base64", Encoding::Base64)];
    let encoding = match table.find("encoding") {
        Some(value) => value.choice(&encodings),
        None => Some(Encoding::Hex),
    };
    let prefix = match table.find("prefix") {
        // Nothing before it is what is meant by an empty one too.
        Some(value) if value.text_of(&[""]).is_some() => Some(String::new()),
        Some(value) => value.string(),
        None => Some(String::new()),
    };
    Some(Signature::Hmac(HmacScheme {
        header: header?,
        algorithm: algorithm?,
        encoding: encoding?,
        prefix: prefix?,
    }))
}

fn secrets<'a>(
    file: &Table<'a>,
    good: impl Fn(&Value<'a>) -> Option<Secret>,
) -> Option<Vec<Secret>> {
    let mend = "secrets = [\"${WEBHOOK_SECRET}\"], or signature = \"none\" where anyone may make tasks run";
    let value = file.need("secrets", mend)?;
    let secrets = value.list_of("a list such as [\"${WEBHOOK_SECRET}\"]", good)?;
    if secrets.is_empty() {
        value.wrong(format!("{} is empty; write at least one", value.key));
        return None;
    }
    Some(secrets)
}

/// A folder, or a server of NATS.
fn queue(value: &Value<'_>) -> Option<Place> {
    let text = value.string()?;
    let Some((scheme, _)) = text.split_once("://") else {
        return Some(Place::Folder(text.into()));
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
    Some(Place::Nats(Secret::new(text)))
}

fn count(value: &Value<'_>) -> Option<NonZeroUsize> {
    let count = value.count().and_then(|count| usize::try_from(count).ok());
    count.and_then(NonZeroUsize::new)
}

fn tasks(value: &Value<'_>) -> Vec<Task> {
    if value.is_table() {
        value.reader.wrong(
            value.key_place,
            "tasks is a table; write [[tasks]], in double brackets, above each task",
        );
        return Vec::new();
    }
    let tasks = value.list("[[tasks]] above each task").unwrap_or_default();
    let mut names: Vec<String> = Vec::new();
    tasks
        .iter()
        .filter_map(|task| read_task(&task.table(&TASKS)?, &mut names))
        .collect()
}

/// `names` are those of the tasks before it.
fn read_task(table: &Table<'_>, names: &mut Vec<String>) -> Option<Task> {
    let name = table
        .need("name", "name = \"sync\"")
        .and_then(|value| hooks::name(value, "task", names));
    let models = table.find("model").map(patterns);
    let events = table.find("event").map(patterns);
    let action = action(table);
    let timeout = table.find("timeout").and_then(Value::positive_duration);
    let retries = table.find("retries").and_then(retries::read);
    let concurrency = table.find("concurrency").and_then(count);
    let order_by = table.find("order_by").and_then(order_by);
    let mut task = Task::new(name?, action?);
    set(&mut task.models, models.flatten());
    set(&mut task.events, events.flatten());
    set::<Duration>(&mut task.timeout, timeout);
    set(&mut task.retries, retries);
    set(&mut task.concurrency, concurrency);
    task.order_by = order_by;
    Some(task)
}

/// One pattern, or a list of them.
fn patterns(value: &Value<'_>) -> Option<Vec<Pattern>> {
    if value.is_string() {
        return Some(vec![pattern(value)?]);
    }
    let patterns = value.list_of(
        "a name or a list such as [\"created\", \"updated\"]",
        pattern,
    )?;
    if patterns.is_empty() {
        value.wrong(format!(
            "{} is empty; name at least one, or leave it out",
            value.key
        ));
    }
    Some(patterns)
}

fn pattern(value: &Value<'_>) -> Option<Pattern> {
    let text = value.string()?;
    let pattern = Pattern::parse(&text);
    if pattern.is_none() {
        value.wrong(format!(
            "{} is no pattern; write a name, \"clinic.*\" for all that begin so, or \"*\" for all",
            value.quote(&text)
        ));
    }
    pattern
}

fn action(table: &Table<'_>) -> Option<Action> {
    let secret = table.find("secret");
    match (table.find("command"), table.find("url")) {
        (Some(command), None) => {
            if let Some(secret) = secret {
                secret.wrong(format!(
                    "{} signs HTTP calls only; remove it, or write url instead of command",
                    secret.key
                ));
            }
            let words =
                command.list_of("a list such as [\"./sync.sh\", \"--fast\"]", Value::string)?;
            if words.is_empty() {
                command.wrong(format!(
                    "{} is empty; write a program and its arguments",
                    command.key
                ));
                return None;
            }
            Some(Action::Command(words))
        }
        (None, Some(url)) => {
            let secret = secret.map(|value| hooks::secret(value, &SignatureScheme::Standard));
            let url = hooks::target(url, true)?;
            Some(Action::Http(Box::new(Call {
                url,
                secret: secret.flatten(),
            })))
        }
        (Some(_), Some(url)) => {
            url.wrong(format!(
                "{} stands beside a command; a task does one of the two: write another [[tasks]]",
                url.key
            ));
            None
        }
        (None, None) => {
            table.need(
                "command",
                "command = [\"./sync.sh\"], or url = \"http://127.0.0.1:8000/sync\"",
            );
            None
        }
    }
}

fn order_by(value: &Value<'_>) -> Option<BodyPath> {
    let text = value.string()?;
    let path = BodyPath::parse(&text);
    if path.is_none() {
        value.wrong(format!(
            "{} is no path into a body; write names with dots between them, such as \"data.id\"",
            value.quote(&text)
        ));
    }
    path
}
