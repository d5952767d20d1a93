//! Hooks that change hands: what waits for the former owner is theirs, and is neither sent nor shown to the next.

use harness::{BOOK_EVENTS, Database, Receiver, Rowhook, SECRET};
use serde_json::{Value, json};

use crate::api::{ADMIN, Api, server};

const ANNA: &str = "7";
const BEN: &str = "8";

/// A database where a book of Anna's waits for her hook, whose endpoint fails, and a receiver of Ben's. Returns the
/// hook's id.
async fn one_waits(database: &Database, failing: &Receiver) -> String {
    let hook = database
        .hook(Some(ANNA), "book.added", &failing.url())
        .await;
    database
        .sql("insert into book values (1, 7, 1, 'Anna''s', 9)")
        .await;
    let waits = "select count(*) = 1 from rowhook.delivery where state = 'parked' and attempts > 0 and owner = '7'";
    database.until("it waits", waits).await;
    hook
}

const DEAD: &str = "select count(*) = 1 from rowhook.delivery where state = 'dead' and owner = '7' and reason = 'its hook belongs to another owner now'";

/// hooks.toml with an API and pauses of a minute.
fn config(database: &Database) -> String {
    let config = database.config(&format!("{}\n{BOOK_EVENTS}", server("")));
    let lines = config
        .lines()
        .map(|line| match line.starts_with("retries") {
            true => "retries = [\"1m\", \"1m\"]",
            false => line,
        });
    lines.collect::<Vec<_>>().join("\n")
}

/// What an owner sees of the deliveries of a hook: the states, and the ids.
async fn sees(api: &Api, token: &str) -> Vec<(String, String)> {
    let listed = api.get("/api/deliveries", token).await.json();
    let text = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
    let all = listed["data"]
        .as_array()
        .unwrap_or_else(|| panic!("{listed}"))
        .iter();
    all.map(|one| (text(one, "state"), text(one, "id")))
        .collect()
}

#[tokio::test]
async fn what_waits_for_the_former_owner_is_dead_and_shown_to_them_alone() {
    let database = Database::bookstore().await;
    let failing = Receiver::answering(|_, _| 500).await;
    let next = Receiver::start().await;
    let api = Api::start(&config(&database)).await;
    let (anna, ben) = (api.token(ANNA, "read").await, api.token(BEN, "write").await);
    let hook = one_waits(&database, &failing).await;
    database
        .sql(&format!(
            "update rowhook.hook set owner = '{BEN}', target = '{}' where id = {hook}",
            next.url()
        ))
        .await;
    database.until("it is dead", DEAD).await;
    let [(state, id)] = &sees(&api, &anna).await[..] else {
        panic!("Anna sees hers");
    };
    assert_eq!(state, "dead");
    let path = format!("/api/deliveries/{id}");
    let detail = api.get(&path, &anna).await.json();
    assert_eq!(
        detail["reason"],
        json!("its hook belongs to another owner now")
    );
    assert_eq!(detail["owner"], json!(ANNA));

    // Ben sees nothing of it, and cannot have it sent.
    assert!(sees(&api, &ben).await.is_empty());
    assert_eq!(api.get(&path, &ben).await.status, 404);
    let seen = api.get(&format!("/api/hooks/{hook}"), &ben).await.json();
    assert_eq!(
        (&seen["dead"], &seen["parked"], &seen["last"]),
        (&json!(0), &json!(0), &Value::Null)
    );
    let replayed = api
        .post(
            "/api/replay",
            &ben,
            json!({"hook": hook, "since": "2020-01-01T00:00:00Z"}),
        )
        .await;
    assert_eq!(replayed.json()["revived"], json!(0), "{}", replayed.text);
    let retried = api.post(&format!("{path}/retry"), ADMIN, json!({})).await;
    assert_eq!(retried.status, 409, "{}", retried.text);

    // Somebody who makes it due by hand does not get it sent either.
    database
        .sql("update rowhook.delivery set state = 'parked', attempts = 0")
        .await;
    database.until("it is dead again", DEAD).await;
    database
        .sql("insert into book values (2, 8, 1, 'Ben''s', 9)")
        .await;
    let calls = next.expect(1).await;
    database.until_all_has_arrived().await;
    assert_eq!((next.calls().len(), &calls[0].data()["id"]), (1, &json!(2)));
    // The history is each one's own, too. It is written behind.
    let noted = "select count(*) = 1 from rowhook.attempt where delivered and owner = '8'";
    database.until("it is in the history", noted).await;
    let arrived = sees(&api, &ben).await;
    assert_eq!(arrived.len(), 1, "{arrived:?}");
    assert_eq!(sees(&api, &anna).await.len(), 1);
}

