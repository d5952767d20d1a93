//! Hooks are rows of the same stream, and begin and end at their place in it.

use harness::{BOOK_EVENTS, Database, Gate, Receiver, Rowhook, SECRET, ids};
use serde_json::json;

#[tokio::test]
async fn a_hook_and_a_row_of_one_transaction_meet() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    database
        .sql("insert into book values (1, 7, 1, 'before', 1)")
        .await;
    database
        .sql(&format!(
            "begin;
             insert into rowhook.hook (owner, event, target) values ('7', 'book.added', '{}');
             insert into book values (2, 7, 1, 'with', 1);
             commit",
            receiver.url()
        ))
        .await;
    database
        .sql("insert into book values (3, 7, 1, 'after', 1)")
        .await;
    receiver.expect(2).await;
    database.until_all_is_confirmed().await;
    assert_eq!(ids(&receiver.calls()), [json!(2), json!(3)]);
}

#[tokio::test]
async fn a_hook_that_is_rolled_back_has_never_been() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    let hook = format!(
        "insert into rowhook.hook (owner, event, target) values ('7', 'book.added', '{}')",
        receiver.url()
    );
    database
        .sql(&format!(
            "begin; {hook}; rollback; insert into book values (1, 7, 1, 'Dune', 1)"
        ))
        .await;
    database
        .sql(&format!(
            "{hook}; insert into book values (2, 7, 1, 'Emma', 1)"
        ))
        .await;
    receiver.expect(1).await;
    database.until_all_is_confirmed().await;
    assert_eq!(ids(&receiver.calls()), [json!(2)]);
}

#[tokio::test]
async fn a_hook_that_is_changed_switched_off_or_removed_stops_exactly_there() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    let hook = database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    let mut number = 0;
    for step in [
        "select 1".to_owned(),
        format!("update rowhook.hook set active = false where id = {hook}"),
        format!("update rowhook.hook set active = true where id = {hook}"),
        format!("update rowhook.hook set owner = '8' where id = {hook}"),
        format!("update rowhook.hook set owner = '7', event = 'book.*' where id = {hook}"),
        format!("delete from rowhook.hook where id = {hook}"),
    ] {
        number += 1;
        // Both are one transaction, so the row comes right after the change of the hook.
        database
            .sql(&format!(
                "{step}; insert into book values ({number}, 7, 1, 'book', 1)"
            ))
            .await;
    }
    receiver.expect(3).await;
    database.until_all_is_confirmed().await;
    assert_eq!(ids(&receiver.calls()), [json!(1), json!(3), json!(5)]);
}

#[tokio::test]
async fn a_filter_lets_through_what_it_is_true_of() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let mut rowhook = database.rowhook(BOOK_EVENTS).await;
    database
        .sql(&format!(
            "insert into rowhook.hook (owner, event, target, filter) values
                ('7', 'book.added', '{url}/cheap', 'new.price < 5'),
                ('7', 'book.added', '{url}/careful', 'new.price != null && new.price < 3')",
            url = receiver.url()
        ))
        .await;
    database.sql("insert into book values (1, 7, 1, 'Dune', 9), (2, 7, 1, 'Emma', 4), (3, 7, 1, 'priceless', null)").await;
    receiver.expect(1).await;
    rowhook.until_log("a delivery is dead").await;
    database.until_all_is_confirmed().await;
    assert_eq!(ids(&receiver.calls()), [json!(2)]);
    assert_eq!(receiver.calls()[0].path, "/hook/cheap");
    // The filter has no result for null, and so the delivery is on record instead of being skipped.
    let dead = database.ask("select string_agg(state || ' ' || reason, ';') from rowhook.delivery");
    let dead = dead.await;
    assert!(
        dead.starts_with("dead \"new.price < 5\" failed: ") && !dead.contains(';'),
        "{dead}"
    );
}

#[tokio::test]
async fn a_hook_that_cannot_be_used_says_why_in_its_row_until_it_is_fixed() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    let hook = database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    for (column, value, reason) in [
        ("filter", "'new.price >'", "is not a CEL expression"),
        ("filter", "'nwe.price > 1'", "uses \"nwe\""),
        ("target", "'http://10.0.0.1/'", "10.0.0.1"),
        ("payload", "'telegram'", "no payload is called \"telegram\""),
    ] {
        let before = database
            .ask(&format!(
                "select {column} from rowhook.hook where id = {hook}"
            ))
            .await;
        database
            .sql(&format!(
                "update rowhook.hook set {column} = {value} where id = {hook}"
            ))
            .await;
        let sql = format!(
            "select invalid like '%{}%' from rowhook.hook where id = {hook}",
            reason.replace('\'', "''")
        );
        database.until(reason, &sql).await;
        let before = if before == "null" {
            before
        } else {
            format!("'{before}'")
        };
        database
            .sql(&format!(
                "update rowhook.hook set {column} = {before} where id = {hook}"
            ))
            .await;
        database
            .until(
                "fixed",
                &format!("select invalid is null from rowhook.hook where id = {hook}"),
            )
            .await;
    }
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    receiver.expect(1).await;
}

