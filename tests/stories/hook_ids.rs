//! Hooks of a table of the application whose ids change places.

use harness::{BOOK_EVENTS, Call, Database, Receiver};

const CONFIG: &str = "\n[hook_table]\ntable = \"webhook\"\n";

fn book(id: i32, owner: i32) -> String {
    format!("insert into book values ({id}, {owner}, 1, 'book', 1)")
}

/// The path of each call and the row that it is about, sorted.
fn heard(receiver: &Receiver) -> Vec<String> {
    let tell = |call: &Call| {
        let path = call.path.trim_start_matches("/hook/");
        format!(
            "{path} {} by {}",
            call.data()["id"],
            call.json()["hook"]["id"]
        )
    };
    let mut heard: Vec<String> = receiver.calls().iter().map(tell).collect();
    heard.sort();
    heard
}

/// Hooks 1, 2 and 3 of the owners 7, 8 and 9.
async fn hooks(database: &Database, receiver: &Receiver) {
    let url = receiver.url();
    database
        .sql(&format!(
            "create table webhook (
                 id int primary key deferrable initially deferred, user_id int, event text, target text
             );
             alter table webhook replica identity full;
             insert into webhook values (1, 7, 'book.added', '{url}/7'), (2, 8, 'book.added', '{url}/8'),
                 (3, 9, 'book.added', '{url}/9')"
        ))
        .await;
}

#[tokio::test]
async fn hooks_go_on_when_all_ids_move_on_by_one_in_one_statement() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    hooks(&database, &receiver).await;
    let _rowhook = database.rowhook(&format!("{BOOK_EVENTS}{CONFIG}")).await;
    // What a hook has not been sent under its old id is dead, so each is waited for.
    database.sql(&book(1, 7)).await;
    receiver.expect(1).await;
    database.sql("update webhook set id = id + 1").await;
    database
        .sql(&format!("{}; {}", book(2, 7), book(3, 8)))
        .await;
    receiver.expect(3).await;
    // The ids 2, 3, 4 become 3, 4, 2.
    database
        .sql("update webhook set id = case id when 4 then 2 else id + 1 end")
        .await;
    database.sql(&book(4, 9)).await;
    receiver.expect(4).await;
    // One that has just taken an id goes.
    database
        .sql("begin; update webhook set id = 9 where id = 3; delete from webhook where id = 9; commit")
        .await;
    database
        .sql(&format!("{}; {}", book(5, 7), book(6, 8)))
        .await;
    receiver.expect(5).await;
    database.until_all_is_confirmed().await;
    let expected = ["7 1 by 1", "7 2 by 2", "8 3 by 3", "8 6 by 4", "9 4 by 2"];
    assert_eq!(heard(&receiver), expected);
}

#[tokio::test]
async fn hooks_whose_ids_moved_while_rowhook_was_stopped_hear_what_came_before_as_they_were() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    hooks(&database, &receiver).await;
    let config = format!("{BOOK_EVENTS}{CONFIG}");
    let rowhook = database.rowhook(&config).await;
    database.until_all_is_confirmed().await;
    assert!(rowhook.stop().success());
    for statement in [
        book(1, 7),
        book(2, 8),
        book(3, 9),
        "update webhook set id = id + 1".to_owned(),
        book(4, 7),
        book(5, 8),
        book(6, 9),
    ] {
        database.sql(&statement).await;
    }
    let _rowhook = database.rowhook(&config).await;
    database.until_all_is_confirmed().await;
    // What was not sent before the ids changed is kept from whoever has the id now.
    let after = heard(&receiver)
        .into_iter()
        .filter(|text| !["7 1 by 1", "8 2 by 2", "9 3 by 3"].contains(&text.as_str()));
    let after: Vec<String> = after.collect();
    assert_eq!(after, ["7 4 by 2", "8 5 by 3", "9 6 by 4"]);
}
