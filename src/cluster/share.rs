//! A partition at the sender that has it: hears what the reader hands over, and has couriers deliver it.
//!
//! It goes from link to link. A link ends when a packet is missing or another reader begins; then the couriers finish
//! what they have begun, and the next link brings the rest again.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_nats::{Client, Message, Subscriber};
use futures_util::StreamExt;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, interval, interval_at, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    beat::{self, Beat, Hello, ranges},
    cipher::{Keys, LinkCipher, Way},
    frame::Frame,
    packet::{Head, VERSION},
    speaker::Speaker,
    subjects::Subjects,
    told::{Heard, Told},
};
use crate::{
    backoff::Backoff,
    config::Config,
    courier::{
        context::Context, couriers::Couriers, gate::SharedGates, quota::Quotas, tenure::Tenure,
    },
    delivery::{
        Delivery, Held, Receipt, RemoteTicket,
        backlog::Backlog,
        memory_budget::{MemoryBudget, delivery_bytes},
    },
    history::History,
    hook::{Hook, HookId},
    journal::Journal,
    lookup::permission::Permission,
    meters::Meters,
    send::Sender,
    store::{Store, Write, partition_of},
    trace::Traces,
};

/// How often a link is asked for.
const HELLO: Duration = Duration::from_millis(500);
/// How long a partition that is given back waits at most until the reader has heard what is settled.
const LEAVE: Duration = Duration::from_secs(5);
/// How long a delivery waits for memory before others have to park theirs.
const MEMORY_PATIENCE: Duration = Duration::from_millis(250);
/// How often deliveries of hooks that are gone are looked for.
const SWEEP: Duration = Duration::from_secs(60);
/// The pauses between two tries of what needs the database.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));

/// What all partitions of a sender share.
pub(super) struct Common {
    pub(super) config: Arc<Config>,
    pub(super) partitions: u32,
    pub(super) lease: Duration,
    pub(super) subjects: Subjects,
    pub(super) keys: Keys,
    pub(super) store: Arc<Store>,
    /// What the reader has shown last.
    pub(super) beats: watch::Receiver<Arc<Beat>>,
    /// Changes when somebody needs memory that others hold.
    pub(super) relief: watch::Sender<()>,
    pub(super) sender: Sender,
    pub(super) memory: MemoryBudget,
    pub(super) gates: Arc<SharedGates>,
    pub(super) quotas: Arc<Quotas>,
    pub(super) permission: Arc<Permission>,
    pub(super) journal: Journal,
    pub(super) meters: Arc<Meters>,
    pub(super) history: Arc<History>,
    pub(super) traces: Option<Arc<Traces>>,
}

/// A partition that we have.
pub(super) struct Share {
    pub(super) common: Arc<Common>,
    pub(super) client: Client,
    /// Our name.
    pub(super) name: String,
    pub(super) number: u32,
    pub(super) epoch: i64,
    /// Writes in this epoch.
    pub(super) store: Arc<Store>,
    /// Until when we have it.
    pub(super) tenure: Arc<Tenure>,
    /// Cancelled when it is to be given back.
    pub(super) stop: CancellationToken,
}

/// Why a share has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was given back, with nothing in hand.
    GivenBack,
    /// Somebody else may have it.
    Lost,
    /// The reader says what only a newer rowhook understands.
    TooNew,
}

/// Why a link has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    /// Another one is to begin.
    Again,
    /// The share has ended.
    For(Ended),
}

/// What came of the links before.
#[derive(Default)]
struct Past {
    /// With which start of the reader the last one was.
    session: u64,
    /// What was settled then and may not have been heard.
    settled: Vec<u64>,
}

impl Share {
    /// Delivers what is of the partition, until it is to be given back or somebody else has it.
    pub(super) async fn run(self) -> Ended {
        let mut failures = 0;
        let mut packets = loop {
            match self
                .client
                .subscribe(self.common.subjects.to(self.number))
                .await
            {
                Ok(packets) => break packets,
                Err(error) => {
                    tracing::warn!(%error, partition = self.number, "the reader cannot be heard");
                }
            }
            failures += 1;
            tokio::select! {
                ended = self.ended() => return ended,
                () = tokio::time::sleep(PAUSES.pause(failures)) => {}
            }
        };
        let mut past = Past::default();
        loop {
            match self.link(&mut packets, &mut past).await {
                Broken::Again => {}
                Broken::For(ended) => return ended,
            }
        }
    }

