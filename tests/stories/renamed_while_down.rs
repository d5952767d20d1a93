//! Tables that are renamed while rowhook is stopped, and dropped or replaced before it has read what they were told
//! under another name.

use harness::{BOOK_EVENTS, Database, Receiver, ids};
use serde_json::{Value, json};

/// All events of books, for a hook of everyone; `rest` is more of hooks.toml.
fn config(receiver: &Receiver, rest: &str) -> String {
    format!(
        "{BOOK_EVENTS}{rest}\n[[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{}\"\npayload = \"standard\"\n",
        receiver.url()
    )
}

const CREATE: &str = "create table book (id bigint primary key, user_id bigint, shelf_id bigint, title text, price numeric)";

/// A book of owner 7.
fn insert(table: &str, id: u32) -> String {
    format!("insert into {table} values ({id}, 7, 1, 'Dune', 9)")
}

/// Runs statements one after the other, each in its own transaction unless one is begun.
async fn run(database: &Database, statements: &str) {
    for statement in statements.split("; ") {
        database.sql(statement).await;
    }
}

/// What is done while rowhook is stopped. Books of the table that has the place of `book` from then on have ids from 10
/// on, and are not heard before it is published.
fn changes() -> [(&'static str, String); 6] {
    [
        (
            "dropped",
            format!(
                "alter table book rename to volume; {}; drop table volume; {CREATE}; {}",
                insert("volume", 1),
                insert("book", 10)
            ),
        ),
        (
            "replaced",
            format!(
                "alter table book rename to volume; {}; {CREATE}; {}; {}",
                insert("volume", 1),
                insert("volume", 11),
                insert("book", 10)
            ),
        ),
        (
            "renamed back and replaced",
            format!(
                "alter table book rename to volume; {}; alter table volume rename to book; \
                 alter table book rename to book_old; {CREATE}; drop table book_old",
                insert("volume", 1)
            ),
        ),
        (
            "swapped",
            format!(
                "{}; alter table book rename to volume; {}; alter table volume rename to book; \
                 begin; alter table book rename to book_old; alter table book_new rename to book; commit; {}",
                CREATE.replace("book", "book_new"),
                insert("volume", 1),
                insert("book_old", 11)
            ),
        ),
        (
            "moved to another schema",
            format!(
                "create schema attic; alter table book set schema attic; {}; {CREATE}; {}",
                insert("attic.book", 1),
                insert("attic.book", 11)
            ),
        ),
        (
            "moved to another schema and back",
            format!(
                "create schema attic; alter table book set schema attic; {}; alter table attic.book set schema public",
                insert("attic.book", 1)
            ),
        ),
    ]
}

#[tokio::test]
async fn what_a_table_was_told_under_another_name_while_rowhook_was_stopped_is_heard() {
    for (what, ddl) in changes() {
        let database = Database::bookstore().await;
        let receiver = Receiver::start().await;
        let config = config(&receiver, "");
        database.rowhook(&config).await.kill();
        run(&database, &ddl).await;
        let _rowhook = database.rowhook(&config).await;
        let published =
            "select count(*) = 1 from pg_publication_rel where prrelid = 'book'::regclass";
        database.until("the table is published", published).await;
        database.sql(&insert("book", 2)).await;
        database.until_all_has_arrived().await;
        let calls = receiver.expect(2).await;
        assert_eq!(ids(&calls), [1, 2], "{what}");
    }
}

#[tokio::test]
async fn what_is_known_of_tables_is_forgotten_when_it_is_of_no_use_any_more() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let config = config(&receiver, "");
    database.rowhook(&config).await.kill();
    let ddl = format!(
        "alter table book rename to volume; {}; {CREATE}",
        insert("volume", 1)
    );
    run(&database, &ddl).await;
    let rowhook = database.rowhook(&config).await;
    receiver.expect(1).await;
    let noted = "select string_agg(name || ' ' || is_former, ', ' order by is_former) from rowhook.followed";
    assert_eq!(database.ask(noted).await, "book false, book true");
    database.until_all_is_confirmed().await;
    rowhook.kill();
    let _rowhook = database.rowhook(&config).await;
    let forgotten = "select count(*) = 1 from rowhook.followed";
    database.until("one table is followed", forgotten).await;
}

