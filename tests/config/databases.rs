//! `[[databases]]`: several databases in one file.

use std::path::Path;

use rowhook::config::Databases;

use crate::file::environment;

const TWO: &str = r#"
[[databases]]
name = "shop"
url = "host=a dbname=shop"
[databases.events]
"order.paid" = "orders.updated"
[databases.tables.orders]
owner = "customer_id"

[[databases]]
name = "stock"
url = "host=a dbname=stock"
schema = "hooks"
[databases.events]
"shelf.emptied" = "shelf.updated"
[databases.hook_table]
table = "subscription"

[delivery]
memory = "64MiB"

[[hooks]]
name = "all"
events = ["*"]
target = "https://h.example"

[[hooks]]
name = "orders"
events = ["order.*"]
target = "https://h.example"

[[hooks]]
name = "stock"
databases = ["stock"]
events = ["*"]
target = "https://h.example"
"#;

fn parse(text: &str) -> Result<Databases, Vec<String>> {
    let parsed = Databases::parse(Path::new("hooks.toml"), text, &environment);
    parsed.map_err(|mistakes| mistakes.to_string().lines().map(str::to_owned).collect())
}

#[test]
fn each_database_has_its_own_sections_and_its_share_of_the_others() {
    let databases = parse(TWO).unwrap();
    assert_eq!(databases.names(), ["shop", "stock"]);
    let [shop, stock] = databases.all() else {
        panic!("{databases:?}");
    };
    assert_eq!(
        (&*shop.database.slot, &*stock.database.slot),
        ("rowhook_shop", "rowhook_stock")
    );
    assert_eq!(
        (&*shop.database.schema, &*stock.database.schema),
        ("rowhook", "hooks")
    );
    assert_eq!(
        (&*shop.events[0].name, &*stock.events[0].name),
        ("order.paid", "shelf.emptied")
    );
    assert_eq!((shop.tables.len(), stock.tables.len()), (1, 0));
    assert_eq!(
        (shop.hook_table.is_some(), stock.hook_table.is_some()),
        (false, true)
    );
    assert_eq!(
        (shop.delivery.memory, stock.delivery.memory),
        (32 << 20, 32 << 20)
    );
    let hooks = |config: &rowhook::config::Config| {
        let hooks = config.hooks.iter();
        hooks.map(|hook| hook.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(hooks(shop), ["all", "orders"]);
    assert_eq!(hooks(stock), ["all", "stock"]);
}

#[test]
fn a_command_is_about_one_that_it_names_or_about_the_only_one() {
    let path = Path::new("hooks.toml");
    let databases = parse(TWO).unwrap();
    let one = |name| databases.one(path, name).map(|config| config.database.slot);
    assert_eq!(one(Some("stock")), Ok("rowhook_stock".into()));
    assert_eq!(
        one(None).unwrap_err().to_string(),
        "hooks.toml: has several databases, and this is about one; write --database shop or --database stock"
    );
    assert_eq!(
        one(Some("shed")).unwrap_err().to_string(),
        "hooks.toml: has no database \"shed\"; write --database shop or --database stock"
    );
    let alone = parse("database.url = \"host=h\"\nevents.a = \"b.created\"").unwrap();
    assert_eq!(alone.one(path, None).unwrap().database.slot, "rowhook");
    assert_eq!(
        alone.one(path, Some("shop")).unwrap_err().to_string(),
        "hooks.toml: has a [database] without a name; leave --database out"
    );
}

#[test]
fn each_mistake_has_its_place_and_its_remedy() {
    let two = |keys: &str| {
        format!(
            "[[databases]]\nname = \"a\"\nurl = \"host=h dbname=d\"\nevents.x = \"t.created\"\n[[databases]]\n{keys}"
        )
    };
    let cases = [
        (
            two("url = \"host=i\"\nevents.y = \"t.created\""),
            r#"5:1: databases.name is missing; write name = "shop""#,
        ),
        (
            two("name = \"A\"\nurl = \"host=i\"\nevents.y = \"t.created\""),
            r#"6:8: "A" cannot name a database here; begin with a letter, then use up to 54 of a-z, 0-9 and _"#,
        ),
        (
            two("name = \"a\"\nurl = \"host=i\"\nevents.y = \"t.created\""),
            r#"6:8: "a" names another database already; give each its own name"#,
        ),
        (
            two("name = \"b\"\nurl = \"host=i\""),
            r#"5:1: databases.events is missing; write [databases.events] with "book.added" = "book.created" below it"#,
        ),
        (
            two("name = \"b\"\nurl = \"host=i\"\nevents.y = \"t.created\"\nslto = \"s\""),
            r#"9:1: databases has no key "slto"; did you mean "slot"?"#,
        ),
        (
            two("name = \"b\"\nurl = \"host=h dbname=e\"\nslot = \"rowhook_a\"\nevents.y = \"t.created\""),
            r#"8:8: the slot "rowhook_a" is that of the database "a", and the slots of a server share their names; choose another slot"#,
        ),
        (
            two("name = \"b\"\nurl = \"host=h dbname=d\"\npublication = \"p\"\nevents.y = \"t.created\""),
            r#"5:1: schema "rowhook" is that of "a", which has the same database; choose another schema, or put both into one of [[databases]]"#,
        ),
        (
            two("name = \"b\"\nurl = \"host=i\"\nevents.y = \"t.created\"\n[events]\nz = \"t.created\""),
            "9:2: [events] stands beside [[databases]]; move it into one of them, as [databases.events]",
        ),
        (
            two("name = \"b\"\nurl = \"host=i\"\nevents.y = \"t.created\"\n[database]\nurl = \"host=j\""),
            "9:2: [database] stands beside [[databases]]; make it one of [[databases]], with a name",
        ),
        (
            two("name = \"b\"\nurl = \"host=i\"\nevents.y = \"t.created\"\n[[hooks]]\nname = \"h\"\ndatabases = [\"c\"]\nevents = [\"*\"]\ntarget = \"https://h.example\""),
            r#"11:13: "c" is not among [[databases]]; write "a" or "b""#,
        ),
        (
            two("name = \"b\"\nurl = \"host=i\"\nevents.y = \"t.created\"\n[[hooks]]\nname = \"h\"\ndatabases = [\"b\"]\nevents = [\"x\"]\ntarget = \"https://h.example\""),
            r#"12:11: no event of [events] matches "x"; did you mean "y"?"#,
        ),
        (
            "[databases]\nname = \"a\"".to_owned(),
            "1:2: databases is a table; write [[databases]], in double brackets, above each database",
        ),
        (
            "databases = []".to_owned(),
            "1:13: databases is empty; write [[databases]] above each database",
        ),
        (
            "database.url = \"host=h\"\nevents.a = \"b.created\"\n[[hooks]]\nname = \"h\"\ndatabases = [\"a\"]\nevents = [\"*\"]\ntarget = \"https://h.example\"".to_owned(),
            "5:1: hooks.databases names some of [[databases]], and there are none; leave it out",
        ),
    ];
    for (text, expected) in cases {
        let found = parse(&text).unwrap_err();
        assert_eq!(found, [format!("hooks.toml:{expected}")], "{text}");
    }
}
