//! Who sends, who has what, and what is wrong with NATS can be seen.

use harness::{Nats, Rowhook, rowhook};
use reqwest::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
use serde_json::Value;

use crate::World;

const TOKEN: &str = "admin-admin-admin-admin";
const PASSWORD: &str = "correct horse";

/// What follows this in the log, up to a space.
fn told(rowhook: &Rowhook, before: &str) -> String {
    let log = rowhook.log();
    let after = log.split(before).nth(1).unwrap();
    after.split_whitespace().next().unwrap().to_owned()
}

fn cookie_of(response: &reqwest::Response) -> String {
    let cookie = response.headers()[SET_COOKIE].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn the_page_and_psql_show_who_sends() {
    let doors = format!(
        "\n[server]\nlisten = \"127.0.0.1:0\"\nadmin_token = \"{TOKEN}\"\n\
         [console]\nlisten = \"127.0.0.1:0\"\npassword = \"{PASSWORD}\"\n"
    );
    let world = World::with(Nats::start().await, &doors).await;
    let mut both = world.rowhook();
    both.until_log("attached slot=").await;
    world.until_all_is_with(1).await;

    let base = format!("http://{}", told(&both, "listening address="));
    let client = reqwest::Client::builder();
    let client = client
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none());
    let client = client.build().unwrap();
    let login = format!("{base}/login");
    let cookie = cookie_of(&client.get(&login).send().await.unwrap());
    let csrf = cookie.split('=').nth(1).unwrap();
    let entered = client
        .post(&login)
        .header(COOKIE, &cookie)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(format!("token={TOKEN}&csrf={csrf}"));
    let cookie = cookie_of(&entered.send().await.unwrap());
    let page = client.get(&base).header(COOKIE, cookie);
    let page = page.send().await.unwrap().text().await.unwrap();
    let senders = page.split("<h2>Senders</h2>").nth(1).unwrap();
    assert!(senders.contains("<td>64 of 64</td>"), "{senders}");

    let at = told(&both, "console=");
    let (host, port) = at.split_once(':').unwrap();
    let url = format!("host={host} port={port} user=anyone dbname=rowhook password='{PASSWORD}'");
    let (console, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .unwrap();
    let _connection = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection));
    let senders = console.query("SHOW SENDERS", &[]).await.unwrap();
    assert_eq!(senders.len(), 1);
    assert_eq!(senders[0].get::<_, &str>("partitions"), "64");
    let partitions = console.query("SHOW PARTITIONS", &[]).await.unwrap();
    assert_eq!(partitions.len(), 64);
    let name: &str = senders[0].get("sender");
    assert!(
        partitions
            .iter()
            .all(|one| one.get::<_, &str>("sender") == name)
    );
}

#[tokio::test]
async fn status_and_check_show_who_sends_and_whether_nats_can_be_used() {
    let world = World::new().await;
    let mut both = world.rowhook();
    both.until_log("attached slot=").await;
    let _other = world.only("send");
    world.until_each_has(32).await;

    let status = rowhook(&world.config, &["status", "--json"]);
    let status: Value = serde_json::from_str(&status.out).unwrap();
    let senders = status["cluster"]["senders"].as_array().unwrap();
    let shares: Vec<i64> = senders
        .iter()
        .map(|sender| sender["partitions"].as_i64().unwrap())
        .collect();
    assert_eq!(shares, [32, 32], "{status}");
    let partitions = status["cluster"]["partitions"].as_array().unwrap();
    assert!(partitions.len() == 64 && partitions.iter().all(|one| one["sender"].is_string()));
    let told = rowhook(&world.config, &["status"]).out;
    assert!(told.contains("64 of 64 with a sender"), "{told}");

    let checked = rowhook(&world.config, &["check", "--verbose"]).out;
    let usable = format!("NATS at {} can be used", world.nats.urls());
    assert!(checked.contains(&usable), "{checked}");
    let far = world
        .config
        .replace(&world.nats.urls(), "nats://192.0.2.1:4222");
    let checked = rowhook(&far, &["check", "--verbose"]);
    assert_eq!(checked.code, 1);
    let open = "NATS at nats://192.0.2.1:4222 is reached over a network without TLS";
    let unreachable = "none of nats://192.0.2.1:4222 can be connected to";
    assert!(
        checked.out.contains(open) && checked.out.contains(unreachable),
        "{}",
        checked.out
    );
}
