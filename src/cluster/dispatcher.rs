//! The reader's side of a cluster: hands deliveries to the senders that have their partitions, and settles what they
//! say is settled.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use async_nats::{Client, Message};
use futures_util::StreamExt;
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    beat::{self, Beat, Hello},
    cipher::{Keys, OpenCipher, Way},
    frame::Frame,
    line::{Answer, Line, Packet, Party},
    nats::{self, Nats},
    packet::Head,
    subjects::Subjects,
    word::Word,
};
use crate::{
    backoff::Backoff,
    config::{Cluster, Config},
    courier::context::Context,
    delivery::{Delivery, Unfit, lane::Place},
    hook::{Hook, HookId, index::Index},
    lock::lock,
    postgres::TableName,
    store::{Fate, Parker, Write, partition_of},
};

/// How often the reader shows that it is there.
pub(super) const BEAT: Duration = Duration::from_millis(300);
/// How often is looked for what has waited for too long.
const LOOK: Duration = Duration::from_millis(100);
/// The pauses between two tries of what needs NATS or the database.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
/// What a packet has beside its text, in bytes.
const OVERHEAD: usize = 256;
/// How many leases a delivery waits for a sender before it is parked.
const PATIENCE: u32 = 3;

/// Hands deliveries to the senders of a cluster.
pub struct Dispatcher {
    shared: Arc<Shared>,
}

struct Shared {
    context: Arc<Context>,
    nats: Nats,
    subjects: Subjects,
    /// A number that no other start of a reader has had.
    session: u64,
    lease: Duration,
    /// What the keys of this cluster are named by.
    named: String,
    lines: Vec<Mutex<Line>>,
    /// Those with something to send.
    ready: Vec<AtomicBool>,
    /// Something is to be sent.
    wake: Notify,
    /// The hooks that senders have asked for.
    asked: Mutex<Vec<(u32, Vec<String>)>>,
    has_asked: Arc<Notify>,
    /// The hook table, which may have been renamed; `None`: rowhook's own.
    hook_table: Mutex<Option<TableName>>,
    /// The stream waits for memory.
    is_short: AtomicBool,
    /// A beat is wanted at once.
    beat_now: Notify,
    /// Cancelled when the slot is ours. Before that, nobody is to hear of us.
    begun: CancellationToken,
}

/// Whoever parks here wants to know nothing of it: the sender that takes the partition counts what is in the table.
struct Nobody;

impl Parker for Nobody {
    fn parked(self: Arc<Self>, _: Place, _: bool, _: Option<Duration>) {}

    fn disowned(self: Arc<Self>, _: Vec<Place>, _: bool) {}

    fn poll_table(self: Arc<Self>) {}
}

impl Dispatcher {
    /// Gets ready. It goes on until the context is stopped and what senders have in hand is settled.
    pub(super) fn start(
        config: &Config,
        cluster: &Cluster,
        nats: Nats,
        context: Arc<Context>,
    ) -> Self {
        let partitions = cluster.partitions;
        let own_table = config.hook_table.as_ref();
        let shared = Arc::new(Shared {
            nats,
            subjects: Subjects::new(cluster, config),
            session: rand::random(),
            lease: cluster.lease,
            named: named(cluster, config),
            lines: (0..partitions)
                .map(|number| Mutex::new(Line::new(number)))
                .collect(),
            ready: (0..partitions).map(|_| AtomicBool::new(false)).collect(),
            wake: Notify::new(),
            asked: Mutex::default(),
            has_asked: Arc::default(),
            hook_table: Mutex::new(own_table.map(|table| table.columns.table.clone())),
            is_short: AtomicBool::new(false),
            beat_now: Notify::new(),
            begun: CancellationToken::new(),
            context,
        });
        let done = CancellationToken::new();
        let tasks = &shared.context.tasks;
        let (working, ended) = (Arc::clone(&shared), done.clone());
        let work = async move {
            ended.run_until_cancelled(working.work()).await;
        };
        tasks.spawn(work.in_current_span());
        let draining = Arc::clone(&shared);
        let drain = async move {
            draining.drained().await;
            done.cancel();
        };
        tasks.spawn(drain.in_current_span());
        Self { shared }
    }

    /// Begins to look for senders, because the slot is ours.
    pub(super) fn begin(&mut self) {
        self.shared.begun.cancel();
    }

    pub(super) fn hand(&mut self, hook: &Arc<Hook>, delivery: Delivery) {
        let partition = self.shared.partition(&hook.id);
        let left = self
            .shared
            .with(partition, |line| line.hand(hook, delivery));
        if let Some(delivery) = left.flatten() {
            self.shared.park(&hook.id, delivery);
        }
    }

    pub(super) fn update(&mut self, hook: &Arc<Hook>) {
        let partition = self.shared.partition(&hook.id);
        self.shared.with(partition, |line| line.update(hook));
    }

