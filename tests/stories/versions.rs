//! What a new user does on each version of Postgres, and what only some versions have.

use std::collections::BTreeMap;

use harness::{
    BOOK_EVENTS, Database, Ended, Receiver, Rowhook, rowhook, shared_cluster, shared_cluster_of,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// Everything in the catalog that setup could leave behind.
async fn traces(database: &Database) -> String {
    let made = [
        ("class", "oid::regclass || ' ' || relreplident::text"),
        ("namespace", "nspname"),
        ("proc", "oid::regprocedure"),
        ("type", "oid::regtype"),
        ("trigger", "tgname"),
        ("event_trigger", "evtname"),
        ("constraint", "conname"),
        ("publication", "pubname"),
        ("publication_rel", "prrelid::regclass"),
        ("default_acl", "defaclobjtype"),
        ("extension", "extname"),
    ];
    let mut all: Vec<String> = made
        .iter()
        .map(|(catalog, name)| {
            format!("select concat('{catalog} ', {name}) from pg_{catalog} where oid >= 16384")
        })
        .collect();
    all.push(
        "select 'slot ' || slot_name from pg_replication_slots where database = current_database()"
            .into(),
    );
    all.push("select 'column ' || attrelid::regclass || ' ' || attname from pg_attribute where attrelid >= 16384".into());
    all.push("select 'description ' || objoid from pg_description where objoid >= 16384".into());
    all.push("select 'lock ' || objid from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())".into());
    let sql = format!(
        "select string_agg(trace, e'\\n' order by trace collate \"C\") from ({}) as traces (trace)",
        all.join(" union all ")
    );
    database.ask(&sql).await
}

fn good(ended: &Ended) {
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
}

/// The hook of the file that hears everything, in the format `standard`.
fn all_to(receiver: &Receiver) -> String {
    format!(
        "[[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{}\"\npayload = \"standard\"\n",
        receiver.url()
    )
}

#[tokio::test]
async fn what_a_new_user_does_works_and_leaves_no_trace_in_the_catalog() {
    let database = Database::bookstore().await;
    database
        .sql(
            "create table log (line text);
             create table visit (id int, day date, primary key (id)) partition by range (id);
             create table visit_1 partition of visit for values from (0) to (100);
             create view titles as select title from book",
        )
        .await;
    let before = traces(&database).await;
    let receiver = Receiver::start().await;
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("made.toml");
    good(&rowhook(
        "",
        &["init", &database.url, "--config", made.to_str().unwrap()],
    ));
    let events = std::fs::read_to_string(made).unwrap();
    let (_, events) = events.split_once("[events]").unwrap();
    let config = database.config(&format!("[events]{events}\n{}", all_to(&receiver)));

    let version = database.version().await;
    let check = rowhook(&config, &["check"]);
    good(&check);
    assert!(
        check.out.contains(&format!("Postgres {version}.")),
        "{}",
        check.out
    );
    assert!(check.out.contains("not set up yet"), "{}", check.out);
    let mut running = Rowhook::start(&config);
    running.until_log("attached slot=").await;
    database
        .sql(
            "insert into book values (1, 7, 1, 'Dune', 9.5);
             update book set price = 8;
             delete from book;
             insert into log values ('a');
             insert into visit values (1, '2026-01-01');
             update visit set day = '2026-01-02'",
        )
        .await;
    let calls = receiver.expect(6).await;
    let told: Vec<Value> = calls
        .iter()
        .map(|call| call.json()["type"].clone())
        .collect();
    let mut told: Vec<&str> = told.iter().filter_map(Value::as_str).collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            "book.added",
            "book.changed",
            "book.removed",
            "log.added",
            "visit.added",
            "visit.changed"
        ]
    );
    let check = rowhook(&config, &["check"]);
    good(&check);
    assert!(check.out.contains("everything is set up"), "{}", check.out);
    good(&rowhook(&config, &["status"]));
    assert!(running.stop().success());
    good(&rowhook(&config, &["teardown", "--yes"]));

    assert_eq!(traces(&database).await, before);
}

/// The URL of `database` behind a server that calls itself this version.
async fn calling_itself(version: &'static str, database: &Database) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    let port = shared_cluster().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let (mut from_client, to_client) = client.into_split();
            let (from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { copy(&mut from_client, &mut to_server).await });
            tokio::spawn(pass_on(from_server, to_client, version));
        }
    });
    database
        .url
        .replace(&format!(":{port}/"), &format!(":{own}/"))
}

