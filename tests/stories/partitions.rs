//! Partitioned tables: rows that move between partitions, and what is known of the rows before.

use harness::{Call, Database, Receiver, Rowhook};
use serde_json::Value;

const VISIT: &str =
    "create table visit (id int, region text, user_id int, note text, primary key (id, region))
        partition by list (region);
    create table visit_a partition of visit for values in ('a', 'aa');
    create table visit_b partition of visit for values in ('b');
    create table visit_rest partition of visit default";

const EVENTS: &str = "[events]\n\"visit.made\" = \"visit.created+\"\n\"visit.changed\" = \"visit.updated+\"\n\
                      \"visit.gone\" = \"visit.deleted+\"\n";

/// Rowhook with `config`, and one hook that hears all events in order.
async fn listening(database: &Database, receiver: &Receiver, config: &str) -> Rowhook {
    let hook = format!(
        "[[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{}\"\npayload = \"standard\"\norder = \"hook\"\n",
        receiver.url()
    );
    database.rowhook(&format!("{config}{hook}")).await
}

/// The event, the row and the old row of each body, with these columns.
fn told(calls: &[Call], columns: &[&str]) -> Vec<String> {
    let row = |row: &Value| {
        let values = columns.iter().map(|column| match &row[column] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        match row {
            Value::Null => "-".to_owned(),
            _ => values.collect::<Vec<_>>().join(" "),
        }
    };
    let each = calls.iter().map(|call| {
        let body = call.json();
        let event = match &body["type"] {
            Value::String(event) => event.clone(),
            _ => call.event(),
        };
        format!("{event}: {} / {}", row(&body["data"]), row(&body["old"]))
    });
    each.collect()
}

#[tokio::test]
async fn a_row_that_moves_between_partitions_is_one_update() {
    let database = Database::new().await;
    database.sql(VISIT).await;
    let receiver = Receiver::start().await;
    let _rowhook = listening(&database, &receiver, EVENTS).await;
    database
        .sql(
            "insert into visit values (1, 'a', 7, 'x'), (2, 'a', 7, 'y'), (3, 'b', 7, 'z');
             update visit set region = 'b' where region = 'a';
             begin;
             update visit set region = 'c' where id = 3;
             savepoint s;
             update visit set region = 'a', user_id = 8 where id = 3;
             rollback to s;
             savepoint s;
             update visit set region = 'aa', user_id = 9 where id = 3;
             commit;
             delete from visit where id = 3",
        )
        .await;
    let calls = receiver.expect(8).await;
    assert_eq!(
        told(&calls, &["id", "region", "user_id"]),
        [
            "visit.made: 1 a 7 / -",
            "visit.made: 2 a 7 / -",
            "visit.made: 3 b 7 / -",
            "visit.changed: 1 b 7 / 1 a null",
            "visit.changed: 2 b 7 / 2 a null",
            "visit.changed: 3 c 7 / 3 b null",
            "visit.changed: 3 aa 9 / 3 c null",
            "visit.gone: 3 aa null / -",
        ]
    );
}

#[tokio::test]
async fn a_move_is_one_update_although_the_table_is_dropped_before_it_is_read() {
    let database = Database::new().await;
    database.sql(VISIT).await;
    let receiver = Receiver::start().await;
    let rowhook = listening(&database, &receiver, EVENTS).await;
    database
        .sql("insert into visit values (1, 'a', 7, 'x')")
        .await;
    receiver.expect(1).await;
    let noted = "select count(*) = 1 from rowhook.followed where division is not null";
    database.until("the partitions are noted", noted).await;
    database.until_all_is_confirmed().await;
    rowhook.kill();
    database.sql("update visit set region = 'b'").await;
    database.sql("drop table visit").await;
    let _rowhook = listening(&database, &receiver, EVENTS).await;
    database.until_all_has_arrived().await;
    let calls = receiver.expect(2).await;
    assert_eq!(
        told(&calls, &["id", "region", "user_id"]),
        ["visit.made: 1 a 7 / -", "visit.changed: 1 b 7 / 1 a null"]
    );
}

#[tokio::test]
async fn what_only_looks_like_a_move_is_a_deletion_and_an_insertion() {
    let database = Database::new().await;
    database
        .sql(&format!(
            "{VISIT};
             create table day (id int, day date, primary key (id, day)) partition by range (day);
             create table day_1 partition of day for values from ('2026-01-01') to ('2026-02-01');
             create table day_2 partition of day for values from ('2026-02-01') to ('2026-03-01');
             create table part (id int primary key, n int) partition by hash (id);
             create table part_0 partition of part for values with (modulus 2, remainder 0);
             create table part_1 partition of part for values with (modulus 2, remainder 1)"
        ))
        .await;
    let receiver = Receiver::start().await;
    let events = format!(
        "{EVENTS}\"day.made\" = \"day.created+\"\n\"day.changed\" = \"day.updated+\"\n\"day.gone\" = \"day.deleted+\"\n\
         \"part.changed\" = \"part.updated+\"\n\"part.gone\" = \"part.deleted+\"\n"
    );
    let _rowhook = listening(&database, &receiver, &events).await;
    database
        .sql(
            "insert into visit values (1, 'a', 7, 'x'), (2, 'a', 7, 'y');
             insert into day values (1, '2026-01-01');
             insert into part select n, n from generate_series(1, 8) as n",
        )
        .await;
    // The same row again, another row, one in the same partition, and one of which nothing is the same.
    database
        .sql(
            "begin; delete from visit where id = 1; insert into visit values (1, 'a', 8, 'x'); commit;
             begin; delete from visit where id = 2; insert into visit values (3, 'b', 8, 'x'); commit;
             begin; delete from day; insert into day values (1, '2026-01-02'); commit;
             begin; delete from part where id = 1; insert into part values (9, 9), (10, 10), (11, 11); commit",
        )
        .await;
    // This one is a move, and what is true of it is true of the row before too.
    database.sql("update day set day = '2026-02-02'").await;
    let calls = receiver.expect(11).await;
    assert_eq!(
        told(&calls, &["id", "region", "day"])[3..],
        [
            "visit.gone: 1 a null / -",
            "visit.made: 1 a null / -",
            "visit.gone: 2 a null / -",
            "visit.made: 3 b null / -",
            "day.gone: 1 null 2026-01-01 / -",
            "day.made: 1 null 2026-01-02 / -",
            "part.gone: 1 null null / -",
            "day.changed: 1 null 2026-02-02 / 1 null 2026-01-02",
        ]
    );
}

#[tokio::test]
async fn a_move_fires_no_other_event_and_keeps_the_order_of_its_row() {
    let database = Database::new().await;
    database.sql(VISIT).await;
    let receiver = Receiver::start().await;
    let events =
        "[events]\n\"visit.made\" = \"visit.created+\"\n\"visit.gone\" = \"visit.deleted+\"\n";
    let _rowhook = listening(&database, &receiver, events).await;
    database
        .sql(
            "insert into visit select n, 'a', 7 from generate_series(1, 3000) as n;
             update visit set region = 'b';
             update visit set region = case when id % 2 = 0 then 'a' else 'aa' end;
             insert into visit values (0, 'a', 7)",
        )
        .await;
    let calls = receiver.expect(3001).await;
    let last = calls.last().unwrap().json();
    assert_eq!(last["data"]["id"], 0);
    assert!(calls.iter().all(|call| call.json()["type"] == "visit.made"));
}

#[tokio::test]
async fn what_triggers_write_between_the_halves_of_a_move_does_not_divide_it() {
    let database = Database::new().await;
    database
        .sql(&format!(
            "{VISIT};
             create table note (id int generated always as identity primary key, what text);
             create function note() returns trigger language plpgsql as $$
                begin
                    insert into note (what) values (tg_when || ' ' || tg_op);
                    return case tg_op when 'DELETE' then old else new end;
                end $$;
             create trigger note before insert or update or delete on visit for each row execute function note();
             create trigger later after insert or update or delete on visit for each row execute function note()"
        ))
        .await;
    let receiver = Receiver::start().await;
    let events = format!("{EVENTS}\"note.made\" = \"note.created+\"\n");
    let _rowhook = listening(&database, &receiver, &events).await;
    database
        .sql(
            "insert into visit values (1, 'a', 7, 'x'); update visit set region = 'b', user_id = 8",
        )
        .await;
    let calls = receiver.until("the row has moved", |calls| {
        calls
            .iter()
            .any(|call| call.json()["type"] == "visit.changed")
    });
    let calls = calls.await;
    let visits = told(&calls, &["id", "region", "user_id"]);
    let visits = visits.iter().filter(|told| told.starts_with("visit"));
    assert_eq!(
        visits.collect::<Vec<_>>(),
        ["visit.made: 1 a 7 / -", "visit.changed: 1 b 8 / 1 a null"]
    );
    database.sql("delete from visit").await;
    receiver
        .until("the row is gone", |calls| {
            calls.iter().any(|call| call.json()["type"] == "visit.gone")
        })
        .await;
}

#[tokio::test]
async fn identity_full_holds_for_all_partitions_and_for_those_that_come_later() {
    let database = Database::new().await;
    database.sql(VISIT).await;
    let receiver = Receiver::start().await;
    let events = "[events]\n\"visit.changed\" = { on = \"visit.updated+\", changed = [\"note\"] }\n\
                  \"visit.moved\" = { on = \"visit.updated+\", when = \"new.region != old.region && old.note == 'y'\" }\n\
                  \"visit.gone\" = \"visit.deleted\"\n[tables.visit]\nidentity = \"full\"\n";
    let rowhook = listening(&database, &receiver, events).await;
    database
        .hook(
            Some("7"),
            "visit.gone",
            &format!("{}/owner", receiver.url()),
        )
        .await;
    database
        .sql(
            "insert into visit values (1, 'a', 7, 'x');
             update visit set user_id = 7;
             update visit set note = 'y';
             update visit set region = 'b';
             delete from visit",
        )
        .await;
    let calls = receiver.expect(4).await;
    let mut all = told(&calls, &["id", "region", "note"]);
    all.sort();
    // The owner of a deleted row is known, so this one's hook hears of it too.
    assert_eq!(
        all,
        [
            "visit.changed: 1 a y / 1 a x",
            "visit.gone: 1 b y / -",
            "visit.gone: 1 b y / -",
            "visit.moved: 1 b y / 1 a y",
        ]
    );
    let config = database.config(events);
    let told_by = harness::rowhook(&config, &["check"]);
    assert!(
        told_by
            .out
            .contains("visit: updates and deletes carry the whole old row"),
        "{told_by:?}"
    );
    // A partition that is new has the default identity at first. Then only the key is known, and nothing is made up.
    database
        .sql(
            "create table visit_new partition of visit for values in ('n');
             insert into visit values (2, 'n', 7, 'x');
             update visit set region = 'a' where id = 2",
        )
        .await;
    database
        .until(
            "the new partition has the identity too",
            "select relreplident = 'f' from pg_class where relname = 'visit_new'",
        )
        .await;
    database
        .sql("insert into visit values (3, 'n', 7, 'x'); update visit set note = 'y' where id = 3")
        .await;
    let calls = receiver
        .until("the change of the third row has come", |calls| {
            told(calls, &["id", "note"]).contains(&"visit.changed: 3 y / 3 x".to_owned())
        })
        .await;
    for call in calls {
        let body = call.json();
        if body["data"]["id"] == 2 && body["old"].is_object() {
            let old = body["old"].as_object().unwrap();
            assert!(old.get("note").is_none_or(|note| note == "x"), "{body}");
        }
    }
    assert!(rowhook.stop().success());
    let identities = "select string_agg(distinct relreplident::text, '') from pg_class where relname like 'visit%' and relkind in ('r', 'p')";
    assert_eq!(database.ask(identities).await, "f");
    let ended = harness::rowhook(&config, &["teardown", "--yes"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(database.ask(identities).await, "d");
}

/// Runs this. On Postgres 14, which tells an open stream nothing of it, waits until the stream is opened anew.
async fn with_new_stream_on_14(database: &Database, sql: &str) {
    let before = database.ask("select clock_timestamp()").await;
    database.sql(sql).await;
    let is_new = format!(
        "select current_setting('server_version_num')::int >= 150000 or exists (
            select
            from pg_replication_slots as slot
            join pg_stat_replication as stream on stream.pid = slot.active_pid
            where slot.slot_name = '{}' and stream.backend_start > '{before}' and stream.state = 'streaming'
        )",
        database.name
    );
    database.until("the stream is opened anew", &is_new).await;
}

#[tokio::test]
async fn partitions_that_are_attached_and_detached_are_heard_as_they_should_be() {
    let database = Database::new().await;
    database.sql(VISIT).await;
    let receiver = Receiver::start().await;
    let _rowhook = listening(&database, &receiver, EVENTS).await;
    // Written before it is attached: Postgres 14 remembers then that it is not published.
    database
        .sql(
            "create table visit_d (like visit including all);
             insert into visit_d values (1, 'd', 7, 'x');
             insert into visit values (2, 'a', 7, 'x')",
        )
        .await;
    receiver.expect(1).await;
    with_new_stream_on_14(
        &database,
        "alter table visit attach partition visit_d for values in ('d')",
    )
    .await;
    database
        .sql("update visit set note = 'y' where region = 'd'")
        .await;
    receiver.expect(2).await;
    with_new_stream_on_14(&database, "alter table visit detach partition visit_d").await;
    database
        .sql("update visit_d set note = 'z'; update visit set note = 'last'")
        .await;
    let calls = receiver.expect(3).await;
    assert_eq!(
        told(&calls, &["id", "region", "note"]),
        [
            "visit.made: 2 a x / -",
            "visit.changed: 1 d y / -",
            "visit.changed: 2 a last / -"
        ]
    );
}

#[tokio::test]
async fn a_partition_that_is_locked_holds_up_nobody() {
    let database = Database::new().await;
    database.sql(VISIT).await;
    database
        .sql("insert into visit values (1, 'a', 7, 'x'), (2, 'b', 7, 'x')")
        .await;
    let receiver = Receiver::start().await;
    let rowhook = listening(&database, &receiver, EVENTS).await;
    let migration = harness::connect(&database.url).await;
    migration
        .batch_execute("begin; lock table visit_b in access exclusive mode")
        .await
        .unwrap();
    // Which partition the rows are in cannot be asked now, since one of the conditions is that of the locked one.
    database
        .sql(
            "begin;
             delete from visit_a;
             insert into visit_rest values (1, 'c', 7, 'x');
             commit;
             update visit_rest set note = 'y'",
        )
        .await;
    let calls = receiver.expect(2).await;
    assert_eq!(
        told(&calls, &["id", "region", "note"]),
        [
            "visit.changed: 1 c x / 1 a null",
            "visit.changed: 1 c y / -"
        ]
    );
    assert!(
        !rowhook.log().contains("were not looked at"),
        "{}",
        rowhook.log()
    );
    migration.batch_execute("rollback").await.unwrap();
}
