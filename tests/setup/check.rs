//! What `rowhook check` finds.

use std::sync::Arc;

use rowhook::{
    config::{Action, Columns, EventSource, HookColumns, OwnerRule, OwnerStep},
    expression::filter::Filter,
    postgres::{TableName, address::Host},
    setup::check::Level,
};

use crate::{
    bookstore::{Build, CLUSTER, bookstore, findings, set_up},
    hook_table::rest_hooks,
    queries::texts,
};

#[tokio::test]
async fn check_finds_nothing_wrong_after_setup() {
    let (client, config) = bookstore().await;
    client.batch_execute("alter table log add user_id text, add upper text generated always as (upper(line)) stored").await.unwrap();
    set_up(&config).await;
    client
        .batch_execute(
            "insert into rowhook.hook (event, target) values ('book.*', 'https://x.example')",
        )
        .await
        .unwrap();

    let found = findings(&config, Level::Ok).await;

    let version = texts(&client, "select current_setting('server_version')")
        .await
        .remove(0);
    let (slot, found): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|line| line.contains("the slot DATABASE"));
    assert!(
        slot[0].starts_with("Ok the slot DATABASE is read by nobody now, "),
        "{slot:?}"
    );
    // From 18 on, the stream has stored generated columns.
    let major: u32 = version.split('.').next().unwrap().parse().unwrap();
    let (computed, found): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|line| line.contains("is computed"));
    let note = "Note upper of log is computed, and not in the stream: it is computed again when an event needs it";
    let notes: &[&str] = if major < 18 { &[note] } else { &[] };
    assert_eq!(computed, notes);
    let found = found.join("\n").replace(&version, "VERSION");
    insta::assert_snapshot!(found, @r#"
    Ok connected to DATABASE as postgres, without TLS
    Ok a replication session can be opened
    Ok Postgres VERSION
    Ok wal_level is logical
    Note max_slot_wal_keep_size has no limit: while rowhook does not run, WAL piles up until the disk is full; watch the slot's lag, or set a limit, and lose the slot's events when it is passed
    Ok postgres may replicate
    Ok everything is set up
    Ok 1:1 rows of book are known by id
    Note 3:1 log has no replica identity: only its inserts are heard; give log a primary key, or identity = "full" under [tables.log]
    Ok 1 active hook in the table
    "#);
}

