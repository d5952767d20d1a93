//! Deliveries are made by the senders of a cluster, and settled at its reader.

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
