//! What is done to hooks, deliveries, tokens and settings is on record, with who did it, and stays there.

use std::{process::Command, sync::Arc};

use harness::{
    BOOK_EVENTS, BOOKSTORE, Cluster, Database, Receiver, Rowhook, SECRET, Stop, rowhook,
};
use nix::sys::signal::Signal;
use reqwest::{Client, Method, redirect};
use serde_json::{Value, json};

use crate::{
    api::{ADMIN, Api, server},
    managing::ask,
};

const JWT_SECRET: &str = "0123456789abcdef0123456789abcdef";
/// What may stand nowhere on record.
const MARKER: &str = "marker-of-a-secret";

/// What is on record, oldest first, but for the retention.
async fn acts(database: &Database) -> Vec<Value> {
    let sql = "select coalesce(jsonb_agg(to_jsonb(a) order by id), '[]') from rowhook.audit as a \
               where what <> 'audit.retention'";
    match serde_json::from_str(&database.ask(sql).await).unwrap() {
        Value::Array(acts) => acts,
        other => panic!("{other}"),
    }
}

/// The names of acts, and who has done each.
fn names(acts: &[Value]) -> Vec<String> {
    let names = acts.iter().map(|act| {
        let text = |name: &str| act[name].as_str().unwrap_or_default();
        format!("{} by {}", text("what"), text("actor"))
    });
    names.collect()
}

/// Waits until there is an act like this.
async fn until(database: &Database, condition: &str) {
    let sql = format!("select count(*) > 0 from rowhook.audit where {condition}");
    database
        .until(&format!("on record: {condition}"), &sql)
        .await;
}

/// Fails where something secret is on record.
async fn nothing_secret(database: &Database) {
    let all = "select coalesce(string_agg(a::text, ' '), '') from rowhook.audit as a";
    let all = database.ask(all).await;
    assert!(!all.contains(MARKER), "{all}");
    assert!(!all.contains("whsec_"), "{all}");
}

#[tokio::test]
async fn what_is_done_through_the_api_is_on_record_once_and_without_secrets() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let config = database.config(&format!(
        "{BOOK_EVENTS}\n{}\n[server.jwt]\nalgorithms = [\"HS256\"]\nsecret = \"{JWT_SECRET}\"",
        server("trusted_proxies = [\"127.0.0.0/8\"]")
    ));
    let api = Api::start(&config).await;
    let made = json!({"owner": "7", "name": "laptop"});
    let made = api.post("/api/tokens", ADMIN, made).await.json();
    let anna = made["token"].as_str().unwrap();
    let target = receiver.url();
    let secret_target = target.replace("http://", &format!("http://user:{MARKER}@"));
    let new = json!({
        "event": "book.added",
        "target": secret_target,
        "headers": {"x-key": MARKER},
        "description": "hers",
    });
    let from = [("x-forwarded-for", "198.51.100.7")];
    let hook = api
        .ask_with(Method::POST, "/api/hooks", anna, Some(&new), &from)
        .await;
    assert_eq!(hook.status, 201, "{}", hook.text);
    let id = hook.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/api/hooks/{id}");
    let change = json!({
        "headers": {"x-key": format!("{MARKER}2"), "x-new": MARKER},
        "description": null,
        "target": target.replace("http://", &format!("http://user:{MARKER}2@")),
    });
    let changed = api.ask(Method::PATCH, &path, anna, Some(&change)).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    // What changes nothing is no change.
    let same = api
        .ask(
            Method::PATCH,
            &path,
            anna,
            Some(&json!({"event": "book.added"})),
        )
        .await;
    assert_eq!(same.status, 200);
    let jwt = jsonwebtoken::encode(
        &jsonwebtoken::Header::default(),
        &json!({"sub": "7", "exp": jsonwebtoken::get_current_timestamp() + 600}),
        &jsonwebtoken::EncodingKey::from_secret(JWT_SECRET.as_bytes()),
    )
    .unwrap();
    let disable = json!({"reason": "by request"});
    for (action, token, body) in [
        ("disable", ADMIN, disable),
        ("enable", ADMIN, Value::Null),
        ("rotate", jwt.as_str(), Value::Null),
        ("test", anna, Value::Null),
    ] {
        let done = api.post(&format!("{path}/{action}"), token, body).await;
        assert_eq!(done.status, 200, "{action}: {}", done.text);
    }
    let since = json!({"hook": id, "since": "2020-01-01T00:00:00Z"});
    assert_eq!(api.post("/api/replay", anna, since).await.status, 202);
    let removed = api.ask(Method::DELETE, &path, ADMIN, None).await;
    assert_eq!(removed.status, 204);
    let revoked = api.ask(Method::DELETE, "/api/tokens/1", ADMIN, None).await;
    assert_eq!(revoked.status, 204);
    // By then the stream has brought all of it, and it is not on record again.
    database.until_all_is_confirmed().await;

    let acts = acts(&database).await;
    assert_eq!(
        names(&acts),
        [
            "token.created by operator",
            "hook.created by owner",
            "hook.changed by owner",
            "hook.disabled by operator",
            "hook.enabled by operator",
            "hook.rotated by application",
            "hook.tested by owner",
            "replay.started by owner",
            "hook.deleted by operator",
            "token.revoked by operator",
        ]
    );
    let created = &acts[1];
    assert_eq!(
        (&created["hook"], &created["owner"], &created["actor_owner"]),
        (&json!(id), &json!("7"), &json!("7"))
    );
    assert_eq!(
        (&created["token"], &created["address"], &created["via"]),
        (&json!("1 laptop"), &json!("198.51.100.7"), &json!("api"))
    );
    assert_eq!(
        created["after"],
        json!({
            "active": true,
            "owner": "7",
            "event": "book.added",
            "target": target,
            "target credentials": "set",
            "headers": ["x-key"],
            "header x-key": "set",
            "description": "hers",
            "secret": "set",
        })
    );
    assert_eq!(
        (&acts[2]["before"], &acts[2]["after"]),
        (
            &json!({"headers": ["x-key"], "description": "hers"}),
            &json!({
                "headers": ["x-key", "x-new"],
                "header x-key": "changed",
                "header x-new": "set",
                "target credentials": "changed",
            })
        )
    );
    assert_eq!(
        (&acts[3]["before"], &acts[3]["after"]),
        (
            &json!({"active": true}),
            &json!({"active": false, "reason": "by request"})
        )
    );
    assert_eq!(
        acts[5]["after"],
        json!({"secret": "changed", "previous_secret": "set"})
    );
    assert_eq!(acts[8]["before"]["target"], json!(target));
    nothing_secret(&database).await;
}

