//! The text of a hooks.toml with the events of tables, which is there to be kept: with the owners of rows as far as
//! they can be told, and without secrets.

use std::{collections::HashMap, fmt::Write as _};

use super::{
    found::Found,
    names::prefixes,
    owners::{Owner, Owners},
    secrets::secrets,
    toml,
};

/// The text, and what a person should know of it.
pub(super) struct Written {
    pub(super) text: String,
    pub(super) notes: Vec<String>,
    /// How many events there are.
    pub(super) events: usize,
}

const HEAD: &str = "# What becomes a webhook. Every key is explained in the hooks.toml of rowhook's repository.\n\n\
    [database]\nurl = \"${DATABASE_URL}\"\n\n[events]\n\
    # Delete what nobody should hear of. A + at the end lets the hooks of all owners hear it.\n";

const TAIL: &str = "\n# A hook of yours; those of your users are rows of the table rowhook.hook.\n# [[hooks]]\n# name = \"mine\"\n\
    # events = [\"*\"]\n# target = \"https://example.com/hook\"\n";

/// What a table has events of, and the last words of their names.
const EVENTS: [(&str, &str); 3] = [
    ("added", "created"),
    ("changed", "updated"),
    ("removed", "deleted"),
];

/// Writes the hooks.toml of these tables.
pub(super) fn render(chosen: &[&Found], owners: &Owners<'_>) -> Written {
    let mut text = String::from(HEAD);
    let prefixes = prefixes(chosen.iter().map(|found| &found.table));
    let groups = groups(chosen);
    let (mut before, mut count) = (None, 0);
    for found in chosen {
        let group = group(found);
        if groups.get(group).is_some_and(|size| *size > 1) && before != Some(group) {
            let _ = writeln!(text, "\n# {}", toml::shown(group));
        } else if before != Some(group) && chosen.len() > 1 {
            text.push('\n');
        }
        before = Some(group);
        count += events(&mut text, found, &prefixes[&found.table]);
    }
    let mut notes = Vec::new();
    text.push_str(&rules(chosen, owners, &mut notes));
    text.push_str(TAIL);
    Written {
        text,
        notes,
        events: count,
    }
}

/// The tables whose names begin alike stand together: `shop` of `shop_book`.
fn group(found: &Found) -> &str {
    let name = found.table.name.as_str();
    name.split_once('_').map_or(name, |(begin, _)| begin)
}

fn groups<'a>(chosen: &[&'a Found]) -> HashMap<&'a str, usize> {
    let mut groups = HashMap::new();
    for found in chosen {
        *groups.entry(group(found)).or_default() += 1;
    }
    groups
}

/// Writes the events of a table, and returns how many can happen.
fn events(text: &mut String, found: &Found, prefix: &str) -> usize {
    let mut count = 0;
    let source = toml::source(&found.table);
    let has_secret_key = has_secret_key(found);
    if has_secret_key {
        let _ = writeln!(
            text,
            "# The key of {} looks secret, and each event would tell it.",
            toml::shown(&found.table)
        );
    }
    // Writing to a String cannot fail.
    for (event, action) in EVENTS {
        let is_possible = found.identified || action == "created";
        let comment = if is_possible && !has_secret_key {
            ""
        } else {
            "# "
        };
        let name = toml::quoted(&format!("{prefix}.{event}"));
        let source = toml::text(&format!("{source}.{action}"));
        let _ = writeln!(text, "{comment}{name} = {source}");
        count += usize::from(comment.is_empty());
    }
    if !found.identified {
        let _ = writeln!(
            text,
            "# {} has no primary key: its updates and deletes cannot be told.",
            toml::shown(&found.table)
        );
    }
    count
}

fn has_secret_key(found: &Found) -> bool {
    let secrets = secrets(found);
    found
        .primary_key
        .iter()
        .any(|column| secrets.contains(&column.as_str()))
}

