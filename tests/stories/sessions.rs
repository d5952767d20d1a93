//! What server, database and role have set, and what others have made in the database, changes nothing of what rowhook
//! does in its sessions.

use harness::{BOOK_EVENTS, BOOKSTORE, Call, Database, Ended, Receiver, Rowhook, connect, rowhook};
use rowhook::demo::cluster::{Cluster, Stop};
use serde_json::{Value, json};

/// Succeeds, or shows what it said.
fn good(ended: &Ended) {
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
}

/// Makes functions and operators in `public` as somebody who waits for a superuser would: for each function that our SQL
/// calls, those whose arguments fit better than what Postgres has, and operators between types for which it has none.
/// Each counts that it was called, which no rollback takes back, and fails.
const TRAPS: &str = r#"
    create role mallory;
    grant create on schema public to mallory;
    create sequence traps;
    grant usage on sequence traps to public;
    set role mallory;
    -- The traps must not catch their maker.
    set search_path to pg_catalog;
    do $do$
    declare
        called record;
        ty text;
        trap text := $$ language plpgsql as 'begin perform nextval(''public.traps''); raise exception ''trapped''; end' $$;
        args text;
        pair record;
    begin
        for called in
            select distinct p.oid, p.proname, p.proretset
            from pg_proc as p
            where p.pronamespace = 'pg_catalog'::regnamespace
                and p.provariadic = 0
                and p.proname in (
                    'unnest', 'array_position', 'array_agg', 'string_agg', 'count', 'max', 'min', 'sum', 'bool_or',
                    'bool_and', 'lower', 'starts_with', 'left', 'length', 'octet_length', 'to_jsonb', 'to_regclass',
                    'row_to_json', 'jsonb_agg', 'jsonb_typeof', 'jsonb_populate_record', 'format_type', 'pg_has_role',
                    'has_table_privilege', 'has_schema_privilege', 'has_database_privilege', 'obj_description',
                    'pg_get_userbyid', 'row_security_active', 'pg_partition_tree', 'pg_partition_ancestors',
                    'current_setting', 'set_config', 'pg_advisory_lock', 'hashtextextended', 'array_to_string',
                    'cardinality', 'format', 'quote_ident', 'clock_timestamp', 'make_interval', 'aclexplode',
                    'pg_logical_emit_message', 'convert_to', 'pg_notify', 'pg_create_logical_replication_slot',
                    'pg_drop_replication_slot', 'pg_wal_lsn_diff'
                )
        loop
            foreach ty in array array['oid', 'text', 'int2', 'int4', 'int8', 'name', 'varchar', 'bool', '"char"'] loop
                select string_agg(
                    case
                        when a.typed in ('anyarray'::regtype, 'anycompatiblearray'::regtype) then ty || '[]'
                        when a.typed in (
                            'anyelement'::regtype, 'anynonarray'::regtype, '"any"'::regtype, 'anycompatible'::regtype,
                            'text'::regtype, 'name'::regtype, 'regclass'::regtype, 'oid'::regtype
                        ) then ty
                        else a.typed::regtype::text
                    end,
                    ', ' order by a.place
                )
                into args
                from pg_proc as p
                cross join lateral unnest(p.proargtypes::oid[]) with ordinality as a (typed, place)
                where p.oid = called.oid;
                begin
                    execute format(
                        'create function public.%I(%s) returns %s',
                        called.proname, args, case when called.proretset then 'setof text' else 'text' end
                    ) || trap;
                exception when others then null;
                end;
            end loop;
        end loop;
        for pair in
            select *
            from unnest(array['=', '<>', '<', '>', '<=', '>=', '||', '->>']) as operator (symbol)
            cross join unnest(array['varchar', 'text', 'name', 'oid', 'regclass', 'int2', 'int8', 'bpchar']) as one (l)
            cross join unnest(array['varchar', 'text', 'name', 'oid', 'regclass', 'int2', 'int8', 'bpchar']) as other (r)
        loop
            begin
                execute format('create function public.trap(%s, %s) returns boolean', pair.l, pair.r) || trap;
            exception when others then null;
            end;
            begin
                execute format(
                    'create operator public.%s (leftarg = %s, rightarg = %s, function = public.trap)',
                    pair.symbol, pair.l, pair.r
                );
            exception when others then null;
            end;
        end loop;
    end
    $do$;
    reset role;
