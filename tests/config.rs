//! hooks.toml: the smallest file, the manual, and each mistake with its message.

use std::{path::Path, sync::Arc, time::SystemTime};

use proptest::prelude::*;
use rowhook::{
    config::{
        Action, Columns, Config, Delivery, DisableAfter, EventSource, KEYS, Mistakes, OnGone,
        Order, PayloadFormat,
    },
    expression::filter::Filter,
    postgres::TableName,
    secret::Secret,
    signature::{Algorithm, Encoding, HeaderSignature, SignatureScheme, SigningKey},
};

const MANUAL: &str = include_str!("../hooks.toml");
const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

fn environment(name: &str) -> Option<String> {
    match name {
        "DATABASE_URL" => Some("postgresql://app:hunter2@localhost/app".into()),
        "WAREHOUSE_SECRET" => Some(SECRET.into()),
        "WAREHOUSE_OLD_SECRET" => Some(SECRET.replace("MDE", "MTE")),
        "WAREHOUSE_TOKEN" => Some("hunter2".into()),
        "PASSWORD" => Some("hunter2".into()),
        "ROWHOOK_CONSOLE_PASSWORD" => Some("hunter2, and 8 more".into()),
        "JWT_SECRET" => Some("0123456789abcdef0123456789abcdef".into()),
        "ONE_BYTE" => Some("1B".into()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Config, Mistakes> {
    Config::parse(Path::new("hooks.toml"), text, &environment)
}

/// The mistakes of a file that begins with what is required, in lines 1 to 4; `more` begins in line 5.
fn mistakes(more: &str) -> String {
    let text = format!(
        "[database]\nurl = \"${{DATABASE_URL}}\"\n[events]\n\"book.added\" = \"book.created\"\n{more}"
    );
    parse(&text).map_or_else(|mistakes| mistakes.to_string(), |_| String::new())
}

#[test]
fn the_smallest_file_names_a_database_and_an_event() {
    let config =
        parse("database.url = \"postgresql://localhost/app\"\nevents.added = \"book.created\"")
            .unwrap();
    assert_eq!(config.database.slot, "rowhook");
    assert_eq!(config.database.publication, "rowhook");
    assert_eq!(config.database.schema, "rowhook");
    assert_eq!(config.events[0].name, "added");
    assert_eq!(config.events[0].place.to_string(), "2:8");
    assert!(!config.events[0].all_owners);
    assert!(config.tables.is_empty() && config.hooks.is_empty());
    assert!(config.hook_table.is_none() && config.server.is_none());
    assert_eq!(
        format!("{:?}", config.delivery),
        format!("{:?}", Delivery::default())
    );
}

#[test]
fn the_manual_is_understood() {
    let config = parse(MANUAL).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let names: Vec<&str> = config.events.iter().map(|rule| &*rule.name).collect();
    assert_eq!(
        names,
        [
            "book.added",
            "book.changed",
            "book.removed",
            "book.read",
            "pet.added",
            "user.logged_in",
            "book.discounted"
        ]
    );
    assert!(config.events[1].all_owners);
    assert_eq!(
        config.events[6].source,
        EventSource::Row {
            table: TableName::public("bookstore_book"),
            action: Action::Updated,
            changed: vec!["price".into()],
            when: Some(Arc::new(Filter::compile("new.price < old.price").unwrap())),
        }
    );
    assert_eq!(
        config.tables[0].columns,
        Columns::Except(vec!["cost".into()])
    );
    assert!(config.tables[0].identity_full);
    assert_eq!(config.tables[1].table.to_string(), "clinic.pet");
    let at = SystemTime::UNIX_EPOCH;
    let signer = config.hooks[0].signer.as_ref().unwrap();
    let expected = SigningKey::parse(&Secret::new(SECRET)).unwrap();
    // The previous secret signs too, after it.
    assert!(
        signer
            .sign("msg_1", at, b"{}")
            .starts_with(&format!("{} v1,", expected.sign("msg_1", 0, b"{}")))
    );
    assert_eq!(config.hooks[1].header_names[0], "x-team");
    assert!(config.hooks[1].headers.contains_key("x-team"));
    assert!(config.hooks[1].delivery.retries.is_empty());
    assert_eq!(config.hooks[1].delivery.payload, PayloadFormat::Standard);
    assert_eq!(
        config.hooks[1].delivery.disable_after,
        DisableAfter::Failures(100)
    );
    assert_eq!(config.hook_table.unwrap().on_gone, OnGone::Disable);
}

#[test]
fn every_default_in_the_manual_is_the_default() {
    let config = parse(MANUAL).unwrap();
    let small = parse(
        "database.url = \"host=localhost\"\nevents.a = \"b.created\"\nhook_table.table = \"t\"",
    )
    .unwrap();
    assert_eq!(
        format!("{:?}", config.delivery),
        format!("{:?}", small.delivery)
    );
    assert_eq!(config.database.slot, small.database.slot);
    assert_eq!(config.database.publication, small.database.publication);
    assert_eq!(config.database.schema, small.database.schema);
    let (shown, default) = (config.hook_table.unwrap(), small.hook_table.unwrap());
    assert_eq!(
        [
            &shown.columns.id,
            &shown.columns.owner,
            &shown.columns.event,
            &shown.columns.target
        ],
        [
            &default.columns.id,
            &default.columns.owner,
            &default.columns.event,
            &default.columns.target
        ]
    );
    assert_eq!(default.on_gone, OnGone::Delete);
    let tracing = config.tracing.unwrap();
    assert_eq!(tracing.endpoint.as_str(), "http://127.0.0.1:4318/v1/traces");
    let least = "database.url = \"host=localhost\"\nevents.a = \"b.created\"\ntracing.endpoint = \"http://127.0.0.1:4318\"";
    assert_eq!(parse(least).unwrap().tracing, Some(tracing));
    assert_eq!(config.delivery.order, Order::Row);
    assert_eq!(config.delivery.signature, SignatureScheme::Standard);
}

#[test]
fn a_hook_may_have_a_batch_of_its_own_or_none() {
    let text = r#"
database.url = "host=h"
events.a = "b.created"
delivery.batch = {}
[[hooks]]
name = "usual"
events = ["a"]
target = "https://a.b"
[[hooks]]
name = "smaller"
events = ["a"]
target = "https://a.b"
batch = { max = 7, wait = "0s" }
[[hooks]]
name = "alone"
events = ["a"]
target = "https://a.b"
batch = false
"#;
    let config = parse(text).unwrap();
    let batches = config.hooks.iter().map(|hook| {
        let batch = hook.delivery.batch?;
        Some((batch.max.get(), batch.wait.as_secs()))
    });
    let batches: Vec<_> = batches.collect();
    assert_eq!(batches, [Some((100, 1)), Some((7, 0)), None]);
}

#[test]
fn a_rule_of_retries_becomes_its_pauses() {
    let retries = |rule: &str| {
        let text = format!(
            "database.url = \"host=h\"\nevents.a = \"b.created\"\ndelivery.retries = {rule}"
        );
        let config = parse(&text).unwrap();
        let seconds = config.delivery.retries.iter().map(|pause| pause.as_secs());
        seconds.collect::<Vec<_>>()
    };
    assert_eq!(retries("{ max_tries = 4 }"), [1, 2, 4]);
    assert_eq!(retries("{ max_time = \"1m\", first = \"10s\" }"), [10, 20]);
    assert_eq!(
        retries("{ max_tries = 3, max_time = \"1h\", first = \"5m\" }"),
        [300, 600]
    );
    assert_eq!(retries("false"), [0; 0]);
}

#[test]
fn a_signature_in_another_header_takes_any_secret() {
    let config = parse(
        r#"
database.url = "host=localhost"
events.a = "b.created"
[delivery]
signature = { header = "X-Hub-Signature-256", prefix = "sha256=" }
[[hooks]]
name = "github"
events = ["a"]
target = "https://a.b"
secret = "It's a Secret to Everybody"
previous_secret = "another"
[[hooks]]
name = "netbox"
events = ["a"]
target = "https://a.b"
signature = { header = "X-Hook-Signature", algorithm = "sha512", encoding = "hex", prefix = "" }
"#,
    )
    .unwrap();
    let rule = |hook: usize| match &config.hooks[hook].delivery.signature {
        SignatureScheme::Header(rule) => rule.clone(),
        SignatureScheme::Standard => panic!("a header is named"),
    };
    assert_eq!(
        rule(0),
        HeaderSignature::new(
            "x-hub-signature-256",
            Algorithm::Sha256,
            Encoding::Hex,
            "sha256="
        )
        .unwrap()
    );
    assert_eq!(
        rule(1),
        HeaderSignature::new("x-hook-signature", Algorithm::Sha512, Encoding::Hex, "").unwrap()
    );
}

#[test]
fn the_manual_has_every_key() {
    let mut section = "";
    let mut found: Vec<(&str, &str)> = Vec::new();
    for line in MANUAL.lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        if line.starts_with('[') {
            let name = line.trim_start_matches('[');
            let whole = name.split(']').next().unwrap();
            section = match whole {
                "server.jwt" => {
                    found.push(("server", "jwt"));
                    whole
                }
                _ => whole.split('.').next().unwrap(),
            };
        } else if let Some((key, _)) = line.split_once(" = ") {
            found.push((section, key));
        }
    }
    for (section, keys) in KEYS {
        for key in keys {
            assert!(found.contains(&(section, key)), "{section}.{key}");
        }
    }
}

#[test]
fn each_mistake_has_its_place_and_its_mend() {
    let cases = [
        (
            "[evnts]",
            r#"5:2: hooks.toml has no key "evnts"; did you mean "events"?"#,
        ),
        (
            "[server]\nlisten = \"127.0.0.1:1\"\nadmin_token = \"short\"",
            "7:15: server.admin_token is shorter than 16 characters; make one with: openssl rand -hex 32",
        ),
        (
            "[server]\nlisten = \"127.0.0.1:1\"\nverify = \"pong\"",
            r#"7:10: server.verify cannot be "pong"; did you mean "ping"?"#,
        ),
        (
            "[server]\nlisten = \"127.0.0.1:1\"\ncors = [\"https://app.example/\"]",
            r#"7:9: "https://app.example/" is no origin; write scheme and host, such as "https://app.example""#,
        ),
        (
            "[server]\nlisten = \"127.0.0.1:1\"\n[server.jwt]\nalgorithms = [\"RS256\"]\nsecret = \"${JWT_SECRET}\"",
            "7:9: server.jwt: the HS algorithms go with secret, and the others with public_key_file or jwks_file",
        ),
        (
            "[server]\nlisten = \"127.0.0.1:1\"\n[server.jwt]\nalgorithms = [\"RS256\"]",
            "7:9: server.jwt needs exactly one of secret, public_key_file and jwks_file",
        ),
        (
            "[server]\nlisten = \"127.0.0.1:1\"\n[server.jwt]\nalgorithms = [\"none\"]\nsecret = \"x\"",
            r#"8:15: server.jwt.algorithms cannot be "none"; write "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384" or "EdDSA"
hooks.toml:9:10: server.jwt.secret is shorter than 32 characters, and could be guessed; use a longer one"#,
        ),
        (
            "[console]\nlisten = \"0.0.0.0:6432\"\npassword = \"long enough\"",
            r#"6:10: "0.0.0.0:6432" is no address of this host alone; write such as "127.0.0.1:6432""#,
        ),
        (
            "[console]\nlisten = \"127.0.0.1:6432\"\npassword = \"short\"",
            "7:12: console.password is shorter than 8 characters; choose a longer one",
        ),
        (
            "[tracing]\nservice = \"shop\"",
            "5:2: tracing.endpoint is missing; write endpoint = \"http://127.0.0.1:4318\", or remove [tracing]",
        ),
        (
            "[tracing]\nendpoint = \"127.0.0.1:4318\"",
            r#"6:12: "127.0.0.1:4318" is no address of a collector; write one such as "http://127.0.0.1:4318""#,
        ),
        (
            "[tracing]\nendpoint = \"http://me:hunter2@localhost:4318\"",
            "6:12: tracing.endpoint has credentials; write it without them, and have a collector beside rowhook that knows them",
        ),
        (
            "[tracing]\nendpoint = \"http://localhost:4318\"\nsample = 1.5",
            "7:10: tracing.sample is 1.5; write a number from 0 to 1, such as 0.1",
        ),
        (
            "[tracing]\nendpoint = \"http://localhost:4318\"\nsample = \"half\"",
            "7:10: tracing.sample is a string; write a number from 0 to 1, such as 0.1",
        ),
        (
            "[tracing]\nendpoint = \"http://localhost:4318\"\nsamples = 1",
            "7:1: tracing has no key \"samples\"; did you mean \"sample\"?",
        ),
        (
            "[history]\nsuccesses = true",
            "6:13: history.successes is a boolean; write a whole number from 1, or false for none",
        ),
        (
            "[tables.book]\npayload = \"{{ new.a\"",
            "6:11: tables.book.payload is no template: syntax error: unexpected end of input, expected end of variable block (in line 1 of it)",
        ),
        (
            "[tables.book.enrich]\nx = \"select 1; select 2\"\ny = 1",
            "6:5: tables.book.enrich.x cannot be asked: it is more than one statement; keep one query\nhooks.toml:7:5: tables.book.enrich.y is an integer; write a string",
        ),
        (
            "[tables.book]\nrename = { c = \"d\", e = \"d\" }",
            r#"6:25: "d" is the name of another column already; give each its own"#,
        ),
        (
            r#"[delivery]
timout = "1s""#,
            r#"6:1: delivery has no key "timout"; did you mean "timeout"?"#,
        ),
        (
            "[delivery]\ncolour = 1",
            r#"6:1: delivery has no key "colour"; write "timeout", "retries", "order", "concurrency", "max_body", "retention", "disable_after", "payload", "signature", "batch", "allow_http", "allow_networks", "memory" or "grace""#,
        ),
        (
            r#"[server]
foo = 1
listen = "127.0.0.1:1""#,
            r#"6:1: server has no key "foo"; write "listen", "admin_token", "verify", "requests_per_minute", "max_request", "cors" or "jwt""#,
        ),
        (
            "[delivery]\ntimeout = 15",
            r#"6:11: delivery.timeout is an integer; write a number with its unit, ms, s, m, h or d, such as "15s""#,
        ),
        (
            r#"[delivery]
timeout = "15""#,
            r#"6:11: "15" is not a duration; write a number with its unit, ms, s, m, h or d, such as "15s""#,
        ),
        (
            r#"[delivery]
timeout = "0s""#,
            r#"6:11: delivery.timeout is zero; write a longer time, such as "15s""#,
        ),
        (
            r#"[delivery]
allow_http = "yes""#,
            "6:14: delivery.allow_http is a string; write true or false",
        ),
        (
            "[delivery]\nmax_body = 20",
            r#"6:12: delivery.max_body is an integer; write a number with its unit, B, KB, MB, GB, KiB, MiB or GiB, such as "20MiB""#,
        ),
        (
            r#"[delivery]
max_body = "20M""#,
            r#"6:12: "20M" is not a size; write a number with its unit, B, KB, MB, GB, KiB, MiB or GiB, such as "20MiB""#,
        ),
        (
            r#"[delivery]
memory = "64KiB""#,
            r#"6:10: delivery.memory is "64KiB"; write "1MiB" or more"#,
        ),
        (
            "[delivery]\nconcurrency = 0",
            "6:15: delivery.concurrency is 0; write a whole number from 1 to 4294967295",
        ),
        (
            r#"[delivery]
concurrency = "16""#,
            "6:15: delivery.concurrency is a string; write a whole number",
        ),
        (
            "[delivery]\nretries = true",
            r#"6:11: delivery.retries is a boolean; write a list such as ["5s", "5m"], a table such as { max_tries = 10 }, or false for one attempt"#,
        ),
        (
            "[delivery]\nretries = { first = \"1s\" }",
            r#"6:11: delivery.retries has no end; write max_tries = 10, max_time = "1h", or both"#,
        ),
        (
            "[delivery]\nretries = { max_tries = 1001 }",
            "6:25: delivery.retries.max_tries is 1001; write a whole number from 1 to 1000",
        ),
        (
            "[delivery]\nretries = { max_tries = 3, first = \"0s\" }",
            r#"6:36: delivery.retries.first is zero; write a longer time, such as "15s""#,
        ),
        (
            "[delivery]\nretries = { max_time = \"1h\", backoff = \"5s\" }",
            r#"6:30: delivery.retries has no key "backoff"; write "max_tries", "max_time" or "first""#,
        ),
        (
            "[delivery]\nretries = []",
            "6:11: delivery.retries is empty; write false for one attempt",
        ),
        (
            r#"[delivery]
retries = ["5s", 5]"#,
            r#"6:18: delivery.retries is an integer; write a number with its unit, ms, s, m, h or d, such as "15s""#,
        ),
        (
            r#"[delivery]
order = "rows""#,
            r#"6:9: delivery.order cannot be "rows"; did you mean "row"?"#,
        ),
        (
            r#"[delivery]
order = "sorted""#,
            r#"6:9: delivery.order cannot be "sorted"; write "row", "hook" or "none""#,
        ),
        (
            r#"[delivery]
payload = "resthooks""#,
            r#"6:11: delivery.payload cannot be "resthooks"; did you mean "rest-hooks"?"#,
        ),
        (
            r#"[delivery]
signature = { kind = "hmac" }"#,
            r#"6:1: delivery.signature.header is missing; write header = "X-Hook-Signature"
hooks.toml:6:15: delivery.signature has no key "kind"; write "header", "algorithm", "encoding" or "prefix""#,
        ),
        (
            r#"[delivery]
signature = { header = "Webhook-Id" }"#,
            r#"6:24: delivery.signature: the header "Webhook-Id" is set by rowhook or HTTP itself; choose another name"#,
        ),
        (
            r#"[delivery]
signature = { header = "authorization" }"#,
            r#"6:24: delivery.signature: the header "authorization" is set by rowhook or HTTP itself; choose another name"#,
        ),
        (
            r#"[delivery]
signature = { header = "a b" }"#,
            r#"6:24: delivery.signature: "a b" is no header; write a name such as "x-signature""#,
        ),
        (
            r#"[delivery]
signature = { header = "x", prefix = "é=" }"#,
            r#"6:24: delivery.signature: the prefix "é=" cannot begin a header's value; write printable ASCII"#,
        ),
        (
            r#"[delivery]
signature = { header = "x", algorithm = "sha255", encoding = "hx" }"#,
            r#"6:41: delivery.signature.algorithm cannot be "sha255"; did you mean "sha256"?
hooks.toml:6:62: delivery.signature.encoding cannot be "hx"; did you mean "hex"?"#,
        ),
        (
            r#"[delivery]
signature = "md5""#,
            r#"6:13: delivery.signature cannot be "md5"; write "standard""#,
        ),
        (
            "[delivery]\ndisable_after = true",
            r#"6:17: delivery.disable_after is a boolean; write a duration such as "5d", or a number of failures"#,
        ),
        (
            "[delivery]\ndisable_after = 0",
            "6:17: delivery.disable_after is 0; write a whole number from 1 to 4294967295",
        ),
        (
            r#"[delivery]
allow_networks = ["10.0.0.1"]"#,
            r#"6:19: "10.0.0.1" is no network; write an address and a prefix, such as "127.0.0.0/8""#,
        ),
        (
            r#"[delivery]
rate = "5/s""#,
            "6:1: delivery.rate comes in a later version; leave it out until then",
        ),
        (
            r#"[delivery]
grace = """#,
            "6:9: delivery.grace is empty; write a value, or leave it out",
        ),
        (
            r#""x" = "${NOPE}.created""#,
            "5:7: the environment variable NOPE is not set; set it, or write $${ for a plain ${",
        ),
        (
            r#""x" = "${NO PE}""#,
            r#"5:7: a "${" here begins no ${NAME}; close it, or write $${ for a plain ${"#,
        ),
        (
            r#""x" = "book.create""#,
            r#"5:7: "create" is not an action, did you mean "created"? An action of your own, which SQL fires, needs a name that is less like it"#,
        ),
        (
            r#""x" = 'book."been read"'"#,
            r#"5:7: "been read" is not an action; it is created, updated, deleted, or a name of letters, digits, _ and - for an action that SQL fires"#,
        ),
        (
            r#""x" = "book""#,
            r#"5:7: "book" names no action; write "book.created", "book.updated" or "book.deleted""#,
        ),
        (
            r#""x" = "a.b.c.created""#,
            r#"5:7: "a.b.c.created" is no source; write "[schema.]table.action", with "double quotes" around odd names, "app.Model.action", or "custom""#,
        ),
        (
            r#""x" = "odd table.created""#,
            r#"5:7: "odd table.created" is no source; write "[schema.]table.action", with "double quotes" around odd names, "app.Model.action", or "custom""#,
        ),
        (
            r#""x" = 3"#,
            r#"5:7: events.x is an integer; write "table.action""#,
        ),
        (
            r#"pet.added = "pet.created""#,
            r#"5:1: events.pet is no event; write names with dots in quotes: "pet.added" = …"#,
        ),
        (
            r#""x y" = "book.created""#,
            r#"5:1: "x y" cannot name an event; use letters, digits and _ . : - only"#,
        ),
        (
            r#"".x" = "book.created""#,
            r#"5:1: ".x" cannot name an event; begin and end it with something else than a dot"#,
        ),
        (
            r#""hook.x" = "book.created""#,
            r#"5:1: "hook.x" cannot name an event; names that begin with hook. or rowhook. are rowhook's own"#,
        ),
        (
            r#""rowhook.x" = "book.created""#,
            r#"5:1: "rowhook.x" cannot name an event; names that begin with hook. or rowhook. are rowhook's own"#,
        ),
        (
            r#""x" = { changed = ["a"] }"#,
            r#"5:1: events.x.on is missing; write on = "table.action""#,
        ),
        (
            r#""x" = { on = "book.created", changed = ["a"] }"#,
            "5:30: events.x.changed does not fit created; only updated knows what changed, leave it out",
        ),
        (
            r#""x" = { on = "book.updated", changed = [] }"#,
            "5:40: events.x.changed is empty; name at least one, or leave it out",
        ),
        (
            r#""x" = { on = "book.updated", changed = ["a", "a"] }"#,
            r#"5:46: "a" is named twice; remove one"#,
        ),
        (
            r#""x" = { on = "book.updated", changes = ["a"] }"#,
            r#"5:30: events.x has no key "changes"; did you mean "changed"?"#,
        ),
        (
            r#""x" = { on = "custom", when = "true" }"#,
            "5:24: events.x.when does not fit custom, which has no row; leave it out",
        ),
        (
            r#""x" = { on = "book.updated", when = "nw.a" }"#,
            r#"5:37: "nw.a" uses "nw"; an expression sees new, old, changed, event and owner"#,
        ),
        (
            r#""book.added" = "book.updated""#,
            "5:1: this is not TOML: duplicate key",
        ),
        (
            "[delivery\n",
            "5:10: this is not TOML: unclosed table, expected `]`",
        ),
        (
            "[tables.bok]",
            "5:9: no event is about the table bok; did you mean book?",
        ),
        (
            "[tables.clinic]",
            "5:9: no event is about the table clinic; name it in [events], or remove its rules",
        ),
        (
            r#"[tables.clinic.pet]
owner = "a""#,
            r#"5:9: tables.clinic is no table; write a schema and its table in one pair of quotes: [tables."clinic.name"]"#,
        ),
        (
            r#"[tables."a b"]"#,
            r#"5:9: "a b" is no table; write [tables.name] or [tables."schema.name"]"#,
        ),
        (
            r#"[tables.book]
[tables."public.book"]"#,
            "6:9: the table book has rules already; put them together",
        ),
        (
            r#"[tables.book]
owner = "a.b""#,
            r#"6:9: "a.b" is no owner; write a column, or a path such as "shelf_id -> shelf.user_id""#,
        ),
        (
            r#"[tables.book]
identity = "default""#,
            r#"6:12: tables.book.identity cannot be "default"; write "full""#,
        ),
        (
            r#"[tables.book]
columns = ["a"]
exclude = ["b"]"#,
            "7:1: tables.book.exclude stands beside columns; keep one of the two",
        ),
        (
            r#"[tables.book]
columns = "id""#,
            "6:11: tables.book.columns is a string; write a list of strings",
        ),
        (
            r#"[hooks]
name = "a""#,
            "5:2: hooks is a table; write [[hooks]], in double brackets, above each hook",
        ),
        (
            r#"[[hooks]]
name = "1"
events = ["*"]
target = "https://a.b"
"#,
            r#"6:8: "1" cannot name a hook; begin with a letter, then use up to 63 letters, digits and _ . -"#,
        ),
        (
            r#"[[hooks]]
name = "a"
events = ["*"]
target = "https://a.b"
[[hooks]]
name = "a"
events = ["*"]
target = "https://a.b"
"#,
            r#"10:8: "a" names another hook already; give each its own name"#,
        ),
        (
            r#"[[hooks]]
events = ["*"]
target = "https://a.b"
"#,
            r#"5:1: hooks.name is missing; write name = "warehouse""#,
        ),
        (
            r#"[[hooks]]
name = "a"
events = ["bok.*"]
target = "https://a.b"
"#,
            r#"7:11: no event of [events] matches "bok.*"; add one to [events], or remove it here"#,
        ),
        (
            r#"[[hooks]]
name = "a"
events = ["book.aded"]
target = "https://a.b"
"#,
            r#"7:11: no event of [events] matches "book.aded"; did you mean "book.added"?"#,
        ),
        (
            r#"[[hooks]]
name = "a"
events = ["book*"]
target = "https://a.b"
"#,
            r#"7:11: "book*" is no event; write its name, "book.*" for all that begin so, or "*" for all"#,
        ),
        (
            r#"[[hooks]]
name = "a"
events = []
target = "https://a.b"
"#,
            r#"7:10: hooks.events is empty; name events, or write ["*"] for all of them"#,
        ),
        (
            r#"[[hooks]]
name = "a"
events = ["*"]
target = "ftp://a.b"
"#,
            r#"8:10: hooks.target is not an http or https URL; write one such as "https://example.com/hooks""#,
        ),
        (
            r#"[[hooks]]
name = "a"
events = ["*"]
target = "http://user:hunter2@a.b"
"#,
            "8:10: hooks.target is not encrypted; write https, or set allow_http = true in [delivery]",
        ),
        (
            r#"[[hooks]]
name = "a"
events = ["*"]
target = "https://a.b"
secret = "hunter2""#,
            "9:10: hooks.secret is not whsec_ and the base64 of 24 to 64 bytes, nor whsk_ and that of an ed25519 key; make one with: echo whsec_$(openssl rand -base64 32)",
        ),
        (
            r#"[[hooks]]
name = "a"
events = ["*"]
target = "https://a.b"
secret = "whsec_aHVudGVyMg==""#,
            "9:10: hooks.secret is not whsec_ and the base64 of 24 to 64 bytes, nor whsk_ and that of an ed25519 key; make one with: echo whsec_$(openssl rand -base64 32)",
        ),
        (
            r#"[[hooks]]
name = "a"
events = ["*"]
target = "https://a.b"
secret = 3"#,
            "9:10: hooks.secret is an integer; write a string",
        ),
        (
            r#"[[hooks]]
name = "a"
events = ["*"]
target = "https://a.b"
secret = "whsk_c2hvcnQ=""#,
            "9:10: hooks.secret is not whsec_ and the base64 of 24 to 64 bytes, nor whsk_ and that of an ed25519 key; make one with: echo whsec_$(openssl rand -base64 32)",
        ),
        (
            r#"[[hooks]]
name = "a"
events = ["*"]
target = "https://a.b"
previous_secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw""#,
            "9:19: hooks.previous_secret stands without secret; write the new one beside it",
        ),
        (
            r#"[[hooks]]
name = "a"
events = ["*"]
target = "https://a.b"
headers = { Host = "a" }"#,
            r#"9:13: the header "Host" is set by rowhook or HTTP itself; leave it out"#,
        ),
        (
            r#"[[hooks]]
name = "a"
events = ["*"]
target = "https://a.b"
headers = { "webhook-id" = "a" }"#,
            r#"9:13: the header "webhook-id" is set by rowhook or HTTP itself; leave it out"#,
        ),
        (
            r#"[[hooks]]
name = "a"
events = ["*"]
target = "https://a.b"
headers = { "x y" = "a" }"#,
            r#"9:13: "x y" is no header; write a name such as "x-api-key""#,
        ),
        (
            r#"[[hooks]]
name = "a"
events = ["*"]
target = "https://a.b"
headers = { x = "hunter2\n" }"#,
            "9:17: hooks.headers.x holds a control character, such as the end of a line; remove it",
        ),
        (
            r#"[[hooks]]
name = "a"
events = ["*"]
target = "https://a.b"
headers = { x = "a", X = "b" }"#,
            r#"9:22: the header "X" is named twice; remove one"#,
        ),
        (
            r#"[[hooks]]
name = "a"
events = ["*"]
target = "https://a.b"
headers = { x = 3 }"#,
            "9:17: hooks.headers.x is an integer; write a string",
        ),
        (
            r#"[[hooks]]
name = "a"
events = ["*"]
target = "https://a.b"
filter = "new.""#,
            r#"9:10: "new." is not a CEL expression: ERROR: <input>:1:5: Syntax error: no viable alternative at input '.' | new. | ....^"#,
        ),
        (
            r#"[[hooks]]
name = "a"
events = ["*"]
target = "https://a.b"
method = "GET""#,
            r#"9:10: hooks.method cannot be "GET"; write "POST", "PUT" or "PATCH""#,
        ),
        (
            r#"[[hooks]]
name = "a"
events = ["*"]
target = "https://a.b"
auth = { user = "anna" }"#,
            r#"9:8: hooks.auth is neither of the two; write { user = "…", password = "…" } or { bearer = "…" }"#,
        ),
        (
            r#"[[hooks]]
name = "a"
events = ["*"]
target = "https://a.b"
auth = { user = "an:na", password = "hunter2" }"#,
            "9:17: hooks.auth.user holds a colon, which ends the name of a user; remove it",
        ),
        (
            r#"[[hooks]]
name = "a"
events = ["*"]
target = "https://a.b"
auth = { bearer = "hunter2\n" }"#,
            "9:19: hooks.auth.bearer holds a character that cannot be sent, such as the end of a line; remove it",
        ),
        (
            r#"[[hooks]]
name = "a"
events = ["*"]
target = "https://anna:hunter2@a.b"
auth = { bearer = "hunter2" }"#,
            "9:1: hooks.auth stands beside the credentials in target; keep one of the two",
        ),
        (
            r#"[[hooks]]
name = "a"
events = ["*"]
target = "https://a.b"
headers = { Authorization = "hunter2" }
auth = { bearer = "hunter2" }"#,
            "10:1: hooks.auth stands beside the header authorization; keep one of the two",
        ),
        (
            r#"[[hooks]]
name = "a"
events = ["*"]
target = "https://a.b"
batch = 5"#,
            r#"9:9: hooks.batch is an integer; write a table such as { max = 100, wait = "1s" }, or false to send each alone"#,
        ),
        (
            "[delivery]\nbatch = { max = 201 }",
            "6:17: delivery.batch.max is 201; write a whole number from 1 to 200",
        ),
        (
            "[delivery]\nbatch = { max = 0 }",
            "6:17: delivery.batch.max is 0; write a whole number from 1 to 4294967295",
        ),
        (
            "[delivery]\nbatch = { wait = \"2m\" }",
            r#"6:18: delivery.batch.wait is longer than a minute, and what waits keeps WAL; write "60s" or less"#,
        ),
        (
            "[delivery]\nbatch = { size = 10 }",
            r#"6:11: delivery.batch has no key "size"; write "max" or "wait""#,
        ),
        (
            r#"[[hooks]]
name = "a"
events = ["*"]
target = "https://a.b"
timeout = 5"#,
            r#"9:11: hooks.timeout is an integer; write a number with its unit, ms, s, m, h or d, such as "15s""#,
        ),
        (
            "[hook_table]",
            r#"5:2: hook_table.table is missing; write table = "rest_hooks_hook""#,
        ),
        (
            r#"[hook_table]
table = "a b""#,
            r#"6:9: "a b" is no table; write "[schema.]table", with "double quotes" around odd names"#,
        ),
        (
            r#"[hook_table]
table = "a"
on_gone = "disable""#,
            r#"7:11: hook_table.on_gone = "disable" needs a column to clear; name it with active, or write "delete""#,
        ),
        (
            r#"[hook_table]
table = "a"
on_gone = "keep""#,
            r#"7:11: hook_table.on_gone cannot be "keep"; write "disable" or "delete""#,
        ),
        (
            r#"[hook_table]
table = "a"
id = 3"#,
            "7:6: hook_table.id is an integer; write a string",
        ),
        (
            "[server]",
            r#"5:2: server.listen is missing; write listen = "127.0.0.1:8640", or remove [server]"#,
        ),
        (
            r#"[server]
listen = "8640""#,
            r#"6:10: "8640" is no address to listen on; write an IP address and a port, such as "127.0.0.1:8640""#,
        ),
        (
            r#"[server]
listen = "127.0.0.1:1"
admin_token = "${EMPTY}""#,
            "7:15: server.admin_token is empty; write a value, or leave it out",
        ),
    ];
    for (more, expected) in cases {
        assert_eq!(mistakes(more), format!("hooks.toml:{expected}"), "{more}");
    }
}

#[test]
fn what_is_required_is_asked_for() {
    let cases = [
        (
            r#"delivery = 3
hooks = 3
tables = 3
database.url = "host=h"
events.a = "b.created""#,
            "1:12: delivery is an integer; write a table\n2:9: hooks is an integer; write [[hooks]] above each hook\n3:10: tables is an integer; write a table",
        ),
        (
            "",
            r#"1:1: database is missing; write [database] with url = "${DATABASE_URL}"
1:1: events is missing; write [events] with "book.added" = "book.created""#,
        ),
        (
            "[database]\n[events]",
            r#"1:2: database.url is missing; write url = "${DATABASE_URL}"
2:2: [events] is empty; name an event, such as "book.added" = "book.created""#,
        ),
        (
            r#"database.url = "mysql://app:hunter2@h/d"
events.a = "b.created""#,
            "1:16: the URL of the database must begin with postgresql:// or postgres://",
        ),
        (
            r#"database = { url = "host=h", slot = "A" }
events.a = "b.created""#,
            r#"1:37: "A" cannot name a slot; use up to 63 of a-z, 0-9 and _"#,
        ),
        (
            r#"database = { url = "host=h", store = "x" }
events.a = "b.created""#,
            "1:30: database.store comes in a later version; leave it out until then",
        ),
        (
            r#"database = { url = "host=h", publication = "pppppppppppppppppppppppppppppppppppppppppppppppppppppppp" }
events.a = "b.created""#,
            "1:44: database.publication has 56 bytes; Postgres leaves room for 55, shorten it",
        ),
        (
            r#"database = { url = "host=h", schema = "" }
events.a = "b.created""#,
            "1:39: database.schema is empty; write a value, or leave it out",
        ),
        (
            r#"database = { url = "host=h", publication = "a\u0000" }
events.a = "b.created""#,
            "1:44: database.publication holds a NUL; remove it",
        ),
        (
            r#"database = { url = "host=h", schema = "pg_rowhook" }
events.a = "b.created""#,
            "1:39: database.schema begins with pg_, which Postgres keeps for itself; choose another name",
        ),
    ];
    for (text, expected) in cases {
        let found = parse(text).unwrap_err().to_string();
        let found: Vec<&str> = found.lines().collect();
        let expected: Vec<String> = expected
            .lines()
            .map(|line| format!("hooks.toml:{line}"))
            .collect();
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let found = mistakes(
        r#"[delivery]
timeout = 15
retries = ["5", "6"]
[[hooks]]
nme = "a"
events = ["book.aded"]
[server]
listen = "${NOPE}:${NEITHER}"
"#,
    );
    let places: Vec<&str> = found
        .lines()
        .map(|line| line.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        places,
        [
            "6:11", "7:12", "7:17", "8:1", "8:1", "9:1", "10:11", "12:10", "12:10"
        ]
        .map(|place| format!("hooks.toml:{place}"))
    );
}

#[test]
fn a_file_that_cannot_be_read_is_a_mistake() {
    let found = Config::load(Path::new("no/such/hooks.toml"), &environment).unwrap_err();
    assert!(
        found
            .to_string()
            .starts_with("no/such/hooks.toml: cannot be read: ")
    );
    assert_eq!(found.iter().count(), 1);
}

#[test]
fn a_file_that_is_not_utf_8_is_told_where() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"[database]\n# Gr\xc3\xb6\xdfe").unwrap();
    let found = Config::load(file.path(), &environment).unwrap_err();
    assert_eq!(
        found.to_string(),
        format!(
            "{}:2:6: this is not UTF-8; save the file in that encoding",
            file.path().display()
        )
    );
}

#[test]
fn a_header_that_delivery_refuses_is_refused_here() {
    for name in ["te", "Upgrade", "host", "user-agent", "webhook-signature"] {
        let found = mistakes(&format!(
            "[[hooks]]\nname = \"a\"\nevents = [\"*\"]\ntarget = \"https://a.b\"\nheaders = {{ {name} = \"1\" }}"
        ));
        let expected = format!(
            "hooks.toml:9:13: the header {name:?} is set by rowhook or HTTP itself; leave it out"
        );
        assert_eq!(found, expected);
    }
}

#[test]
fn a_character_is_one_column_whatever_its_bytes_or_the_end_of_the_line() {
    let found = mistakes("\"x\" = { on = \"Größe.created\", x = 1 }\r\n[delivery]\r\ngrace = 1");
    assert!(found.starts_with("hooks.toml:5:31: "), "{found}");
    assert!(found.contains("\nhooks.toml:7:9: "), "{found}");
}

#[test]
fn a_django_label_is_the_table_of_its_model() {
    let config = parse(
        r#"
[database]
url = "postgresql://localhost/shop"
[events]
"a" = "bookstore.Book.created"
"b" = "book_store.AudioBook.updated+"
"c" = 'clinic."Pet".created'
"d" = "Shelf.created"
"e" = { on = "bookstore.Author.updated", changed = ["name"] }
[tables."people.author"]
model = "bookstore.Author"
"#,
    )
    .unwrap();
    let sources: Vec<String> = config
        .events
        .iter()
        .map(|event| event.source.to_string())
        .collect();
    assert_eq!(
        sources,
        [
            "bookstore_book.created",
            "book_store_audiobook.updated",
            "clinic.Pet.created",
            "Shelf.created",
            "people.author.updated"
        ]
    );
    let models: Vec<String> = config
        .models
        .iter()
        .map(|(table, model)| format!("{table} {model}"))
        .collect();
    assert_eq!(
        models,
        [
            "people.author bookstore.Author",
            "bookstore_book bookstore.Book",
            "book_store_audiobook book_store.AudioBook"
        ]
    );
    assert_eq!(
        mistakes("x = \"book.created\"\n[tables.book]\nmodel = \"Book\""),
        r#"hooks.toml:7:9: "Book" is no Django model; write "app.Model", such as "bookstore.Book""#
    );
    let two = "x = \"a.created\"\ny = \"b.created\"\n[tables.a]\nmodel = \"s.M\"\n[tables.b]\nmodel = \"s.M\"";
    assert!(
        mistakes(two)
            .contains(r#"10:9: "s.M" is the model of another table too; each has its own"#),
        "{}",
        mistakes(two)
    );
}

#[test]
fn a_quoted_table_without_its_action_stays_quoted_in_the_mend() {
    assert_eq!(
        mistakes(r#"x = '"odd.table"'"#),
        r#"hooks.toml:5:5: "\"odd.table\"" names no action; write "\"odd.table\".created", "\"odd.table\".updated" or "\"odd.table\".deleted""#
    );
}

#[test]
fn what_the_environment_put_in_is_shown_as_it_is_written() {
    let found = mistakes(
        r#"a = "${PASSWORD}"
b = "${PASSWORD}.b.${PASSWORD}"
c = { on = "book.updated", when = "${PASSWORD}" }
d = { on = "book.updated", when = "'${PASSWORD}' &&" }
[tables.book]
owner = "${PASSWORD}.${PASSWORD}"
exclude = ["${PASSWORD}", "${PASSWORD}"]
[hook_table]
table = "a ${PASSWORD}"
[delivery]
timeout = "${PASSWORD}"
max_body = "${PASSWORD}"
memory = "${ONE_BYTE}"
payload = "${PASSWORD}"
allow_networks = ["${PASSWORD}"]
[server]
listen = "${PASSWORD}"
[[hooks]]
name = "${PASSWORD}!"
events = ["${PASSWORD}", "${PASSWORD}!"]
target = "${PASSWORD}"
secret = "${PASSWORD}"
"#,
    );
    assert_eq!(found.lines().count(), 17, "{found}");
    assert!(!found.contains("hunter2"), "{found}");
    assert!(found.starts_with(
        r#"hooks.toml:5:5: "${PASSWORD}" names no action; write "table.created", "table.updated" or "table.deleted""#
    ));
    assert!(found.contains(
        r#"hooks.toml:18:11: delivery.payload cannot be "${PASSWORD}"; write "rest-hooks", "standard", "django", "cloudevents", "netbox" or "row""#
    ));
}

#[test]
fn no_secret_is_shown() {
    let config = parse(&format!(
        "{}\n[[hooks]]\nname = \"b\"\nevents = [\"*\"]\ntarget = \"https://a.b\"\nheaders.x = \"hunter2\"\n[[hooks]]\nname = \"c\"\nevents = [\"*\"]\ntarget = \"https://app:hunter2@a.b/hunter2\"",
        MANUAL.replace(
            "# admin_token = \"${ROWHOOK_ADMIN_TOKEN}\"",
            "admin_token = \"hunter2, and 8 more\""
        )
    ));
    let shown = format!("{:?}", config.unwrap());
    assert!(!shown.contains("hunter2") && !shown.contains(&SECRET[6..]));
    let wrong = mistakes(
        r#"[server]
listen = "127.0.0.1:1"
admin_token = ["hunter2"]
[[hooks]]
name = "a"
events = ["*"]
target = "hunter2"
secret = "whsec_hunter2"
headers = { x = ["hunter2"], y = "${hunter2", z = "hunter2\u0000" }
"#,
    );
    assert_eq!(wrong.lines().count(), 6, "{wrong}");
    assert!(!wrong.contains("hunter2"), "{wrong}");
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*") {
        let _ = parse(&text);
        let _ = mistakes(&text);
    }

    #[test]
    fn no_damaged_file_panics(at in 0..MANUAL.len(), length in 0..40_usize, put in "[\\[\\]\"'{}=.$\n a-z0-9]{0,4}") {
        let kept = |from: usize, to: usize| MANUAL.get(from..to).unwrap_or_default();
        let text = format!("{}{put}{}", kept(0, at), kept(at + length, MANUAL.len()));
        let _ = parse(&text);
    }

    #[test]
    fn no_value_panics(value in "\\PC{0,12}") {
        let value = format!("{value:?}");
        let _ = mistakes(&format!(
            "{value} = {value}\n[tables]\n{value} = {{ owner = {value} }}\n[[hooks]]\nname = {value}\nevents = [{value}]\ntarget = {value}\nsecret = {value}\nfilter = {value}\n[delivery]\ntimeout = {value}\nmemory = {value}\nallow_networks = [{value}]\n"
        ));
    }
}