/// Passes on what the server says, with another version.
async fn pass_on(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    version: &str,
) -> std::io::Result<()> {
    const NAME: &[u8] = b"server_version\0";
    loop {
        let kind = server.read_u8().await?;
        let length = usize::try_from(server.read_u32().await?).unwrap() - 4;
        let mut body = vec![0; length];
        server.read_exact(&mut body).await?;
        if kind == b'S' && body.starts_with(NAME) {
            body = [NAME, version.as_bytes(), b"\0"].concat();
        }
        client.write_u8(kind).await?;
        client
            .write_u32(u32::try_from(body.len()).unwrap() + 4)
            .await?;
        client.write_all(&body).await?;
        if kind == b'Z' {
            return copy(&mut server, &mut client).await.map(drop);
        }
    }
}

// Commands block their thread, and the proxy has to go on beside them.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_before_14_is_refused_before_anything_is_made() {
    let database = Database::bookstore().await;
    let before = traces(&database).await;
    for version in ["13.22 (Debian 13.22-1)", "13beta2", "9.6.24"] {
        let url = calling_itself(version, &database).await;
        let config = database.config(BOOK_EVENTS).replace(&database.url, &url);
        for command in [
            &["setup"][..],
            &["setup", "--print"],
            &["run"],
            &["run", "--no-setup"],
            &["check"],
        ] {
            let ended = rowhook(&config, command);
            assert_eq!(ended.code, 1, "{command:?}: {}{}", ended.out, ended.err);
            let said = format!("{}{}", ended.out, ended.err);
            let wanted = format!("is version {version}, which is too old");
            assert!(said.contains(&wanted), "{command:?}: {said}");
            assert!(
                said.contains("rowhook needs Postgres 14 or newer"),
                "{said}"
            );
        }
    }
    assert_eq!(traces(&database).await, before);
    for version in ["14.0", "14.23 (Debian 14.23-1)"] {
        let url = calling_itself(version, &database).await;
        let config = database.config(BOOK_EVENTS).replace(&database.url, &url);
        good(&rowhook(&config, &["setup"]));
    }
}

/// The events of these tables, one for each action.
fn events_of(tables: &[&str]) -> String {
    let events = tables.iter().map(|table| {
        format!(
            "\"{table}.added\" = \"{table}.created\"\n\"{table}.changed\" = \"{table}.updated\"\n\
             \"{table}.removed\" = \"{table}.deleted\"\n"
        )
    });
    format!("[events]\n{}", events.collect::<String>())
}

/// What was told of each event, in order.
fn by_event(receiver: &Receiver) -> BTreeMap<String, Vec<Value>> {
    let mut told: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for call in receiver.calls() {
        let body = call.json();
        let event = body["type"].as_str().unwrap().to_owned();
        told.entry(event).or_default().push(body);
    }
    told
}

#[tokio::test]
async fn updates_go_on_where_a_stored_generated_column_is_in_the_replica_identity() {
    let database = Database::on(shared_cluster_of(18)).await;
    database
        .sql(
            "create table whole (id int primary key, user_id int, n int,
                                 total int generated always as (n * 10) stored);
             create table before (like whole including all);
             alter table before replica identity full;
             create table keyed (user_id int, n int, total int generated always as (n * 10) stored primary key);
             create table indexed (user_id int, n int,
                                   total int generated always as (n * 10) stored not null unique);
             alter table indexed replica identity using index indexed_total_key;
             create table sale (id int primary key, user_id int, n int,
                                total int generated always as (n * 10) stored) partition by range (id);
             create table sale_1 partition of sale for values from (0) to (100);
             -- What is told is decided by the partitioned table, and whether updates fail by the partition.
             alter table only sale replica identity full;
             alter table sale_1 replica identity full",
        )
        .await;
    let tables = ["whole", "before", "keyed", "indexed", "sale"];
    let receiver = Receiver::start().await;
    let config = database.config(&format!(
        "{}\n[tables.whole]\nidentity = \"full\"\n{}",
        events_of(&tables),
        all_to(&receiver)
    ));
    let mut running = Rowhook::start(&config);
    running.until_log("attached slot=").await;
    for table in tables {
        let id = if ["keyed", "indexed"].contains(&table) {
            ""
        } else {
            "1, "
        };
        database
            .sql(&format!(
                "insert into {table} values ({id}7, 2); update {table} set n = 3; delete from {table}"
            ))
            .await;
    }
    receiver.expect(15).await;
    let told = by_event(&receiver);
    for table in tables {
        let one = |event: &str| &told[&format!("{table}.{event}")][0];
        assert_eq!(one("added")["data"]["total"], 20, "{table}");
        assert_eq!(one("added")["unchanged"], json!([]), "{table}");
        assert_eq!(one("changed")["data"]["total"], 30, "{table}");
        assert_eq!(one("changed")["old"]["total"], 20, "{table}");
        assert_eq!(one("removed")["data"]["total"], 30, "{table}");
    }

    // The stream has it from its first row on.
    database
        .sql(
            "insert into whole values (1, 7, 2);
             alter table whole add column twice int generated always as (n * 2) stored;
             update whole set n = 4;
             delete from whole",
        )
        .await;
    receiver.expect(18).await;
    let told = by_event(&receiver);
    assert_eq!(told["whole.changed"][1]["data"]["twice"], 8);
    assert_eq!(told["whole.changed"][1]["old"]["twice"], 4);
    assert_eq!(told["whole.removed"][1]["data"]["twice"], 8);
    let check = rowhook(&config, &["check"]);
    good(&check);
    assert!(!check.out.contains("not in the stream"), "{}", check.out);
}