"#;

/// Tables whose keys have no operator of their own in Postgres, so that another would be found.
const LIBRARY: &str = "
    create table shelf (code varchar(20) primary key, user_id varchar(20));
    create table book (
        id varchar(20) primary key,
        shelf_code varchar(20),
        title varchar,
        notes text,
        loud text generated always as (upper(notes)) stored
    );
    alter table book alter notes set storage external;
    insert into shelf values ('a', '7');
    insert into book values ('early', 'a', 'Emma', 'short');
";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_others_made_in_public_is_run_for_a_superuser() {
    let database = Database::new().await;
    database.sql(LIBRARY).await;
    database.sql(TRAPS).await;
    let made = "select count(*) > 300 from pg_proc where pronamespace = 'public'::regnamespace";
    assert_eq!(database.ask(made).await, "t");
    let receiver = Receiver::start().await;
    let config = database.config(&format!(
        "{BOOK_EVENTS}\"book.read\" = \"book.read\"\n\n[tables.book]\nowner = \"shelf_code -> shelf.user_id\"\nidentity = \"full\"\n"
    ));

    good(&rowhook(&config, &["setup", "--print"]));
    good(&rowhook(&config, &["setup"]));
    let check = rowhook(&config, &["check"]);
    assert_eq!(check.code, 0, "{}{}", check.out, check.err);
    let mut running = Rowhook::start(&config);
    running.until_log("attached slot=").await;
    let hook = database.hook(Some("7"), "book.*", &receiver.url()).await;
    database
        .sql("insert into public.book values ('late', 'a', 'Dune', repeat('long ', 1000))")
        .await;
    receiver.expect(1).await;
    database
        .sql("update public.book set title = 'Dune II' where id = 'late'::text")
        .await;
    let calls = receiver.expect(2).await;
    assert_eq!(calls[1].data()["loud"], json!("LONG ".repeat(1000)));
    database
        .sql("select rowhook.emit_row('public.book'::regclass, 'read'::text, 'late'::text)")
        .await;
    receiver.expect(3).await;
    good(&rowhook(&config, &["backfill", "book.added", &hook]));
    receiver.expect(5).await;
    receiver.answer(|_, _| 500);
    database
        .sql("update public.book set title = 'Dune III' where id = 'late'::text")
        .await;
    database
        .until(
            "it is parked",
            "select exists (select from rowhook.delivery)",
        )
        .await;
    for args in [
        &["status"][..],
        &["hooks", "list"],
        &["hooks", "show", &hook],
        &["hooks", "rotate", &hook],
        &["hooks", "disable", &hook],
        &["deliveries", "list"],
        &["events"],
        &["schema", "book.added"],
        &["explain", "book", "created", "--row", "{\"id\": \"late\"}"],
    ] {
        let ended = rowhook(&config, args);
        assert_eq!(ended.code, 0, "{args:?}: {}{}", ended.out, ended.err);
    }
    assert!(running.stop().success());
    good(&rowhook(&config, &["teardown", "--yes"]));

    let caught = "select is_called from public.traps";
    assert_eq!(database.ask(caught).await, "f");
    // They would have caught somebody who looks in public.
    database.sql("set search_path to public").await;
    let careless = database.client.batch_execute("select unnest('{1}'::oid[])");
    assert!(careless.await.is_err());
    assert_eq!(database.ask(caught).await, "t");
}

