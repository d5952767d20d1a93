//! Partitions change hands, and readers do: nothing is lost, nothing is sent twice where it ends in order.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use harness::{Receiver, connect};
use nix::sys::signal::Signal;
use tokio::{task::JoinHandle, time::interval};

use crate::{World, each_once};

/// How often a row is added: often enough that some are always on their way.
const OFTEN: Duration = Duration::from_millis(5);

/// Adds rows one after the other until it is stopped, and returns how many.
struct Writer {
    stop: Arc<AtomicBool>,
    task: JoinHandle<usize>,
}

impl Writer {
    async fn start(world: &World) -> Self {
        let client = connect(&world.database.url).await;
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let (mut rows, mut ticks) = (0, interval(OFTEN));
            while !stopped.load(Ordering::SeqCst) {
                ticks.tick().await;
                rows += 1;
                let sql = format!("insert into item values ({rows}, 0)");
                client.batch_execute(&sql).await.unwrap();
            }
            rows
        });
        Self { stop, task }
    }

    async fn stop(self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap()
    }
}

/// How many hooks hear each row.
const HOOKS: usize = 8;

/// Adds the hooks, all with the same endpoint.
async fn add_hooks(world: &World, receiver: &Receiver) {
    for _ in 0..HOOKS {
        world.database.hook(None, "item.*", &receiver.url()).await;
    }
}

/// Waits until every row has come to the endpoint of each hook, and everything is confirmed.
async fn until_all_came(world: &World, receiver: &Receiver, rows: usize) {
    let fact = format!("{rows} rows for {HOOKS} hooks");
    let all = |calls: &[harness::Call]| {
        let mut ids = crate::sent(calls);
        ids.dedup();
        ids.len() == rows * HOOKS
    };
    receiver.until(&fact, all).await;
    world.database.until_all_has_arrived().await;
}

// Whoever waits for a process to end blocks a thread, and the receiver has to answer meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_is_stopped_gives_back_what_it_has_and_nothing_is_sent_twice() {
    let world = World::new().await;
    let receiver = Receiver::start().await;
    let mut reader = world.only("read");
    reader.until_log("attached slot=").await;
    add_hooks(&world, &receiver).await;
    let (one, two) = (world.only("send"), world.only("send"));
    world.until_all_is_with(2).await;
    let writer = Writer::start(&world).await;
    receiver.expect(100).await;
    assert!(one.stop().success());
    world.until_all_is_with(1).await;
    // One that comes is given its share.
    let _three = world.only("send");
    world.until_all_is_with(2).await;
    let rows = writer.stop().await;
    until_all_came(&world, &receiver, rows).await;
    assert!(each_once(&receiver.calls()));
    assert!(two.stop().success());
}

#[tokio::test]
async fn others_take_over_from_a_sender_that_is_killed_or_frozen() {
    let world = World::quick().await;
    let receiver = Receiver::start().await;
    let mut reader = world.only("read");
    reader.until_log("attached slot=").await;
    add_hooks(&world, &receiver).await;
    let (killed, mut frozen, _stays) = (world.only("send"), world.only("send"), world.only("send"));
    world.until_all_is_with(3).await;
    let writer = Writer::start(&world).await;
    receiver.expect(100).await;
    killed.kill();
    world.until_all_is_with(2).await;
    frozen.signal(Signal::SIGSTOP);
    world.until_all_is_with(1).await;
    frozen.signal(Signal::SIGCONT);
    frozen.until_log("the lease of this sender is over").await;
    world.until_all_is_with(2).await;
    let rows = writer.stop().await;
    until_all_came(&world, &receiver, rows).await;
}

#[tokio::test]
async fn a_standby_sends_and_reads_when_the_reader_is_killed() {
    let world = World::quick().await;
    let receiver = Receiver::start().await;
    let mut reader = world.rowhook();
    reader.until_log("attached slot=").await;
    add_hooks(&world, &receiver).await;
    let mut standby = world.rowhook();
    standby.until_log("standing by").await;
    world.until_all_is_with(2).await;
    let writer = Writer::start(&world).await;
    receiver.expect(100).await;
    reader.kill();
    standby.until_log("attached slot=").await;
    world.until_all_is_with(1).await;
    let rows = writer.stop().await;
    until_all_came(&world, &receiver, rows).await;
}

// Whoever waits for a process to end blocks a thread, and the receiver has to answer meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_is_stopped_leaves_nothing_to_be_sent_twice() {
    let world = World::new().await;
    let receiver = Receiver::start().await;
    let mut reader = world.only("read");
    reader.until_log("attached slot=").await;
    add_hooks(&world, &receiver).await;
    let _sender = world.only("send");
    world.until_all_is_with(1).await;
    // One by one, since a transaction of which some is not read comes again.
    for row in 1..=100 {
        world.add(row, row).await;
    }
    receiver.expect(1).await;
    assert!(reader.stop().success());
    world.add(101, 200).await;
    let _next = world.only("read");
    until_all_came(&world, &receiver, 200).await;
    assert!(each_once(&receiver.calls()));
}