#[tokio::test]
async fn an_id_that_is_used_again_brings_nothing_of_its_former_owner() {
    let database = Database::bookstore().await;
    let failing = Receiver::answering(|_, _| 500).await;
    let next = Receiver::start().await;
    let config = config(&database);
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    for ending in ["delete from rowhook.hook", "truncate rowhook.hook"] {
        let hook = one_waits(&database, &failing).await;
        database.sql(ending).await;
        let again = format!(
            "insert into rowhook.hook (id, owner, event, target, secret) overriding system value values ({hook}, '{BEN}', 'book.*', '{}', '{SECRET}')",
            next.url()
        );
        database.sql(&again).await;
        database
            .until(&format!("it is dead after {ending}"), DEAD)
            .await;
        database
            .sql("delete from rowhook.hook; delete from book; delete from rowhook.delivery")
            .await;
        database.until_all_is_confirmed().await;
    }
    assert!(
        next.calls()
            .iter()
            .all(|call| call.data()["user_id"] != json!(7))
    );
}

#[tokio::test]
async fn a_hook_of_the_file_that_gets_another_owner_begins_without_what_waits() {
    let database = Database::bookstore().await;
    let failing = Receiver::answering(|_, _| 500).await;
    let next = Receiver::start().await;
    let of = |owner: &str, url: &str| {
        format!(
            "{}\n[[hooks]]\nname = \"mine\"\nevents = [\"book.*\"]\nowner = \"{owner}\"\ntarget = \"{url}\"\nsecret = \"{SECRET}\"\n",
            config(&database)
        )
    };
    let mut rowhook = Rowhook::start(&of(ANNA, &failing.url()));
    rowhook.until_log("attached slot=").await;
    database
        .sql("insert into book values (1, 7, 1, 'Anna''s', 9)")
        .await;
    let waits = "select count(*) = 1 from rowhook.delivery where state = 'parked' and attempts = 1";
    database.until("it waits", waits).await;
    assert!(rowhook.stop().success());
    let mut rowhook = Rowhook::start(&of(BEN, &next.url()));
    rowhook.until_log("attached slot=").await;
    database.until("it is dead", DEAD).await;
    database
        .sql("insert into book values (2, 8, 1, 'Ben''s', 9)")
        .await;
    assert_eq!(next.expect(1).await[0].data()["id"], json!(2));
}

#[tokio::test]
async fn what_waits_for_everyone_is_not_sent_to_an_owner() {
    let database = Database::bookstore().await;
    let failing = Receiver::answering(|_, _| 500).await;
    let mut rowhook = Rowhook::start(&config(&database));
    rowhook.until_log("attached slot=").await;
    let hook = database.hook(None, "book.added", &failing.url()).await;
    database
        .sql("insert into book values (1, 7, 1, 'Anna''s', 9)")
        .await;
    let waits = "select count(*) = 1 from rowhook.delivery where state = 'parked' and everyones";
    database.until("it waits", waits).await;
    database
        .sql(&format!(
            "update rowhook.hook set owner = '{BEN}' where id = {hook}"
        ))
        .await;
    let dead = "select count(*) = 1 from rowhook.delivery where state = 'dead' and everyones";
    database.until("it is dead", dead).await;
    assert_eq!(failing.calls().len(), 1);
}

#[tokio::test]
async fn what_happens_while_rowhook_has_switched_a_hook_off_is_kept_for_it() {
    let database = Database::bookstore().await;
    let receiver = Receiver::answering(|_, _| 410).await;
    let rowhook = database.rowhook(BOOK_EVENTS).await;
    let hook = database
        .hook(Some(ANNA), "book.added", &receiver.url())
        .await;
    database
        .sql("insert into book values (1, 7, 1, 'in flight', 9)")
        .await;
    let off = format!("select not active from rowhook.hook where id = {hook}");
    database.until("it is off", &off).await;
    // What happens from now on is kept, with a restart between, too.
    database.until_all_is_confirmed().await;
    database
        .sql("insert into book values (2, 7, 1, 'while it is off', 9)")
        .await;
    let kept = |books: usize| {
        format!("select count(*) = {books} from rowhook.delivery where state = 'parked'")
    };
    database.until("two are kept", &kept(2)).await;
    database.until_all_is_confirmed().await;
    assert!(rowhook.stop().success());
    database
        .sql("insert into book values (3, 7, 1, 'while all is off', 9)")
        .await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    database.until("three are kept", &kept(3)).await;
    assert_eq!(receiver.calls().len(), 1);
    receiver.answer(|_, _| 200);
    database
        .sql(&format!(
            "update rowhook.hook set active = true where id = {hook}"
        ))
        .await;
    database.until_all_has_arrived().await;
    let arrived = receiver
        .calls()
        .into_iter()
        .filter(|call| call.status == 200);
    let mut ids: Vec<i64> = arrived
        .map(|call| call.data()["id"].as_i64().unwrap())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3]);

    // Whoever switches it off by hand wants nothing of what happens then.
    database
        .sql(&format!("update rowhook.hook set active = false where id = {hook}; insert into book values (4, 7, 1, 'unheard', 9)"))
        .await;
    database
        .sql(&format!("update rowhook.hook set active = true where id = {hook}; insert into book values (5, 7, 1, 'heard', 9)"))
        .await;
    database.until_all_has_arrived().await;
    let last = receiver.calls().pop().unwrap();
    assert_eq!(
        (last.data()["id"].as_i64(), receiver.calls().len()),
        (Some(5), 5)
    );
}
