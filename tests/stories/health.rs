//! `rowhook health`, which says what the server of a running rowhook says of it.

use std::net::TcpListener;

use harness::{BOOK_EVENTS, Database, Rowhook, rowhook};

#[tokio::test]
async fn health_asks_the_running_one_and_fails_where_there_is_none() {
    let database = Database::bookstore().await;
    // Whoever asks reads the port from the file. A port that the system has just given away is free again.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let server = format!(
        "{BOOK_EVENTS}\n[server]\nlisten = \"0.0.0.0:{port}\"\nadmin_token = \"0123456789abcdef\""
    );
    let config = database.config(&server);

    let before = rowhook(&config, &["health"]);
    assert_eq!(before.code, 1, "{}", before.out);
    assert!(
        before.err.contains(&format!("ask 127.0.0.1:{port}")),
        "{}",
        before.err
    );

    let mut running = Rowhook::start(&config);
    running.until_log("attached slot=").await;
    let ready = rowhook(&config, &["health"]);
    assert_eq!((ready.code, &*ready.err), (0, ""));
    assert_eq!(ready.out, "{\"ready\":true,\"state\":\"attached\"}\n");
    let live = rowhook(&config, &["health", "--live"]);
    assert_eq!((live.code, &*live.out), (0, "alive\n"));

    assert!(running.stop().success());
    assert_eq!(rowhook(&config, &["health"]).code, 1);
    let none = rowhook(&database.config(BOOK_EVENTS), &["health"]);
    assert!(
        none.code == 1 && none.err.contains("has no [server]"),
        "{}",
        none.err
    );
}
