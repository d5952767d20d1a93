//! A table of hooks that the application has already.

use rowhook::{
    config::{HookColumns, HookTable, Location, OnGone},
    postgres::TableName,
};

use crate::{
    bookstore::{bookstore, refused, set_up},
    queries::published,
};

pub fn rest_hooks() -> HookTable {
    HookTable {
        columns: HookColumns::usual(TableName::public("rest_hooks_hook")),
        on_gone: OnGone::Delete,
        place: Location {
            line: 30,
            column: 1,
        },
    }
}

#[tokio::test]
async fn hooks_may_live_in_a_table_of_the_application() {
    let (client, mut config) = bookstore().await;
    client
        .batch_execute(
            "create table rest_hooks_hook (id serial, user_id integer, event text, target text)",
        )
        .await
        .unwrap();
    config.hook_table = Some(rest_hooks());
    assert_eq!(
        refused(&config).await,
        "hooks.toml:30:1: the hook table rest_hooks_hook has no replica identity, so that hooks which are removed would go unheard; \
        give rest_hooks_hook a primary key, or identity = \"full\" under [tables.rest_hooks_hook]"
    );

    client
        .batch_execute("alter table rest_hooks_hook add primary key (id)")
        .await
        .unwrap();
    set_up(&config).await;

    assert_eq!(
        published(&client).await,
        [
            "rowhook book",
            "rowhook rest_hooks_hook",
            "rowhook_inserts log"
        ]
    );
}