#[tokio::test]
async fn a_schema_in_which_others_may_create_is_refused() {
    let database = Database::bookstore().await;
    let config = database.config(BOOK_EVENTS);
    good(&rowhook(&config, &["setup"]));
    database
        .sql("create role intruder; grant create on schema rowhook to intruder, public")
        .await;

    for args in [
        &["check"][..],
        &["setup"],
        &["run"],
        &["status"],
        &["hooks", "list"],
    ] {
        let ended = rowhook(&config, args);
        let said = format!("{}{}", ended.out, ended.err);
        assert_eq!(ended.code, 1, "{args:?}: {said}");
        for part in [
            "intruder, every role may create in the schema rowhook",
            "revoke create on schema \"rowhook\" from \"intruder\", public",
        ] {
            assert!(said.contains(part), "{args:?}: {said}");
        }
    }

    database
        .sql("revoke create on schema rowhook from intruder, public; drop role intruder")
        .await;
    good(&rowhook(&config, &["check"]));
}

/// Settings that somebody may have made for an application, each of which would stop us or falsify what we send.
const HOSTILE: &str = r"
    alter database NAME set search_path = pg_temp, public;
    alter database NAME set standard_conforming_strings = off;
    alter database NAME set plpgsql.extra_errors = 'all';
    alter database NAME set default_transaction_read_only = on;
    alter database NAME set default_transaction_isolation = 'serializable';
    alter database NAME set statement_timeout = '1ms';
    alter database NAME set lock_timeout = '1ms';
    alter database NAME set idle_session_timeout = '300ms';
    alter database NAME set idle_in_transaction_session_timeout = '1ms';
    alter database NAME set client_encoding = 'LATIN1';
    alter database NAME set datestyle = 'German';
    alter database NAME set synchronous_commit = off;
    alter database NAME set transform_null_equals = on;
";

