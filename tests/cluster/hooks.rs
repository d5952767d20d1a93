//! Hooks are exact from their commit, in a cluster too.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use harness::{Receiver, SECRET, ids};

use crate::World;

/// A cluster of one reader and two senders.
async fn cluster(world: &World) -> [harness::Rowhook; 3] {
    let mut reader = world.only("read");
    reader.until_log("attached slot=").await;
    let senders = [world.only("send"), world.only("send")];
    world.until_all_is_with(2).await;
    let [one, other] = senders;
    [reader, one, other]
}

#[tokio::test]
async fn a_hook_hears_from_its_commit_on_and_where_it_pointed_then() {
    let world = World::new().await;
    let (before, after) = (Receiver::start().await, Receiver::start().await);
    let _cluster = cluster(&world).await;
    for round in 0..10_i64 {
        let first = round * 10;
        let sql = format!(
            "begin; insert into item values ({first}, 0);
             insert into rowhook.hook (id, event, target, secret) overriding system value
             values ({round} + 1000, 'item.added', '{}', '{SECRET}');
             insert into item values ({first} + 1, 0);
             update rowhook.hook set target = '{}' where id = {round} + 1000;
             insert into item values ({first} + 2, 0);
             delete from rowhook.hook where id = {round} + 1000;
             insert into item values ({first} + 3, 0); commit",
            before.url(),
            after.url()
        );
        world.database.sql(&sql).await;
    }
    before.expect(10).await;
    after.expect(10).await;
    world.database.until_all_has_arrived().await;
    let expected = |place: i64| -> Vec<serde_json::Value> {
        (0..10).map(|round| (round * 10 + place).into()).collect()
    };
    assert_eq!(ids(&before.calls()), expected(1));
    assert_eq!(ids(&after.calls()), expected(2));
}

#[tokio::test]
async fn a_hook_whose_target_is_gone_is_quiet_at_once_and_goes_on_where_it_was() {
    let world = World::new().await;
    let is_gone = Arc::new(AtomicBool::new(true));
    let gone = Arc::clone(&is_gone);
    let leaving = Receiver::answering(move |_, _| match gone.load(Ordering::SeqCst) {
        true => 410,
        false => 200,
    })
    .await;
    let staying = Receiver::start().await;
    let cluster = cluster(&world).await;
    let hook = world.database.hook(None, "item.*", &leaving.url()).await;
    world.database.hook(None, "item.*", &staying.url()).await;
    world.add(1, 1).await;
    leaving.expect(1).await;
    let off = format!("select not active from rowhook.hook where id = {hook}");
    world.database.until("the hook is off", &off).await;
    world.add(2, 30).await;
    staying.expect(30).await;
    world.database.until_all_is_confirmed().await;
    assert_eq!(leaving.calls().len(), 1, "it is quiet");
    is_gone.store(false, Ordering::SeqCst);
    // Whoever has it by now knows what was kept.
    let [_reader, one, _other] = cluster;
    assert!(one.stop().success());
    world.until_all_is_with(1).await;
    let on = format!("update rowhook.hook set active = true where id = {hook}");
    world.database.sql(&on).await;
    leaving.expect(31).await;
    world.database.until_all_has_arrived().await;
    // One after the other in the row's own order, so the first is not among those that came later.
    let numbers: Vec<_> = leaving.calls()[1..]
        .iter()
        .map(|call| call.data()["id"].clone())
        .collect();
    assert_eq!(numbers.len(), 30);
}

#[tokio::test]
async fn what_waits_for_a_hook_is_never_sent_to_its_next_owner() {
    let world = World::with(
        harness::Nats::start().await,
        "\n[tables.item]\nowner = \"number\"\n",
    )
    .await;
    let refusing = Receiver::answering(|_, _| 500).await;
    let bens = Receiver::start().await;
    let _cluster = cluster(&world).await;
    let hook = world
        .database
        .hook(Some("7"), "item.*", &refusing.url())
        .await;
    world
        .database
        .sql("insert into item select id, 7 from generate_series(1, 10) as id")
        .await;
    refusing.expect(10).await;
    let sql = format!(
        "update rowhook.hook set owner = '8', target = '{}' where id = {hook}",
        bens.url()
    );
    world.database.sql(&sql).await;
    world.database.sql("insert into item values (100, 8)").await;
    bens.expect(1).await;
    let dead = "select count(*) = 10 from rowhook.delivery where state = 'dead'";
    world.database.until("all of anna's is dead", dead).await;
    world.database.until_all_has_arrived().await;
    assert_eq!(ids(&bens.calls()), [serde_json::json!(100)]);
}

#[tokio::test]
async fn a_body_that_is_larger_than_a_message_of_nats_arrives_whole() {
    let world = World::new().await;
    let receiver = Receiver::start().await;
    world
        .database
        .sql("alter table item add column note text")
        .await;
    let _cluster = cluster(&world).await;
    world.database.hook(None, "item.*", &receiver.url()).await;
    let sql = "insert into item select id, 0, repeat(md5(id::text), 100000) from generate_series(1, 5) as id";
    world.database.sql(sql).await;
    let calls = receiver.expect(5).await;
    for call in &calls {
        assert_eq!(call.data()["note"].as_str().unwrap().len(), 3_200_000);
    }
    world.database.until_all_has_arrived().await;
}

#[tokio::test]
async fn what_fails_is_tried_again_in_order_whoever_has_the_hook() {
    let mut world = World::quick().await;
    // None is attempted again before it is told to be, however long that takes.
    let retries = "retries = [\"1h\", \"1h\", \"1h\", \"1h\", \"1h\"]";
    let config = world.config.lines().map(|line| match line {
        line if line.starts_with("retries = ") => retries,
        line => line,
    });
    world.config = config.collect::<Vec<_>>().join("\n");
    let is_up = Arc::new(AtomicBool::new(false));
    let up = Arc::clone(&is_up);
    let receiver = Receiver::answering(move |_, _| match up.load(Ordering::SeqCst) {
        true => 200,
        false => 503,
    })
    .await;
    let cluster = cluster(&world).await;
    world.database.hook(None, "item.*", &receiver.url()).await;
    world.add(1, 3).await;
    for number in 1..20 {
        let sql = format!("update item set number = {number}");
        world.database.sql(&sql).await;
    }
    world.database.until_all_is_confirmed().await;
    let [_reader, one, _other] = cluster;
    one.kill();
    world.until_all_is_with(1).await;
    is_up.store(true, Ordering::SeqCst);
    let again = "update rowhook.delivery set next_attempt = now() where next_attempt is not null";
    world.database.sql(again).await;
    world.database.until_all_has_arrived().await;
    let calls = receiver.calls();
    for row in 1..=3 {
        let arrived = calls.iter().filter(|call| call.status == 200);
        let of_row = arrived.filter(|call| call.data()["id"] == row);
        let mut numbers: Vec<i64> = of_row
            .map(|call| call.data()["number"].as_i64().unwrap())
            .collect();
        numbers.dedup();
        assert_eq!(numbers, (0..20).collect::<Vec<i64>>(), "row {row}");
    }
}
