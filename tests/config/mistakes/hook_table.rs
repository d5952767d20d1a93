//! Mistakes in `[hook_table]`.

/// What stands after the beginning of the file, and the message after `hooks.toml:`.
pub const CASES: &[(&str, &str)] = &[
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
];
