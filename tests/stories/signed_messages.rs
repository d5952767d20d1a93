//! Messages in the stream are believed only if rowhook's own functions have written them.

use harness::{Database, Receiver, Rowhook, connect};
use serde_json::json;

use crate::messages::open_to_all;

const EVENTS: &str = r#"
[events]
"book.added" = "book.created"
"book.read" = "book.read+"
"shop.closed" = "custom+"
"#;

/// What a stranger would like to have believed: a prefix, and a content.
const FORGED: [(&str, &str); 6] = [
    (
        "rowhook",
        r#"{"event": "shop.closed", "payload": "forged"}"#,
    ),
    (
        "rowhook",
        r#"{"table": "book", "action": "read", "columns": ["id", "title"], "row": "(1,forged)"}"#,
    ),
    (
        "rowhook",
        r#"{"event": "hook.disabled", "owner": "7", "payload": "forged"}"#,
    ),
    (
        "rowhook",
        r#"{"event": "rowhook.gap", "payload": "forged"}"#,
    ),
    (
        "rowhook.backfill",
        r#"{"schema": "public", "table": "book", "event": "book.added", "hook": "all", "columns": ["id", "title"], "row": "(1,forged)"}"#,
    ),
    ("rowhook", "not even JSON"),
];

/// All events go to `receiver`, as they happen.
fn all(receiver: &Receiver) -> String {
    format!(
        "{EVENTS}\n[[hooks]]\nname = \"all\"\nevents = [\"*\"]\norder = \"hook\"\ntarget = \"{}\"\n",
        receiver.url()
    )
}

/// A session of a role that may connect, and nothing else.
async fn mallory(database: &Database) -> tokio_postgres::Client {
    let role = format!(
        "mallory_{}",
        database.ask("select current_database()").await
    );
    database
        .sql(&format!(
            "create role {role} login; revoke all on schema public from public"
        ))
        .await;
    let session = connect(&database.url).await;
    let become_mallory = format!("set session authorization {role}");
    session.batch_execute(&become_mallory).await.unwrap();
    session
}

/// Calls pg_logical_emit_message with the bytes that `content`, an expression of SQL, makes.
async fn write(session: &tokio_postgres::Client, prefix: &str, content: &str) {
    let sql = format!("select pg_logical_emit_message(true, '{prefix}', {content})");
    session.batch_execute(&sql).await.unwrap();
}

#[tokio::test]
async fn who_may_only_connect_can_forge_no_event() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let mut rowhook = database.rowhook(&all(&receiver)).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    let stranger = mallory(&database).await;
    for (prefix, content) in FORGED {
        write(&stranger, prefix, &format!("'{content}'")).await;
        let signed = format!("'v1 {} {content}'", "0".repeat(64));
        write(&stranger, prefix, &signed).await;
        // As if it were copied from the transaction 3, where it was true.
        let copied = format!(
            "(select convert_to('v1 ' || encode(sha256(outer_pad || sha256(inner_pad || convert_to('{prefix} 3 {content}', 'UTF8'))), 'hex') || ' {content}', 'UTF8') from rowhook.message_key)"
        );
        write(&database.client, prefix, &copied).await;
    }
    database
        .sql("select rowhook.emit('shop.closed', '\"true\"')")
        .await;
    let calls = receiver.expect(2).await;
    assert_eq!(calls[0].data()["title"], "Dune");
    assert_eq!(calls[1].data(), json!("true"));
    rowhook.until_log("so_far=16").await;
    database.until_all_has_arrived().await;
    assert_eq!(receiver.calls().len(), 2);
}

#[tokio::test]
async fn nobody_else_reads_the_key_or_signs_with_it() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let _rowhook = database.rowhook(&all(&receiver)).await;
    database
        .sql(
            "insert into book values (1, 7, 1, 'Dune', 9);
             create view shown as select * from book;
             create table closed (id int primary key);
             insert into closed values (1)",
        )
        .await;
    let stranger = mallory(&database).await;
    let role = database
        .ask("select rolname from pg_roles where rolname = 'mallory_' || current_database()")
        .await;
    // What an application that fires events has, and no more.
    database
        .sql(&format!(
            "grant usage on schema rowhook, public to {role}; grant select on book, shown to {role}"
        ))
        .await;
    for (sql, expected) in [
        (
            "select key from rowhook.message_key",
            "permission denied for table message_key",
        ),
        (
            "select rowhook.send_message('rowhook', '{}')",
            "permission denied for function send_message",
        ),
        (
            "select rowhook.send_action('book', 'read', '1', '(1,7,1,forged,9)', null)",
            "book has no such row with the key 1",
        ),
        (
            "select rowhook.send_action('book', 'read', '2', null, null)",
            "book has no such row with the key 2",
        ),
        (
            "select rowhook.send_action('book', 'deleted', '1', '(1,7,1,Dune,9)', null)",
            "there is no action deleted of book",
        ),
        (
            "select rowhook.emit_row('closed', 'read', 1)",
            "there is no action read of closed",
        ),
        (
            "select rowhook.emit_row('shown', 'read', 1)",
            "there is no action read of shown",
        ),
    ] {
        let error = stranger.batch_execute(sql).await.unwrap_err();
        assert_eq!(error.as_db_error().unwrap().message(), expected, "{sql}");
    }
    stranger
        .batch_execute(
            "select rowhook.emit_row('book', 'read', 1); select rowhook.emit('shop.closed')",
        )
        .await
        .unwrap();
    let calls = receiver.expect(3).await;
    assert_eq!(calls[1].data()["title"], "Dune");
    assert_eq!(calls[2].event(), "shop.closed");
}