#[tokio::test]
async fn a_change_of_a_hook_in_sql_is_on_record_once_also_if_rowhook_is_killed() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let config = database.config(BOOK_EVENTS);
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    let url = receiver.url();
    let hook = database.hook(Some("7"), "book.added", &url).await;
    let changed = format!(
        "update rowhook.hook set event = 'book.*', headers = '{{\"x-key\": \"{MARKER}\"}}' where id = {hook}"
    );
    let not_changed = format!("update rowhook.hook set event = event where id = {hook}");
    let never_made = format!(
        "begin; insert into rowhook.hook (event, target) values ('book.added', '{url}'); rollback"
    );
    for statement in [changed, not_changed, never_made] {
        database.sql(&statement).await;
    }
    until(&database, "what = 'hook.changed'").await;
    rowhook.kill();
    database
        .sql(&format!(
            "update rowhook.hook set active = false where id = {hook};
             update rowhook.hook set secret = 'whsec_' || encode(sha256('another'), 'base64') where id = {hook};
             delete from rowhook.hook where id = {hook}"
        ))
        .await;
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    until(&database, "what = 'hook.deleted'").await;
    database.until_all_is_confirmed().await;
    rowhook.kill();

    let acts = acts(&database).await;
    assert_eq!(
        names(&acts),
        [
            "hook.created by sql",
            "hook.changed by sql",
            "hook.disabled by sql",
            "hook.rotated by sql",
            "hook.deleted by sql",
        ]
    );
    assert!(acts.iter().all(|act| act["hook"] == json!(hook)));
    assert_eq!(acts[0]["after"]["secret"], json!("set"));
    assert_eq!(
        (&acts[1]["before"], &acts[1]["after"]),
        (
            &json!({"event": "book.added"}),
            &json!({"event": "book.*", "headers": ["x-key"], "header x-key": "set"})
        )
    );
    assert_eq!(acts[3]["after"], json!({"secret": "changed"}));
    assert_eq!(acts[4]["owner"], json!("7"));
    nothing_secret(&database).await;
}

