//! Mistakes in `[tables]`.

/// What stands after the beginning of the file, and the message after `hooks.toml:`.
pub const CASES: &[(&str, &str)] = &[
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
columns = 1"#,
        "6:11: tables.book.columns is an integer; write a list of strings",
    ),
];
