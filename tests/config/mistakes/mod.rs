//! Each mistake with its place and its remedy.

mod delivery;
mod events;
mod hook_table;
mod hooks;
mod portal;
mod server;
mod small_sections;
mod tables;

use std::path::Path;

use rowhook::config::Config;

use crate::file::{environment, mistakes, parse};

#[test]
fn each_mistake_has_its_place_and_its_remedy() {
    let cases = [
        delivery::CASES,
        events::CASES,
        hook_table::CASES,
        hooks::CASES,
        portal::CASES,
        server::CASES,
        small_sections::CASES,
        tables::CASES,
    ]
    .concat();
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
        (
            r#"database = { url = "postgres://u:p@h/d", password_command = ["token"] }
events.a = "b.created""#,
            "1:61: database.password_command prints the password, and database.url has one already; remove one of them",
        ),
        (
            r#"database = { url = "host=h sslcrldir=x" }
events.a = "b.created""#,
            "1:20: rowhook cannot do what the setting sslcrldir of a database's address asks for; name one file in sslcrl",
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
fn a_quoted_table_without_its_action_stays_quoted_in_the_remedy() {
    assert_eq!(
        mistakes(r#"x = '"odd.table"'"#),
        r#"hooks.toml:5:5: "\"odd.table\"" names no action; write "\"odd.table\".created", "\"odd.table\".updated" or "\"odd.table\".deleted""#
    );
}