    pub(super) fn deactivate(&mut self, id: &HookId) {
        let partition = self.shared.partition(id);
        self.shared.with(partition, |line| line.stop(id));
    }

    pub(super) fn revive(&mut self, id: &HookId, hook: Option<&Arc<Hook>>, place: Place) {
        let partition = self.shared.partition(id);
        let frame = Frame::Revive(id.as_str().to_owned(), place);
        self.shared
            .with(partition, |line| line.say_of(id, hook, frame));
    }

    pub(super) fn poll_table(&mut self, id: &HookId) {
        let partition = self.shared.partition(id);
        let frame = Frame::Poll(id.as_str().to_owned());
        self.shared.with(partition, |line| line.say(frame));
    }

    pub(super) fn poll_all(&mut self) {
        self.shared.with_all(|line| line.say(Frame::PollAll));
    }

    pub(super) fn leave_out_forgotten(&mut self) {
        let forgotten = self.shared.context.store.forgotten();
        self.shared.with_all(|line| line.forget(forgotten));
    }

    pub(super) fn follow_hook_table(&mut self, name: &TableName) {
        *lock(&self.shared.hook_table) = Some(name.clone());
        self.shared
            .with_all(|line| line.say(Frame::HookTable(name.clone())));
    }

    /// Has whoever has the most in memory park it: the sender, where it is heard, and else we do.
    pub(super) fn relieve_memory(&mut self) {
        let shared = &self.shared;
        shared.is_short.store(true, Relaxed);
        let mut parties: HashMap<Party, usize> = HashMap::new();
        for line in &shared.lines {
            for (party, bytes) in lock(line).parties() {
                *parties.entry(party).or_default() += bytes;
            }
        }
        let Some((party, _)) = parties.into_iter().max_by_key(|(_, bytes)| *bytes) else {
            return;
        };
        shared.with_all(|line| {
            let hooks = line.hooks_of(&party);
            if !hooks.is_empty() {
                line.say(Frame::Relieve(hooks));
            }
        });
    }

    pub(super) fn asked(&self) -> impl Future<Output = ()> + Send + use<> {
        let asked = Arc::clone(&self.shared.has_asked);
        async move { asked.notified().await }
    }

    pub(super) fn answer(&mut self, index: &Index) {
        let asked = std::mem::take(&mut *lock(&self.shared.asked));
        for (partition, hooks) in asked {
            self.shared.with(partition, |line| {
                for hook in hooks {
                    let id = HookId::new(hook, false);
                    line.tell(&id, index.get(&id));
                }
            });
        }
    }
}

/// What the keys of a cluster are named by.
pub(super) fn named(cluster: &Cluster, config: &Config) -> String {
    let database = config.name.as_deref().unwrap_or_default();
    format!("{} {} {database}", cluster.name, config.database.slot)
}

impl Shared {
    fn partition(&self, hook: &HookId) -> u32 {
        let partitions = u32::try_from(self.lines.len()).unwrap_or(u32::MAX);
        partition_of(hook.as_str(), partitions)
    }

    /// Changes a partition, and has what it says sent.
    fn with<T>(&self, partition: u32, change: impl FnOnce(&mut Line) -> T) -> Option<T> {
        let at = partition as usize;
        let changed = change(&mut lock(self.lines.get(at)?));
        if let Some(ready) = self.ready.get(at) {
            ready.store(true, Relaxed);
        }
        self.wake.notify_one();
        Some(changed)
    }

    fn with_all(&self, mut change: impl FnMut(&mut Line)) {
        for (line, ready) in self.lines.iter().zip(&self.ready) {
            change(&mut lock(line));
            ready.store(true, Relaxed);
        }
        self.wake.notify_one();
    }

    /// Parks a delivery, without a time: it is due when a sender has its partition and nothing is before it.
    fn park(&self, hook: &HookId, mut delivery: Delivery) {
        let meters = &self.context.meters;
        let (fate, reason) = match delivery.unfit.clone() {
            None => (Fate::Behind, None),
            Some(Unfit::Flawed(reason)) => {
                meters.dead.fetch_add(1, Relaxed);
                tracing::error!(%hook, event = %delivery.event, id = %delivery.id, %reason, "a delivery is dead");
                (Fate::Dead, Some(reason))
            }
            Some(Unfit::Doubtful(reason)) => {
                delivery.attempts += 1;
                (Fate::Behind, Some(reason))
            }
        };
        if fate != Fate::Dead {
            meters.parked.fetch_add(1, Relaxed);
        }
        self.context.store.enqueue(Write::Park {
            hook: hook.clone(),
            delivery: Box::new(delivery),
            fate,
            reason: reason.as_deref().map(str::to_owned),
            parker: Arc::new(Nobody),
        });
    }

