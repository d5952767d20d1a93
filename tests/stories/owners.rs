//! Whose row it is: the owner as of the change, and compared as Postgres compares.

use harness::{BOOK_EVENTS, Call, Database, Receiver, rowhook};

const UUID: &str = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";

/// An owner path over the shelf. The book's own `user_id` is not used.
const PATH: &str = "\n[tables.book]\nidentity = \"full\"\nowner = \"shelf_id -> shelf.user_id\"\n";

pub fn book(id: i32, shelf: i32) -> String {
    format!("insert into book values ({id}, null, {shelf}, 'book', 1)")
}

/// The path of each call and the row that it is about, sorted.
pub fn heard(receiver: &Receiver) -> Vec<String> {
    let tell = |call: &Call| {
        let path = call.path.trim_start_matches("/hook/");
        format!("{path} {}", call.data()["id"])
    };
    let mut heard: Vec<String> = receiver.calls().iter().map(tell).collect();
    heard.sort();
    heard
}

#[tokio::test]
async fn each_row_has_the_owner_of_its_moment_whether_an_event_is_on_the_path_or_not() {
    for event_on_shelf in ["", "\"shelf.read\" = \"shelf.read\"\n"] {
        // The old owner is known from the row before the change, or from having been asked for before that.
        for whole in [true, false] {
            let database = Database::bookstore().await;
            let receiver = Receiver::start().await;
            let url = receiver.url();
            let events = BOOK_EVENTS.trim_end();
            let identity = match whole {
                true => "\n[tables.shelf]\nidentity = \"full\"\n",
                false => "",
            };
            let _rowhook = database
                .rowhook(&format!("{events}\n{event_on_shelf}{PATH}{identity}"))
                .await;
            for owner in ["7", "8", "9"] {
                database
                    .hook(Some(owner), "book.added", &format!("{url}/{owner}"))
                    .await;
            }
            let mut expected = vec!["7 1", "8 2", "9 3"];
            if !whole {
                database.sql(&book(0, 1)).await;
                receiver.expect(1).await;
                expected.insert(0, "7 0");
            }
            let move_to = |owner: &str| format!("update shelf set user_id = {owner} where id = 1");
            database
                .sql(&format!(
                    "{}; {}; {}; {}; {}",
                    book(1, 1),
                    move_to("8"),
                    book(2, 1),
                    move_to("9"),
                    book(3, 1)
                ))
                .await;
            receiver.expect(expected.len()).await;
            database.until_all_is_confirmed().await;
            assert_eq!(heard(&receiver), expected, "{event_on_shelf:?} {whole}");
        }
    }
}

#[tokio::test]
async fn a_table_that_cannot_be_published_with_its_updates_is_asked_every_time() {
    let database = Database::bookstore().await;
    database
        .sql("alter table shelf replica identity nothing")
        .await;
    let receiver = Receiver::start().await;
    let url = receiver.url();
    let events = BOOK_EVENTS.trim_end();
    let config = format!("{events}\n\"shelf.added\" = \"shelf.created\"\n{PATH}");
    let _rowhook = database.rowhook(&config).await;
    for owner in ["7", "8"] {
        database
            .hook(Some(owner), "book.added", &format!("{url}/{owner}"))
            .await;
    }
    database.sql(&book(1, 1)).await;
    receiver.expect(1).await;
    database
        .sql("update shelf set user_id = 8 where id = 1")
        .await;
    // The stream tells of the new shelf, and not of its update.
    database
        .sql(&format!(
            "{}; insert into shelf values (3, 7); update shelf set user_id = 8 where id = 3; {}",
            book(2, 1),
            book(3, 3)
        ))
        .await;
    receiver.expect(3).await;
    database.until_all_is_confirmed().await;
    assert_eq!(heard(&receiver), ["7 1", "8 2", "8 3"]);
    let check = rowhook(&database.config(&config), &["check"]).out;
    assert!(
        check.contains("changes of public.shelf are not in the stream")
            || check.contains("changes of shelf are not in the stream"),
        "{check}"
    );
}

#[tokio::test]
async fn an_owner_hears_of_a_row_that_is_deleted_together_with_what_leads_to_them() {
    let database = Database::bookstore().await;
    database
        .sql(
            "alter table book drop constraint book_shelf_id_fkey,
             add foreign key (shelf_id) references shelf on delete cascade;
             insert into shelf values (3, 7), (4, 7);
             insert into book values (1, null, 1, 'a', 1), (3, null, 3, 'c', 1), (4, null, 4, 'd', 1)",
        )
        .await;
    let receiver = Receiver::start().await;
    let without = format!("{BOOK_EVENTS}{PATH}");
    let check = rowhook(&database.config(&without), &["check"]).out;
    assert!(
        check.contains("the stream does not carry user_id of a deleted"),
        "{check}"
    );
    let config = format!("{without}\n[tables.shelf]\nidentity = \"full\"\n");
    let check = rowhook(&database.config(&config), &["check"]).out;
    assert!(!check.contains("of a deleted"), "{check}");
    let _rowhook = database.rowhook(&config).await;
    let url = receiver.url();
    for owner in ["7", "8"] {
        database
            .hook(Some(owner), "book.removed", &format!("{url}/{owner}"))
            .await;
    }
    // Django deletes the children first; CASCADE deletes the parent first.
    database
        .sql("begin; delete from book where shelf_id = 1; delete from shelf where id = 1; commit")
        .await;
    database.sql("delete from shelf where id = 3").await;
    // Who had the shelf before the transaction has nothing to do with it.
    database
        .sql("begin; update shelf set user_id = 8 where id = 4; delete from shelf where id = 4; commit")
        .await;
    receiver.expect(3).await;
    database.until_all_is_confirmed().await;
    assert_eq!(heard(&receiver), ["7 1", "7 3", "8 4"]);
}

