//! Mistakes in `[server]`.

/// What stands after the beginning of the file, and the message after `hooks.toml:`.
pub const CASES: &[(&str, &str)] = &[
    (
        "[server]\nlisten = \"127.0.0.1:1\"\nadmin_token = \"short\"",
        "7:15: server.admin_token is shorter than 16 characters; make one with: openssl rand -hex 32",
    ),
    (
        "[server]\nlisten = \"127.0.0.1:1\"\nverify = \"pong\"",
        r#"7:10: server.verify cannot be "pong"; did you mean "ping"?"#,
    ),
    (
        "[server]\nlisten = \"127.0.0.1:1\"\ncors = [\"https://app.example/\"]",
        r#"7:9: "https://app.example/" is no origin; write scheme and host, such as "https://app.example""#,
    ),
    (
        "[server]\nlisten = \"127.0.0.1:1\"\n[server.jwt]\nalgorithms = [\"RS256\"]\nsecret = \"${JWT_SECRET}\"",
        "7:9: server.jwt: the HS algorithms go with secret, and the others with public_key_file or jwks_file",
    ),
    (
        "[server]\nlisten = \"127.0.0.1:1\"\n[server.jwt]\nalgorithms = [\"RS256\"]",
        "7:9: server.jwt needs exactly one of secret, public_key_file and jwks_file",
    ),
    (
        "[server]\nlisten = \"127.0.0.1:1\"\n[server.jwt]\nalgorithms = [\"none\"]\nsecret = \"x\"",
        r#"8:15: server.jwt.algorithms cannot be "none"; write "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384" or "EdDSA"
hooks.toml:9:10: server.jwt.secret is shorter than 32 characters, and could be guessed; use a longer one"#,
    ),
    (
        r#"[server]
foo = 1
listen = "127.0.0.1:1""#,
        r#"6:1: server has no key "foo"; write "listen", "admin_token", "verify", "requests_per_minute", "max_request", "cors", "trusted_proxies" or "jwt""#,
    ),
    (
        "[server]",
        r#"5:2: server.listen is missing; write listen = "127.0.0.1:8640", or remove [server]"#,
    ),
    (
        r#"[server]
listen = "8640""#,
        r#"6:10: "8640" is no address to listen on; write an IP address and a port, such as "127.0.0.1:8640""#,
    ),
    (
        r#"[server]
listen = "127.0.0.1:1"
admin_token = "${EMPTY}""#,
        "7:15: server.admin_token is empty; write a value, or leave it out",
    ),
];