#[tokio::test]
async fn a_change_of_many_hooks_is_on_record_with_their_number() {
    let database = Database::bookstore().await;
    let mut rowhook = Rowhook::start(&database.config(BOOK_EVENTS));
    rowhook.until_log("attached slot=").await;
    database
        .sql(
            "insert into rowhook.hook (owner, event, target)
             select n, 'book.added', 'http://127.0.0.1:1/' from generate_series(1, 1500) as n",
        )
        .await;
    until(&database, "what = 'hooks.changed'").await;
    let counts = "select count(*) filter (where what = 'hook.created') || ' and ' ||
                      max(after ->> 'hooks') filter (where what = 'hooks.changed')
                  from rowhook.audit";
    assert_eq!(database.ask(counts).await, "1000 and 500");
    database.sql("truncate rowhook.hook").await;
    until(&database, "what = 'hook.deleted'").await;
}

#[tokio::test]
async fn a_hook_table_of_the_application_is_on_record_as_well() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let url = receiver.url();
    database
        .sql(
            "create table webhook (id serial primary key, user_id text, event text, target text, key text, seen int);
             alter table webhook replica identity default",
        )
        .await;
    let table = "[hook_table]\ntable = \"webhook\"\nsecret = \"key\"\n";
    let config = database.config(&format!("{BOOK_EVENTS}\n{table}"));
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    database
        .sql(&format!(
            "insert into webhook (user_id, event, target, key) values ('7', 'book.added', '{url}', '{SECRET}');
             update webhook set seen = 1;
             update webhook set event = 'book.*'"
        ))
        .await;
    until(&database, "what = 'hook.changed'").await;
    // A command that changes it is on record as that.
    ask(&config, &["hooks", "rotate", "1"]).await;
    database.sql("delete from webhook").await;
    until(&database, "what = 'hook.deleted'").await;
    database.sql("truncate webhook").await;
    until(&database, "after ->> 'hooks' = 'all'").await;
    let acts = acts(&database).await;
    assert_eq!(
        names(&acts),
        [
            "hook.created by sql",
            "hook.changed by sql",
            "hook.rotated by command line",
            "hook.deleted by sql",
            "hook.deleted by sql",
        ]
    );
    assert_eq!(
        (&acts[1]["before"], &acts[1]["after"]),
        (&json!({"event": "book.added"}), &json!({"event": "book.*"}))
    );
    nothing_secret(&database).await;
}

