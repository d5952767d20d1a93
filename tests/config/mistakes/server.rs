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
        r#"6:1: server has no key "foo"; write "listen", "admin_token", "admins", "session_idle", "session_max", "verify", "requests_per_minute", "max_request", "cors", "trusted_proxies", "catalogue", "jwt" or "oidc""#,
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
    (
        "[server]\nlisten = \"127.0.0.1:1\"\nsession_idle = \"0s\"",
        r#"7:16: server.session_idle is zero; write a longer time, such as "15s""#,
    ),
    (
        "[server]\nlisten = \"127.0.0.1:1\"\n[[server.admins]]",
        r#"7:1: server.admins.name is missing; write name = "ci"
hooks.toml:7:1: server.admins needs exactly one of token and token_sha256; make both with: rowhook tokens hash
hooks.toml:7:1: server.admins.role is missing; write role = "read", "support", "hooks" or "all""#,
    ),
    (
        "[server]\nlisten = \"127.0.0.1:1\"\n[[server.admins]]\nname = \"ci\"\ntoken = \"short\"\nrole = \"admin\"",
        r#"9:9: server.admins.token is shorter than 16 characters; make one with: openssl rand -hex 32
hooks.toml:10:8: server.admins.role cannot be "admin"; write "read", "support", "hooks" or "all""#,
    ),
    (
        "[server]\nlisten = \"127.0.0.1:1\"\n[[server.admins]]\nname = \"ci\"\ntoken_sha256 = \"b9c1\"\nrole = \"read\"",
        "9:16: server.admins.token_sha256 is no SHA-256 in hex, which has 64 digits; make one with: rowhook tokens hash",
    ),
    (
        r#"[server]
listen = "127.0.0.1:1"
admin_token = "0123456789abcdef"
admins = [
    { name = "ci", token = "0123456789abcdef", role = "read" },
    { name = "ci", token = "0123456789abcdeg", role = "read" },
]"#,
        "9:5: server.admins has a token that is another's too; make one with: rowhook tokens hash
hooks.toml:10:5: server.admins has the name \"ci\" twice; choose another",
    ),
    (
        "[server]\nlisten = \"127.0.0.1:1\"\n[server.oidc]\nissuer = \"http://login.example\"\npublic_url = \"hooks.example\"",
        r#"7:9: server.oidc.client_id is missing; write client_id = "rowhook"
hooks.toml:7:9: server.oidc.roles is missing; write roles = { "a group" = "read" }
hooks.toml:8:10: "http://login.example" is no issuer; write the https address by which the provider names itself
hooks.toml:9:14: "hooks.example" is no address of a server; write scheme and host, such as "https://hooks.example""#,
    ),
    (
        "[server]\nlisten = \"127.0.0.1:1\"\n[server.oidc]\nissuer = \"http://127.0.0.1:1\"\nclient_id = \"a\"\nroles = { staff = \"root\" }",
        r#"10:19: server.oidc.roles.staff cannot be "root"; write "read", "support", "hooks" or "all""#,
    ),
];
