//! Which partitions a sender has. It says in the bucket that it is there, takes what nobody has up to its fair share,
//! and ends all at once when it cannot be sure any more that nobody else does.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use async_nats::{
    Client,
    jetstream::kv::{CreateErrorKind, Store as Bucket, UpdateErrorKind, Watch},
};
use futures_util::{StreamExt, stream};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::Instrument;

use super::{
    fair::View,
    lease::{Agreed, LEAVING, SETTINGS, STAYING, Seen, partition_key, sender_key},
    nats::{Error, Nats, bucket},
    share::{Common, Ended, Share},
};
use crate::{
    backoff::Backoff, config::Cluster, courier::tenure::Tenure, meters::Going, store::Holder,
};

/// How many times a lease is renewed while it lasts.
const RENEWALS: u32 = 4;
/// By which part of it a sender stops before its lease ends, so that nothing of it is on its way then.
const MARGIN: u32 = 6;
/// All keys. Unlike a watch of what comes, one with history begins with all that is there.
const ALL: &str = ">";
/// How many partitions are taken beside each other.
const AT_ONCE: usize = 16;
/// The pauses before a sender begins anew.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
/// For how long a partition is left to others of which only a newer rowhook understands what is said.
const LEFT_ALONE: Duration = Duration::from_secs(5);
/// How often a sender says in the database that it is there.
const NOTE: Duration = Duration::from_secs(10);
/// How much longer than the grace period a stop takes at most.
const LEAVE: Duration = Duration::from_secs(2);

/// Keeps partitions for a sender.
pub(super) struct Keeper {
    pub(super) common: Arc<Common>,
    pub(super) cluster: Cluster,
    pub(super) nats: Nats,
    /// The name of this machine.
    pub(super) host: String,
    /// Cancelled when it is time to stop.
    pub(super) stop: CancellationToken,
}

/// How long a sender was one.
enum Over {
    /// It was time to stop, and everything is given back.
    Stopped,
    /// It begins anew under another name.
    Lost,
}

impl Keeper {
    /// Sends for the cluster until it is time to stop, and everything is given back.
    pub(super) async fn keep(self) {
        let (mut failures, mut told) = (0, None);
        loop {
            let client = tokio::select! {
                client = self.nats.client() => client,
                () = self.stop.cancelled() => return,
            };
            match self.once(client).await {
                Ok(Over::Stopped) => return,
                Ok(Over::Lost) => {
                    (failures, told) = (0, None);
                    tracing::warn!("the lease of this sender is over; it begins anew");
                }
                Err(error) => {
                    failures += 1;
                    if told.as_ref() != Some(&error) {
                        tracing::error!("{error} (said once; it is tried again)");
                        told = Some(error);
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSES.pause(failures)) => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// From the first lease to its end.
    async fn once(&self, client: Client) -> Result<Over, Error> {
        let subjects = &self.common.subjects;
        let bucket = bucket(&client, &self.cluster, &subjects.bucket).await?;
        self.agree(&bucket).await?;
        let name = format!("{}-{:08x}", self.host, rand::random::<u32>());
        let began = Instant::now();
        let key = sender_key(&name);
        let revision = bucket.create(&key, STAYING.into()).await;
        let revision =
            revision.map_err(|error| self.refused("to say that a sender is there", &error))?;
        let watch = bucket.watch_with_history(ALL).await;
        let watch = watch.map_err(|error| self.refused("to watch the bucket", &error))?;
        let tenure = Arc::new(Tenure::new(self.until(began)));
        let (ended, has_ended) = mpsc::unbounded_channel();
        let term = Term {
            keeper: self,
            client,
            bucket,
            name,
            revision,
            tenure: Arc::clone(&tenure),
            seen: Seen::default(),
            shares: HashMap::new(),
            left_alone: BTreeMap::new(),
            is_leaving: false,
            is_doubtful: false,
            ended,
        };
        // Whatever the term is waiting for, it ends in time.
        let watching = Arc::clone(&tenure);
        let _watchdog = AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                sleep_until(watching.until()).await;
                if watching.has_ended() {
                    return watching.end();
                }
            }
        }));
        tracing::info!(sender = term.name, "sends for the cluster");
        let noting = self.note(term.name.clone());
        let _noting = AbortOnDropHandle::new(tokio::spawn(noting.in_current_span()));
        Ok(term.serve(watch, has_ended).await)
    }

    /// Until when a lease lasts that was renewed at this moment.
    fn until(&self, renewed: Instant) -> Instant {
        let lease = self.common.lease;
        renewed + lease - lease / MARGIN
    }