#[tokio::test]
async fn nobody_changes_or_deletes_what_is_on_record_before_the_retention_is_over() {
    let database = Database::bookstore().await;
    let config = database.config(&format!("{BOOK_EVENTS}\n[audit]\nretention = \"10d\"\n"));
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    until(&database, "what = 'audit.retention'").await;
    assert!(rowhook.stop().success());
    database
        .hook(Some("7"), "book.added", "http://127.0.0.1:1/")
        .await;
    let role = format!("clerk_of_{}", database.name);
    database
        .sql(&format!(
            "insert into rowhook.audit (at, actor, what, owner) values
                 (now() - interval '11 days', 'console', 'hook.changed', '7'),
                 (now() - interval '9 days', 'console', 'hook.changed', '7');
             create role {role};
             grant usage on schema rowhook to {role};
             grant all on all tables in schema rowhook to {role}"
        ))
        .await;
    let owner = database
        .ask("select relowner::regrole::text from pg_class where oid = 'rowhook.audit'::regclass")
        .await;
    for who in [owner.as_str(), role.as_str()] {
        for statement in [
            "delete from rowhook.audit where at > now() - interval '10 days'",
            "delete from rowhook.audit where what = 'audit.retention'",
            "update rowhook.audit set actor = 'sql'",
            "update rowhook.audit set owner = null, before = null, after = null",
            "update rowhook.audit set owner = rowhook.forgotten_name(owner) where owner = '7'",
            "truncate rowhook.audit",
            "set local session_replication_role = replica; delete from rowhook.audit where at > now() - interval '10 days'",
        ] {
            let tried = format!("begin; set local role {who}; {statement}; commit");
            let refused = database.client.batch_execute(&tried).await;
            database.sql("rollback").await;
            let refused = refused.expect_err(statement);
            let reason = refused.as_db_error().unwrap().message();
            let is_kept = reason == "what is on record in audit stays as it is";
            let is_denied = who == role && reason.starts_with("permission denied");
            assert!(is_kept || is_denied, "{who}: {statement}: {reason}");
        }
    }
    let kept = "select count(*) from rowhook.audit";
    assert_eq!(database.ask(kept).await, "3");
    // What is older goes, and what is on record of the retention stays.
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    let left = "select count(*) = 1 from rowhook.audit where actor = 'console'";
    database.until("what is old is deleted", left).await;
    let longer = config.replace("10d", "8d");
    rowhook.write_config(&longer);
    rowhook.signal(Signal::SIGHUP);
    let left = "select count(*) = 0 from rowhook.audit where actor = 'console'";
    database.until("what is old by now is deleted", left).await;
    let told = "select string_agg(after ->> 'seconds', ' ' order by id) from rowhook.audit where what = 'audit.retention'";
    assert_eq!(database.ask(told).await, "864000 691200");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_the_console_and_signals_are_on_record() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let password = "correct horse";
    let config = database.config(&format!(
        "{BOOK_EVENTS}\n[console]\nlisten = \"127.0.0.1:0\"\npassword = \"{password}\"\n{}",
        server("")
    ));
    let api = Api::start(&config).await;
    let url = receiver.url();
    ask(
        &config,
        &["hooks", "add", "book.added", &url, "--owner", "7"],
    )
    .await;
    ask(
        &config,
        &[
            "trigger",
            "book.added",
            "1",
            "--row",
            "{\"id\": 1, \"user_id\": 7}",
        ],
    )
    .await;
    ask(&config, &["tokens", "add", "7"]).await;
    ask(
        &config,
        &["backfill", "book.added", "1", "--where", "price > 1"],
    )
    .await;
    let log = api.rowhook.log();
    let at = log.split("console=").nth(1).unwrap();
    let (host, port) = at
        .split_whitespace()
        .next()
        .unwrap()
        .split_once(':')
        .unwrap();
    let psql = |sql: &str| {
        let mut psql = Command::new("psql");
        psql.args([
            "-h", host, "-p", port, "-U", "anyone", "-XAtc", sql, "rowhook",
        ])
        .env("PGPASSWORD", password);
        let ended = psql.output().unwrap();
        assert!(ended.status.success(), "{ended:?}");
        String::from_utf8(ended.stdout).unwrap()
    };
    for command in ["DISABLE 1", "ENABLE 1", "PAUSE", "RESUME"] {
        tokio::task::block_in_place(|| psql(command));
    }
    let told = tokio::task::block_in_place(|| psql("SHOW AUDIT"));
    assert!(
        told.contains("|console|hook.disabled|1|7|{\"active\":true}|"),
        "{told}"
    );
    let more = config.replace("[events]", "[events]\n\"book.gone\" = \"book.deleted\"");
    api.rowhook.write_config(&more);
    api.rowhook.signal(Signal::SIGHUP);
    until(
        &database,
        "what = 'configuration.reloaded' and actor = 'signal'",
    )
    .await;
    let reload = api.post("/api/reload", ADMIN, Value::Null).await;
    assert_eq!(reload.status, 202);
    until(
        &database,
        "what = 'configuration.reloaded' and actor = 'operator'",
    )
    .await;
    let shown = ask(&more, &["audit", "--limit", "100"]).await;
    let names: Vec<String> = shown
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|act| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            format!("{} by {}", text(&act["what"]), text(&act["by"]["kind"]))
        })
        .filter(|name| !name.starts_with("audit.retention"))
        .collect();
    assert_eq!(
        names,
        [
            "hook.created by command line",
            "event.triggered by command line",
            "token.created by command line",
            "backfill.started by command line",
            "hook.disabled by console",
            "hook.enabled by console",
            "rowhook.paused by console",
            "rowhook.resumed by console",
            "configuration.reloaded by signal",
            "configuration.reloaded by operator",
        ]
    );
    let reloaded = ask(&more, &["audit", "--what", "configuration.*"]).await;
    assert_eq!(
        reloaded[1]["after"],
        json!({"file": "hooks.toml", "events": {"added": ["book.gone"]}})
    );
    assert_eq!(reloaded[0]["by"]["address"], json!("127.0.0.1"));
    let of_hook = rowhook(&more, &["audit", "--hook", "1", "--what", "hook.disabled"]);
    assert!(
        of_hook
            .out
            .contains("hook.disabled  hook 1  owner 7  by console")
            && of_hook.out.contains("    + reason: disabled by hand"),
        "{}",
        of_hook.out
    );
    let future = rowhook(&more, &["audit", "--owner", "8"]);
    assert_eq!(future.out, "nothing is on record\n");
}