/// The rules of the tables that need some, and comments on what could not be told.
fn rules(chosen: &[&Found], owners: &Owners<'_>, notes: &mut Vec<String>) -> String {
    let mut text = String::new();
    let (mut nobodys, mut ambiguous, mut excluded) = (Vec::new(), 0, 0);
    if let Some(users) = owners.users {
        text.push('\n');
        let users = toml::shown(users);
        text.push_str(&toml::comment(&format!(
            "An owner is a row of {users}, as the foreign keys tell; see that it is so. Where no owner stands, it is \
             in the column user_id, or nobody."
        )));
    }
    for found in chosen.iter().filter(|found| !has_secret_key(found)) {
        let (owner, secrets) = (owners.of(&found.table), secrets(found));
        if *owner == Owner::Unknown {
            nobodys.push(toml::shown(&found.table));
        }
        let mut lines = Vec::new();
        match owner {
            Owner::By(path) => lines.push(format!("owner = {}", toml::text(path))),
            Owner::Ambiguous(ways) => {
                ambiguous += 1;
                let ways = ways
                    .iter()
                    .map(|way| format!("owner = {}", toml::text(way)));
                let ways: Vec<String> = ways.collect();
                lines.push(format!(
                    "# {}   # Whose are its rows? It is not clear.",
                    ways.join(", or ")
                ));
            }
            Owner::ByDefault | Owner::Unknown => {}
        }
        if !secrets.is_empty() {
            excluded += secrets.len();
            let columns: Vec<String> = secrets.into_iter().map(toml::text).collect();
            lines.push(format!("exclude = [{}]", columns.join(", ")));
        }
        if !lines.is_empty() {
            // A table without rules is one more thing to read.
            let head = if lines.iter().all(|line| line.starts_with('#')) {
                "# "
            } else {
                ""
            };
            let _ = writeln!(
                text,
                "\n{head}[tables.{}]\n{}",
                toml::key(&found.table),
                lines.join("\n")
            );
        }
    }
    if !nobodys.is_empty() {
        notes.push(format!(
            "{} rows of which nobody is known to be the owner; their events reach only hooks without an owner",
            counted(nobodys.len(), "table has", "tables have")
        ));
        text.push('\n');
        text.push_str(&toml::comment(&format!(
            "Nobody is known to be the owner of rows of {}. Their events reach only hooks without an owner. Say whose \
             they are with owner under [tables.NAME], or write their events with a +.",
            nobodys.join(", ")
        )));
    }
    if ambiguous > 0 {
        notes.push(format!(
            "{} could have several owners; the file names them in comments",
            counted(ambiguous, "table", "tables")
        ));
    }
    if excluded > 0 {
        notes.push(format!(
            "{} left out of bodies, because the name looks secret; see that there are no more",
            counted(excluded, "column is", "columns are")
        ));
    }
    text
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::{super::found::Reference, *};
    use crate::{
        config::{Columns, Config},
        postgres::TableName,
    };

    fn table(schema: &str, name: &str) -> Found {
        Found {
            table: TableName {
                schema: schema.into(),
                name: name.into(),
            },
            of_framework: false,
            identified: true,
            readable: true,
            columns: vec!["id".into()],
            primary_key: vec!["id".into()],
            references: Vec::new(),
        }
    }

    fn written(found: &[Found]) -> Written {
        let owners = Owners::find(found, None).unwrap();
        render(&found.iter().collect::<Vec<_>>(), &owners)
    }

    fn parsed(text: &str) -> Config {
        let env =
            |name: &str| (name == "DATABASE_URL").then(|| "postgresql://localhost/shop".to_owned());
        let parsed = Config::parse(Path::new("hooks.toml"), text, &env);
        parsed.unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}"))
    }

    #[test]
    fn what_init_writes_is_short_and_says_what_is_left_to_do() {
        let reference = |column: &str, to: &str| Reference {
            column: column.into(),
            required: true,
            to: TableName::public(to),
        };
        let mut found = vec![
            table("public", "auth_token"),
            table("public", "auth_user"),
            table("public", "country"),
            table("public", "log"),
            table("public", "shop_book"),
            table("public", "shop_copy"),
            table("public", "shop_talk"),
        ];
        found[0].columns = vec!["key".into()];
        found[0].primary_key = vec!["key".into()];
        found[1].columns.push("password".into());
        found[3].identified = false;
        found[4].references = vec![reference("owner_id", "auth_user")];
        found[5].references = vec![reference("book_id", "shop_book")];
        found[6].references = vec![
            reference("from_id", "auth_user"),
            reference("to_id", "auth_user"),
        ];
        let Written { text, notes, .. } = written(&found);
        parsed(&text);
        insta::assert_snapshot!(text, @r#"
        # What becomes a webhook. Every key is explained in the hooks.toml of rowhook's repository.

        [database]
        url = "${DATABASE_URL}"

        [events]
        # Delete what nobody should hear of. A + at the end lets the hooks of all owners hear it.

        # auth
        # The key of auth_token looks secret, and each event would tell it.
        # "auth_token.added" = "auth_token.created"
        # "auth_token.changed" = "auth_token.updated"
        # "auth_token.removed" = "auth_token.deleted"
        "auth_user.added" = "auth_user.created"
        "auth_user.changed" = "auth_user.updated"
        "auth_user.removed" = "auth_user.deleted"

        "country.added" = "country.created"
        "country.changed" = "country.updated"
        "country.removed" = "country.deleted"

        "log.added" = "log.created"
        # "log.changed" = "log.updated"
        # "log.removed" = "log.deleted"
        # log has no primary key: its updates and deletes cannot be told.

        # shop
        "shop_book.added" = "shop_book.created"
        "shop_book.changed" = "shop_book.updated"
        "shop_book.removed" = "shop_book.deleted"
        "shop_copy.added" = "shop_copy.created"
        "shop_copy.changed" = "shop_copy.updated"
        "shop_copy.removed" = "shop_copy.deleted"
        "shop_talk.added" = "shop_talk.created"
        "shop_talk.changed" = "shop_talk.updated"
        "shop_talk.removed" = "shop_talk.deleted"

        # An owner is a row of auth_user, as the foreign keys tell; see that it is so. Where no owner
        # stands, it is in the column user_id, or nobody.

        [tables.auth_user]
        owner = "id"
        exclude = ["password"]

        [tables.shop_book]
        owner = "owner_id"

        [tables.shop_copy]
        owner = "book_id -> shop_book.owner_id"

        # [tables.shop_talk]
        # owner = "from_id", or owner = "to_id"   # Whose are its rows? It is not clear.

        # Nobody is known to be the owner of rows of country, log. Their events reach only hooks without an
        # owner. Say whose they are with owner under [tables.NAME], or write their events with a +.

        # A hook of yours; those of your users are rows of the table rowhook.hook.
        # [[hooks]]
        # name = "mine"
        # events = ["*"]
        # target = "https://example.com/hook"
        "#);
        insta::assert_snapshot!(notes.join("\n"), @r"
        2 tables have rows of which nobody is known to be the owner; their events reach only hooks without an owner
        1 table could have several owners; the file names them in comments
        1 column is left out of bodies, because the name looks secret; see that there are no more
        ");
    }

    proptest! {
        #[test]
        fn whatever_tables_are_called_their_file_is_a_configuration_with_their_events(
            names in prop::collection::btree_set(
                (
                    prop_oneof![Just("public".to_owned()), Just("hook".to_owned()), "[a-zA-Z._${}\"\\\\' \n日é-]{1,6}"],
                    prop_oneof![
                        Just("hook".to_owned()),
                        Just("rowhook".to_owned()),
                        "[a-z_. ]{1,3}",
                        "[a-zA-Z0-9._+${}\"\\\\'#=\\[\\] \n\t\u{7f}\u{1}日本é-]{1,12}",
                    ],
                ),
                1..20,
            ),
            // What begins with `is` or `has` is only told about a secret.
            secret in "[o-z${}\"\n ]{0,5}_password",
        ) {
            let mut found: Vec<Found> = names.iter().map(|(schema, name)| table(schema, name)).collect();
            for found in &mut found {
                found.columns.push(secret.clone());
            }
            let users = found[0].table.clone();
            for found in &mut found[1..] {
                found.references.push(Reference { column: secret.replace("password", "owner_id"), required: true, to: users.clone() });
            }
            let owners = Owners::find(&found, Some(&toml::source(&users))).unwrap();
            let config = parsed(&render(&found.iter().collect::<Vec<_>>(), &owners).text);
            let sources: Vec<TableName> = config.events.iter().filter_map(|rule| rule.source.table().cloned()).collect();
            let expected: Vec<TableName> = found.iter().flat_map(|found| vec![found.table.clone(); 3]).collect();
            prop_assert_eq!(sources, expected);
            for rules in &config.tables {
                prop_assert_eq!(&rules.columns, &Columns::Except(vec![secret.clone()]));
            }
        }
    }
}
