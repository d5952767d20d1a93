//! The table of hooks, and its trigger.

use crate::{
    bookstore::{bookstore, set_up},
    queries::{refusal, texts},
};

#[tokio::test]
async fn a_hook_is_refused_where_it_could_never_work() {
    let (client, config) = bookstore().await;
    set_up(&config).await;
    let insert = async |values: &str| {
        refusal(
            &client,
            &format!("insert into rowhook.hook (event, target) values ({values})"),
        )
        .await
    };

    assert_eq!(
        insert("'book.aded', 'https://x.example'").await,
        "there is no event book.aded\n\
        The events are book.added, book.changed, hook.disabled, log.written, rowhook.delivered, rowhook.gap. \
        They come from [events] in hooks.toml: after adding one there, run rowhook setup."
    );
    assert!(
        insert("'shelf.*', 'https://x.example'")
            .await
            .starts_with("there is no event shelf.*\n")
    );
    assert!(
        insert("'book.add*', 'https://x.example'")
            .await
            .starts_with(
                "there is no event book.add*
"
            )
    );
    assert!(
        insert("'book.added', 'ftp://x.example'")
            .await
            .contains("target_is_an_http_url")
    );
    assert!(
        insert("'book.added', 'https://'")
            .await
            .contains("target_is_an_http_url")
    );
    for good in [
        "book.added",
        "book.*",
        "*",
        "hook.disabled",
        "rowhook.gap",
        "rowhook.delivered",
    ] {
        let sql = format!(
            "insert into rowhook.hook (event, target) values ('{good}', 'https://x.example/a?b')"
        );
        client.batch_execute(&sql).await.unwrap();
    }
}

#[tokio::test]
async fn an_application_needs_only_insert_and_cannot_trick_the_trigger() {
    let (client, config) = bookstore().await;
    set_up(&config).await;
    client
        .batch_execute(
            "create role app_of_hooks;
            grant usage on schema rowhook to app_of_hooks;
            grant insert on rowhook.hook to app_of_hooks;
            set role app_of_hooks;
            set search_path to pg_temp;
            create temporary table event (name text);
            insert into event values ('made.up')",
        )
        .await
        .unwrap();

    client.batch_execute("insert into rowhook.hook (owner, event, target) values ('1', 'book.added', 'https://x.example')").await.unwrap();

    let made_up =
        "insert into rowhook.hook (event, target) values ('made.up', 'https://x.example')";
    assert!(
        refusal(&client, made_up)
            .await
            .starts_with("there is no event made.up")
    );
    assert!(
        refusal(&client, "select from rowhook.hook")
            .await
            .starts_with("permission denied")
    );
    client
        .batch_execute("reset role; drop owned by app_of_hooks; drop role app_of_hooks")
        .await
        .unwrap();
}

#[tokio::test]
async fn hooks_stay_when_their_event_leaves_the_file() {
    let (client, mut config) = bookstore().await;
    set_up(&config).await;
    client
        .batch_execute(
            "insert into rowhook.hook (event, target) values ('log.written', 'https://x.example')",
        )
        .await
        .unwrap();

    config.events.truncate(2);
    set_up(&config).await;

    client
        .batch_execute("update rowhook.hook set active = false")
        .await
        .unwrap();
    assert_eq!(
        texts(&client, "select event from rowhook.hook").await,
        ["log.written"]
    );
}

#[tokio::test]
async fn a_hook_that_is_made_active_again_is_not_disabled_any_more() {
    let (client, config) = bookstore().await;
    set_up(&config).await;
    client
        .batch_execute(
            "insert into rowhook.hook (event, target) values ('*', 'https://x.example');
            update rowhook.hook set active = false, disabled_at = now(), disabled_reason = '410', invalid = 'filter'",
        )
        .await
        .unwrap();

    client
        .batch_execute("update rowhook.hook set active = true")
        .await
        .unwrap();
    let sql = "select concat_ws(' ', disabled_at, disabled_reason, invalid) from rowhook.hook";
    assert_eq!(texts(&client, sql).await, ["filter"]);

    client
        .batch_execute("update rowhook.hook set filter = 'true'")
        .await
        .unwrap();
    assert_eq!(texts(&client, sql).await, [""]);
}