#[tokio::test]
async fn a_publication_from_before_gets_the_generated_columns() {
    let database = Database::on(shared_cluster_of(18)).await;
    database
        .sql("create table line (id int primary key, user_id int, n int, total int generated always as (n * 10) stored)")
        .await;
    let config = format!(
        "{}\n[tables.line]\nidentity = \"full\"\n",
        events_of(&["line"])
    );
    let config = database.config(&config);
    good(&rowhook(&config, &["setup"]));
    database
        .sql(
            "alter publication rowhook set (publish_generated_columns = none);
             alter publication rowhook_inserts set (publish_generated_columns = none)",
        )
        .await;
    let check = rowhook(&config, &["check"]);
    assert!(
        check.out.contains("has other options than it needs"),
        "{}",
        check.out
    );
    good(&rowhook(&config, &["setup"]));
    database
        .sql("insert into line values (1, 7, 2); update line set n = 3; delete from line")
        .await;
}

/// Waits until the table is in this publication of rowhook, and in no other.
async fn until_in(database: &Database, publication: &str, table: &str) {
    let sql = format!(
        "select coalesce(string_agg(pubname, ' '), '') = '{publication}' from pg_publication_rel
         join pg_publication p on p.oid = prpubid where prrelid = '{table}'::regclass"
    );
    database
        .until(&format!("{table} is in {publication}"), &sql)
        .await;
}

