//! Mistakes in the names of sections, and in sections with few keys.

/// What stands after the beginning of the file, and the message after `hooks.toml:`.
pub const CASES: &[(&str, &str)] = &[
    (
        "[evnts]",
        r#"5:2: hooks.toml has no key "evnts"; did you mean "events"?"#,
    ),
    (
        "[console]\nlisten = \"0.0.0.0:6432\"\npassword = \"long enough\"",
        r#"6:10: "0.0.0.0:6432" is no address of this host alone; write such as "127.0.0.1:6432""#,
    ),
    (
        "[console]\nlisten = \"127.0.0.1:6432\"\npassword = \"short\"",
        "7:12: console.password is shorter than 8 characters; choose a longer one",
    ),
    (
        "[secrets]\nprevious = []",
        "5:2: secrets.key is missing; write key = \"${ROWHOOK_KEY}\", the base64 of 32 bytes",
    ),
    (
        "[secrets]\nkey = \"${PASSWORD}\"",
        "6:7: secrets.key is not the base64 of 32 bytes; make a key with: openssl rand -base64 32",
    ),
    (
        "[secrets]\nkey = \"${ROWHOOK_KEY}\"\nprevious = [\"${PASSWORD}\"]",
        "7:13: secrets.previous is not the base64 of 32 bytes; make a key with: openssl rand -base64 32",
    ),
    (
        "[secrets]\nkey = \"${ROWHOOK_KEY}\"\nkey_command = [\"kms\"]",
        "7:15: secrets.key_command prints the key, and secrets.key is one already; remove one of them",
    ),
    (
        "[secrets]\nkey_command = []",
        "6:15: secrets.key_command names no program; write it as [\"program\", \"argument\"]",
    ),
    (
        "[hook_table]\ntable = \"t\"\nsecret = \"token\"\nsealed = [\"secret\"]",
        "8:10: hook_table.sealed needs a key; give one in [secrets], or leave it out",
    ),
    (
        "[secrets]\nkey = \"${ROWHOOK_KEY}\"\n[hook_table]\ntable = \"t\"\nsealed = [\"secret\"]",
        "9:11: hook_table.sealed names \"secret\", and hook_table.secret names no column; name one, or leave it out",
    ),
    (
        "[cluster]\nname = \"shop\"",
        "5:2: cluster.nats is missing; write nats = \"nats://a:4222,nats://b:4222,nats://c:4222\", or remove [cluster]",
    ),
    (
        "[cluster]\nnats = \"http://me:hunter2@a:4222\"",
        "6:8: cluster.nats names something that is no server of NATS; write such as \"nats://a:4222,nats://b:4222,nats://c:4222\"",
    ),
    (
        "[cluster]\nnats = \"nats://a\"\nname = \"two words\"",
        "7:8: \"two words\" is no name of a cluster; write up to 32 of a-z, A-Z, 0-9, _ and -",
    ),
    (
        "[cluster]\nnats = \"nats://a\"\npartitions = 2000",
        "7:14: cluster.partitions is more than 1024; write some ten for each sender that there may be one day",
    ),
    (
        "[cluster]\nnats = \"nats://a\"\nlease = \"100ms\"",
        "7:9: cluster.lease is shorter than 1s, and a slow network would end it; write such as \"3s\"",
    ),
    (
        "[cluster]\nnats = \"nats://a\"\ncredentials = \"nowhere.creds\"",
        "7:15: cluster.credentials cannot be read from \"nowhere.creds\": No such file or directory (os error 2); name a file from the folder of this one",
    ),
    (
        "[tracing]\nservice = \"shop\"",
        "5:2: tracing.endpoint is missing; write endpoint = \"http://127.0.0.1:4318\", or remove [tracing]",
    ),
    (
        "[tracing]\nendpoint = \"127.0.0.1:4318\"",
        r#"6:12: "127.0.0.1:4318" is no address of a collector; write one such as "http://127.0.0.1:4318""#,
    ),
    (
        "[tracing]\nendpoint = \"http://me:hunter2@localhost:4318\"",
        "6:12: tracing.endpoint has credentials; write it without them, and have a collector beside rowhook that knows them",
    ),
    (
        "[tracing]\nendpoint = \"http://localhost:4318\"\nsample = 1.5",
        "7:10: tracing.sample is 1.5; write a number from 0 to 1, such as 0.1",
    ),
    (
        "[tracing]\nendpoint = \"http://localhost:4318\"\nsample = \"half\"",
        "7:10: tracing.sample is a string; write a number from 0 to 1, such as 0.1",
    ),
    (
        "[tracing]\nendpoint = \"http://localhost:4318\"\nsamples = 1",
        "7:1: tracing has no key \"samples\"; did you mean \"sample\"?",
    ),
    (
        "[history]\nsuccesses = true",
        "6:13: history.successes is a boolean; write a whole number from 1, or false for none",
    ),
    (
        "[delivery\n",
        "5:10: this is not TOML: unclosed table, expected `]`",
    ),
];
