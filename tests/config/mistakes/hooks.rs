//! Mistakes in `[[hooks]]`.

/// What stands after the beginning of the file, and the message after `hooks.toml:`.
pub const CASES: &[(&str, &str)] = &[
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
        r#"9:8: hooks.auth is none of the three; write { user = "…", password = "…" }, { bearer = "…" } or { oauth2 = { … } }"#,
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
        r#"[[hooks]]
name = "a"
events = ["*"]
target = "https://a.b"
timeout = 5"#,
        r#"9:11: hooks.timeout is an integer; write a number with its unit, ms, s, m, h or d, such as "15s""#,
    ),
];
