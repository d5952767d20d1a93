//! Mistakes in `[portal]`.

/// What stands after the beginning of the file, and the message after `hooks.toml:`.
pub const CASES: &[(&str, &str)] = &[
    (
        "[portal]",
        "5:2: portal needs [server], which serves it; add that, with listen = \"127.0.0.1:8640\"",
    ),
    (
        "[server]\nlisten = \"127.0.0.1:1\"\n[portal]\nframes = []",
        r#"8:1: portal has no key "frames"; did you mean "frame"?"#,
    ),
    (
        "[server]\nlisten = \"127.0.0.1:1\"\n[portal]\nframe = [\"https://app.example/\", \"*\", \"http://app.example\"]",
        r#"8:10: "https://app.example/" is no origin; write scheme and host, such as "https://app.example"
hooks.toml:8:34: "*" is no origin; write scheme and host, such as "https://app.example"
hooks.toml:8:39: "http://app.example" is not encrypted, so anybody on the way could embed the portal; write https"#,
    ),
    (
        "[server]\nlisten = \"127.0.0.1:1\"\n[portal]\nurl = \"http://hooks.example\"",
        "8:7: portal.url is not encrypted, and browsers keep the session of the portal only with https; write https",
    ),
    (
        "[server]\nlisten = \"127.0.0.1:1\"\n[portal]\nurl = \"hooks.example\"",
        r#"8:7: "hooks.example" is no address of a server; write scheme and host, such as "https://hooks.example""#,
    ),
    (
        "[server]\nlisten = \"127.0.0.1:1\"\n[portal]\nname = \"0123456789012345678901234567890123456789!\"",
        "8:8: portal.name is longer than 40 characters, or has a control character; write another",
    ),
    (
        "[server]\nlisten = \"127.0.0.1:1\"\n[portal]\nlogo = \"logo\"",
        r#"8:8: "logo" is no picture that rowhook knows; name a file that ends with one of svg, png, jpg, jpeg, webp"#,
    ),
    (
        "[server]\nlisten = \"127.0.0.1:1\"\n[portal]\nlogo = \"no/such.svg\"",
        r#"8:8: portal.logo cannot be read from "no/such.svg": No such file or directory (os error 2); name a file from the folder of this one"#,
    ),
    (
        "[server]\nlisten = \"127.0.0.1:1\"\n[portal]\ncolours = { grey = \"#777777\" }",
        r##"8:13: portal.colours has no key "grey"; write "light" or "dark""##,
    ),
    (
        "[server]\nlisten = \"127.0.0.1:1\"\n[portal]\ncolours = { light = \"red\", dark = \"#333333\" }",
        r##"8:21: "red" is no colour; write it as in "#1d5a8f"
hooks.toml:8:35: "#333333" has a contrast of 1.2 with what it stands on, and text needs 4.5; write a lighter one"##,
    ),
    (
        "[server]\nlisten = \"127.0.0.1:1\"\n[portal]\ncolours = { light = \"#ffcc00\" }",
        r##"8:21: "#ffcc00" has a contrast of 1.4 with what it stands on, and text needs 4.5; write a darker one"##,
    ),
    (
        "[server]\nlisten = \"127.0.0.1:1\"\n[portal]\nshow = [\"hooks\", \"token\"]",
        r#"8:18: portal.show cannot be "token"; write "hooks", "test", "deliveries", "retry", "events" or "acts""#,
    ),
];