#[tokio::test]
async fn an_action_on_a_row_runs_no_code_of_others() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let config = format!(
        "[events]\n\"note.read\" = \"note.read\"\n\"paper.read\" = \"paper.read\"\n\"sheet.read\" = \"sheet.read\"\n\
         [[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{}\"\n",
        receiver.url()
    );
    // Each function tells in whose name it ran.
    database
        .sql(
            "create table ran (who text);
             create function spy(text) returns boolean language plpgsql as 'begin insert into public.ran values (current_user); return true; end';
             create domain spied as text check (public.spy(value));
             create table note (id spied primary key, text text);
             create table paper (id int primary key, text text);
             create table sheet (id spied[] primary key);
             insert into note values ('a', 'x');
             insert into paper values (1, 'y');
             insert into sheet values (array['a']::spied[]);
             alter table paper enable row level security;
             create policy seen on paper using (public.spy(text));
             delete from ran",
        )
        .await;
    let _rowhook = database.rowhook(&config).await;
    let writer = mallory(&database).await;
    let role = database
        .ask("select rolname from pg_roles where rolname = 'mallory_' || current_database()")
        .await;
    database
        .sql(&format!(
            "grant usage on schema rowhook, public to {role}; grant select on note, paper, sheet to {role}; grant insert on ran to {role}"
        ))
        .await;
    writer
        .batch_execute("select rowhook.emit_row('note', 'read', 'a'::text); select rowhook.emit_row('paper', 'read', 1)")
        .await
        .unwrap();
    let error = writer
        .batch_execute("select rowhook.emit_row('sheet', 'read', '{a}'::text)")
        .await;
    assert_eq!(
        error.unwrap_err().as_db_error().unwrap().message(),
        "rows of sheet cannot be found by their key, because the type of id may hold a domain"
    );
    receiver.expect(2).await;
    let others = format!("select count(*)::text from ran where who <> '{role}'");
    assert_eq!(database.ask(&others).await, "0");
}

#[tokio::test]
async fn a_payload_can_be_sent_without_the_hook_around_it() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let _rowhook = database.rowhook(EVENTS).await;
    database.hook(None, "shop.closed", &receiver.url()).await;
    database
        .sql(r#"select rowhook.emit('shop.closed', '{"z": 1}', null, false)"#)
        .await;
    assert_eq!(receiver.expect(1).await[0].body, r#"{"z": 1}"#);
}

#[tokio::test]
async fn where_every_role_may_fire_events_it_still_cannot_speak_for_rowhook() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let config = open_to_all(&database.config(&all(&receiver)));
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    let stranger = mallory(&database).await;
    for (prefix, content) in FORGED {
        write(&stranger, prefix, &format!("'{content}'")).await;
    }
    let calls = receiver.expect(2).await;
    assert_eq!(
        [calls[0].event(), calls[1].event()],
        ["shop.closed", "book.read"]
    );
    database.until_all_has_arrived().await;
    assert_eq!(receiver.calls().len(), 2);
}

#[tokio::test]
async fn what_an_older_rowhook_has_left_unsigned_is_still_delivered() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let config = all(&receiver);
    let rowhook = database.rowhook(&config).await;
    database.until_all_is_confirmed().await;
    rowhook.kill();
    // The key is new, and no rowhook has run with it.
    database
        .sql("update rowhook.message_key set since = null")
        .await;
    write(
        &database.client,
        "rowhook",
        r#"'{"event": "shop.closed", "payload": 1}'"#,
    )
    .await;
    let _rowhook = database.rowhook(&config).await;
    assert_eq!(receiver.expect(1).await[0].data(), json!(1));
    write(
        &database.client,
        "rowhook",
        r#"'{"event": "shop.closed", "payload": 2}'"#,
    )
    .await;
    database
        .sql("select rowhook.emit('shop.closed', '3')")
        .await;
    assert_eq!(receiver.expect(2).await[1].data(), json!(3));
}
