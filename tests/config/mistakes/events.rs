//! Mistakes in `[events]`.

/// What stands after the beginning of the file, and the message after `hooks.toml:`.
pub const CASES: &[(&str, &str)] = &[
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
        r#"5:7: "been read" is not an action; it is created, updated, deleted, truncated, or a name of letters, digits, _ and - for an action that SQL fires"#,
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
        r#""x" = { before = "book.deleted", timeout = "11s" }"#,
        "5:44: events.x.timeout is more than 10s, for which the transaction would keep its locks; write 10s or less",
    ),
    (
        r#""x" = { before = "book.deleted", silence = "maybe" }"#,
        r#"5:44: events.x.silence cannot be "maybe"; write "allow" or "refuse""#,
    ),
    (
        r#""x" = { before = "book.truncated" }"#,
        "5:18: events.x.before cannot be that; write created, updated or deleted, or custom for what rowhook.ask asks",
    ),
    (
        r#""x" = { before = "book.deleted+" }"#,
        "5:18: events.x.before is heard by the operator's hooks alone; leave the + out",
    ),
    (
        r#""x" = { before = "book.deleted", changed = ["a"] }"#,
        "5:34: events.x.changed does not fit here, because only updated knows what changed; leave it out",
    ),
    (
        r#""x" = { on = "book.deleted", silence = "allow" }"#,
        r#"5:30: events.x.silence is for events that are asked about; write before = "table.action" in place of on, or leave it out"#,
    ),
    (
        r#""x" = { before = "custom", on = "custom" }"#,
        "5:28: events.x.on does not fit before; leave it out",
    ),
    (
        r#""x" = { changed = ["a"] }"#,
        r#"5:1: events.x.on is missing; write on = "table.action""#,
    ),
    (
        r#""x" = { on = "book.created", example = '{}' }"#,
        "5:30: events.x.example is for custom events; that of a row is made from its table, leave it out",
    ),
    (
        r#""x" = { on = "custom", example = '{"a"' }"#,
        r#"5:34: "example" is no JSON (EOF while parsing an object at line 1 column 4); write such as '{"from": "10.1.2.3"}'"#,
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
        r#""x" = { on = "book.truncated", when = "true" }"#,
        "5:32: events.x.when does not fit truncated, which has no row; leave it out",
    ),
    (
        r#""x" = { on = "book.updated", when = "nw.a" }"#,
        r#"5:37: "nw.a" uses "nw"; an expression sees new, old, changed, event and owner"#,
    ),
    (
        r#""book.added" = "book.updated""#,
        "5:1: this is not TOML: duplicate key",
    ),
];
