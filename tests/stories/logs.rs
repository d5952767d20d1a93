//! What the log never says.

use harness::{BOOK_EVENTS, Database, Receiver, Rowhook, SECRET};
use serde_json::json;

use crate::api::{ADMIN, Api, server};

#[tokio::test]
async fn a_log_of_everything_has_no_secrets_in_it() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let config = database.config(&format!("{BOOK_EVENTS}\n{}", server("")));
    let api = Api::of(Rowhook::start_logging(&config, "trace")).await;
    let target = receiver.url().replace("://", "://reader:in-the-target@");
    let hook = json!({
        "owner": "7",
        "event": "book.added",
        "target": target,
        "secret": SECRET,
        "headers": {"x-key": "in-a-header"},
    });
    let made = api.post("/api/hooks", ADMIN, hook).await;
    assert_eq!(made.status, 201, "{}", made.text);
    database
        .sql("insert into book values (1, 7, 1, 'in-the-row', 1)")
        .await;
    let calls = receiver.expect(1).await;
    assert_eq!(calls[0].header("x-key"), "in-a-header");
    let remembered = "select count(*) = 1 from rowhook.attempt";
    database
        .until("the attempt is remembered", remembered)
        .await;

    let log = api.rowhook.kill_and_log();

    for secret in [
        ADMIN,
        SECRET,
        &SECRET["whsec_".len()..],
        "in-the-target",
        "in-a-header",
        "in-the-row",
    ] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}
