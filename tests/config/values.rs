//! Values, defaults, and derived values.

use rowhook::{
    config::Delivery,
    signature::{Algorithm, Encoding, HeaderSignature, SignatureScheme},
};

use crate::file::{mistakes, parse};

#[test]
fn the_smallest_file_names_a_database_and_an_event() {
    let config =
        parse("database.url = \"postgresql://localhost/app\"\nevents.added = \"book.created\"")
            .unwrap();
    assert_eq!(config.database.slot, "rowhook");
    assert_eq!(config.database.publication, "rowhook");
    assert_eq!(config.database.schema, "rowhook");
    assert!(config.database.failover);
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
fn a_string_stands_for_a_list_of_one() {
    let text = r#"
database.url = "host=h"
events.a = "b.created"
delivery.allow_networks = "10.0.0.0/8"
tables.b.exclude = "password"
[[hooks]]
name = "one"
events = "a"
target = "https://a.b"
"#;
    let config = parse(text).unwrap();
    assert_eq!(config.hooks[0].events[0].to_string(), "a");
    assert_eq!(config.delivery.allow_networks[0].to_string(), "10.0.0.0/8");
}

#[test]
fn a_hook_may_have_a_rate_of_its_own_or_none() {
    let text = r#"
database.url = "host=h"
events.a = "b.created"
delivery.rate = "100/s"
[[hooks]]
name = "usual"
events = "a"
target = "https://a.b"
[[hooks]]
name = "slower"
events = "a"
target = "https://a.b"
rate = "20/m"
[[hooks]]
name = "free"
events = "a"
target = "https://a.b"
rate = false
[limits]
owner_rate = "50/s"
"#;
    let config = parse(text).unwrap();
    let rates = config.hooks.iter().map(|hook| hook.delivery.rate);
    let rates: Vec<_> = rates
        .map(|rate| rate.map(|rate| rate.to_string()))
        .collect();
    let shown = |rate: &str| Some(rate.to_owned());
    assert_eq!(rates, [shown("100/s"), shown("20/m"), None]);
    let limits = config.limits;
    assert_eq!(
        limits.owner_rate.map(|rate| rate.to_string()),
        shown("50/s")
    );
    assert_eq!((limits.rate, limits.host_rate), (None, None));
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
