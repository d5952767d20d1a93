//! receive.toml: the smallest file, the manual, and each mistake with its message.

use std::{path::Path, time::Duration};

use rowhook::{
    config::Mistakes,
    receive::{
        Storage,
        config::{Config, KEYS},
        task::Action,
    },
    secret::Secret,
};

const MANUAL: &str = include_str!("../../receive.toml");
const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

fn parse(text: &str) -> Result<Config, Mistakes> {
    let env = |name: &str| name.ends_with("_SECRET").then(|| SECRET.to_owned());
    Config::parse(Path::new("receive.toml"), text, &env)
}

/// The mistakes in a file whose first two lines are the required keys, and whose third line is where `more` begins.
fn mistakes(more: &str) -> String {
    let text = format!("listen = \"127.0.0.1:9000\"\nsecrets = [\"{SECRET}\"]\n{more}");
    parse(&text).map_or_else(|mistakes| mistakes.to_string(), |_| String::new())
}

#[test]
fn the_smallest_file_says_where_to_listen_and_whom_to_believe() {
    let receive = parse(&format!(
        "listen = \"127.0.0.1:9000\"\nsecrets = [\"{SECRET}\"]"
    ))
    .unwrap();
    assert!(receive.tasks.is_empty() && receive.plugins.is_empty());
    assert_eq!(receive.options.path, None);
}

#[test]
fn the_manual_is_understood_and_shows_the_defaults() {
    let manual = parse(MANUAL).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let smallest = parse(&format!(
        "listen = \"127.0.0.1:9000\"\nsecrets = [\"{SECRET}\"]"
    ))
    .unwrap();
    let (shown, default) = (&manual.options, &smallest.options);
    assert_eq!(format!("{:?}", shown.gate), format!("{:?}", default.gate));
    assert_eq!(
        format!("{:?}", shown.limits),
        format!("{:?}", default.limits)
    );
    assert_eq!(shown.queue, Storage::Folder("rowhook-queue".into()));
    assert_eq!(shown.queue, default.queue);
    assert_eq!(
        (shown.concurrency, shown.grace),
        (default.concurrency, default.grace)
    );
    let bare = parse(&format!(
        "listen = \"127.0.0.1:9000\"\nsecrets = [\"{SECRET}\"]\n[[tasks]]\nname = \"a\"\ncommand = [\"true\"]"
    ));
    let bare = bare.unwrap();
    let (first, bare) = (&manual.tasks[0], &bare.tasks[0]);
    assert_eq!(
        (first.timeout, &first.retries, first.concurrency),
        (bare.timeout, &bare.retries, bare.concurrency)
    );
    assert_eq!(first.models.len(), 2);
    assert!(
        matches!(&manual.tasks[1].action, Action::Http(call) if call.secret == Some(Secret::new(SECRET)))
    );
}

#[test]
fn the_manual_names_every_key() {
    for (section, keys) in KEYS {
        for key in keys {
            let shown = MANUAL.lines().any(|line| {
                let line = line.trim_start_matches(['#', ' ', '{']);
                line.starts_with(&format!("{key} = "))
                    || line.starts_with(&format!("[[{key}]]"))
                    || line.starts_with(&format!("[{key}]"))
                    || line.contains(&format!(" {key} = "))
            });
            assert!(shown, "{section:?} {key:?}");
        }
    }
}

