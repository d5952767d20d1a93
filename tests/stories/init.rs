//! `rowhook init` on databases as they are: what it writes is accepted by `check`, and can be kept.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use harness::{Database, Receiver, Rowhook, rowhook, rowhook_in};
use serde_json::json;
use tempfile::TempDir;

/// The hooks.toml that `rowhook init` writes with these arguments, for the database and the slot of a test.
fn init(database: &Database, args: &[&str]) -> (String, String) {
    let folder = TempDir::new().unwrap();
    let args = [&["init", &database.url], args].concat();
    let ended = rowhook_in(&folder, &args);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let text = std::fs::read_to_string(folder.path().join("hooks.toml")).unwrap();
    (of_test(database, &text), ended.out)
}

fn of_test(database: &Database, text: &str) -> String {
    text.replace("${DATABASE_URL}", &database.url).replace(
        "[database]",
        &format!("[database]\nslot = \"{}\"", database.name),
    )
}

/// The lines that begin with no comment.
fn lines(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

/// A hook for all events, without an owner.
fn heard_by(receiver: &Receiver, text: &str) -> String {
    format!(
        "{text}\n[delivery]\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\npayload = \"standard\"\n\
         [[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{}\"\n",
        receiver.url()
    )
}

#[tokio::test]
async fn whatever_tables_are_called_check_accepts_the_file_and_their_rows_are_heard() {
    let database = Database::new().await;
    let names = [
        r#"public."hook""#,
        r#"public."log line""#,
        r#"public."log_line""#,
        r#"public."日本""#,
        r#"public."漢字""#,
        r#"public."Book""#,
        r#"public."a.b""#,
        r#"public."it's ""quoted"" \ ${HOME} #""#,
        "public.\"two\nlines\"",
        r#"public."custom""#,
        r#""hook"."book""#,
        r#""Shop"."Pet""#,
        r#""shop"."Pet""#,
        r#""shop.x"."y+""#,
    ];
    database
        .sql(r#"create schema hook; create schema "Shop"; create schema shop; create schema "shop.x""#)
        .await;
    for name in names {
        database
            .sql(&format!("create table {name} (id int primary key)"))
            .await;
    }
    // Those that need more than a name to be told.
    database
        .sql(
            "create table keyless (line text);
             create table parted (id int) partition by list (id);
             create table parted_1 partition of parted for values in (1);
             create table deferred (id int primary key deferrable);
             create unlogged table unlogged (id int primary key)",
        )
        .await;
    let (text, _) = init(&database, &[]);

    for _ in 0..2 {
        let check = rowhook(&text, &["check"]);
        assert_eq!(check.code, 0, "{}{}\n{text}", check.out, check.err);
        assert_eq!(rowhook(&text, &["setup"]).code, 0);
    }

    let receiver = Receiver::start().await;
    let mut running = Rowhook::start(&heard_by(&receiver, &text));
    running.until_log("attached slot=").await;
    for name in names {
        database
            .sql(&format!(
                "insert into {name} values (1); update {name} set id = 2; delete from {name}"
            ))
            .await;
    }
    database
        .sql("insert into keyless values ('x'); insert into parted values (1); insert into deferred values (1)")
        .await;
    let calls = receiver.expect(names.len() * 3 + 3).await;
    for event in [
        "my_hook.added",
        "log_line.removed",
        "log_line_2.added",
        "table.changed",
        "table_2.changed",
        "Book.added",
        "a_b.added",
        "custom.added",
        "my_hook.book.added",
        "Shop.Pet.added",
        "shop.Pet.changed",
        "keyless.added",
        "parted.added",
        "deferred.added",
    ] {
        assert!(
            calls.iter().any(|call| call.json()["type"] == event),
            "{event}"
        );
    }
    assert!(running.stop().success());
}

/// As healthchecks has it: users, what is theirs, and what is theirs over that.
const CHECKS: &str = "
    create table auth_user (id int primary key, username text, password text not null);
    create table project (id int primary key, owner_id int not null references auth_user, api_key text, ping_key text);
    create table monitor (id int primary key, project_id int not null references project, name text);
    create table ping (id int primary key, monitor_id int not null references monitor);
    create table talk (id int primary key, from_id int references auth_user, to_id int references auth_user);
    create table country (id int primary key);
    create table authtoken_token (key text primary key, user_id int references auth_user);
    create table django_session (session_key text primary key);
    create table auth_permission (id int primary key);
";

#[tokio::test]
async fn rows_belong_to_whom_foreign_keys_lead_to_and_secrets_stay_where_they_are() {
    let database = Database::new().await;
    database.sql(CHECKS).await;

    let (text, said) = init(&database, &[]);

    let kept = lines(&text);
    let rules = &kept[kept
        .iter()
        .position(|line| *line == "[tables.auth_user]")
        .unwrap()..];
    assert_eq!(
        rules,
        [
            "[tables.auth_user]",
            "owner = \"id\"",
            "exclude = [\"password\"]",
            "[tables.monitor]",
            "owner = \"project_id -> project.owner_id\"",
            "[tables.ping]",
            "owner = \"monitor_id -> monitor.project_id -> project.owner_id\"",
            "[tables.project]",
            "owner = \"owner_id\"",
            "exclude = [\"api_key\"]",
        ]
    );
    assert!(
        text.contains("# owner = \"from_id\", or owner = \"to_id\""),
        "{text}"
    );
    assert!(
        !text.contains("django_session") && !text.contains("auth_permission"),
        "{text}"
    );
    assert!(
        kept.iter().all(|line| !line.contains("authtoken_token")),
        "{text}"
    );
    assert!(
        said.contains("note: 1 table has rows of which nobody is known to be the owner"),
        "{said}"
    );
    assert!(
        said.contains("note: 1 table could have several owners"),
        "{said}"
    );
    assert!(
        said.contains("note: 2 columns are left out of bodies"),
        "{said}"
    );

    let receiver = Receiver::start().await;
    let mut running = Rowhook::start(&heard_by(&receiver, &text));
    running.until_log("attached slot=").await;
    for owner in ["7", "8"] {
        let target = format!("{}/{owner}", receiver.url());
        database.hook(Some(owner), "ping.*", &target).await;
    }
    database
        .sql(
            "insert into auth_user values (7, 'ann', 'pbkdf2'), (8, 'bob', 'pbkdf2');
             insert into project values (1, 7, 'k', 'p');
             insert into monitor values (1, 1, 'm');
             insert into ping values (1, 1)",
        )
        .await;
    let calls = receiver.expect(6).await;
    let users: Vec<_> = calls.iter().map(|call| call.json()).collect();
    assert!(
        users
            .iter()
            .any(|body| body["data"] == json!({"id": 7, "username": "ann"})),
        "{users:?}"
    );
    let pings = calls
        .iter()
        .filter(|call| call.json()["type"] == "ping.added");
    let mut paths: Vec<&str> = pings.map(|call| call.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(paths.len(), 2);
    assert!(paths.iter().any(|path| path.ends_with("/7")), "{paths:?}");
    assert!(running.stop().success());
}

#[tokio::test]
async fn only_the_tables_that_are_asked_for_are_written() {
    let database = Database::new().await;
    database.sql(CHECKS).await;
    database
        .sql("create schema clinic; create table clinic.pet (id int primary key); create table account (id int primary key)")
        .await;
    let sources = |args: &[&str]| {
        let (text, _) = init(&database, args);
        assert_eq!(rowhook(&text, &["check"]).code, 0, "{text}");
        let lines = lines(&text).into_iter().map(str::to_owned);
        lines
            .filter(|line| line.contains(".added"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        sources(&["--tables", "p*,auth_permission"]),
        [
            r#""clinic.pet.added" = "clinic.pet.created""#,
            r#""auth_permission.added" = "auth_permission.created""#,
            r#""ping.added" = "ping.created""#,
            r#""project.added" = "project.created""#,
        ]
    );
    assert_eq!(
        sources(&["--schema", "clinic"]),
        [r#""clinic.pet.added" = "clinic.pet.created""#]
    );
    let (text, _) = init(
        &database,
        &["--tables", "project", "--owner-table", "account"],
    );
    assert!(
        !lines(&text).iter().any(|line| line.starts_with("owner")),
        "{text}"
    );

    let folder = TempDir::new().unwrap();
    for (args, told) in [
        (
            ["--tables", "pong"],
            "no table is called pong; did you mean ping?",
        ),
        (
            ["--schema", "clinik"],
            "there are no tables in the schema clinik; did you mean clinic?",
        ),
        (
            ["--owner-table", "auth_usr"],
            "there is no table auth_usr for --owner-table; did you mean auth_user?",
        ),
    ] {
        let ended = rowhook_in(&folder, &[&["init", &database.url], &args[..]].concat());
        assert_eq!(
            (ended.code, ended.err.trim()),
            (1, format!("rowhook: {told}").as_str())
        );
    }
    assert!(!folder.path().join("hooks.toml").exists());
}

#[tokio::test]
async fn at_a_terminal_the_tables_are_picked_from_a_list() {
    let database = Database::new().await;
    database.sql(CHECKS).await;
    let folder = TempDir::new().unwrap();
    // The binary that the harness runs.
    let rowhook = std::env::current_exe().unwrap();
    let rowhook = rowhook.ancestors().nth(2).unwrap().join("rowhook");

    let command = format!("'{}' init '{}'", rowhook.display(), database.url);
    let mut script = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The first answer is none, and it is asked again.
    script
        .stdin
        .as_mut()
        .unwrap()
        .write_all(b"99\n1, pi*\n")
        .unwrap();
    let ended = script.wait_with_output().unwrap();

    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(said.contains("   1  auth_user"), "{said}");
    assert!(
        said.contains("99 is not in the list; numbers are from 1 to 7"),
        "{said}"
    );
    let text = std::fs::read_to_string(folder.path().join("hooks.toml")).unwrap();
    let added: Vec<&str> = lines(&text)
        .into_iter()
        .filter(|line| line.contains(".added"))
        .collect();
    assert_eq!(
        added,
        [
            r#""auth_user.added" = "auth_user.created""#,
            r#""ping.added" = "ping.created""#
        ]
    );
}

#[tokio::test]
async fn the_tables_of_django_are_not_missing_where_events_are_on_them() {
    let database = Database::new().await;
    database.sql(CHECKS).await;
    let folder = TempDir::new().unwrap();
    let events = r#"{"permission.added": "auth.Permission.created+", "session.added": "django.Session.created+"}"#;
    std::fs::write(folder.path().join("events.json"), events).unwrap();
    let args = [
        "init",
        "--from-django-hook-events",
        "events.json",
        &database.url,
    ];
    let ended = rowhook_in(&folder, &args);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(
        !ended.out.contains("there is no table auth_permission"),
        "{}",
        ended.out
    );
    let text = std::fs::read_to_string(folder.path().join("hooks.toml")).unwrap();
    let check = rowhook(&of_test(&database, &text), &["check"]);
    assert_eq!(check.code, 0, "{}", check.out);
}
