//! Deliveries are made by the senders of a cluster, and settled at its reader.

use futures_util::StreamExt;
use harness::Receiver;

use crate::{World, each_once};

#[tokio::test]
async fn one_reads_and_others_send() {
    let world = World::new().await;
    let receiver = Receiver::start().await;
    let mut reader = world.only("read");
    reader.until_log("attached slot=").await;
    for _ in 0..5 {
        world.database.hook(None, "item.*", &receiver.url()).await;
    }
    // Nobody sends yet, so this waits.
    world.add(1, 20).await;
    let (one, other) = (world.only("send"), world.only("send"));
    world.until_all_is_with(2).await;
    world.add(21, 40).await;
    receiver.expect(200).await;
    world.database.until_all_has_arrived().await;
    let calls = receiver.calls();
    assert!(
        calls.len() == 200 && each_once(&calls),
        "{} calls",
        calls.len()
    );
    assert!(reader.stop().success() && one.stop().success() && other.stop().success());
    let left = "select count(*) = 0 from rowhook.sender";
    world.database.until("no sender is on record", left).await;
}

#[tokio::test]
async fn a_delivery_crosses_nats_once_and_takes_little_more_than_its_body() {
    const ROWS: usize = 1000;
    let world = World::new().await;
    let receiver = Receiver::start().await;
    let client = async_nats::connect(world.nats.urls()).await.unwrap();
    let mut packets = client.subscribe("rowhook-cluster.*.to.*").await.unwrap();
    client.flush().await.unwrap();
    let mut both = world.rowhook();
    both.until_log("attached slot=").await;
    world.until_all_is_with(1).await;
    world.database.hook(None, "item.*", &receiver.url()).await;
    world.add(1, ROWS as u64).await;
    let calls = receiver.expect(ROWS).await;
    world.database.until_all_has_arrived().await;
    drop(both);
    // All that was published is there by now, and comes before the answer to this.
    client.flush().await.unwrap();
    packets.unsubscribe().await.unwrap();
    let mut crossed = 0;
    while let Some(packet) = packets.next().await {
        crossed += packet.payload.len();
    }
    let bodies: usize = calls.iter().map(|call| call.body.len()).sum();
    let beside = (crossed - bodies) / ROWS;
    println!("{bodies} bytes of bodies, and {beside} bytes beside each");
    assert!((50..400).contains(&beside), "{beside}");
}