    /// Waits until we are not to have it any more.
    async fn ended(&self) -> Ended {
        tokio::select! {
            () = self.tenure.ended() => Ended::Lost,
            () = self.store.overtaken() => Ended::Lost,
            () = self.stop.cancelled() => Ended::GivenBack,
        }
    }

    /// One link, from asking for it to its end.
    async fn link(&self, packets: &mut Subscriber, past: &mut Past) -> Broken {
        let common = &self.common;
        let id = rand::random();
        let first = match self.ask(packets, id, past).await {
            Ok(first) => first,
            Err(ended) => {
                if ended != Ended::Lost {
                    self.give_back().await;
                }
                return Broken::For(ended);
            }
        };
        let cipher = |way| common.keys.of_link(self.number, self.epoch, id, way);
        let context = Arc::new(self.context());
        let (settled, mut told) = mpsc::unbounded_channel();
        let (want, mut wanted) = mpsc::unbounded_channel();
        let mut speaker = Speaker {
            client: self.client.clone(),
            subject: common.subjects.answers(self.number),
            partition: self.number,
            epoch: self.epoch,
            link: id,
            cipher: cipher(Way::Back),
            next: 0,
            said: Default::default(),
        };
        let mut link = Link {
            share: self,
            id,
            cipher: cipher(Way::Out),
            next: 0,
            text: Vec::new(),
            session: 0,
            couriers: Couriers::new(Arc::clone(&context)),
            hooks: HashMap::new(),
            mentioned: HashSet::new(),
            streaks: HashMap::new(),
            settled,
            want,
            beats: common.beats.clone(),
            must_reach: 0,
            strange_beats: 0,
        };
        let mut beats = common.beats.clone();
        let working = async {
            let broken = link.work(first, packets).await;
            self.finish(&context, broken).await;
            broken
        };
        let broken = tokio::select! {
            broken = working => broken,
            () = speaker.speak(&mut told, &mut wanted, &mut beats) => Broken::Again,
        };
        past.session = link.session;
        drop(link);
        if let Broken::For(Ended::GivenBack | Ended::TooNew) = broken {
            let deadline = Instant::now() + LEAVE;
            speaker.take_leave(&mut told, &mut beats, deadline).await;
            self.give_back().await;
        }
        past.settled = speaker.unheard().collect();
        while let Ok(number) = told.try_recv() {
            past.settled.push(number);
        }
        broken
    }

    /// Asks for a link until it begins. Returns its first packet.
    async fn ask(
        &self,
        packets: &mut Subscriber,
        link: u64,
        past: &Past,
    ) -> Result<Message, Ended> {
        let common = &self.common;
        let cipher = common.keys.of_all("hello");
        let mut beats = common.beats.clone();
        let hello = Hello {
            partition: self.number,
            epoch: self.epoch,
            sender: self.name.clone(),
            link,
            speaks: VERSION,
            session: past.session,
            settled: ranges(past.settled.iter().copied()),
        };
        let mut ticks = interval(HELLO);
        loop {
            tokio::select! {
                ended = self.ended() => return Err(ended),
                _ = ticks.tick() => {
                    let sealed = beat::seal(&cipher, &hello);
                    // It is asked again soon.
                    let _ = self.client.publish(common.subjects.hello(), sealed.into()).await;
                }
                Some(message) = packets.next() => match Head::read(&message.payload) {
                    Some((head, _)) if head.version > VERSION => return Err(Ended::TooNew),
                    Some((head, _)) if head.link == link && head.number == 0 => return Ok(message),
                    // It is of an earlier link.
                    Some(_) | None => {}
                },
                Ok(()) = beats.changed() => {
                    if self.is_fenced(&beats.borrow_and_update()) {
                        return Err(Ended::Lost);
                    }
                }
            }
        }
    }

    /// Whether the reader knows of a newer epoch.
    fn is_fenced(&self, beat: &Beat) -> bool {
        let mut lines = beat.lines.iter();
        let line = lines.find(|line| line.partition == self.number);
        line.is_some_and(|line| line.epoch > self.epoch)
    }

