//! Requests leave through a proxy, whose failures are not those of endpoints.

use harness::{BOOK_EVENTS, Database, Proxy, Receiver, Rowhook, SECRET};

const ONE_BOOK: &str = "insert into book values (1, 7, 1, 'Dune', 9)";
/// What `rowhook:a secret` says of itself.
const LOGIN: &str = "Basic cm93aG9vazphIHNlY3JldA==";

/// hooks.toml with a hook for everyone at `target` that is tried once, behind the proxy at a port.
fn behind(database: &Database, port: u16, login: &str, target: &str, keys: &str) -> String {
    let hook = format!(
        "{BOOK_EVENTS}\n[[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{target}\"\nsecret = \"{SECRET}\"\nretries = false\n{keys}\n"
    );
    let proxy = format!("[delivery]\nproxy = \"http://{login}127.0.0.1:{port}\"\n");
    database.config(&hook).replace("[delivery]\n", &proxy)
}

/// A port that nobody listens on.
async fn unused_port() -> u16 {
    Proxy::start(0, LOGIN).await.port
}

#[tokio::test]
async fn deliveries_go_through_the_proxy_and_wait_while_it_is_away() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let port = unused_port().await;
    let mut rowhook = Rowhook::start(&behind(
        &database,
        port,
        "rowhook:a%20secret@",
        &receiver.url(),
        "disable_after = 1",
    ));
    rowhook.until_log("attached slot=").await;
    database.sql(ONE_BOOK).await;
    // It may be tried once, and its hook fail once. Neither is over with this.
    let waits =
        "select count(*) = 1 from rowhook.delivery where state = 'parked' and attempts >= 2";
    database.until("it has been tried again", waits).await;
    let said = "select error like 'the proxy cannot be used: no connection: %' from rowhook.attempt limit 1";
    database.until("the proxy is named", said).await;

    let proxy = Proxy::start(port, LOGIN).await;

    receiver.expect(1).await;
    database.until_all_has_arrived().await;
    let target = receiver.url();
    let host = target
        .strip_prefix("http://")
        .unwrap()
        .strip_suffix("/hook")
        .unwrap();
    assert_eq!(proxy.asked(), [host]);
}

#[tokio::test]
async fn a_proxy_that_lets_nobody_in_is_no_failure_of_the_endpoint_and_its_login_stays_secret() {
    let database = Database::bookstore().await;
    let (receiver, proxy) = (Receiver::start().await, Proxy::start(0, LOGIN).await);
    let mut rowhook = Rowhook::start(&behind(
        &database,
        proxy.port,
        "rowhook:hunter2@",
        &receiver.url(),
        "disable_after = 1",
    ));
    rowhook.until_log("attached slot=").await;
    database.sql(ONE_BOOK).await;
    let waits = "select count(*) = 1 from rowhook.delivery where state = 'parked' and reason like 'the proxy cannot be used: it answers 407 and wants a login%'";
    database.until("it waits for another login", waits).await;
    assert!(receiver.calls().is_empty());
    let log = rowhook.kill_and_log();
    assert!(log.contains("407"), "{log}");
    for secret in ["hunter2", "cm93aG9va"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test]
async fn what_the_proxy_says_of_a_target_counts_and_forbidden_targets_never_get_to_it() {
    let database = Database::bookstore().await;
    let proxy = Proxy::start(0, LOGIN).await;
    let gone = format!("http://127.0.0.1:{}/", unused_port().await);
    let config = behind(&database, proxy.port, "rowhook:a%20secret@", &gone, "");
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    for forbidden in ["http://169.254.169.254/", "http://10.0.0.1/"] {
        database.hook(Some("7"), "book.added", forbidden).await;
    }
    database.sql(ONE_BOOK).await;
    let reason = "the last of 1 attempts failed: no connection: the proxy does not reach it (503)";
    let dead = format!(
        "select count(*) = 1 from rowhook.delivery where state = 'dead' and reason = '{reason}'"
    );
    database.until("the endpoint is not there", &dead).await;
    let refused =
        "select count(*) = 2 from rowhook.hook where invalid like 'the target''s address %'";
    database.until("two are refused", refused).await;
    let target = gone.strip_prefix("http://").unwrap().trim_end_matches('/');
    assert_eq!(proxy.asked(), [target]);
}
