//! What goes wrong between the rowhooks of a cluster: nothing is lost, and a person is told what to do.

use std::time::Duration;

use harness::{Database, Nats, Receiver, Rowhook, rowhook, until_within};

use crate::World;

#[tokio::test]
async fn while_nats_is_gone_deliveries_are_parked_and_then_they_are_sent() {
    let mut world = World::quick().await;
    let receiver = Receiver::start().await;
    let mut both = world.rowhook();
    both.until_log("attached slot=").await;
    world.database.hook(None, "item.*", &receiver.url()).await;
    world.until_all_is_with(1).await;
    world.add(1, 1).await;
    receiver.expect(1).await;
    world.nats.kill(0);
    world.add(2, 50).await;
    let parked = "select count(*) = 49 from rowhook.delivery where state = 'parked'";
    world.database.until("all of it is parked", parked).await;
    world.database.until_all_is_confirmed().await;
    world.nats.start_again(0).await;
    receiver.expect(50).await;
    world.database.until_all_has_arrived().await;
    // What comes from now on is sent as it comes.
    world.add(51, 60).await;
    receiver.expect(60).await;
}

#[tokio::test]
async fn one_of_three_servers_may_be_lost() {
    let mut world = World::with(Nats::three().await, "").await;
    let receiver = Receiver::start().await;
    let mut both = world.rowhook();
    both.until_log("attached slot=").await;
    world.database.hook(None, "item.*", &receiver.url()).await;
    let _other = world.only("send");
    world.until_all_is_with(2).await;
    for number in 0..3 {
        let from = 1 + 20 * number as u64;
        world.add(from, from + 9).await;
        world.nats.kill(number);
        world.add(from + 10, from + 19).await;
        receiver
            .until("all rows", |calls| {
                let mut ids = crate::sent(calls);
                ids.dedup();
                ids.len() == 20 * (number + 1)
            })
            .await;
        world.nats.start_again(number).await;
    }
    world.database.until_all_has_arrived().await;
    world.until_all_is_with(2).await;
}

#[tokio::test]
async fn what_only_a_newer_rowhook_understands_is_handed_back_and_not_lost() {
    let world = World::new().await;
    let receiver = Receiver::start().await;
    let mut both = world.rowhook();
    both.until_log("attached slot=").await;
    let hook = world.database.hook(None, "item.*", &receiver.url()).await;
    world.until_all_is_with(1).await;
    world.add(1, 1).await;
    receiver.expect(1).await;
    let sql = format!("select rowhook.partition_of('{hook}', 64)");
    let partition = world.database.ask(&sql).await;
    let client = async_nats::connect(world.nats.urls()).await.unwrap();
    let subject = format!("rowhook-cluster.rowhook.to.{partition}");
    let mut newer = vec![0; 60];
    newer[0] = 255;
    client.publish(subject, newer.into()).await.unwrap();
    both.until_log("only a newer rowhook understands").await;
    world.add(2, 10).await;
    receiver.expect(10).await;
    world.database.until_all_has_arrived().await;
}

/// Waits until rowhook says this.
async fn says(config: &str, arguments: &[&str], text: &str) {
    let mut rowhook = Rowhook::start_with_args(config, arguments);
    rowhook.until_log(text).await;
}

#[tokio::test]
async fn what_is_wrong_with_nats_is_said_with_its_remedy() {
    let database = Database::bookstore().await;
    let events = "[events]\n\"book.added\" = \"book.created\"\n";
    let with = |cluster: String| database.config(&format!("{events}{cluster}"));
    // The tables are made by whoever reads.
    let made = rowhook(&database.config(events), &["setup"]);
    assert_eq!(made.code, 0, "{}", made.err);

    let nobody = with("\n[cluster]\nnats = \"nats://127.0.0.1:1\"\n".into());
    let unreachable = "[cluster] nats: none of nats://127.0.0.1:1 can be connected to";
    says(&nobody, &["run", "--only", "send"], unreachable).await;

    let plain = Nats::start_plain(1, Vec::new()).await;
    let no_jetstream = "has no JetStream; start it with --jetstream";
    says(
        &with(plain.section("")),
        &["run", "--only", "send"],
        no_jetstream,
    )
    .await;

    let guarded = Nats::start_with(1, &["--user", "me", "--pass", "secret"]).await;
    let let_in = "does not let rowhook in";
    says(
        &with(guarded.section("")),
        &["run", "--only", "send"],
        let_in,
    )
    .await;

    let nats = Nats::start().await;
    let client = async_nats::connect(nats.urls()).await.unwrap();
    let context = async_nats::jetstream::new(client);
    let other = async_nats::jetstream::kv::Config {
        bucket: "rowhook-cluster-taken".into(),
        history: 5,
        ..Default::default()
    };
    context.create_key_value(other).await.unwrap();
    let taken = "the stream KV_rowhook-cluster-taken is there with other settings";
    let config = with(nats.section("name = \"taken\""));
    says(&config, &["run", "--only", "send"], taken).await;

    let first = with(nats.section("partitions = 8"));
    let mut first = Rowhook::start_with_args(&first, &["run", "--only", "send"]);
    first.until_log("sends for the cluster").await;
    let differ = "[cluster] partitions is 9 here, and 8 at the others";
    says(
        &with(nats.section("partitions = 9")),
        &["run", "--only", "send"],
        differ,
    )
    .await;

    let alone = rowhook(&database.config(events), &["run", "--only", "send"]);
    assert_eq!(alone.code, 1);
    assert!(
        alone
            .err
            .contains("--only is for a cluster; add [cluster], or leave --only out"),
        "{}",
        alone.err
    );
}

#[tokio::test]
async fn bodies_and_secrets_do_not_cross_nats_in_the_clear() {
    use futures_util::StreamExt;

    let world = World::new().await;
    let receiver = Receiver::start().await;
    let client = async_nats::connect(world.nats.urls()).await.unwrap();
    let mut all = client.subscribe("rowhook-cluster.>").await.unwrap();
    client.flush().await.unwrap();
    let mut both = world.rowhook();
    both.until_log("attached slot=").await;
    world
        .database
        .sql("alter table item add column note text")
        .await;
    world.database.hook(None, "item.*", &receiver.url()).await;
    world
        .database
        .sql("insert into item values (1, 0, 'only for your eyes')")
        .await;
    let calls = receiver.expect(1).await;
    assert_eq!(calls[0].data()["note"], "only for your eyes");
    let secret = harness::SECRET.as_bytes();
    let mut heard = 0;
    let has = |text: &[u8], part: &[u8]| text.windows(part.len()).any(|window| window == part);
    let deadline = Duration::from_millis(500);
    while let Ok(Some(message)) = tokio::time::timeout(deadline, all.next()).await {
        heard += usize::from(message.subject.contains(".to."));
        for part in [b"only for your eyes", &secret[8..]] {
            assert!(!has(&message.payload, part), "{}", message.subject);
        }
        if heard > 200 {
            break;
        }
        if message.subject.ends_with(".reader") && heard >= 64 {
            break;
        }
    }
    assert!(heard > 0, "nothing was heard");
    until_within(harness::DEADLINE, "all is settled", async || {
        world
            .database
            .ask("select count(*) from rowhook.delivery")
            .await
            == "0"
    })
    .await;
}
