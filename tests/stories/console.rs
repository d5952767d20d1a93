//! The console, through psql and through a driver.

use harness::{BOOK_EVENTS, Database, Receiver, Rowhook};
use std::process::Command;

use tokio_postgres::{NoTls, SimpleQueryMessage};

const PASSWORD: &str = "correct horse";

fn address(rowhook: &Rowhook) -> String {
    let log = rowhook.log();
    let told = log.split("console=").nth(1).unwrap();
    told.split_whitespace().next().unwrap().to_owned()
}

async fn psql(address: &str, password: &str, sql: &str) -> (bool, String) {
    let (host, port) = address.split_once(':').unwrap();
    let mut psql = Command::new("psql");
    psql.args([
        "-h", host, "-p", port, "-U", "anyone", "-X", "-A", "-t", "-c", sql, "rowhook",
    ])
    .env("PGPASSWORD", password);
    let ended = tokio::task::spawn_blocking(move || psql.output().unwrap())
        .await
        .unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    (ended.status.success(), String::from_utf8(said).unwrap())
}

#[tokio::test]
async fn psql_and_a_driver_ask_rowhook_and_tell_it_what_to_do() {
    let database = Database::bookstore().await;
    let receiver = Receiver::answering(|_, before| if before == 0 { 500 } else { 200 }).await;
    let config = database
        .config(&format!(
            "{BOOK_EVENTS}\n[console]\nlisten = \"127.0.0.1:0\"\npassword = \"{PASSWORD}\""
        ))
        .replace(
            "retries = [\"50ms\", \"100ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\"]",
            "retries = false",
        );
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    let at = address(&rowhook);
    let hook = database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    let dead = "select count(*) = 1 from rowhook.delivery where state = 'dead'";
    database.until("it is dead", dead).await;

    let (good, told) = psql(&at, "wrong horse", "SHOW HOOKS").await;
    assert!(!good && told.contains("authentication"), "{told}");
    let (good, told) = psql(&at, PASSWORD, "SHOW HOOKS;").await;
    assert!(
        good && told.starts_with(&format!("{hook}|7|book.added|{}|", receiver.url())),
        "{told}"
    );
    let (_, told) = psql(&at, PASSWORD, "show lag").await;
    assert!(
        told.contains("state|attached") && told.contains("dead|1"),
        "{told}"
    );
    let (_, told) = psql(&at, PASSWORD, "SHOW CONFIG").await;
    assert!(
        told.contains(&format!("database.slot|{}", database.name)) && !told.contains(PASSWORD),
        "{told}"
    );
    let (good, told) = psql(&at, PASSWORD, "select 1").await;
    assert!(!good && told.contains("there are SHOW HOOKS"), "{told}");
    let id = database.ask("select id from rowhook.delivery").await;
    let (good, told) = psql(&at, PASSWORD, &format!("RETRY '{id}'")).await;
    assert!(good && told.trim() == "RETRY", "{told}");
    receiver.expect(2).await;

    // A driver prepares its statements first.
    let (host, port) = at.split_once(':').unwrap();
    let url = format!(
        "host={host} port={port} user=x dbname=rowhook password='{PASSWORD}' sslmode=disable"
    );
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let rows = client.query("SHOW HOOKS", &[]).await.unwrap();
    assert_eq!(rows[0].get::<_, &str>("target"), receiver.url());
    assert_eq!(rows[0].get::<_, Option<&str>>("owner"), Some("7"));
    assert!(client.query("nonsense", &[]).await.is_err());
    client.execute("PAUSE", &[]).await.unwrap();
    rowhook.until_log("paused").await;
    database
        .sql("insert into book values (2, 7, 1, 'Emma', 9)")
        .await;
    let rows = client.query("SHOW LAG", &[]).await.unwrap();
    let paused = rows
        .iter()
        .find(|row| row.get::<_, &str>(0) == "paused")
        .unwrap();
    assert_eq!(paused.get::<_, &str>(1), "true");
    assert_eq!(receiver.calls().len(), 2, "nothing is sent while it pauses");
    let told = client.simple_query("RESUME; SHOW VERSION").await.unwrap();
    assert!(told.iter().any(|message| matches!(message, SimpleQueryMessage::Row(row) if row.get(0).unwrap().starts_with("rowhook "))));
    receiver.expect(3).await;
    client.execute("DISABLE 1", &[]).await.unwrap();
    let active = database
        .ask("select active from rowhook.hook where id = 1")
        .await;
    assert_eq!(active, "f");
    drop(client);
    assert!(rowhook.stop().success());
}