#[tokio::test]
async fn the_table_refuses_a_hook_on_an_event_that_is_not_there() {
    let database = Database::bookstore().await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    for (event, target, told) in [
        (
            "book.adedd",
            "https://example.com/",
            "there is no event book.adedd",
        ),
        ("bok.*", "https://example.com/", "there is no event bok.*"),
        ("book.added", "ftp://example.com/", "target_is_an_http_url"),
    ] {
        let insert =
            format!("insert into rowhook.hook (event, target) values ('{event}', '{target}')");
        let refused = database.client.batch_execute(&insert).await.unwrap_err();
        let refused = refused.as_db_error().unwrap().message().to_owned();
        assert!(refused.contains(told), "{refused}");
    }
}

#[tokio::test]
async fn a_hook_of_the_file_hears_everyone_and_sends_its_headers() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let _rowhook = database
        .rowhook(&format!(
            "{BOOK_EVENTS}\n[[hooks]]\nname = \"warehouse\"\nevents = [\"book.*\"]\ntarget = \"{}\"\nsecret = \"{SECRET}\"\nheaders = {{ x-tenant = \"north\" }}\n",
            receiver.url()
        ))
        .await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9), (2, 8, 2, 'Emma', 9)")
        .await;
    let calls = receiver.expect(2).await;
    for call in &calls {
        call.verify();
        assert_eq!(call.header("x-tenant"), "north");
        assert_eq!(call.header("content-type"), "application/json");
        assert_eq!(
            call.header("user-agent"),
            concat!("rowhook/", env!("CARGO_PKG_VERSION"))
        );
        assert_eq!(call.json()["hook"]["id"], "warehouse");
    }
}

#[tokio::test]
async fn the_applications_own_hook_table_is_followed() {
    let database = Database::bookstore().await;
    database
        .sql("create table rest_hooks_hook (id serial primary key, user_id int, event varchar(64), target varchar(255), is_active bool not null default true)")
        .await;
    let receiver = Receiver::answering(|call, _| {
        if call.path.ends_with("/gone") {
            410
        } else {
            200
        }
    })
    .await;
    let config = format!(
        "{BOOK_EVENTS}\n[hook_table]\ntable = \"rest_hooks_hook\"\nactive = \"is_active\"\n"
    );
    let url = receiver.url();
    database.sql(&format!("insert into rest_hooks_hook (user_id, event, target) values (7, 'book.added', '{url}/early')")).await;
    let _rowhook = database.rowhook(&config).await;
    database.sql(&format!("insert into rest_hooks_hook (user_id, event, target) values (7, 'book.added', '{url}/gone')")).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    receiver.expect(2).await;
    database
        .until(
            "the hook is switched off",
            "select not is_active from rest_hooks_hook where id = 2",
        )
        .await;
    database
        .sql("insert into book values (2, 7, 1, 'Emma', 9)")
        .await;
    receiver.expect(3).await;
    database.until_all_is_confirmed().await;
    let paths: Vec<String> = receiver.calls().into_iter().map(|call| call.path).collect();
    assert_eq!(
        paths.iter().filter(|path| *path == "/hook/gone").count(),
        1,
        "{paths:?}"
    );
    assert_eq!(paths.len(), 3);
}

#[tokio::test]
async fn after_a_crash_a_hook_still_hears_what_was_committed_before_it_was_switched_off() {
    let database = Database::bookstore().await;
    let (gate, receiver) = (Gate::closed().await, Receiver::start().await);
    let config = database
        .config(BOOK_EVENTS)
        .replace("[delivery]", "[delivery]\ntimeout = \"10m\"");
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    let hook = database.hook(Some("7"), "book.added", &gate.url()).await;
    database
        .hook(Some("8"), "book.added", &receiver.url())
        .await;
    database.until_all_is_confirmed().await;
    database
        .sql(&format!(
            "insert into book values (1, 7, 1, 'on its way', 9);
             update rowhook.hook set active = false where id = {hook};
             insert into book values (2, 7, 1, 'never heard', 9), (3, 8, 2, 'heard', 9)"
        ))
        .await;
    receiver.expect(1).await;
    rowhook.kill();

    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    let parked = format!(
        "select count(*) = 1 from rowhook.delivery where hook = '{hook}' and state = 'parked'"
    );
    database.until("what was on its way is kept", &parked).await;
    receiver.expect(2).await;
    database
        .sql(&format!(
            "update rowhook.hook set active = true, target = '{}' where id = {hook}",
            receiver.url()
        ))
        .await;
    database.until_all_has_arrived().await;
    let calls = receiver.calls();
    let books: Vec<_> = calls.iter().map(|call| call.data()["id"].clone()).collect();
    assert_eq!(books, [3, 3, 1]);
    assert_eq!(calls[0].id(), calls[1].id());
}

#[tokio::test]
async fn a_hook_that_was_off_hears_nothing_of_that_time_when_it_is_switched_on_while_rowhook_is_away()
 {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let rowhook = database.rowhook(BOOK_EVENTS).await;
    let hook = database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    let turn =
        |active: bool| format!("update rowhook.hook set active = {active} where id = {hook}");
    database.sql(&turn(false)).await;
    database.until_all_is_confirmed().await;
    rowhook.kill();
    database
        .sql("insert into book values (1, 7, 1, 'never heard', 9)")
        .await;
    database.sql(&turn(true)).await;
    database
        .sql("insert into book values (2, 7, 1, 'heard', 9)")
        .await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    database.until_all_has_arrived().await;
    let calls = receiver.calls();
    let books: Vec<_> = calls.iter().map(|call| call.data()["id"].clone()).collect();
    assert_eq!(books, [2]);
}