#[tokio::test]
async fn check_says_what_each_table_cannot_do_and_how_to_fix_it() {
    let (client, config) = bookstore().await;
    client
        .batch_execute(
            "create table shelf (room integer, place integer, user_id integer, primary key (room, place));
            create table note (id integer primary key, shelf_id integer)",
        )
        .await
        .unwrap();
    let mut config = config
        .event("log.changed", "log", Action::Updated)
        .event("book.discounted", "book", Action::Updated)
        .event("book.removed", "book", Action::Deleted)
        .event("note.added", "note", Action::Created)
        .rules("note", |rules| {
            let step = |table: &str, column: &str| OwnerStep {
                table: TableName::public(table),
                column: column.into(),
            };
            rules.owner = Some(OwnerRule {
                column: "shelf_di".into(),
                steps: vec![step("shelf", "user_id")],
            });
        })
        .rules("book", |rules| {
            rules.columns = Columns::Except(vec!["tilte".into()])
        });
    if let EventSource::Row { changed, when, .. } = &mut config.events[4].source {
        *changed = vec!["price".into(), "prize".into()];
        *when = Some(Arc::new(Filter::compile("new.price < old.price").unwrap()));
    }

    let found = findings(&config, Level::Warn).await;

    insta::assert_snapshot!(found.join("\n"), @r#"
    Fatal 100:1 note has no column shelf_di; did you mean shelf_id?
    Fatal 100:1 the owner of note is looked up in shelf by its primary key, which must be one column; give another owner to [tables.note]
    Fatal 100:1 book has no column tilte; did you mean title?
    Warn 3:1 rows of log have no owner, so log.written reaches only hooks without an owner; set owner under [tables.log], or write the event with a + for hooks of all owners
    Warn 4:1 log.changed never happens: log has no replica identity, so its updates and deletes are not heard; give log a primary key, or identity = "full" under [tables.log]
    Fatal 5:1 book has no column prize; did you mean price?
    Warn 5:1 book.discounted asks whether price changed, but the stream does not carry the old price of book; set identity = "full" under [tables.book]
    Warn 5:1 book.discounted looks at the old row, of which the stream carries only the key of book; set identity = "full" under [tables.book]
    Warn 6:1 the owner is unknown when book.removed happens: of a deleted row of book, the stream does not carry user_id; set identity = "full" under [tables.book]
    "#);
}

#[tokio::test]
async fn check_says_which_columns_the_hook_table_lacks() {
    let (client, mut config) = bookstore().await;
    client
        .batch_execute(
            "create table rest_hooks_hook (id serial primary key, user_id integer, event text, target text, headers_json text)",
        )
        .await
        .unwrap();
    let column = |name: &str| Some(name.to_owned());
    let mut hooks = rest_hooks();
    hooks.columns = HookColumns {
        owner: "usr_id".into(),
        secret: column("shared_secret"),
        signature: column("signature"),
        headers: column("header_json"),
        created: column("created"),
        ..hooks.columns
    };
    config.hook_table = Some(hooks);

    let found = findings(&config, Level::Fatal).await;

    insta::assert_snapshot!(found.join("\n"), @r#"
    Fatal 30:1 the hook table rest_hooks_hook has no column usr_id, which hook_table.owner names; did you mean user_id?
    Fatal 30:1 the hook table rest_hooks_hook has no column shared_secret, which hook_table.secret names
    Fatal 30:1 the hook table rest_hooks_hook has no column header_json, which hook_table.headers names; did you mean headers_json?
    Fatal 30:1 the hook table rest_hooks_hook has no column created, which hook_table.created names
    Fatal 30:1 the hook table rest_hooks_hook has no column signature, which hook_table.signature names
    "#);
}

#[tokio::test]
async fn check_says_which_hooks_never_work() {
    let (client, config) = bookstore().await;
    set_up(&config).await;
    client
        .batch_execute(
            "insert into rowhook.hook (event, target) values ('log.*', 'https://x.example'), ('book.added', 'http://x.example');
            update rowhook.hook set invalid = 'the filter has no end' where id = 2",
        )
        .await
        .unwrap();
    let mut config = config;
    config.events.truncate(2);
    set_up(&config).await;

    let found = findings(&config, Level::Warn).await;

    insta::assert_snapshot!(found.join("\n"), @r#"
    Warn hook 1 waits for log.*, which never happens; add it to [events], or correct the hook
    Warn the target of hook 2 is not called: it has no TLS; correct it, or allow it with allow_http or allow_networks under [delivery]
    Warn hook 2 cannot be used: the filter has no end; correct it, and it is looked at again
    "#);
}

#[tokio::test]
async fn check_names_what_a_weak_role_lacks() {
    let (client, mut config) = bookstore().await;
    client.batch_execute("create role feeble login; alter table log enable row level security; grant select on log to feeble").await.unwrap();
    config.database.address.user = "feeble".into();

    let found = findings(&config, Level::Warn).await;

    client
        .batch_execute("drop owned by feeble; drop role feeble")
        .await
        .unwrap();
    insta::assert_snapshot!(found.join("\n"), @r#"
    Fatal feeble may not create replication slots; run: alter role "feeble" replication (on RDS: grant rds_replication to it); it is needed to read the slot too
    Fatal feeble may not create schemas and publications in DATABASE; run: grant create on database "DATABASE" to "feeble", or let someone who may run the output of rowhook setup --print
    Fatal book belongs to postgres, and only its owner can publish it; run: grant "postgres" to "feeble", or let someone who may run the output of rowhook setup --print
    Fatal log belongs to postgres, and only its owner can publish it; run: grant "postgres" to "feeble", or let someone who may run the output of rowhook setup --print
    Warn 1:1 feeble may not read book: large values that an update left alone will be missing; run: grant select on "public"."book" to "feeble"
    Warn 3:1 row security hides rows of log from feeble: large values that an update left alone can be missing; run: alter role "feeble" bypassrls
    Warn 3:1 rows of log have no owner, so log.written reaches only hooks without an owner; set owner under [tables.log], or write the event with a + for hooks of all owners
    "#);
}

#[tokio::test]
async fn check_recognizes_a_pooler() {
    let pooler = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = pooler.local_addr().unwrap();
    let server = format!("127.0.0.1:{}", CLUSTER.port());
    tokio::spawn(async move {
        while let Ok((client, _)) = pooler.accept().await {
            let server = server.clone();
            tokio::spawn(async move { pool(client, &server).await });
        }
    });
    let (_client, mut config) = bookstore().await;
    let name = at.ip().to_string();
    let port = at.port();
    config.database.address.hosts = vec![Host::Tcp { name, port }];

    let found = findings(&config, Level::Warn).await;

    assert_eq!(
        found[0].replace(&at.to_string(), "HOST"),
        "Fatal HOST is a pooler, which cannot carry a replication session; give the server's own port in [database] url"
    );
}

/// Forwards ordinary sessions and refuses replication sessions, as PgBouncer does.
async fn pool(mut client: tokio::net::TcpStream, server: &str) -> std::io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
    let length = client.read_u32().await?;
    let mut startup = vec![0; length as usize - 4];
    client.read_exact(&mut startup).await?;
    if startup.windows(11).any(|word| word == b"replication") {
        let fields = b"SFATAL\0C08P01\0Munsupported startup parameter: replication\0\0";
        client.write_u8(b'E').await?;
        client.write_u32(fields.len() as u32 + 4).await?;
        return client.write_all(fields).await;
    }
    let mut server = tokio::net::TcpStream::connect(server).await?;
    server.write_u32(length).await?;
    server.write_all(&startup).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