    /// Waits until it is time to stop, and then until all is settled that senders have. What takes longer than a lease
    /// is left to the next reader, but for what is on its way already.
    async fn drained(&self) {
        self.context.stop.cancelled().await;
        // What is settled behind something that is not comes again, so a little patience saves many repetitions.
        if timeout(self.lease, self.until_settled()).await.is_err() {
            self.with_all(|line| line.say(Frame::End));
            self.until_settled().await;
        }
    }

    /// Waits until no sender that is heard has anything in hand.
    async fn until_settled(&self) {
        let mut ticks = interval(LOOK);
        let has_more = |line: &Mutex<Line>| {
            let line = lock(line);
            !line.is_empty() && line.is_heard(self.lease)
        };
        while self.lines.iter().any(has_more) {
            ticks.tick().await;
        }
    }

    /// Does everything that goes on beside the reader.
    async fn work(self: Arc<Self>) {
        self.begun.cancelled().await;
        let mut failures = 0;
        let keys = loop {
            match self.context.store.message_key().await {
                Ok(key) => break Keys::new(key, self.named.clone()),
                // The tables may not be there yet.
                Err(error) => {
                    tracing::debug!(error = format!("{error:#}"), "no key for the cluster yet");
                }
            }
            failures += 1;
            tokio::time::sleep(PAUSES.pause(failures)).await;
        };
        let keys = Arc::new(keys);
        let watching = Arc::clone(&self).watch();
        let talking = async {
            let client = self.nats.client().await;
            if let Err(error) = nats::check(&client.server_info()) {
                tracing::error!("{error}");
            }
            tokio::join!(
                self.listen(&client, &keys),
                self.send(&client),
                self.beat(&client, keys.of_all("beat")),
            );
        };
        tokio::join!(watching, talking);
    }

    /// Sends what is to be sent.
    async fn send(&self, client: &Client) {
        loop {
            let largest = client.max_payload().saturating_sub(OVERHEAD).max(OVERHEAD);
            let mut has_sent = false;
            for (partition, (line, ready)) in self.lines.iter().zip(&self.ready).enumerate() {
                if !ready.swap(false, Relaxed) {
                    continue;
                }
                let packet = lock(line).packet(largest);
                let Some(Packet { head, text, cipher }) = packet else {
                    continue;
                };
                // There may be more.
                ready.store(true, Relaxed);
                has_sent = true;
                let subject = self
                    .subjects
                    .to(u32::try_from(partition).unwrap_or(u32::MAX));
                // What is not sent is missed, and then the link begins anew.
                if let Err(error) = client.publish(subject, head.seal(&cipher, text)).await {
                    tracing::debug!(%error, "a packet was not sent");
                }
            }
            if !has_sent {
                self.wake.notified().await;
            }
        }
    }

