//! A sender of a cluster: has some of the partitions, and delivers what is of them.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use anyhow::Result;
use futures_util::StreamExt;
use tokio::{sync::watch, time::timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::{
    beat::{self, Beat},
    cipher::{Keys, OpenCipher},
    dispatcher::named,
    keeper::Keeper,
    nats::Nats,
    parts::Parts,
    share::Common,
    subjects::Subjects,
};
use crate::{
    backoff::Backoff,
    config::{Cluster, Config},
    courier::{gate::SharedGates, quota::Quotas},
    delivery::memory_budget::MemoryBudget,
    history::History,
    lookup::permission::Permission,
    message::MessageKey,
    store::{Holder, Store},
};

/// The pauses between two tries of what needs the database.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
/// How long a stop waits until history is written, and as long again until the last spans are sent.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// How many earlier starts of readers are remembered.
const FORMER: usize = 16;

/// Sends until it is time to stop.
pub async fn run(config: Arc<Config>, cluster: Cluster, nats: Nats, parts: Parts) {
    let holder = Holder {
        slot: config.database.slot.clone(),
        name: "sender".to_owned(),
        partition: None,
    };
    let (store, writer) = Store::open(config.database.address.clone(), &config, holder);
    let writer = tokio::spawn(writer.in_current_span());
    let key = tokio::select! {
        key = key(&store) => key,
        () = parts.stop.cancelled() => return,
    };
    let history = Arc::new(History::new(config.history.clone()));
    let historian = {
        let (history, store) = (Arc::clone(&history), Arc::clone(&store));
        let writing = async move { history.keep_writing(&store).await };
        AbortOnDropHandle::new(tokio::spawn(writing.in_current_span()))
    };
    let sending = parts.traces.clone().map(|traces| {
        let sending = async move { traces.keep_sending().await };
        AbortOnDropHandle::new(tokio::spawn(sending.in_current_span()))
    });
    let keys = Keys::new(key, named(&cluster, &config));
    let subjects = Subjects::new(&cluster, &config);
    let (beat, beats) = watch::channel(Arc::new(Beat::default()));
    let hearing = hear(nats.clone(), subjects.beat(), keys.of_all("beat"), beat);
    let hearing = AbortOnDropHandle::new(tokio::spawn(hearing.in_current_span()));
    let memory = MemoryBudget::new(config.delivery.memory);
    let connections = parts.sender.connections();
    let common = Arc::new(Common {
        partitions: cluster.partitions,
        lease: cluster.lease,
        subjects,
        keys,
        store: Arc::clone(&store),
        beats,
        relief: watch::Sender::new(()),
        quotas: Arc::new(Quotas::new(&config.limits, connections, memory.clone())),
        gates: Arc::new(SharedGates::new(&config.limits)),
        permission: Arc::new(Permission::new(&config, Arc::clone(&parts.meters))),
        memory,
        sender: parts.sender,
        journal: parts.journal,
        meters: parts.meters,
        history: Arc::clone(&history),
        traces: parts.traces.clone(),
        config: Arc::clone(&config),
    });
    let keeper = Keeper {
        common: Arc::clone(&common),
        cluster,
        nats,
        host: host(),
        stop: parts.stop,
    };
    keeper.keep().await;
    drop((hearing, historian, common));
    if timeout(FLUSH_LIMIT, history.write_all(&store))
        .await
        .is_err()
    {
        tracing::warn!("the last of the history was not written in time");
    }
    if let Some(traces) = &parts.traces
        && timeout(FLUSH_LIMIT, traces.send()).await.is_err()
    {
        tracing::warn!("the last spans were not sent in time");
    }
    drop((sending, store));
    if timeout(FLUSH_LIMIT, writer).await.is_err() {
        tracing::warn!("not everything was parked in time; the reader hands it on again");
    }
}

/// The key of the cluster, as soon as the database has one: a reader makes rowhook's tables.
async fn key(store: &Store) -> MessageKey {
    let mut failures = 0;
    loop {
        let read: Result<MessageKey> = async {
            let key = store.message_key().await?;
            // A table that only a cluster has. An older rowhook may have made the others.
            store.sender_of(0).await?;
            Ok(key)
        }
        .await;
        match read {
            Ok(key) => return key,
            Err(error) => {
                failures += 1;
                if failures == 5 {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "rowhook's tables cannot be read yet; a reader of this version makes them, or rowhook setup"
                    );
                }
            }
        }
        tokio::time::sleep(PAUSES.pause(failures)).await;
    }
}

/// Hears the reader.
async fn hear(nats: Nats, subject: String, cipher: OpenCipher, beat: watch::Sender<Arc<Beat>>) {
    let client = nats.client().await;
    // Those of a reader that was overtaken are still on their way for a while, and must not be taken for new.
    let mut former: VecDeque<u64> = VecDeque::new();
    loop {
        let Ok(mut beats) = client.subscribe(subject.clone()).await else {
            tokio::time::sleep(PAUSES.pause(1)).await;
            continue;
        };
        while let Some(message) = beats.next().await {
            let Some(new) = beat::open::<Beat>(&cipher, &message.payload) else {
                continue;
            };
            let known = beat.borrow().session;
            if former.contains(&new.session) {
                continue;
            }
            if new.session != known {
                former.push_back(known);
                if former.len() > FORMER {
                    former.pop_front();
                }
            }
            beat.send_replace(Arc::new(new));
        }
    }
}

/// The name of this machine, as far as it can be part of a key.
fn host() -> String {
    let host = nix::unistd::gethostname().unwrap_or_default();
    let host = host.to_string_lossy();
    let host: String = host
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(40)
        .collect();
    match host.is_empty() {
        true => "rowhook".to_owned(),
        false => host,
    }
}