#[tokio::test(flavor = "multi_thread")]
async fn the_settings_of_a_database_are_those_of_its_applications() {
    let database = Database::new().await;
    // An extension for a key whose operators are where the extension is.
    database
        .sql(
            "create extension ltree;
            create table topic (path ltree primary key, title text, at timestamptz, notes text);
            alter table topic alter notes set storage external",
        )
        .await;
    database.sql(&HOSTILE.replace("NAME", &database.name)).await;
    let receiver = Receiver::start().await;
    let config = database.config(
        "[events]\n\"topic.added\" = \"topic.created\"\n\"topic.changed\" = \"topic.updated\"\n\"topic.read\" = \"topic.read\"\n",
    );

    good(&rowhook(&config, &["setup"]));
    good(&rowhook(&config, &["check"]));
    let mut running = Rowhook::start(&config);
    running.until_log("attached slot=").await;
    let hook = database.hook(None, "topic.*", &receiver.url()).await;
    database
        .sql("insert into topic values ('Top.Science', 'naïve', '2024-05-01 12:00+02', repeat('long ', 1000))")
        .await;
    database
        .sql("update topic set title = 'O''Reilly \\ co'")
        .await;
    let calls = receiver.expect(2).await;
    assert_eq!(calls[0].data()["title"], json!("naïve"));
    assert_eq!(calls[0].data()["at"], json!("2024-05-01T10:00:00+00:00"));
    assert_eq!(calls[1].data()["notes"], json!("long ".repeat(1000)));
    // The application's own settings: a hook is made, and an action fired, with backslashes that escape.
    let application = connect(&database.url).await;
    application
        .batch_execute("set default_transaction_read_only = off; set statement_timeout = 0; set search_path = public")
        .await
        .unwrap();
    for emit in [
        "select rowhook.emit_row('topic', 'read', 'Top.Science')",
        "select rowhook.emit_row('topic', 'read', 'Top.Science'::ltree)",
    ] {
        application.batch_execute(emit).await.unwrap();
    }
    let calls = receiver.expect(4).await;
    assert_eq!(calls[3].data()["path"], json!("Top.Science"));
    good(&rowhook(&config, &["backfill", "topic.added", &hook]));
    receiver.expect(5).await;
    for args in [
        &["status"][..],
        &["hooks", "list"],
        &[
            "trigger",
            "topic.added",
            &receiver.url(),
            "--key",
            "Top.Science",
        ],
    ] {
        good(&rowhook(&config, args));
    }
    assert!(running.stop().success());
    good(&rowhook(&config, &["teardown", "--yes"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_survives_a_crash_of_a_server_that_commits_asynchronously() {
    let settings = ["synchronous_commit=off", "wal_writer_delay=10000"];
    let mut cluster = Cluster::start(&settings).unwrap();
    let database = Database::on(&cluster).await;
    database.sql(BOOKSTORE).await;
    let receiver = Receiver::answering(|_, _| 500).await;
    let config = format!(
        "{BOOK_EVENTS}\n[[hooks]]\nname = \"all\"\nevents = [\"*\"]\nretries = [\"1h\"]\ntarget = \"{}\"\n",
        receiver.url()
    );
    let rowhook = database.rowhook(&config).await;
    database
        .sql("set synchronous_commit = on; insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    let parked = "select exists (select from rowhook.delivery)";
    database.until("it is parked", parked).await;
    let name = &database.name;
    let at_the_slot = format!(
        "select p.confirmed >= s.confirmed_flush_lsn from rowhook.progress as p
        join pg_replication_slots as s on s.slot_name = p.slot where p.slot = '{name}'"
    );
    database.until("that is noted", &at_the_slot).await;

    cluster.stop(Stop::Immediate).unwrap();
    rowhook.kill();
    cluster.start_again().unwrap();

    let again = connect(&database.url).await;
    let row = again.query_one(parked, &[]).await.unwrap();
    assert!(row.get::<_, bool>(0), "the parked delivery is gone");
    let mut rowhook = Rowhook::start(&database.config(&config));
    rowhook.until_log("attached slot=").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_never_wait_for_rowhook_as_for_a_standby() {
    let cluster = Cluster::start(&[]).unwrap();
    let database = Database::on(&cluster).await;
    database.sql(BOOKSTORE).await;
    let receiver = Receiver::start().await;
    let config = database.config(&format!(
        "{BOOK_EVENTS}\n[[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{}\"\n",
        receiver.url()
    ));
    // The story's own commits wait for nobody.
    database.sql("set synchronous_commit = local").await;
    let standbys = async |names: &str| {
        let set = format!("alter system set synchronous_standby_names = '{names}'");
        database.sql(&set).await;
        database.sql("select pg_reload_conf()").await;
        let shown = format!("select current_setting('synchronous_standby_names') = '{names}'");
        database.until("the setting is in force", &shown).await;
    };
    let read = async |by: &str| {
        let held = format!(
            "select active = {by} from pg_replication_slots where slot_name = '{}'",
            database.name
        );
        database
            .until(&format!("the slot is read: {by}"), &held)
            .await;
    };

    standbys("FIRST 1 (s1, \"RowHook\")").await;
    let mut running = Rowhook::start(&config);
    running
        .until_log("as for a standby; name the standbys in it")
        .await;
    let check = rowhook(&config, &["check"]);
    assert!(
        check.code == 1 && check.out.contains("as for a standby"),
        "{}",
        check.out
    );

    // A standby that is missing: only commits that want to wait for it do.
    standbys("s1").await;
    running.until_log("attached slot=").await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    receiver.expect(1).await;
    database.until_all_is_confirmed().await;

    standbys("*").await;
    read("false").await;
    database
        .sql("insert into book values (2, 7, 1, 'Emma', 9)")
        .await;
    standbys("").await;
    read("true").await;
    let calls = receiver.expect(2).await;
    assert_eq!(calls[1].data()["title"], json!("Emma"));
}

/// A database of this encoding.
async fn encoded(cluster: &Cluster, encoding: &str) -> Database {
    let plain = Database::on(cluster).await;
    let name = format!("in_{}", encoding.to_lowercase());
    plain
        .sql(&format!(
            "create database {name} encoding '{encoding}' locale 'C' template template0"
        ))
        .await;
    let url = cluster.url(&name);
    Database {
        client: connect(&url).await,
        name,
        url,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_utf_8_whatever_the_encoding_of_the_database() {
    let cluster = Cluster::start(&[]).unwrap();
    for (encoding, title) in [
        ("LATIN1", "naïve é"),
        ("WIN1252", "naïve “Œuvre” €"),
        ("EUC_JP", "日本語"),
        ("SQL_ASCII", "naïve 日本 🎉"),
    ] {
        let database = encoded(&cluster, encoding).await;
        database.sql("set client_encoding = 'UTF8'").await;
        database.sql(BOOKSTORE).await;
        let receiver = Receiver::start().await;
        let config = database.config(&format!(
            "{BOOK_EVENTS}\"book.read\" = \"book.read\"\n\"user.named\" = \"custom\"\n\n[[hooks]]\nname = \"all\"\nevents = [\"*\"]\nheaders = {{ \"x-key\" = \"hidden\" }}\ntarget = \"{}\"\n",
            receiver.url()
        ));
        good(&rowhook(&config, &["setup"]));
        good(&rowhook(&config, &["check"]));
        let mut running = Rowhook::start(&config);
        running.until_log("attached slot=").await;

        database
            .sql(&format!("insert into book values (1, 7, 1, '{title}', 9)"))
            .await;
        receiver.expect(1).await;
        database
            .sql("select rowhook.emit_row('book', 'read', 1)")
            .await;
        receiver.expect(2).await;
        database
            .sql(&format!(
                "select rowhook.emit('user.named', jsonb_build_object('title', '{title}'::text), '{title}')"
            ))
            .await;
        receiver.expect(3).await;
        good(&rowhook(&config, &["backfill", "book.added", "all"]));
        let calls = receiver.expect(4).await;
        let titles: Vec<Value> = calls.iter().map(title_of).collect();
        assert_eq!(titles, vec![json!(title); 4], "{encoding}");

        // What endpoints answer, and what we say of it, is kept as well as the encoding can.
        database
            .until(
                "history is written",
                "select count(*) >= 4 from rowhook.attempt",
            )
            .await;
        let id = database.hook(None, "book.*", &receiver.url()).await;
        database
            .sql(&format!(
                "update rowhook.hook set filter = 'new.titel == \"{title}\"' where id = {id}"
            ))
            .await;
        let marked = "select invalid is not null from rowhook.hook";
        database.until("the hook is marked", marked).await;
        assert!(running.stop().success());
        good(&rowhook(&config, &["teardown", "--yes"]));
    }
}

fn title_of(call: &Call) -> Value {
    call.data()["title"].clone()
}

#[tokio::test]
async fn hooks_that_row_security_hides_are_told_and_not_left_out() {
    let database = Database::bookstore().await;
    let (name, role) = (&database.name, format!("keeper_of_{}", database.name));
    database
        .sql(&format!(
            "create role {role} login replication;
            grant create on database {name} to {role};
            grant create on schema public to {role};
            alter table book owner to {role};
            alter table shelf owner to {role};
            create table webhook (id int primary key, user_id text, event text, target text);
            alter table webhook owner to {role}"
        ))
        .await;
    let config = database.config(&format!(
        "{BOOK_EVENTS}\n[hook_table]\ntable = \"webhook\"\nid = \"id\"\nowner = \"user_id\"\nevent = \"event\"\ntarget = \"target\"\n"
    ));
    let config = config.replace("postgres@", &format!("{role}@"));
    good(&rowhook(&config, &["setup"]));
    good(&rowhook(&config, &["check"]));
    database
        .sql("alter table webhook enable row level security; alter table webhook force row level security")
        .await;

    for args in [&["check"][..], &["run"], &["run", "--no-setup"], &["setup"]] {
        let ended = rowhook(&config, args);
        let said = format!("{}{}", ended.out, ended.err);
        assert_eq!(ended.code, 1, "{args:?}: {said}");
        for part in [
            format!("row security hides hooks in webhook from {role}"),
            format!("alter role \"{role}\" bypassrls"),
        ] {
            assert!(said.contains(&part), "{args:?}: {said}");
        }
    }
    let list = rowhook(&config, &["hooks", "list"]);
    assert!(
        list.code == 1
            && list
                .err
                .contains("row-level security policy for table \"webhook\""),
        "{}{}",
        list.out,
        list.err
    );

    database.sql(&format!("alter role {role} bypassrls")).await;
    good(&rowhook(&config, &["check"]));
    good(&rowhook(&config, &["teardown", "--yes"]));
    database
        .sql(&format!("drop owned by {role}; drop role {role}"))
        .await;
}