#[tokio::test]
async fn a_table_on_a_path_to_owners_that_was_renamed_tells_whose_rows_were() {
    let database = Database::bookstore().await;
    let (all, seven, eight) = (
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
    );
    let rest = "[tables.book]\nowner = \"shelf_id -> shelf.user_id\"\n[tables.shelf]\nidentity = \"full\"\n";
    let config = config(&all, rest);
    let rowhook = database.rowhook(&config).await;
    database.hook(Some("7"), "book.*", &seven.url()).await;
    database.hook(Some("8"), "book.*", &eight.url()).await;
    database.until_all_is_confirmed().await;
    rowhook.kill();
    let ddl = format!(
        "{}; alter table shelf rename to rack; update rack set user_id = 8 where id = 1; \
             alter table rack rename to shelf; {}",
        insert("book", 1),
        insert("book", 2)
    );
    run(&database, &ddl).await;
    let _rowhook = database.rowhook(&config).await;
    database.until_all_has_arrived().await;
    assert_eq!(ids(&seven.expect(1).await), [1]);
    assert_eq!(ids(&eight.expect(1).await), [2]);
}

#[tokio::test]
async fn the_events_of_a_row_stay_in_order_where_its_table_is_gone_before_they_are_read() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let config = config(&receiver, "[tables.book]\nidentity = \"full\"\n");
    let rowhook = database.rowhook(&config).await;
    database.sql(&insert("book", 1)).await;
    receiver.expect(1).await;
    database.until_all_is_confirmed().await;
    rowhook.kill();
    receiver.answer(|_, call| if call == 1 { 500 } else { 200 });
    let ddl = format!(
        "update book set title = 'Emma'; alter table book add column pages int; update book set title = 'Ada'; \
             drop table book; {CREATE}"
    );
    run(&database, &ddl).await;
    let _rowhook = database.rowhook(&config).await;
    let calls = receiver.expect(4).await;
    let titles: Vec<Value> = calls
        .iter()
        .map(|call| call.data()["title"].clone())
        .collect();
    assert_eq!(json!(titles), json!(["Dune", "Emma", "Emma", "Ada"]));
}

#[tokio::test]
async fn a_role_that_may_not_note_tables_hears_them_all_the_same() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let config = config(&receiver, "");
    database.rowhook(&config).await.kill();
    database
        .sql("create function refuse() returns trigger language plpgsql as $$ begin raise 'not today'; end $$; \
              create trigger refused before insert or update on rowhook.followed execute function refuse(); \
              drop table book")
        .await;
    database.sql(CREATE).await;
    let mut rowhook = database.rowhook(&config).await;
    rowhook
        .until_log("which tables hooks.toml means is not noted")
        .await;
    database.sql(&insert("book", 2)).await;
    assert_eq!(ids(&receiver.expect(1).await), [2]);
}

#[tokio::test]
async fn a_table_that_was_dropped_or_changed_while_rowhook_was_stopped_keeps_nobody_from_being_heard()
 {
    for ddl in [
        "drop table author; alter table book rename to volume",
        "drop table author; alter table book drop column user_id",
    ] {
        let database = Database::bookstore().await;
        let tables = "create table author (id int primary key, user_id int, name text);
             create table note (id int primary key, user_id int)";
        database.sql(tables).await;
        let receiver = Receiver::start().await;
        let events = "\"note.added\" = \"note.created\"\n\"author.added\" = \"author.created\"\n";
        let config = config(&receiver, events);
        database.rowhook(&config).await.kill();
        database.sql("insert into note values (1, 7)").await;
        run(&database, ddl).await;
        database.sql("insert into note values (2, 7)").await;
        let mut rowhook = database.rowhook(&config).await;
        database.sql("insert into note values (3, 7)").await;
        let calls = receiver.expect(3).await;
        assert_eq!(ids(&calls), [1, 2, 3], "{ddl}");
        // Whoever sees to it is told.
        let missing = "there is no table author any more";
        rowhook.until_log(missing).await;
        let check = harness::rowhook(&database.config(&config), &["check"]);
        assert!(check.out.contains(missing), "{check:?}");
    }
}