#[test]
fn every_mistake_is_reported_with_its_place_and_its_remedy() {
    for (more, expected) in [
        (
            "liste = 1",
            "receive.toml:3:1: receive.toml has no key \"liste\"; did you mean \"listen\"?",
        ),
        (
            "path = \"hooks\"",
            "receive.toml:3:8: \"hooks\" begins with no slash; write a path such as \"/hooks\"",
        ),
        (
            "signature = \"standart\"",
            "receive.toml:3:13: signature cannot be \"standart\"; did you mean \"standard\"?",
        ),
        (
            "signature = { header = \"X-Sig\" }",
            "receive.toml:3:1: signature.algorithm is missing; write algorithm = \"sha512\"",
        ),
        (
            "signature = { header = \"X Sig\", algorithm = \"sha512\" }",
            "receive.toml:3:24: \"X Sig\" is no header; write a name such as \"X-Hook-Signature\"",
        ),
        (
            "signature = { header = \"X\", algorithm = \"md5\" }",
            "receive.toml:3:41: signature.algorithm cannot be \"md5\"; write \"sha1\", \"sha256\" or \"sha512\"",
        ),
        (
            "signature = \"none\"",
            "receive.toml:2:11: secrets are not used with signature = \"none\"; remove one of the two",
        ),
        (
            "queue = \"redis://x\"",
            "receive.toml:3:9: queue is neither a folder nor a server of NATS; write one such as \"rowhook-queue\" or \"nats://127.0.0.1:4222\"",
        ),
        (
            "queue_size = \"1KiB\"",
            "receive.toml:3:14: queue_size is \"1KiB\"; write \"1MiB\" or more",
        ),
        (
            "concurrency = 0",
            "receive.toml:3:15: concurrency is 0; write a whole number from 1 to 4294967295",
        ),
        (
            "tasks = {}",
            "receive.toml:3:1: tasks is a table; write [[tasks]], in double brackets, above each task",
        ),
        (
            "[[tasks]]\ncommand = [\"x\"]",
            "receive.toml:3:1: tasks.name is missing; write name = \"sync\"",
        ),
        (
            "[[tasks]]\nname = \"a\"",
            "receive.toml:3:1: tasks.command is missing; write command = [\"./sync.sh\"], or url = \"http://127.0.0.1:8000/sync\"",
        ),
        (
            "[[tasks]]\nname = \"a b\"\ncommand = [\"x\"]",
            "receive.toml:4:8: \"a b\" cannot name a task; begin with a letter, then use up to 63 letters, digits and _ . -",
        ),
        (
            "[[tasks]]\nname = \"a\"\ncommand = []",
            "receive.toml:5:11: tasks.command is empty; write a program and its arguments",
        ),
        (
            "[[tasks]]\nname = \"a\"\ncommand = [\"x\"]\nurl = \"http://x\"",
            "receive.toml:6:7: tasks.url stands beside a command; a task does one of the two: write another [[tasks]]",
        ),
        (
            "[[tasks]]\nname = \"a\"\ncommand = [\"x\"]\nsecret = \"x\"",
            "receive.toml:6:10: tasks.secret signs HTTP calls only; remove it, or write url instead of command",
        ),
        (
            "[[tasks]]\nname = \"a\"\ncommand = [\"x\"]\nmodel = \"a b\"",
            "receive.toml:6:9: \"a b\" is no pattern; write a name, \"clinic.*\" for all that begin so, or \"*\" for all",
        ),
        (
            "[[tasks]]\nname = \"a\"\ncommand = [\"x\"]\nevent = []",
            "receive.toml:6:9: tasks.event is empty; name at least one, or leave it out",
        ),
        (
            "[[tasks]]\nname = \"a\"\ncommand = [\"x\"]\norder_by = \"data..id\"",
            "receive.toml:6:12: \"data..id\" is no path into a body; write names with dots between them, such as \"data.id\"",
        ),
    ] {
        assert_eq!(mistakes(more), expected, "{more}");
    }
    let two = "[[tasks]]\nname = \"a\"\ncommand = [\"x\"]\n";
    assert!(mistakes(&format!("{two}{two}")).contains("names another task already"));
    let text = parse("").unwrap_err().to_string();
    assert_eq!(text.lines().count(), 2, "{text}");
    let text = parse("listen = \"x\"\nsecrets = [\"whsec_c2hvcnQ=\", \"${MISSING}\"]")
        .unwrap_err()
        .to_string();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(!text.contains("c2hvcnQ"), "{text}");
}

#[test]
fn a_server_of_nats_is_a_secret_and_durations_are_read() {
    let text = format!(
        "listen = \"127.0.0.1:1\"\nsecrets = [\"{SECRET}\"]\nqueue = \"nats://me:hunter2@queue:4222\"\ntimeout = \"3s\""
    );
    let receive = parse(&text).unwrap();
    assert!(!format!("{receive:?}").contains("hunter2"));
    assert_eq!(receive.options.gate.timeout, Duration::from_secs(3));
}