#[tokio::test]
async fn updates_go_on_where_a_table_has_a_virtual_column() {
    let database = Database::on(shared_cluster_of(18)).await;
    database
        .sql(
            "create table asked (id int primary key, user_id int, n int,
                                 total int generated always as (n * 10) virtual);
             create table already (like asked including all);
             alter table already replica identity full;
             create table later (id int primary key, user_id int, n int);
             create table shelf (id int primary key, user_id int);
             alter table shelf replica identity full;
             create table book (id int primary key, shelf_id int);
             create table sale (id int primary key, user_id int, n int,
                                total int generated always as (n * 10) virtual) partition by range (id);
             create table sale_1 partition of sale for values from (0) to (100);
             create table visit (like sale including all) partition by range (id);
             create table visit_1 partition of visit for values from (0) to (100);
             alter table visit_1 replica identity full",
        )
        .await;
    let receiver = Receiver::start().await;
    let config = database.config(&format!(
        "{}\n[tables.asked]\nidentity = \"full\"\ncolumns = [\"id\", \"total\"]\n\
         [tables.book]\nowner = \"shelf_id -> shelf.user_id\"\n[tables.later]\nidentity = \"full\"\n[tables.sale]\nidentity = \"full\"\n{}",
        events_of(&["asked", "already", "book", "later", "sale", "visit"]),
        all_to(&receiver)
    ));
    let mut running = Rowhook::start(&config);
    running.until_log("attached slot=").await;
    let cannot = "asked has the virtual generated column total, which cannot be published: \
                  it does not get identity = \"full\"";
    running.until_log("it does not get identity").await;
    for (publication, tables) in [
        ("rowhook", &["asked", "book", "later", "sale", "shelf"][..]),
        ("rowhook_inserts", &["already", "visit"]),
    ] {
        for table in tables {
            until_in(&database, publication, table).await;
        }
    }
    for table in ["asked", "already", "later", "sale", "visit"] {
        database
            .sql(&format!(
                "begin; insert into {table} values (1, 7, 2); update {table} set n = 4; update {table} set n = 5; commit"
            ))
            .await;
    }
    receiver.expect(11).await;
    let told = by_event(&receiver);
    let data = |event: &str| -> Vec<Value> {
        told[event]
            .iter()
            .map(|body| body["data"].clone())
            .collect()
    };
    assert_eq!(data("asked.added"), [json!({"id": 1, "total": 20})]);
    assert_eq!(
        data("asked.changed"),
        [json!({"id": 1, "total": 40}), json!({"id": 1, "total": 50})]
    );
    let totals = |event: &str| -> Vec<Value> {
        data(event)
            .iter()
            .map(|data| data["total"].clone())
            .collect()
    };
    assert_eq!(totals("already.added"), [20]);
    assert_eq!(totals("visit.added"), [20]);
    assert_eq!(totals("sale.added"), [20]);
    assert_eq!(totals("sale.changed"), [40, 50]);

    // One that comes while rowhook runs.
    database
        .sql("alter table later add column total int generated always as (n * 10) virtual")
        .await;
    until_in(&database, "rowhook_inserts", "later").await;
    database
        .sql("insert into shelf values (1, 7); alter table shelf add column code int generated always as (id) virtual")
        .await;
    until_in(&database, "", "shelf").await;
    // Its rows are asked for owners from then on.
    for (owner, calls) in [(8, 12), (9, 13)] {
        database
            .sql(&format!(
                "update shelf set user_id = {owner}; insert into book values ({owner}, 1)"
            ))
            .await;
        receiver.expect(calls).await;
        let told = by_event(&receiver);
        let last = told["book.added"].last().unwrap();
        assert_eq!(last["owner"], owner.to_string());
    }
    database
        .sql("update later set n = 6; insert into later values (2, 7, 3)")
        .await;
    receiver.expect(14).await;
    assert_eq!(by_event(&receiver)["later.added"][1]["data"]["total"], 30);

    let whole = "has the virtual generated column total, which cannot be published, and replica identity full: \
                 only its inserts are heard";
    let check = rowhook(&config, &["check"]);
    good(&check);
    let status = rowhook(&config, &["status"]);
    good(&status);
    for (name, said) in [
        ("check", &check.out),
        ("status", &status.out),
        ("log", &running.log()),
    ] {
        assert!(
            said.replace("\\\"", "\"").contains(cannot),
            "{name}: {said}"
        );
        for table in ["already", "later", "visit"] {
            assert!(said.contains(&format!("{table} {whole}")), "{name}: {said}");
        }
    }
    assert!(
        check
            .out
            .contains("run: alter table public.already replica identity default")
            || check
                .out
                .contains("run: alter table \"public\".\"already\" replica identity default"),
        "{}",
        check.out
    );

    // The remedy.
    database
        .sql("alter table already replica identity default")
        .await;
    until_in(&database, "rowhook", "already").await;
    database.sql("update already set n = 7").await;
    receiver.expect(15).await;
    assert_eq!(
        by_event(&receiver)["already.changed"][0]["data"]["total"],
        70
    );
}

#[tokio::test]
async fn identity_full_is_not_given_where_the_publication_of_another_would_make_updates_fail() {
    let database = Database::on(shared_cluster_of(18)).await;
    database
        .sql(
            "create table listed (id int primary key, user_id int, n int);
             create table stored (id int primary key, user_id int, n int,
                                  total int generated always as (n * 10) stored);
             create table free (id int primary key, user_id int, n int);
             create publication theirs for table listed (id, n), stored, free",
        )
        .await;
    let config = database.config(&format!(
        "{}\n[tables.listed]\nidentity = \"full\"\n[tables.stored]\nidentity = \"full\"\n[tables.free]\nidentity = \"full\"\n",
        events_of(&["listed", "stored", "free"])
    ));
    good(&rowhook(&config, &["setup"]));
    for table in ["listed", "stored", "free"] {
        database
            .sql(&format!(
                "insert into {table} values (1, 7, 2); update {table} set n = 3; delete from {table}"
            ))
            .await;
    }
    let identities =
        "select string_agg(relname || ' ' || relreplident::text, ', ' order by relname) from pg_class
                      where relname in ('listed', 'stored', 'free')";
    assert_eq!(database.ask(identities).await, "free f, listed d, stored d");
    let check = rowhook(&config, &["check"]);
    good(&check);
    for table in ["listed", "stored"] {
        let told = format!(
            "{table} is in the publication theirs, which has not all of its columns: it does not get"
        );
        assert!(check.out.contains(&told), "{}", check.out);
    }
}
