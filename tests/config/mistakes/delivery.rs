//! Mistakes in `[delivery]`.

/// What stands after the beginning of the file, and the message after `hooks.toml:`.
pub const CASES: &[(&str, &str)] = &[
    (
        r#"[delivery]
timout = "1s""#,
        r#"6:1: delivery has no key "timout"; did you mean "timeout"?"#,
    ),
    (
        "[delivery]\ncolour = 1",
        r#"6:1: delivery has no key "colour"; write "timeout", "retries", "order", "concurrency", "rate", "max_body", "retention", "disable_after", "payload", "version", "content", "content_type", "template", "signature", "batch", "compress", "allow_http", "allow_networks", "resolver", "proxy", "memory" or "grace""#,
    ),
    (
        "[delivery]\ntimeout = 15",
        r#"6:11: delivery.timeout is an integer; write a number with its unit, ms, s, m, h or d, such as "15s""#,
    ),
    (
        r#"[delivery]
timeout = "15""#,
        r#"6:11: "15" is not a duration; write a number with its unit, ms, s, m, h or d, such as "15s""#,
    ),
    (
        r#"[delivery]
timeout = "0s""#,
        r#"6:11: delivery.timeout is zero; write a longer time, such as "15s""#,
    ),
    (
        r#"[delivery]
allow_http = "yes""#,
        "6:14: delivery.allow_http is a string; write true or false",
    ),
    (
        "[delivery]\nmax_body = 20",
        r#"6:12: delivery.max_body is an integer; write a number with its unit, B, KB, MB, GB, KiB, MiB or GiB, such as "20MiB""#,
    ),
    (
        r#"[delivery]
max_body = "20M""#,
        r#"6:12: "20M" is not a size; write a number with its unit, B, KB, MB, GB, KiB, MiB or GiB, such as "20MiB""#,
    ),
    (
        r#"[delivery]
memory = "64KiB""#,
        r#"6:10: delivery.memory is "64KiB"; write "1MiB" or more"#,
    ),
    (
        "[delivery]\nconcurrency = 0",
        "6:15: delivery.concurrency is 0; write a whole number from 1 to 4294967295",
    ),
    (
        r#"[delivery]
concurrency = "16""#,
        "6:15: delivery.concurrency is a string; write a whole number",
    ),
    (
        "[delivery]\nretries = true",
        r#"6:11: delivery.retries is a boolean; write a list such as ["5s", "5m"], a table such as { max_tries = 10 }, or false for one attempt"#,
    ),
    (
        "[delivery]\nretries = { first = \"1s\" }",
        r#"6:11: delivery.retries has no end; write max_tries = 10, max_time = "1h", or both"#,
    ),
    (
        "[delivery]\nretries = { max_tries = 1001 }",
        "6:25: delivery.retries.max_tries is 1001; write a whole number from 1 to 1000",
    ),
    (
        "[delivery]\nretries = { max_tries = 3, first = \"0s\" }",
        r#"6:36: delivery.retries.first is zero; write a longer time, such as "15s""#,
    ),
    (
        "[delivery]\nretries = { max_time = \"1h\", backoff = \"5s\" }",
        r#"6:30: delivery.retries has no key "backoff"; write "max_tries", "max_time" or "first""#,
    ),
    (
        "[delivery]\nretries = []",
        "6:11: delivery.retries is empty; write false for one attempt",
    ),
    (
        r#"[delivery]
retries = ["5s", 5]"#,
        r#"6:18: delivery.retries is an integer; write a number with its unit, ms, s, m, h or d, such as "15s""#,
    ),
    (
        r#"[delivery]
order = "rows""#,
        r#"6:9: delivery.order cannot be "rows"; did you mean "row"?"#,
    ),
    (
        r#"[delivery]
order = "sorted""#,
        r#"6:9: delivery.order cannot be "sorted"; write "row", "hook" or "none""#,
    ),
    (
        r#"[delivery]
payload = "resthooks""#,
        r#"6:11: delivery.payload cannot be "resthooks"; did you mean "rest-hooks"?"#,
    ),
    (
        r#"[delivery]
signature = { kind = "hmac" }"#,
        r#"6:1: delivery.signature.header is missing; write header = "X-Hook-Signature"
hooks.toml:6:15: delivery.signature has no key "kind"; write "header", "algorithm", "encoding" or "prefix""#,
    ),
    (
        r#"[delivery]
signature = { header = "Webhook-Id" }"#,
        r#"6:24: delivery.signature: the header "Webhook-Id" is set by rowhook or HTTP itself; choose another name"#,
    ),
    (
        r#"[delivery]
signature = { header = "authorization" }"#,
        r#"6:24: delivery.signature: the header "authorization" is set by rowhook or HTTP itself; choose another name"#,
    ),
    (
        r#"[delivery]
signature = { header = "a b" }"#,
        r#"6:24: delivery.signature: "a b" is no header; write a name such as "x-signature""#,
    ),
    (
        r#"[delivery]
signature = { header = "x", prefix = "é=" }"#,
        r#"6:24: delivery.signature: the prefix "é=" cannot begin a header's value; write printable ASCII"#,
    ),
    (
        r#"[delivery]
signature = { header = "x", algorithm = "sha255", encoding = "hx" }"#,
        r#"6:41: delivery.signature.algorithm cannot be "sha255"; did you mean "sha256"?
hooks.toml:6:62: delivery.signature.encoding cannot be "hx"; did you mean "hex"?"#,
    ),
    (
        r#"[delivery]
signature = "md5""#,
        r#"6:13: delivery.signature cannot be "md5"; write "standard""#,
    ),
    (
        "[delivery]\ndisable_after = true",
        r#"6:17: delivery.disable_after is a boolean; write a duration such as "5d", or a number of failures"#,
    ),
    (
        "[delivery]\ndisable_after = 0",
        "6:17: delivery.disable_after is 0; write a whole number from 1 to 4294967295",
    ),
    (
        r#"[delivery]
allow_networks = ["10.0.0.1"]"#,
        r#"6:19: "10.0.0.1" is no network; write an address and a prefix, such as "127.0.0.0/8""#,
    ),
    (
        r#"[delivery]
resolver = ["10.0.0.53", "dns.example"]"#,
        r#"6:26: "dns.example" is no name server; write an IP address, with a port if it is not 53"#,
    ),
    (
        r#"[delivery]
resolver = "dns.example""#,
        r#"6:12: "dns.example" is no name server; write an IP address, with a port if it is not 53"#,
    ),
    (
        r#"[delivery]
rate = "5 a day""#,
        r#"6:8: delivery.rate is "5 a day"; write a number from 1 to 1000000 and its time, s or m, such as "100/s""#,
    ),
    (
        "[delivery]\nrate = true",
        r#"6:8: delivery.rate is a boolean; write a rate such as "100/s", or false for none"#,
    ),
    (
        "[delivery]\ncompress = true",
        r#"6:12: delivery.compress is true; write "gzip", or false for none"#,
    ),
    (
        r#"[delivery]
compress = "br""#,
        r#"6:12: delivery.compress cannot be "br"; write "gzip""#,
    ),
    (
        "[limits]\nhost_rate = 5",
        r#"6:13: limits.host_rate is an integer; write a rate such as "100/s", or false for none"#,
    ),
    (
        r#"[delivery]
grace = """#,
        "6:9: delivery.grace is empty; write a value, or leave it out",
    ),
    (
        "[delivery]\nbatch = { max = 201 }",
        "6:17: delivery.batch.max is 201; write a whole number from 1 to 200",
    ),
    (
        "[delivery]\nbatch = { max = 0 }",
        "6:17: delivery.batch.max is 0; write a whole number from 1 to 4294967295",
    ),
    (
        "[delivery]\nbatch = { wait = \"2m\" }",
        r#"6:18: delivery.batch.wait is longer than a minute, and what waits keeps WAL; write "60s" or less"#,
    ),
    (
        "[delivery]\nbatch = { size = 10 }",
        r#"6:11: delivery.batch has no key "size"; write "max", "max_bytes" or "wait""#,
    ),
];
