//! A hook whose endpoint is gone or keeps failing is disabled, its owner gets an event, and its deliveries are kept.

use harness::{BOOK_EVENTS, Database, Receiver, Rowhook};
use serde_json::json;

async fn disabled(database: &Database, hook: &str, reason: &str) {
    let sql = format!(
        "select not active and disabled_reason like '%{reason}%' from rowhook.hook where id = {hook}"
    );
    database
        .until(&format!("the hook is disabled: {reason}"), &sql)
        .await;
}

#[tokio::test]
async fn the_owner_of_a_disabled_hook_is_told_and_nobody_else() {
    let database = Database::bookstore().await;
    let gone = Receiver::answering(|_, _| 410).await;
    let (anna, ben) = (Receiver::start().await, Receiver::start().await);
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    let hook = database.hook(Some("7"), "*", &gone.url()).await;
    database.hook(Some("7"), "hook.disabled", &anna.url()).await;
    database.hook(Some("8"), "hook.disabled", &ben.url()).await;
    // Several requests in flight get the same answer; the event is sent once.
    database
        .sql("insert into book select n, 7, 1, 'book', 1 from generate_series(1, 8) n")
        .await;
    disabled(&database, &hook, "410").await;
    let calls = anna.expect(1).await;
    calls[0].verify();
    let data = calls[0].data();
    assert_eq!(data["hook"].to_string(), hook);
    assert_eq!(data["target"], json!(gone.url()));
    assert_eq!(data["reason"], json!("the target answered 410 Gone"));
    assert_eq!(data["last_answer"], json!("410"));
    assert!(data["since"].as_str().unwrap().ends_with('Z'));

    // Once it is enabled again, the hook gets its books, and no event about itself.
    gone.answer(|_, _| 200);
    database
        .sql(&format!(
            "update rowhook.hook set active = true where id = {hook}"
        ))
        .await;
    database.until_all_has_arrived().await;
    let arrived = gone.calls().into_iter().filter(|call| call.status == 200);
    let events: Vec<String> = arrived.map(|call| call.event()).collect();
    assert_eq!(events, ["book.added"; 8]);
    assert_eq!((anna.calls().len(), ben.calls().len()), (1, 0));
}

#[tokio::test]
async fn so_many_failures_in_a_row_disable_a_hook_and_keep_what_it_has_not_got() {
    let database = Database::bookstore().await;
    let (bad, alarm) = (
        Receiver::answering(|_, before| [500, 500, 200][before.min(2)]).await,
        Receiver::start().await,
    );
    let config = database
        .config(&format!(
            "{BOOK_EVENTS}\n[[hooks]]\nname = \"alarm\"\nevents = [\"hook.disabled\"]\ntarget = \"{}\"",
            alarm.url()
        ))
        .replace("[delivery]\n", "[delivery]\ndisable_after = 3\n");
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    let hook = database.hook(Some("7"), "book.added", &bad.url()).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    bad.expect(3).await;
    database.until_all_has_arrived().await;
    // Two failures and a success do not disable a hook; three failures do.
    bad.answer(|_, _| 500);
    database
        .sql("insert into book values (2, 7, 1, 'Emma', 9)")
        .await;
    disabled(&database, &hook, "3 times in a row").await;
    let told = alarm.expect(1).await;
    assert_eq!(told[0].data()["last_answer"], json!("500"));
    assert_eq!(bad.calls().len(), 6);
    let kept = "select count(*) = 1 from rowhook.delivery where state = 'parked'";
    database.until("the delivery is kept", kept).await;
}

#[tokio::test]
async fn failing_for_days_is_remembered_over_a_restart() {
    let database = Database::bookstore().await;
    let bad = Receiver::answering(|_, _| 500).await;
    let config = database.config(BOOK_EVENTS).replace("50ms", "1h");
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    let hook = database.hook(Some("7"), "book.added", &bad.url()).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    let failing = format!("select count(*) = 1 from rowhook.failing where hook = '{hook}'");
    database
        .until("it is noted that the hook fails", &failing)
        .await;
    database.until_all_is_confirmed().await;
    assert!(rowhook.stop().success());
    database
        .sql(
            "update rowhook.failing set since = since - interval '5 days';
             update rowhook.delivery set next_attempt = now()",
        )
        .await;
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    disabled(&database, &hook, "failed for 5days without one success").await;
    let none = "select count(*) = 0 from rowhook.failing";
    database.until("the spell is over", none).await;
}

#[tokio::test]
async fn what_is_older_than_the_retention_is_forgotten_and_what_is_not_is_kept() {
    let database = Database::bookstore().await;
    let (gone, bad) = (
        Receiver::answering(|_, _| 410).await,
        Receiver::answering(|_, _| 500).await,
    );
    let config = database.config(&format!(
        "{BOOK_EVENTS}\n[[hooks]]\nname = \"bad\"\nevents = [\"book.added\"]\nretries = false\ntarget = \"{}\"",
        bad.url()
    ));
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    let hook = database.hook(Some("7"), "book.*", &gone.url()).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9), (2, 7, 1, 'Emma', 9)")
        .await;
    disabled(&database, &hook, "410").await;
    let all = "select count(*) filter (where state = 'dead') = 2 and count(*) filter (where state = 'parked') = 2 from rowhook.delivery";
    database.until("two are dead and two are parked", all).await;
    database.until_all_is_confirmed().await;
    assert!(rowhook.stop().success());

    database
        .sql("update rowhook.delivery set updated_at = updated_at - interval '31 days' where convert_from(body, 'utf8') like '%Dune%'")
        .await;
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("older than the retention").await;
    let left = "select string_agg(state, ' ' order by state) from rowhook.delivery where convert_from(body, 'utf8') like '%Emma%'";
    assert_eq!(database.ask(left).await, "dead parked");
    assert_eq!(
        database.ask("select count(*) from rowhook.delivery").await,
        "2"
    );
    // A delivery that was deleted does not hold up later ones of its lane.
    gone.answer(|_, _| 200);
    database
        .sql("update rowhook.hook set active = true; update book set price = 1")
        .await;
    database.until_all_has_arrived().await;
    let arrived = gone.calls().into_iter().filter(|call| call.status == 200);
    let mut told: Vec<String> = arrived
        .map(|call| format!("{} {}", call.data()["id"], call.event()))
        .collect();
    told.sort();
    assert_eq!(told, ["1 book.changed", "2 book.added", "2 book.changed"]);
}
