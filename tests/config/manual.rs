//! The repository's hooks.toml, which is the manual of all keys.

use std::{sync::Arc, time::SystemTime};

use rowhook::{
    config::{Action, Columns, DisableAfter, EventSource, KEYS, OnGone, Order, PayloadFormat},
    expression::filter::Filter,
    postgres::TableName,
    secret::Secret,
    signature::{SignatureScheme, SigningKey},
};

use crate::file::{MANUAL, SECRET, parse};

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
            "books.cleared",
            "book.read",
            "pet.added",
            "user.logged_in",
            "book.discounted",
            "sale.announced"
        ]
    );
    assert!(config.events[1].all_owners);
    assert_eq!(
        config.events[7].source,
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
    assert_eq!(config.limits, small.limits);
    assert_eq!(config.database.slot, small.database.slot);
    assert_eq!(config.database.publication, small.database.publication);
    assert_eq!(config.database.schema, small.database.schema);
    let (shown, default) = (config.hook_table.unwrap(), small.hook_table.unwrap());
    assert_eq!(
        [
            &shown.columns.id,
            &shown.columns.owner,
            &shown.columns.target
        ],
        [
            &default.columns.id,
            &default.columns.owner,
            &default.columns.target
        ]
    );
    assert_eq!(shown.columns.event, default.columns.event);
    assert_eq!(default.on_gone, OnGone::Delete);
    let tracing = config.tracing.unwrap();
    assert_eq!(tracing.endpoint.as_str(), "http://127.0.0.1:4318/v1/traces");
    let least = "database.url = \"host=localhost\"\nevents.a = \"b.created\"\ntracing.endpoint = \"http://127.0.0.1:4318\"";
    assert_eq!(parse(least).unwrap().tracing, Some(tracing));
    let cluster = config.cluster.unwrap();
    let least = "database.url = \"host=localhost\"\nevents.a = \"b.created\"\ncluster.nats = \"nats://a,b:4222,nats://c:4222\"";
    assert_eq!(
        format!("{:?}", parse(least).unwrap().cluster.unwrap()),
        format!("{cluster:?}")
    );
    assert!(cluster.nats.iter().all(|server| server.is_open));
    assert_eq!(config.delivery.order, Order::Row);
    let (server, oidc) = {
        let server = config.server.unwrap();
        let oidc = server.oidc.clone().unwrap();
        (server, oidc)
    };
    let least = "database.url = \"host=localhost\"\nevents.a = \"b.created\"\nserver.listen = \"127.0.0.1:1\"\n[server.oidc]\nissuer = \"https://login.example\"\nclient_id = \"rowhook\"\nroles = { \"platform\" = \"all\", \"on-call\" = \"support\" }\n[console]\nlisten = \"127.0.0.1:1\"\npassword = \"12345678\"\n[portal]";
    let least = parse(least).unwrap();
    assert_eq!(
        format!("{:?}", least.portal),
        format!("{:?}", config.portal)
    );
    assert_eq!(least.console.unwrap().role, config.console.unwrap().role);
    let least = least.server.unwrap();
    assert_eq!(
        (least.session_idle, least.session_max),
        (server.session_idle, server.session_max)
    );
    assert_eq!(format!("{:?}", least.oidc.unwrap()), format!("{oidc:?}"));
    assert_eq!(config.delivery.signature, SignatureScheme::Standard);
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
                "server.jwt" | "server.admins" | "server.oidc" => {
                    let (outer, inner) = whole.split_once('.').unwrap();
                    found.push((outer, inner));
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