#[tokio::test]
async fn owners_are_compared_as_values_of_their_columns() {
    let database = Database::new().await;
    database
        .sql(&format!(
            "create table account (id char(8) primary key, owner uuid, is_staff boolean);
             create table flag (id boolean primary key, owner char(6));
             create table file (id int primary key, owner uuid);
             create table page (id int primary key, owner char(10));
             create table note (id int primary key, account varchar(8));
             create table mark (id int primary key, flag boolean);
             create table word (id int primary key, owner text);
             insert into account values ('acme', '{UUID}', true);
             insert into flag values (true, 'anna')"
        ))
        .await;
    let receiver = Receiver::start().await;
    let url = receiver.url();
    let mut config = "[events]\n".to_owned();
    for table in ["file", "page", "note", "mark", "word"] {
        config.push_str(&format!("\"{table}.added\" = \"{table}.created\"\n"));
    }
    for (table, owner) in [
        ("file", "owner"),
        ("page", "owner"),
        ("note", "account -> account.owner"),
        ("mark", "flag -> flag.owner"),
        ("word", "owner"),
    ] {
        config.push_str(&format!("[tables.{table}]\nowner = \"{owner}\"\n"));
    }
    let _rowhook = database.rowhook(&config).await;
    for (owner, path) in [
        (UUID.to_uppercase(), "upper"),
        ("anna".to_owned(), "anna"),
        ("Anna".to_owned(), "large"),
    ] {
        database
            .hook(Some(&owner), "*", &format!("{url}/{path}"))
            .await;
    }
    database
        .sql(&format!(
            "insert into file values (1, '{UUID}');
             insert into page values (2, 'anna');
             insert into note values (3, 'acme');
             insert into mark values (4, true);
             insert into word values (5, 'anna'), (6, 'Anna');
             insert into word values (7, '{UUID}')"
        ))
        .await;
    receiver.expect(6).await;
    database.until_all_is_confirmed().await;
    assert_eq!(
        heard(&receiver),
        [
            "anna 2", "anna 4", "anna 5", "large 6", "upper 1", "upper 3"
        ]
    );
}

#[tokio::test]
async fn a_hook_table_with_padded_texts_is_the_same_after_a_restart() {
    let database = Database::bookstore().await;
    database
        .sql(
            "create table webhook (id char(12) primary key, user_id char(10), event char(20), target char(80), is_active boolean default true)",
        )
        .await;
    let receiver = Receiver::start().await;
    let url = receiver.url();
    let config =
        format!("{BOOK_EVENTS}\n[hook_table]\ntable = \"webhook\"\nactive = \"is_active\"\n");
    let rowhook = database.rowhook(&config).await;
    database
        .sql(&format!(
            "insert into webhook values ('first', '7', 'book.added', '{url}/7')"
        ))
        .await;
    let own = |id: i32| format!("insert into book values ({id}, 7, 1, 'book', 1)");
    database.sql(&own(1)).await;
    receiver.expect(1).await;
    database.until_all_is_confirmed().await;
    assert!(rowhook.stop().success());
    let _rowhook = database.rowhook(&config).await;
    database.sql(&own(2)).await;
    receiver.expect(2).await;
    // The row of the stream is the one that was loaded.
    database
        .sql(&format!(
            "update webhook set is_active = false; {}; delete from webhook; {}",
            own(3),
            own(4)
        ))
        .await;
    database.until_all_is_confirmed().await;
    assert_eq!(heard(&receiver), ["7 1", "7 2"]);
    for call in receiver.calls() {
        assert_eq!(call.json()["hook"]["id"], "first");
    }
}

#[tokio::test]
async fn a_time_without_zone_is_of_the_databases_zone() {
    let database = Database::bookstore().await;
    database
        .sql(&format!(
            "alter database {} set timezone = 'Asia/Kolkata'",
            database.name
        ))
        .await;
    let receiver = Receiver::start().await;
    let url = receiver.url();
    database
        .sql(
            "create table webhook (id serial primary key, user_id int, event text, target text, made timestamp not null default now());
             set timezone = 'Asia/Kolkata'",
        )
        .await;
    let hook = |path: &str| {
        format!(
            "insert into webhook (user_id, event, target) values (7, 'book.added', '{url}/{path}')"
        )
    };
    database.sql(&hook("old")).await;
    let config = format!("{BOOK_EVENTS}\n[hook_table]\ntable = \"webhook\"\ncreated = \"made\"\n");
    let rowhook = database.rowhook(&config).await;
    let own = |id: i32| format!("insert into book values ({id}, 7, 1, 'book', 1)");
    database.sql(&own(1)).await;
    receiver.expect(1).await;
    database.until_all_is_confirmed().await;
    rowhook.kill();
    database.sql(&own(2)).await;
    database.sql(&hook("new")).await;
    database.sql(&own(3)).await;
    let _rowhook = database.rowhook(&config).await;
    receiver.expect(4).await;
    database.until_all_is_confirmed().await;
    assert_eq!(heard(&receiver), ["new 3", "old 1", "old 2", "old 3"]);
}