#[tokio::test]
async fn acts_are_followed_as_they_come() {
    let database = Database::bookstore().await;
    let config = database.config(BOOK_EVENTS);
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    database
        .hook(Some("7"), "book.added", "http://127.0.0.1:1/")
        .await;
    until(&database, "what = 'hook.created'").await;
    let folder = Arc::new(tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("hooks.toml"), &config).unwrap();
    let follow = ["audit", "--follow", "--what", "hook.*", "--count", "2"];
    let mut following = Rowhook::start_in(&folder, &[&follow[..], &["--json"]].concat());
    following.until_log("listening").await;
    ask(&config, &["hooks", "disable", "1"]).await;
    ask(&config, &["tokens", "add", "7"]).await;
    database.sql("delete from rowhook.hook").await;
    let told = following
        .until_out("two acts", |out| out.lines().count() == 2)
        .await;
    let told: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(told[0]["what"], json!("hook.disabled"));
    assert_eq!(
        (&told[1]["what"], &told[1]["by"]["kind"]),
        (&json!("hook.deleted"), &json!("sql"))
    );
    assert!(following.wait().0.success());
}

#[tokio::test]
async fn what_cannot_be_on_record_is_not_done_and_events_go_on() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let config = database.config(&format!("{BOOK_EVENTS}\n{}", server("")));
    let mut api = Api::start(&config).await;
    database
        .sql(
            "create function refuse() returns trigger language plpgsql
                 as 'begin raise exception ''no act is taken''; end';
             create trigger refuse before insert on rowhook.audit execute function refuse()",
        )
        .await;
    let new = json!({"event": "book.added", "target": receiver.url(), "owner": "7"});
    let refused = api.post("/api/hooks", ADMIN, new).await;
    assert!(refused.status >= 400, "{}", refused.text);
    let refused = api.post("/api/tokens", ADMIN, json!({"owner": "7"})).await;
    assert!(refused.status >= 400, "{}", refused.text);
    let none = "select (select count(*) from rowhook.hook) + (select count(*) from rowhook.token)";
    assert_eq!(database.ask(none).await, "0");
    // What SQL does is done already. It is heard, and the log says what is missing.
    database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    receiver.expect(1).await;
    api.rowhook.until_log("are not on record").await;
    database.until_all_is_confirmed().await;
}

#[tokio::test]
async fn secrets_are_on_record_as_sealed_and_a_hook_is_not_changed_by_that() {
    let database = Database::bookstore().await;
    let keys = [
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=",
    ];
    let sealed = |key: &str, previous: &str| {
        database.config(&format!(
            "{BOOK_EVENTS}\n[secrets]\nkey = \"{key}\"\nprevious = [{previous}]\n"
        ))
    };
    let config = sealed(keys[0], "");
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    let hook = database
        .hook(
            Some("7"),
            "book.added",
            &format!("http://u:{MARKER}@127.0.0.1:1/"),
        )
        .await;
    let done = "select secret like 'rowhook-sealed%' from rowhook.hook";
    database.until("its secret is sealed", done).await;
    ask(&config, &["secrets", "seal"]).await;
    let next = sealed(keys[1], &format!("\"{}\"", keys[0]));
    rowhook.write_config(&next);
    rowhook.signal(Signal::SIGHUP);
    until(&database, "what = 'configuration.reloaded'").await;
    ask(&next, &["secrets", "rotate"]).await;
    // Its secret is another one, and so is what seals it.
    ask(&next, &["hooks", "rotate", &hook]).await;
    database.until_all_is_confirmed().await;
    let acts = acts(&database).await;
    assert_eq!(
        names(&acts),
        [
            "hook.created by sql",
            "secrets.sealed by command line",
            "configuration.reloaded by signal",
            "secrets.rotated by command line",
            "hook.rotated by command line",
        ]
    );
    assert_eq!(
        (&acts[0]["after"]["secret"], &acts[4]["before"]),
        (&json!("set"), &Value::Null)
    );
    assert_eq!(
        acts[2]["after"]["sections"],
        json!({"changed": ["secrets"]})
    );
    nothing_secret(&database).await;
    let all = "select string_agg(a::text, ' ') from rowhook.audit as a";
    let all = database.ask(all).await;
    assert!(
        !all.contains("rowhook-sealed") && keys.iter().all(|key| !all.contains(key)),
        "{all}"
    );
}