    /// What couriers need for one link.
    fn context(&self) -> Context {
        let common = &self.common;
        Context {
            sender: common.sender.clone(),
            store: Arc::clone(&self.store),
            memory: common.memory.clone(),
            gates: Arc::clone(&common.gates),
            quotas: Arc::clone(&common.quotas),
            permission: Arc::clone(&common.permission),
            journal: common.journal.clone(),
            meters: Arc::clone(&common.meters),
            history: Arc::clone(&common.history),
            traces: common.traces.clone(),
            tenure: Some(Arc::new(self.tenure.part())),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Has the couriers finish what they have begun, as far as there is time for it, and what they park be durable.
    async fn finish(&self, context: &Context, broken: Broken) {
        context.stop.cancel();
        context.tasks.close();
        let patience = match broken {
            // Whoever waits for the next link has waited for long enough then.
            Broken::Again => self.common.lease,
            Broken::For(Ended::GivenBack | Ended::TooNew) => self.common.config.delivery.grace,
            Broken::For(Ended::Lost) => Duration::ZERO,
        };
        tokio::select! {
            () = context.tasks.wait() => {}
            () = tokio::time::sleep(patience) => {}
            () = self.tenure.ended() => {}
        }
        if let Some(tenure) = &context.tenure {
            tenure.end();
        }
        context.tasks.wait().await;
        if broken == Broken::For(Ended::Lost) {
            return;
        }
        let write = |done| Write::Attempted {
            hook: HookId::new("", false),
            gone: Vec::new(),
            failed: Vec::new(),
            done,
        };
        tokio::select! {
            () = self.store.persist(write) => {}
            () = self.tenure.ended() => {}
            () = self.store.overtaken() => {}
        }
    }

    /// Notes that nothing of it is in hand. If that fails, the next one waits a little.
    async fn give_back(&self) {
        let number = i32::try_from(self.number).unwrap_or(i32::MAX);
        let given = self.store.give_back_partition(number, self.epoch);
        if let Ok(Err(error)) = timeout(LEAVE, given).await {
            tracing::debug!(error = format!("{error:#}"), "not noted");
        }
    }
}

/// A link to the reader.
struct Link<'a> {
    share: &'a Share,
    id: u64,
    cipher: LinkCipher,
    /// The number of the next packet.
    next: u64,
    /// What was received of a frame that is not whole.
    text: Vec<u8>,
    /// The start of the reader that it is with.
    session: u64,
    couriers: Couriers,
    /// The hooks as what follows is sent to them.
    hooks: HashMap<HookId, Arc<Hook>>,
    /// The hooks that were told since the link began.
    mentioned: HashSet<HookId>,
    /// For how long hooks had had no success before we had them.
    streaks: HashMap<HookId, Duration>,
    /// Takes what is settled.
    settled: mpsc::UnboundedSender<u64>,
    /// Takes the hooks that we want to know.
    want: mpsc::UnboundedSender<Vec<String>>,
    beats: watch::Receiver<Arc<Beat>>,
    /// The number of the next packet when the reader was heard last. What is missing of that at the next beat is lost.
    must_reach: u64,
    /// How many beats in a row did not know of this link.
    strange_beats: u32,
}

/// Why what comes over a link cannot be gone on with.
enum Unheard {
    /// Something was lost or is not understood, or the reader stops.
    Lost,
    /// It is of a newer version.
    TooNew,
}

impl Link<'_> {
    /// Delivers what comes, until the link ends.
    async fn work(&mut self, first: Message, packets: &mut Subscriber) -> Broken {
        let share = self.share;
        let mut next = Some(first);
        let mut sweep = interval_at(Instant::now() + SWEEP, SWEEP);
        let mut relief = share.common.relief.subscribe();
        loop {
            if let Some(message) = next.take() {
                let heard = tokio::select! {
                    ended = share.ended() => return Broken::For(ended),
                    heard = self.hear(&message) => heard,
                };
                match heard {
                    Ok(()) => {}
                    Err(Unheard::Lost) => return Broken::Again,
                    Err(Unheard::TooNew) => return Broken::For(Ended::TooNew),
                }
            }
            tokio::select! {
                // What is there of packets counts before a beat says that they are missing.
                biased;
                ended = share.ended() => return Broken::For(ended),
                message = packets.next() => match message {
                    Some(message) => next = Some(message),
                    None => return Broken::Again,
                },
                Ok(()) = self.beats.changed() => {
                    let beat = Arc::clone(&self.beats.borrow_and_update());
                    if share.is_fenced(&beat) {
                        return Broken::For(Ended::Lost);
                    }
                    if !self.goes_on(&beat) {
                        return Broken::Again;
                    }
                }
                Ok(()) = relief.changed() => self.couriers.relieve_memory(),
                _ = sweep.tick() => self.sweep().await,
            }
        }
    }