    fn refused(&self, doing: &'static str, error: &dyn std::error::Error) -> Error {
        let source = error.source().map(|source| format!(": {source}"));
        Error::Refused {
            doing,
            bucket: self.common.subjects.bucket.clone(),
            reason: format!("{error}{}", source.unwrap_or_default()),
        }
    }

    /// Checks that all have as many partitions as we do.
    async fn agree(&self, bucket: &Bucket) -> Result<(), Error> {
        let ours = Agreed {
            partitions: self.common.partitions,
        };
        let value = serde_json::to_vec(&ours).expect("numbers are JSON");
        match bucket.create(SETTINGS, value.into()).await {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {}
            Err(error) => return Err(self.refused("to write into the bucket", &error)),
        }
        let theirs = bucket.get(SETTINGS).await;
        let theirs = theirs.map_err(|error| self.refused("to read the bucket", &error))?;
        let theirs: Option<Agreed> = theirs.and_then(|theirs| serde_json::from_slice(&theirs).ok());
        match theirs {
            Some(theirs) if theirs != ours => Err(Error::OtherPartitions {
                bucket: self.common.subjects.bucket.clone(),
                ours: ours.partitions,
                theirs: theirs.partitions,
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Says in the database that the sender is there, for people who look.
    fn note(&self, name: String) -> impl Future<Output = ()> + Send + use<> {
        let (common, host) = (Arc::clone(&self.common), self.host.clone());
        async move {
            let mut ticks = interval(NOTE);
            loop {
                ticks.tick().await;
                if let Err(error) = common.store.note_sender(&name, &host).await {
                    tracing::debug!(error = format!("{error:#}"), "not noted; tried again");
                }
            }
        }
    }
}

/// The time of a sender under one name.
struct Term<'a> {
    keeper: &'a Keeper,
    client: Client,
    bucket: Bucket,
    name: String,
    /// That of our own entry.
    revision: u64,
    tenure: Arc<Tenure>,
    seen: Seen,
    shares: HashMap<u32, Held>,
    /// The partitions that are left to others, and until when.
    left_alone: BTreeMap<u32, Instant>,
    is_leaving: bool,
    /// What was seen of the bucket is not what is there.
    is_doubtful: bool,
    /// Told of shares that have ended.
    ended: mpsc::UnboundedSender<(u32, Ended)>,
}

/// A partition that we have.
struct Held {
    revision: u64,
    stop: CancellationToken,
    _counted: Going,
    _task: AbortOnDropHandle<()>,
}

impl Term<'_> {
    async fn serve(
        mut self,
        mut watch: Watch,
        mut has_ended: mpsc::UnboundedReceiver<(u32, Ended)>,
    ) -> Over {
        let lease = self.keeper.common.lease;
        let mut ticks = interval(lease / RENEWALS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut give_up_at = None;
        loop {
            tokio::select! {
                () = self.tenure.ended() => break,
                _ = ticks.tick() => {
                    if !self.renew().await {
                        break;
                    }
                    self.bury_silent().await;
                    if self.is_doubtful {
                        self.look_again(&mut watch).await;
                    }
                }
                entry = watch.next() => match entry {
                    Some(Ok(entry)) => self.seen.take(&entry, Instant::now()),
                    // What is seen from now on begins with all that is there.
                    Some(Err(_)) | None => {
                        self.is_doubtful = true;
                        // Not more often than the lease is renewed.
                        tokio::time::sleep(lease / RENEWALS / 4).await;
                        self.look_again(&mut watch).await;
                    }
                },
                Some((number, ended)) = has_ended.recv() => self.has_ended(number, ended).await,
                () = self.keeper.stop.cancelled(), if !self.is_leaving => {
                    self.is_leaving = true;
                    let grace = self.keeper.common.config.delivery.grace;
                    give_up_at = Some(Instant::now() + grace + LEAVE);
                    if !self.renew().await {
                        break;
                    }
                }
            }
            if self.is_leaving {
                let is_late = give_up_at.is_some_and(|at| Instant::now() >= at);
                if self.shares.is_empty() || is_late {
                    self.tenure.end();
                    self.leave().await;
                    return Over::Stopped;
                }
            }
            self.spread().await;
        }
        // All that is on its way ends before anybody else can have it.
        self.tenure.end();
        match self.is_leaving {
            true => Over::Stopped,
            false => Over::Lost,
        }
    }

    /// Renews the lease. `false`: it is over.
    async fn renew(&mut self) -> bool {
        let began = Instant::now();
        let key = sender_key(&self.name);
        let value = if self.is_leaving { LEAVING } else { STAYING };
        let patience = self.keeper.common.lease / RENEWALS;
        let renewed = self.bucket.update(&key, value.into(), self.revision);
        match timeout(patience, renewed).await {
            Ok(Ok(revision)) => {
                self.revision = revision;
                return self.tenure.extend(self.keeper.until(began));
            }
            Ok(Err(error)) if error.kind() == UpdateErrorKind::WrongLastRevision => {
                // It may have been renewed by what we took for lost.
                let entry = timeout(patience, self.bucket.entry(&key)).await;
                match entry {
                    Ok(Ok(Some(entry))) if !entry.value.is_empty() => {
                        self.revision = entry.revision;
                    }
                    Ok(Ok(_)) => {
                        tracing::warn!(sender = self.name, "others have given this sender up");
                        return false;
                    }
                    Ok(Err(_)) | Err(_) => {}
                }
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "the lease is not renewed; tried again");
            }
            Err(_) => tracing::debug!("the lease is not renewed in time; tried again"),
        }
        !self.tenure.has_ended()
    }

    /// Has all that is in the bucket told once more.
    async fn look_again(&mut self, watch: &mut Watch) {
        let patience = self.keeper.common.lease / RENEWALS;
        if let Ok(Ok(again)) = timeout(patience, self.bucket.watch_with_history(ALL)).await {
            self.seen.begin_anew();
            self.is_doubtful = false;
            *watch = again;
        }
    }

    /// Deletes the entries of senders that have been silent for a whole lease. Then everybody may have what they had.
    async fn bury_silent(&mut self) {
        let lease = self.keeper.common.lease;
        for (name, revision) in self.seen.silent(lease, Instant::now()) {
            if name == self.name {
                continue;
            }
            let deleted = self
                .bucket
                .delete_expect_revision(sender_key(&name), Some(revision));
            match timeout(lease / RENEWALS, deleted).await {
                Ok(Ok(())) => {
                    tracing::warn!(
                        sender = name,
                        "a sender is silent; others take its partitions"
                    );
                    self.seen.sender_gone(&name);
                }
                Ok(Err(_)) | Err(_) => self.is_doubtful = true,
            }
        }
    }

    /// Takes and gives back what is to be.
    async fn spread(&mut self) {
        let now = Instant::now();
        self.left_alone.retain(|_, until| *until > now);
        let (alive, owners) = (self.seen.senders(), self.seen.owners());
        if !self.seen.is_complete() || !alive.contains(&self.name) {
            return;
        }
        let (mut mine, mut leaving) = (BTreeSet::new(), BTreeSet::new());
        for (number, held) in &self.shares {
            match held.stop.is_cancelled() {
                false => mine.insert(*number),
                true => leaving.insert(*number),
            };
        }
        let mut staying = self.seen.staying();
        if self.is_leaving {
            staying.remove(&self.name);
        }
        let moves = View {
            me: &self.name,
            alive: &alive,
            senders: &staying,
            owners: &owners,
            mine: &mine,
            leaving: &leaving,
            partitions: self.keeper.common.partitions,
        }
        .moves();
        for number in moves.give_back {
            if let Some(held) = self.shares.get(&number) {
                held.stop.cancel();
            }
        }
        let wanted = moves.take.into_iter().filter(|number| {
            !self.left_alone.contains_key(number) && !self.shares.contains_key(number)
        });
        let wanted: Vec<(u32, Option<u64>)> = wanted
            .map(|number| (number, self.seen.revision(number)))
            .collect();
        // What was taken without our knowing, because the answer was late, is not wanted by now.
        let mut unknown = Vec::new();
        for (number, owner) in &owners {
            let is_wanted = wanted.iter().any(|(wanted, _)| wanted == number);
            if *owner == self.name && !self.shares.contains_key(number) && !is_wanted {
                unknown.extend(
                    self.seen
                        .revision(*number)
                        .map(|revision| (*number, revision)),
                );
            }
        }
        for (number, revision) in unknown {
            self.free(number, revision).await;
            if self.is_doubtful {
                break;
            }
        }
        if wanted.is_empty() {
            return;
        }
        let (bucket, name) = (&self.bucket, &self.name);
        let patience = self.keeper.common.lease / RENEWALS;
        let takes = wanted.into_iter().map(|(number, revision)| async move {
            let key = partition_key(number);
            let value = name.clone().into();
            let taken = async {
                match revision {
                    Some(revision) => bucket.update(&key, value, revision).await.ok(),
                    None => bucket.create(&key, value).await.ok(),
                }
            };
            let taken = timeout(patience, taken).await.ok().flatten();
            taken.map(|taken| (number, taken, revision.is_none()))
        });
        let taken = stream::iter(takes).buffer_unordered(AT_ONCE);
        let taken: Vec<_> = taken.collect().await;
        self.is_doubtful |= taken.iter().any(Option::is_none);
        let taken = taken.into_iter().flatten();
        for (number, revision, was_absent) in taken {
            self.seen.given(number, &self.name, revision);
            self.begin(number, revision, was_absent);
        }
    }

    /// Begins to deliver what is of a partition that is ours now. `was_absent`: nobody had it, as far as the bucket
    /// knew.
    fn begin(&mut self, number: u32, revision: u64, was_absent: bool) {
        let stop = CancellationToken::new();
        let start = Start {
            common: Arc::clone(&self.keeper.common),
            client: self.client.clone(),
            name: self.name.clone(),
            number,
            tenure: Arc::clone(&self.tenure),
            stop: stop.clone(),
            was_absent,
        };
        let ended = self.ended.clone();
        let task = async move {
            let why = start.run().await;
            // Where nobody listens, all of it is over.
            let _ = ended.send((number, why));
        };
        let meters = &self.keeper.common.meters;
        let held = Held {
            revision,
            stop,
            _counted: meters.going_on(|meters| &meters.partitions),
            _task: AbortOnDropHandle::new(tokio::spawn(task.in_current_span())),
        };
        self.shares.insert(number, held);
    }

    /// A share has ended, and so its partition is free for others.
    async fn has_ended(&mut self, number: u32, ended: Ended) {
        let Some(held) = self.shares.remove(&number) else {
            return;
        };
        if ended == Ended::TooNew {
            tracing::error!(
                partition = number,
                "the reader says what only a newer rowhook understands; the partition is left to others, upgrade this one"
            );
            self.left_alone.insert(number, Instant::now() + LEFT_ALONE);
        }
        if self.tenure.has_ended() {
            return;
        }
        self.free(number, held.revision).await;
    }

    /// Deletes the entry of a partition that we do not have any more. If that fails, it is done later.
    async fn free(&mut self, number: u32, revision: u64) {
        let key = partition_key(number);
        let deleted = self.bucket.delete_expect_revision(key, Some(revision));
        let patience = self.keeper.common.lease / RENEWALS;
        match timeout(patience, deleted).await {
            Ok(Ok(())) => self.seen.gone(number),
            Ok(Err(error)) => {
                tracing::debug!(partition = number, %error, "not freed");
                self.is_doubtful = true;
            }
            Err(_) => {
                tracing::debug!(partition = number, "not freed in time");
                self.is_doubtful = true;
            }
        }
    }

    /// Everything is given back.
    async fn leave(&mut self) {
        let patience = self.keeper.common.lease / RENEWALS;
        let left = self.bucket.delete(sender_key(&self.name));
        let _ = timeout(patience, left).await;
        let forgotten = self.keeper.common.store.forget_sender(&self.name);
        let _ = timeout(patience, forgotten).await;
    }
}

/// A partition that is about to be ours.
struct Start {
    common: Arc<Common>,
    client: Client,
    name: String,
    number: u32,
    tenure: Arc<Tenure>,
    stop: CancellationToken,
    was_absent: bool,
}

impl Start {
    async fn run(self) -> Ended {
        let number = i32::try_from(self.number).unwrap_or(i32::MAX);
        let mut failures = 0;
        let epoch = loop {
            let error = match self.take(number).await {
                Ok(epoch) => break epoch,
                Err(error) => error,
            };
            failures += 1;
            let pause = PAUSES.pause(failures);
            tracing::warn!(partition = number, error = format!("{error:#}"), retry_in = ?pause, "a partition cannot be taken");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled() => return Ended::GivenBack,
                () = self.tenure.ended() => return Ended::Lost,
            }
        };
        let store = self.common.store.in_the_name_of(Holder {
            slot: self.common.config.database.slot.clone(),
            name: epoch.to_string(),
            partition: Some(number),
        });
        let share = Share {
            common: self.common,
            client: self.client,
            name: self.name,
            number: self.number,
            epoch,
            store,
            tenure: self.tenure,
            stop: self.stop,
        };
        share.run().await
    }

    /// Makes it ours in the database.
    async fn take(&self, number: i32) -> anyhow::Result<i64> {
        let store = &self.common.store;
        if self.was_absent && store.sender_of(number).await?.is_some() {
            // The bucket has lost whose it was. They stop by their own clocks.
            tokio::select! {
                () = tokio::time::sleep(self.common.lease) => {}
                () = self.tenure.ended() => {}
            }
        }
        store.take_partition(number, &self.name).await
    }
}
