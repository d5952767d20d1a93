//! Permission is checked before anything is sent, and the hooks of owners that are gone end.

use harness::{BOOK_EVENTS, Database, Receiver, Rowhook, ids, rowhook};
use serde_json::{Value, json};

const VISIBLE: &str = "[tables.book]\nvisible = \"select 1 from grants where book = $key and reader = $owner::bigint and not broken($title)\"\n";

/// Users 7 and 8 have hooks on all books, and may see those that they were granted. The check fails for a book named
/// broken.
async fn library() -> Database {
    let database = Database::bookstore().await;
    database
        .sql(
            "create table grants (book bigint, reader bigint);
             insert into grants values (1, 7), (2, 7), (3, 8), (4, 7), (5, 7), (6, 7);
             create table breakage (title text);
             insert into breakage values ('broken');
             create function broken(title text) returns boolean language plpgsql stable as $$
             begin
                 if exists (select from breakage as b where b.title = broken.title) then
                     raise exception 'cannot tell of %', title;
                 end if;
                 return false;
             end $$",
        )
        .await;
    database
}

fn heard(receiver: &Receiver) -> Vec<Value> {
    ids(&receiver.calls())
}

/// The ids without repetitions, since after a crash some deliveries come again.
fn different(receiver: &Receiver) -> Vec<Value> {
    let mut ids = heard(receiver);
    ids.dedup();
    ids
}

fn events() -> String {
    BOOK_EVENTS.replace("\"book.created\"", "\"book.created+\"")
}

#[tokio::test]
async fn an_owner_gets_what_they_may_see_and_the_operator_everything() {
    let database = library().await;
    let (anna, ben, all) = (
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
    );
    let config = format!(
        "{}{VISIBLE}[[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{}\"\n",
        events(),
        all.url()
    );
    let _rowhook = database.rowhook(&config).await;
    database.hook(Some("7"), "book.added", &anna.url()).await;
    database.hook(Some("8"), "book.added", &ben.url()).await;
    // One of the hooks is added between rows that it gets.
    database
        .sql(&format!(
            "begin;
             insert into book values (1, 7, 1, 'A', 9), (3, 8, 1, 'B', 9), (9, 7, 1, 'C', 9);
             insert into rowhook.hook (owner, event, target) values ('7', 'book.added', '{}');
             insert into book values (2, 7, 1, 'D', 9);
             commit",
            anna.url()
        ))
        .await;
    all.expect(4).await;
    anna.expect(3).await;
    ben.expect(1).await;
    database.until_all_has_arrived().await;
    assert_eq!(heard(&anna), [json!(1), json!(2), json!(2)]);
    assert_eq!(heard(&ben), [json!(3)]);
    assert_eq!(heard(&all), [json!(1), json!(2), json!(3), json!(9)]);
}

#[tokio::test]
async fn what_cannot_be_asked_waits_and_is_neither_sent_nor_lost() {
    let database = library().await;
    let anna = Receiver::start().await;
    let rowhook = database.rowhook(&format!("{}{VISIBLE}", events())).await;
    database.hook(Some("7"), "book.added", &anna.url()).await;
    database
        .sql("insert into book values (4, 7, 1, 'broken', 9), (5, 7, 1, 'fine', 9)")
        .await;
    let waits = "select count(*) = 1 from rowhook.delivery where state = 'parked' and reason like 'who may see it is not known: cannot tell of broken%' and attempts > 1";
    database.until("the one is held back", waits).await;
    anna.expect(1).await;
    assert_eq!(heard(&anna), [json!(5)]);
    rowhook.kill();
    let _rowhook = database.rowhook(&format!("{}{VISIBLE}", events())).await;
    assert_eq!(different(&anna), [json!(5)]);
    database.sql("delete from breakage").await;
    database.until_all_has_arrived().await;
    assert_eq!(different(&anna), [json!(4), json!(5)]);
}

#[tokio::test]
async fn a_permission_that_is_taken_back_counts_for_what_still_waits() {
    let database = library().await;
    let anna = Receiver::answering(|_, _| 500).await;
    let _rowhook = database.rowhook(&format!("{}{VISIBLE}", events())).await;
    database.hook(Some("7"), "book.added", &anna.url()).await;
    database
        .sql("insert into book values (1, 7, 1, 'A', 9), (2, 7, 1, 'B', 9)")
        .await;
    anna.expect(2).await;
    database.sql("delete from grants where book = 1").await;
    database
        .until(
            "the one is withheld",
            "select count(*) = 0 from rowhook.delivery where convert_from(body, 'utf8')::json #>> '{data,id}' = '1'",
        )
        .await;
    anna.answer(|_, _| 200);
    database.until_all_has_arrived().await;
    let arrived = anna.calls().into_iter().filter(|call| call.status == 200);
    let arrived: Vec<Value> = arrived.map(|call| call.data()["id"].clone()).collect();
    assert_eq!(arrived, [json!(2)]);
}

#[tokio::test]
async fn a_question_that_does_not_fit_is_told_before_anything_is_sent() {
    let database = library().await;
    for (visible, expected) in [
        (
            "select 1 where $keyy = 1",
            "visible names keyy, but book has no such column",
        ),
        (
            "select 1 from nothing",
            "visible of book cannot be asked: relation \"nothing\" does not exist",
        ),
        (
            "select $owner + 1",
            "visible of book cannot be asked: operator does not exist",
        ),
    ] {
        let config = format!("{BOOK_EVENTS}[tables.book]\nvisible = '''{visible}'''\n");
        let ended = rowhook(&database.config(&config), &["run"]);
        assert_eq!(ended.code, 1, "{}", ended.err);
        assert!(ended.err.contains(expected), "{expected} in {}", ended.err);
    }
}

#[tokio::test]
async fn hooks_end_where_their_owner_is_removed() {
    let database = Database::bookstore().await;
    database
        .sql("create table auth_user (id bigint primary key, name text); insert into auth_user values (7, 'Anna'), (8, 'Ben')")
        .await;
    let (anna, ben, orphan) = (
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
    );
    let config = format!("{BOOK_EVENTS}[hook_table]\nowner_exists = \"auth_user.id\"\n");
    assert_eq!(rowhook(&database.config(&config), &["setup"]).code, 0);
    // The owner of this hook was removed before rowhook ran.
    database.hook(Some("9"), "book.added", &orphan.url()).await;
    for (owner, receiver) in [("7", &anna), ("8", &ben)] {
        database
            .hook(Some(owner), "book.added", &receiver.url())
            .await;
    }
    let mut rowhook = Rowhook::start(&database.config(&config));
    rowhook.until_log("attached slot=").await;
    let disabled = |owner: &str| {
        format!(
            "select not active and disabled_reason = 'its owner exists no more' from rowhook.hook where owner = '{owner}'"
        )
    };
    database
        .until("the orphan is disabled", &disabled("9"))
        .await;
    database
        .sql(
            "begin;
             insert into book values (1, 7, 1, 'A', 9);
             delete from auth_user where id = 7;
             insert into book values (2, 7, 1, 'B', 9), (3, 8, 1, 'C', 9), (4, 9, 1, 'D', 9);
             commit",
        )
        .await;
    ben.expect(1).await;
    anna.expect(1).await;
    database
        .until("Anna's hook is disabled", &disabled("7"))
        .await;
    database.until_all_is_confirmed().await;
    assert_eq!(
        (heard(&anna), heard(&ben)),
        (vec![json!(1)], vec![json!(3)])
    );
    assert!(orphan.calls().is_empty());
    assert_eq!(
        database
            .ask("select active from rowhook.hook where owner = '8'")
            .await,
        "t"
    );
}