#[tokio::test]
async fn rowhook_itself_is_on_record_where_it_disables_a_hook() {
    let database = Database::bookstore().await;
    let gone = Receiver::answering(|_, _| 410).await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    let hook = database.hook(Some("7"), "book.added", &gone.url()).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    until(&database, "what = 'hook.disabled'").await;
    database.until_all_is_confirmed().await;
    let mut acts = acts(&database).await;
    // What SQL did is noted from the stream, beside what rowhook itself does.
    acts.sort_by_key(|act| act["what"].to_string());
    assert_eq!(
        names(&acts),
        ["hook.created by sql", "hook.disabled by rowhook"]
    );
    assert_eq!(
        (&acts[1]["hook"], &acts[1]["owner"], &acts[1]["after"]),
        (
            &json!(hook),
            &json!("7"),
            &json!({"active": false, "reason": "the target answered 410 Gone", "last_answer": "410"})
        )
    );
}

#[tokio::test]
async fn owners_see_what_concerns_them_and_not_where_the_operator_is() {
    let database = Database::bookstore().await;
    let config = database.config(&format!("{BOOK_EVENTS}\n{}", server("")));
    let api = Api::start(&config).await;
    let (anna, ben) = (api.token("7", "write").await, api.token("8", "write").await);
    let new = json!({"event": "book.added", "target": "http://127.0.0.1:1/"});
    for token in [&anna, &ben] {
        assert_eq!(api.post("/api/hooks", token, new.clone()).await.status, 201);
    }
    let disabled = api.post("/api/hooks/1/disable", ADMIN, json!({})).await;
    assert_eq!(disabled.status, 200);
    database
        .sql("update rowhook.hook set owner = '8', description = 'given to Ben' where id = 1")
        .await;
    until(&database, "what = 'hook.changed'").await;
    let seen = async |token: &str, query: &str| {
        let found = api.get(&format!("/api/audit{query}"), token).await;
        assert_eq!(found.status, 200, "{}", found.text);
        found.json()
    };
    let hers = seen(&anna, "").await;
    let what = |acts: &Value| -> Vec<String> {
        let acts = acts["data"].as_array().unwrap().iter();
        acts.map(|act| act["what"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        what(&hers),
        ["hook.disabled", "hook.created", "token.created"]
    );
    assert_eq!(
        hers["data"][0]["by"],
        json!({"kind": "operator", "owner": null, "token": null, "address": null, "via": "api"})
    );
    assert_eq!(hers["data"][1]["by"]["address"], json!("127.0.0.1"));
    let his = seen(&ben, "?what=hook.changed").await;
    assert_eq!(
        (&his["data"][0]["before"], &his["data"][0]["after"]["owner"]),
        (&Value::Null, &json!("8")),
        "what it was with Anna is none of his business"
    );
    // Page by page, newest first.
    let first = seen(ADMIN, "?what=hook.*&limit=3").await;
    let next = first["next"].as_str().unwrap();
    let second = seen(ADMIN, &format!("?what=hook.*&limit=3&cursor={next}")).await;
    let ids = |page: &Value| -> Vec<i64> {
        let acts = page["data"].as_array().unwrap().iter();
        acts.map(|act| act["id"].as_i64().unwrap()).collect()
    };
    let all = [ids(&first), ids(&second)].concat();
    assert!(
        all.len() == 4 && all.is_sorted_by(|one, next| one > next),
        "{all:?}"
    );
    assert_eq!(second["next"], Value::Null);
    let of_hook = seen(ADMIN, "?hook=2&owner=8&since=2020-01-01T00:00:00Z").await;
    assert_eq!(what(&of_hook), ["hook.created"]);
    let wrong = api.get("/api/audit?since=yesterday", ADMIN).await;
    assert_eq!(wrong.status, 400, "{}", wrong.text);
}

#[tokio::test]
async fn logins_are_on_record_and_the_page_shows_what_is() {
    let database = Database::bookstore().await;
    let config = database.config(&format!(
        "{BOOK_EVENTS}\n{}",
        server("trusted_proxies = [\"127.0.0.0/8\"]")
    ));
    let api = Api::start(&config).await;
    let hook = database
        .hook(Some("7"), "book.added", "http://127.0.0.1:1/")
        .await;
    until(&database, "what = 'hook.created'").await;
    let owner = api.token("7", "write").await;
    let client = Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .build()
        .unwrap();
    let base = &api.base;
    let enter = async |token: &str| {
        let page = client.get(format!("{base}/login")).send().await.unwrap();
        let cookie = page.headers()["set-cookie"].to_str().unwrap().to_owned();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let csrf = cookie.split('=').nth(1).unwrap();
        let entered = client
            .post(format!("{base}/login"))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("cookie", &cookie)
            .header("x-forwarded-for", "198.51.100.9")
            .body(format!("token={token}&csrf={csrf}"))
            .send()
            .await
            .unwrap();
        let cookie = entered.headers()["set-cookie"].to_str().unwrap().to_owned();
        (
            entered.status().as_u16(),
            cookie.split(';').next().unwrap().to_owned(),
        )
    };
    let get = async |path: &str, cookie: &str| {
        let got = client.get(format!("{base}{path}"));
        let got = got.header("cookie", cookie).send().await.unwrap();
        (got.status().as_u16(), got.text().await.unwrap())
    };
    assert_eq!(enter(MARKER).await.0, 401);
    let (status, operator) = enter(ADMIN).await;
    assert_eq!(status, 303);
    let (status, hers) = enter(&owner).await;
    assert_eq!(status, 303);
    let acts = acts(&database).await;
    assert_eq!(
        names(&acts)[2..],
        [
            "login.refused by stranger",
            "login by operator",
            "login by owner"
        ]
    );
    assert!(
        acts[2..]
            .iter()
            .all(|act| act["address"] == json!("198.51.100.9") && act["via"] == json!("page"))
    );
    assert_eq!(acts[4]["actor_owner"], json!("7"));
    nothing_secret(&database).await;

    let (status, page) = get("/audit?what=login*", &operator).await;
    assert!(
        status == 200 && page.contains("Nothing is on record here"),
        "{page}"
    );
    let (status, page) = get("/audit", &operator).await;
    assert_eq!(status, 200, "{page}");
    for part in [
        "login.refused",
        "hook.created",
        "198.51.100.9",
        "event: book.added",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let (status, page) = get("/audit", &hers).await;
    assert_eq!(status, 403, "{page}");
    let (status, page) = get(&format!("/hooks/{hook}"), &hers).await;
    assert!(status == 200 && page.contains("hook.created"), "{page}");
}

#[tokio::test]
async fn an_owner_who_is_forgotten_is_not_known_by_what_is_on_record() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let config = database.config(&format!("{BOOK_EVENTS}\n{}", server("")));
    let api = Api::start(&config).await;
    let owner = "owner-marker-7";
    let made = json!({"owner": owner, "name": "token of owner-marker-7"});
    let made = api.post("/api/tokens", ADMIN, made).await.json();
    let token = made["token"].as_str().unwrap();
    let new = json!({"event": "book.added", "target": receiver.url(), "description": owner});
    for (token, new) in [(token, new.clone()), (ADMIN, new)] {
        let mut new = new;
        new["owner"] = json!(owner);
        assert_eq!(api.post("/api/hooks", token, new).await.status, 201);
    }
    database
        .sql("update rowhook.hook set owner = 'somebody else' where id = 2")
        .await;
    until(&database, "before ->> 'owner' = 'owner-marker-7'").await;
    let before = acts(&database).await;
    let ended = rowhook(&config, &["forget", "--owner", owner, "--json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((&report["hooks"], &report["acts"]), (&json!(1), &json!(4)));
    // The stream brings that the hook is gone.
    database.until_all_is_confirmed().await;

    let after = acts(&database).await;
    let all = "select string_agg(a::text, ' ') from rowhook.audit as a";
    let all = database.ask(all).await;
    assert!(!all.contains("owner-marker"), "{all}");
    assert_eq!(names(&after)[..before.len()], names(&before)[..]);
    assert_eq!(
        names(&after)[before.len()..],
        ["owner.forgotten by command line"]
    );
    let hash = &after.last().unwrap()["owner"];
    assert!(hash.as_str().unwrap().starts_with("forgotten:"), "{hash}");
    assert_eq!(after[1]["owner"], *hash);
    assert_eq!(after[1]["actor_owner"], *hash);
    assert_eq!(
        (&after[1]["address"], &after[1]["token"], &after[1]["after"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!(after[3]["owner"], json!("somebody else"));
    assert!(api.rowhook.stop().success());
}

#[tokio::test]
async fn an_act_and_its_record_are_there_together_when_the_server_crashes() {
    let mut cluster = Cluster::start(&[]).unwrap();
    let database = Database::on(&cluster).await;
    database.sql(BOOKSTORE).await;
    let name = database.name.clone();
    let config = database.config(&format!(
        "{BOOK_EVENTS}\n{}",
        server("requests_per_minute = 100000")
    ));
    let api = Arc::new(Api::start(&config).await);
    drop(database);
    let making: Vec<_> = (0..4)
        .map(|_| {
            let api = Arc::clone(&api);
            tokio::spawn(async move {
                let new = json!({"event": "book.added", "target": "http://127.0.0.1:1/"});
                let mut made = 0;
                while api.post("/api/hooks", ADMIN, new.clone()).await.status == 201 {
                    made += 1;
                }
                made
            })
        })
        .collect();
    let watch = harness::connect(&cluster.url(&name)).await;
    harness::until_within(harness::DEADLINE, "hooks are being made", async || {
        let row = watch
            .query_one("select count(*) from rowhook.hook", &[])
            .await;
        row.unwrap().get::<_, i64>(0) > 20
    })
    .await;
    cluster.stop(Stop::Immediate).unwrap();
    let mut answered = 0;
    for one in making {
        answered += one.await.unwrap();
    }
    cluster.start_again().unwrap();
    let again = harness::connect(&cluster.url(&name)).await;
    let sql = "select count(hook.id), count(audit.hook), count(*)
               from rowhook.hook
               full join rowhook.audit on audit.hook = hook.id::text and audit.what = 'hook.created'
               where hook.id is not null or audit.hook is not null";
    let row = again.query_one(sql, &[]).await.unwrap();
    let (hooks, acts, all): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    assert!(hooks >= answered, "{hooks} of {answered}");
    assert_eq!((hooks, acts), (all, all), "each hook has its act");
}

#[tokio::test]
async fn requests_with_wrong_tokens_are_on_record_once_a_minute_for_each_address() {
    let database = Database::bookstore().await;
    let config = database.config(&format!(
        "{BOOK_EVENTS}\n{}",
        server("trusted_proxies = [\"127.0.0.0/8\"]")
    ));
    let api = Api::start(&config).await;
    let from = async |address: &str, token: &str| {
        let headers = [("x-forwarded-for", address)];
        let path = "/api/hooks";
        api.ask_with(Method::GET, path, token, None, &headers)
            .await
            .status
    };
    for _ in 0..20 {
        assert_eq!(from("198.51.100.1", MARKER).await, 401);
        assert_eq!(from("198.51.100.2", "rowhook_guess").await, 401);
    }
    // Whoever has no token at all guesses none, and a good one is no matter of this.
    assert_eq!(from("198.51.100.3", "").await, 401);
    assert_eq!(from("198.51.100.3", ADMIN).await, 200);
    // Of very many addresses, not each has its own.
    for number in 0..100 {
        assert_eq!(from(&format!("203.0.113.{number}"), MARKER).await, 401);
    }
    let refused = "select count(*) = 60 from rowhook.audit where what = 'token.refused'";
    database.until("sixty are on record", refused).await;
    let acts = acts(&database).await;
    assert_eq!(names(&acts), ["token.refused by stranger"; 60]);
    let mut addresses: Vec<&Value> = acts.iter().map(|act| &act["address"]).collect();
    addresses.sort_by_key(|address| address.to_string());
    addresses.dedup();
    assert_eq!(addresses.len(), 60);
    for act in &acts {
        assert_eq!(act["via"], json!("api"));
        assert_eq!(act["after"]["requests"], json!(1));
    }
    // A minute later, those that came since are on record together.
    let later = "select count(*) = 2 from rowhook.audit where what = 'token.refused' and after ->> 'requests' = '19'";
    let all = async || database.ask(later).await == "t";
    let fact = "the others are on record together";
    harness::until_within(std::time::Duration::from_secs(120), fact, all).await;
    nothing_secret(&database).await;
    let listed = ask(&config, &["audit", "--what", "token.*"]).await;
    assert_eq!(listed[0]["by"]["kind"], json!("stranger"));
}