    /// Whether the reader knows this link, and nothing of it was lost.
    fn goes_on(&mut self, beat: &Beat) -> bool {
        let mut lines = beat.lines.iter();
        let line = lines.find(|line| line.partition == self.share.number);
        let ours = line.filter(|line| beat.session == self.session && line.link == Some(self.id));
        match ours {
            Some(line) => {
                self.strange_beats = 0;
                let has_reached = self.next >= self.must_reach;
                self.must_reach = line.next;
                has_reached
            }
            // One may be from before the link began.
            None => {
                self.strange_beats += 1;
                self.strange_beats < 2
            }
        }
    }

    /// Takes a packet.
    async fn hear(&mut self, message: &Message) -> Result<(), Unheard> {
        let Some((head, sealed)) = Head::read(&message.payload) else {
            return Ok(());
        };
        if head.version > VERSION {
            return Err(Unheard::TooNew);
        }
        if head.link != self.id || head.number < self.next {
            return Ok(());
        }
        if head.number > self.next {
            return Err(Unheard::Lost);
        }
        let mut text = std::mem::take(&mut self.text);
        if head.open(&self.cipher, sealed, &mut text).is_err() {
            // Somebody else has written this. What the reader has sent may come yet.
            self.text = text;
            return Ok(());
        }
        self.next += 1;
        let mut rest = &text[..];
        loop {
            match Frame::take(&mut rest) {
                Ok(Some(frame)) => self.take(frame).await?,
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(partition = self.share.number, %error, "the link begins anew");
                    return Err(Unheard::Lost);
                }
            }
        }
        self.text = rest.to_vec();
        Ok(())
    }

    async fn take(&mut self, frame: Frame) -> Result<(), Unheard> {
        let share = self.share;
        match frame {
            Frame::Begin(session, hook_table) => {
                self.session = session;
                if let Some(table) = hook_table {
                    share.store.follow_hook_table(&table);
                }
                self.take_up(true).await;
            }
            Frame::Define(told) => {
                let hook = self.hook(*told)?;
                if self.mentioned.insert(hook.id.clone()) && hook.active {
                    self.update(&hook);
                }
            }
            Frame::Update(told) => {
                let hook = self.hook(*told)?;
                self.mentioned.insert(hook.id.clone());
                match hook.active {
                    true => self.update(&hook),
                    false => self.couriers.deactivate(&hook.id),
                }
            }
            Frame::Stop(hook) => {
                let id = HookId::new(hook, false);
                self.hooks.remove(&id);
                self.mentioned.insert(id.clone());
                self.couriers.deactivate(&id);
            }
            Frame::Deliver {
                number,
                hook,
                delivery,
            } => {
                let hook = self.hooks.get(&HookId::new(hook, false)).cloned();
                // The reader tells each before.
                let hook = hook.ok_or(Unheard::Lost)?;
                self.deliver(number, &hook, *delivery).await;
            }
            Frame::Revive(hook, place) => {
                let id = HookId::new(hook, false);
                let mut parked = Backlog::default();
                parked.add(place, 1);
                self.couriers.resume(&id, self.hooks.get(&id), parked);
            }
            Frame::Poll(hook) => self.couriers.poll_table(&HookId::new(hook, false)),
            Frame::PollAll => self.take_up(false).await,
            Frame::Forgotten => self.leave_out_forgotten().await,
            Frame::Relieve(hooks) => {
                let hooks = hooks.into_iter().map(|hook| HookId::new(hook, false));
                self.couriers.relieve(&hooks.collect::<Vec<_>>());
            }
            Frame::HookTable(table) => share.store.follow_hook_table(&table),
            Frame::End => return Err(Unheard::Lost),
        }
        Ok(())
    }

    /// The hook that was told. From here on, what comes is sent to it.
    fn hook(&mut self, told: Told) -> Result<Arc<Hook>, Unheard> {
        let heard = told.into_hook(&self.share.common.config);
        let Heard { hook, obstacle } = heard.map_err(|error| {
            tracing::error!(
                partition = self.share.number,
                error,
                "a hook cannot be understood"
            );
            Unheard::TooNew
        })?;
        if let Some(reason) = obstacle {
            tracing::error!(hook = %hook.id, reason, "a hook cannot be sent to from here, and its deliveries are kept");
        }
        self.hooks.insert(hook.id.clone(), Arc::clone(&hook));
        Ok(hook)
    }

    fn update(&mut self, hook: &Arc<Hook>) {
        self.couriers.update(hook);
        if let Some(lasted) = self.streaks.remove(&hook.id) {
            self.couriers.resume_streak(&hook.id, hook, lasted);
        }
    }

    /// Hands a delivery to its courier, as soon as there is memory for it.
    async fn deliver(&mut self, number: u64, hook: &Arc<Hook>, mut delivery: Delivery) {
        let common = &self.share.common;
        let outline = delivery.outline.as_ref();
        let beside = outline.map_or(0, |outline| outline.bytes());
        let bytes = delivery_bytes(delivery.body.len(), hook) + beside;
        let memory = loop {
            match timeout(MEMORY_PATIENCE, common.memory.stream.acquire(bytes)).await {
                Ok(memory) => break memory,
                Err(_) => {
                    self.couriers.relieve_memory();
                    common.relief.send_replace(());
                }
            }
        };
        let ticket = Receipt::Remote(RemoteTicket {
            number,
            settled: self.settled.clone(),
        });
        delivery.held = Some(Held::of(hook, ticket, memory));
        self.share.store.forgotten().apply(&mut delivery);
        self.couriers.hand(hook, delivery);
    }

    /// Takes up what is parked of the partition, as soon as the database says what that is. `first`: nothing is known
    /// of it yet.
    async fn take_up(&mut self, first: bool) {
        let mut failures = 0;
        while let Err(error) = self.try_to_take_up(first).await {
            failures += 1;
            let pause = PAUSES.pause(failures);
            tracing::warn!(partition = self.share.number, error = format!("{error:#}"), retry_in = ?pause, "what is parked cannot be taken up");
            tokio::time::sleep(pause).await;
        }
    }

    async fn try_to_take_up(&mut self, first: bool) -> anyhow::Result<()> {
        let share = self.share;
        let (store, partitions) = (&share.store, share.common.partitions);
        let number = i32::try_from(share.number).unwrap_or(i32::MAX);
        let all = i32::try_from(partitions).unwrap_or(i32::MAX);
        store.load_forgotten().await?;
        let backlog = store.backlog_of(number, all).await?;
        if first {
            let hooks: Vec<&str> = backlog.keys().map(String::as_str).collect();
            store.reclaim_of(&hooks).await?;
            let failing = store.failing().await?.into_iter();
            let ours = failing.filter(|(hook, _)| partition_of(hook, partitions) == share.number);
            self.streaks = ours
                .map(|(hook, lasted)| (HookId::new(hook, false), lasted))
                .collect();
        } else {
            self.couriers.leave_out_forgotten();
        }
        let mut unknown: Vec<String> = Vec::new();
        for (hook, parked) in backlog {
            let id = HookId::new(hook, false);
            if first || self.couriers.is_drained(&id) {
                let known = self.hooks.get(&id);
                if known.is_none() {
                    unknown.push(id.as_str().to_owned());
                }
                self.couriers.resume(&id, known, parked);
            } else {
                self.couriers.poll_table(&id);
            }
        }
        if first {
            let failing = self.streaks.keys().map(|id| id.as_str().to_owned());
            unknown.extend(failing);
        }
        unknown.sort_unstable();
        unknown.dedup();
        if !unknown.is_empty() {
            // Whoever speaks lasts as long as the link.
            let _ = self.want.send(unknown);
        }
        Ok(())
    }

    async fn leave_out_forgotten(&mut self) {
        match self.share.store.load_forgotten().await {
            Ok(_) => self.couriers.leave_out_forgotten(),
            Err(error) => tracing::warn!(
                error = format!("{error:#}"),
                "could not read what was forgotten; what is in memory of it may still be sent, and is not written"
            ),
        }
    }

    /// Deletes what is too old of hooks that are disabled or removed.
    async fn sweep(&mut self) {
        let mut orphaned = self.couriers.orphaned();
        // What a hook is that was not told is not known.
        orphaned.retain(|id| self.mentioned.contains(&HookId::new(*id, false)));
        if orphaned.is_empty() {
            return;
        }
        let retention = self.share.common.config.delivery.retention;
        match self.share.store.forget(&orphaned, retention).await {
            Ok(forgotten) => {
                for (hook, place) in forgotten.parked {
                    self.couriers.forget(&HookId::new(hook, false), place);
                }
            }
            Err(error) => tracing::warn!(
                error = format!("{error:#}"),
                "old deliveries were not deleted; tried again later"
            ),
        }
    }
}