    /// Shows that we are there.
    async fn beat(&self, client: &Client, cipher: OpenCipher) {
        let mut ticks = interval(BEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.beat_now.notified() => {}
            }
            let lines = self.lines.iter().map(|line| lock(line).beat());
            let beat = Beat {
                session: self.session,
                lines: lines.collect(),
            };
            let sealed = beat::seal(&cipher, &beat);
            // The next one comes soon.
            let _ = client.publish(self.subjects.beat(), sealed.into()).await;
        }
    }

    /// Hears what senders say.
    async fn listen(self: &Arc<Self>, client: &Client, keys: &Arc<Keys>) {
        let mut failures = 0;
        loop {
            let subscribed = async {
                let words = client.subscribe(self.subjects.all_answers()).await?;
                anyhow::Ok((words, client.subscribe(self.subjects.hello()).await?))
            };
            let (mut words, mut hellos) = match subscribed.await {
                Ok(subscribed) => subscribed,
                Err(error) => {
                    failures += 1;
                    tracing::warn!(error = format!("{error:#}"), "senders cannot be heard");
                    tokio::time::sleep(PAUSES.pause(failures)).await;
                    continue;
                }
            };
            let cipher = keys.of_all("hello");
            loop {
                tokio::select! {
                    Some(word) = words.next() => self.hear(&word),
                    Some(hello) = hellos.next() => {
                        if let Some(hello) = beat::open(&cipher, &hello.payload) {
                            self.greet(hello, keys);
                        }
                    }
                    else => break,
                }
            }
        }
    }

    /// Hears a packet of a sender. One that is out of turn comes again.
    fn hear(&self, message: &Message) {
        let Some(partition) = Subjects::partition(&message.subject) else {
            return;
        };
        let Some((head, sealed)) = Head::read(&message.payload) else {
            return;
        };
        let Some(line) = self.lines.get(partition as usize) else {
            return;
        };
        let Some(cipher) = lock(line).expects(head) else {
            return;
        };
        let mut text = Vec::new();
        if head.open(&cipher, sealed, &mut text).is_err() {
            return;
        }
        let Ok(word) = Word::read(&text) else {
            tracing::warn!(partition, "a sender says something that is not understood");
            return;
        };
        lock(line).heard(head);
        match word {
            Word::Settled(numbers) => {
                for number in numbers {
                    // The lock is not held while the ledger settles.
                    let settled = lock(line).settle(number);
                    settled.into_iter().for_each(Delivery::settle);
                }
            }
            Word::Want(hooks) => {
                lock(&self.asked).push((partition, hooks));
                self.has_asked.notify_one();
            }
            Word::Bye => {
                lock(line).end();
                self.beat_now.notify_one();
            }
            Word::Here => {}
        }
    }

    /// A sender asks for a link.
    fn greet(self: &Arc<Self>, hello: Hello, keys: &Arc<Keys>) {
        let partition = hello.partition;
        let Some(line) = self.lines.get(partition as usize) else {
            return;
        };
        let answer = {
            let mut line = lock(line);
            let answer = line.answer(hello.epoch, hello.link);
            if answer == Answer::Nothing {
                return;
            }
            if hello.session == self.session {
                let numbers = hello.settled.iter();
                for number in numbers.flat_map(|(first, last)| *first..=*last) {
                    line.settle(number).into_iter().for_each(Delivery::settle);
                }
            }
            if self.context.stop.is_cancelled() {
                // This is the last that we wanted to hear.
                return line.end();
            }
            line.clear();
            answer
        };
        if answer == Answer::Begin {
            return self.begin(&hello, keys);
        }
        // What we have parked has to be there before the sender looks.
        let (shared, keys) = (Arc::clone(self), Arc::clone(keys));
        let begin = async move {
            let write = |done| Write::Attempted {
                hook: HookId::new("", false),
                gone: Vec::new(),
                failed: Vec::new(),
                done,
            };
            shared.context.store.persist(write).await;
            shared.with(partition, Line::cleared);
            shared.begin(&hello, &keys);
        };
        self.context.tasks.spawn(begin.in_current_span());
    }

    fn begin(&self, hello: &Hello, keys: &Keys) {
        let Hello {
            partition,
            epoch,
            link,
            sender,
            ..
        } = hello;
        let cipher = |way| keys.of_link(*partition, *epoch, *link, way);
        let first = Frame::Begin(self.session, lock(&self.hook_table).clone());
        let unsettled = self.with(*partition, |line| {
            if line.answer(*epoch, *link) != Answer::Begin {
                return None;
            }
            line.begin(*epoch, *link, (cipher(Way::Out), cipher(Way::Back)), first);
            Some(line.unsettled())
        });
        if let Some(unsettled) = unsettled.flatten() {
            tracing::debug!(partition, epoch, sender, unsettled, "a link begins");
        }
    }

    /// Parks what has waited for too long, or stands in the way.
    async fn watch(self: Arc<Self>) {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let began = Instant::now();
        loop {
            ticks.tick().await;
            let is_short = self.is_short.swap(false, Relaxed);
            for (partition, line) in self.lines.iter().enumerate() {
                let begins = {
                    let mut line = lock(line);
                    // A reader that has just begun has not heard of anyone.
                    let is_early = began.elapsed() < self.lease;
                    let is_alone = !line.is_empty() && !is_early && !line.is_heard(self.lease);
                    let waits = is_short || line.has_waited(self.lease * PATIENCE);
                    is_alone && waits && line.withdraw()
                };
                if begins {
                    let partition = u32::try_from(partition).unwrap_or(u32::MAX);
                    let withdrawing = Arc::clone(&self).withdraw(partition);
                    self.context.tasks.spawn(withdrawing.in_current_span());
                }
            }
        }
    }

    /// Takes a partition away from whoever has it, and parks what is not settled of it.
    async fn withdraw(self: Arc<Self>, partition: u32) {
        let Some(line) = self.lines.get(partition as usize) else {
            return;
        };
        let (mut failures, number) = (0, i32::try_from(partition).unwrap_or(i32::MAX));
        loop {
            let known = lock(line).epoch();
            let withdrawn = self.context.store.withdraw_partition(number, known).await;
            let error = match withdrawn {
                Ok(epoch) => {
                    // Under the lock, so that what comes is parked behind them.
                    let mut line = lock(line);
                    let left = line.withdrawn(epoch);
                    tracing::warn!(
                        partition,
                        deliveries = left.len(),
                        "no sender of the partition is heard; its deliveries are parked"
                    );
                    for (hook, delivery) in left {
                        self.park(&hook, delivery);
                    }
                    return;
                }
                Err(error) => error,
            };
            failures += 1;
            let pause = PAUSES.pause(failures);
            tracing::warn!(partition, error = format!("{error:#}"), retry_in = ?pause, "the partition cannot be taken away from its sender");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.context.stop.cancelled() => return,
            }
        }
    }
}
