//! A partition as the reader has it: what of it is not settled, and the link to the sender that has it. A plain value:
//! what it says goes into packets, and who carries them is decided elsewhere.
//!
//! While nobody has the partition, deliveries wait here. A link begins with all that is not settled, in order, each
//! delivery behind its hook as that was at its place in the stream.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    beat::LineBeat,
    cipher::LinkCipher,
    frame::{Frame, write_delivery},
    packet::{Head, VERSION},
};
use crate::{
    delivery::{Delivery, forgotten::Forgotten, memory_budget},
    hook::{Hook, HookId},
};

/// Frames are gathered for a packet until they have so many bytes.
const PACKET: usize = 128 << 10;
/// Below this number of hooks, those that are not needed are not looked for.
const FEW: usize = 1024;

/// A partition.
pub(super) struct Line {
    number: u32,
    /// The newest epoch that is known.
    epoch: i64,
    /// The number of the next delivery.
    next: u64,
    unsettled: BTreeMap<u64, Unsettled>,
    /// What became of hooks since deliveries were handed over that are not settled; `None`: disabled or removed.
    changed: HashMap<HookId, Option<Arc<Hook>>>,
    state: State,
}

/// A delivery that is not settled.
struct Unsettled {
    hook: Arc<Hook>,
    delivery: Delivery,
    since: Instant,
}

/// Who has the partition.
enum State {
    /// Nobody, as far as is known.
    Alone,
    /// A sender.
    Linked(Box<Link>),
    /// It is being taken away from whoever has it. What comes waits.
    Withdrawing,
    /// Nobody, and what comes is parked.
    Parking,
    /// A sender waits for a link. What comes waits until all is parked durably that was to be.
    Clearing,
}

/// A link to a sender.
struct Link {
    id: u64,
    out: Arc<LinkCipher>,
    back: Arc<LinkCipher>,
    queue: VecDeque<Item>,
    /// The number of the next packet to the sender.
    next: u64,
    /// The number of the next packet from the sender.
    heard: u64,
    heard_at: Instant,
    /// The sender has given the partition back.
    is_over: bool,
    /// The hooks that were told, as they were told last; `None`: as disabled or removed.
    told: HashMap<HookId, Option<Arc<Hook>>>,
    /// What is written and not sent, and how much of it was sent.
    text: Vec<u8>,
    sent: usize,
}

/// Something that is to be said.
enum Item {
    Define(Arc<Hook>),
    Update(Arc<Hook>),
    Deliver(u64),
    Frame(Frame),
}

/// What is to be sent next.
pub(super) struct Packet {
    pub(super) head: Head,
    pub(super) text: Vec<u8>,
    pub(super) cipher: Arc<LinkCipher>,
}

/// What is to be done about a sender that asks for a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing now.
    Nothing,
    /// The link is to begin.
    Begin,
    /// What was to be parked has to be there before it begins.
    Clear,
}

/// Whose deliveries are parked together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Party {
    Owner(Arc<str>),
    Hook(HookId),
}

impl Line {
    pub(super) fn new(number: u32) -> Self {
        Self {
            number,
            epoch: 0,
            next: 0,
            unsettled: BTreeMap::new(),
            changed: HashMap::new(),
            state: State::Alone,
        }
    }

    pub(super) fn epoch(&self) -> i64 {
        self.epoch
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unsettled.is_empty()
    }

    /// How many deliveries are not settled.
    pub(super) fn unsettled(&self) -> usize {
        self.unsettled.len()
    }

    /// Takes over a delivery. It is returned where it is to be parked.
    pub(super) fn hand(&mut self, hook: &Arc<Hook>, delivery: Delivery) -> Option<Delivery> {
        if matches!(self.state, State::Parking) {
            return Some(delivery);
        }
        let number = self.next;
        self.next += 1;
        if let State::Linked(link) = &mut self.state {
            link.define(hook);
            link.queue.push_back(Item::Deliver(number));
        }
        let unsettled = Unsettled {
            hook: Arc::clone(hook),
            delivery,
            since: Instant::now(),
        };
        self.unsettled.insert(number, unsettled);
        None
    }

    /// A hook was made, changed or enabled.
    pub(super) fn update(&mut self, hook: &Arc<Hook>) {
        self.note_change(&hook.id, Some(hook));
        if let State::Linked(link) = &mut self.state
            && link.told.contains_key(&hook.id)
        {
            link.update(hook);
        }
    }

    /// A hook was disabled or removed.
    pub(super) fn stop(&mut self, id: &HookId) {
        self.note_change(id, None);
        if let State::Linked(link) = &mut self.state
            && link.told.contains_key(id)
        {
            link.stop(id);
        }
    }

    fn note_change(&mut self, id: &HookId, hook: Option<&Arc<Hook>>) {
        if self.unsettled.is_empty() {
            self.changed.clear();
            return;
        }
        self.changed.insert(id.clone(), hook.cloned());
        if self.changed.len() > FEW {
            let here: HashSet<&HookId> = self.unsettled.values().map(|one| &one.hook.id).collect();
            self.changed.retain(|id, _| here.contains(id));
        }
    }

    /// Tells a hook as it is now, because the sender wants to know.
    pub(super) fn tell(&mut self, id: &HookId, hook: Option<&Arc<Hook>>) {
        if let State::Linked(link) = &mut self.state {
            match hook.filter(|hook| hook.active) {
                Some(hook) => link.update(hook),
                None => link.stop(id),
            }
        }
    }

    /// Says something, if there is a link.
    pub(super) fn say(&mut self, frame: Frame) {
        if let State::Linked(link) = &mut self.state {
            link.queue.push_back(Item::Frame(frame));
        }
    }

    /// Says something about a hook, after what the hook is now.
    pub(super) fn say_of(&mut self, id: &HookId, hook: Option<&Arc<Hook>>, frame: Frame) {
        if let State::Linked(link) = &mut self.state {
            match hook.filter(|hook| hook.active) {
                Some(hook) if link.tells(hook) => {}
                Some(hook) => link.update(hook),
                None => {
                    if !link.told.contains_key(id) {
                        link.stop(id);
                    }
                }
            }
            link.queue.push_back(Item::Frame(frame));
        }
    }

    /// A delivery is settled. Returns it, unless that is known.
    pub(super) fn settle(&mut self, number: u64) -> Option<Delivery> {
        self.unsettled
            .remove(&number)
            .map(|unsettled| unsettled.delivery)
    }

    /// What is to be done about a sender that asks for this link.
    pub(super) fn answer(&self, epoch: i64, id: u64) -> Answer {
        match &self.state {
            // It had the partition before somebody else did.
            _ if epoch < self.epoch => Answer::Nothing,
            State::Linked(link) if link.id == id => Answer::Nothing,
            State::Withdrawing | State::Clearing => Answer::Nothing,
            State::Parking => Answer::Clear,
            State::Alone | State::Linked(_) => Answer::Begin,
        }
    }

    /// Has what comes wait from now on, because a link begins when all is parked that was to be.
    pub(super) fn clear(&mut self) {
        if matches!(self.state, State::Parking) {
            self.state = State::Clearing;
        }
    }

    /// All is parked that was to be.
    pub(super) fn cleared(&mut self) {
        if matches!(self.state, State::Clearing) {
            self.state = State::Alone;
        }
    }

    /// Begins a link in an epoch, with all that is not settled.
    pub(super) fn begin(
        &mut self,
        epoch: i64,
        id: u64,
        ciphers: (LinkCipher, LinkCipher),
        begin: Frame,
    ) {
        let (out, back) = ciphers;
        let mut link = Link {
            id,
            out: Arc::new(out),
            back: Arc::new(back),
            queue: VecDeque::from([Item::Frame(begin)]),
            next: 0,
            heard: 0,
            heard_at: Instant::now(),
            is_over: false,
            told: HashMap::new(),
            text: Vec::new(),
            sent: 0,
        };
        for (number, unsettled) in &self.unsettled {
            link.define(&unsettled.hook);
            link.queue.push_back(Item::Deliver(*number));
        }
        self.changed.retain(|id, _| link.told.contains_key(id));
        for (id, now) in &self.changed {
            match now {
                // Also where that is what was told last: it may have been disabled when deliveries before came, and
                // what is only told for deliveries enables nothing.
                Some(hook) => link.update(hook),
                None => link.stop(id),
            }
        }
        self.epoch = epoch;
        self.state = State::Linked(Box::new(link));
    }

    /// Takes the next packet that is to be sent, of no more than `largest` bytes.
    pub(super) fn packet(&mut self, largest: usize) -> Option<Packet> {
        let State::Linked(link) = &mut self.state else {
            return None;
        };
        if link.sent == link.text.len() {
            link.text.clear();
            link.sent = 0;
            while link.text.len() < PACKET
                && let Some(item) = link.queue.pop_front()
            {
                match item {
                    Item::Define(hook) => Frame::write_hook(&mut link.text, &hook, false),
                    Item::Update(hook) => Frame::write_hook(&mut link.text, &hook, true),
                    Item::Frame(frame) => frame.write(&mut link.text),
                    Item::Deliver(number) => {
                        // It may be settled since, where a sender had it before.
                        if let Some(Unsettled { hook, delivery, .. }) = self.unsettled.get(&number)
                        {
                            write_delivery(&mut link.text, number, hook.id.as_str(), delivery);
                        }
                    }
                }
            }
        }
        let end = link.text.len().min(link.sent + largest);
        let text = link.text.get(link.sent..end).unwrap_or_default().to_vec();
        if text.is_empty() {
            return None;
        }
        link.sent = end;
        if end == link.text.len() {
            // A large body does not keep its room.
            link.text = Vec::new();
            link.sent = 0;
        }
        let head = Head {
            version: VERSION,
            link: link.id,
            epoch: self.epoch,
            number: link.next,
        };
        link.next += 1;
        Some(Packet {
            head,
            text,
            cipher: Arc::clone(&link.out),
        })
    }

    /// Is this the next packet from the sender? Returns what opens it. A later one comes again when it is asked for.
    pub(super) fn expects(&self, head: Head) -> Option<Arc<LinkCipher>> {
        match &self.state {
            State::Linked(link)
                if link.id == head.link
                    && self.epoch == head.epoch
                    && link.heard == head.number =>
            {
                Some(Arc::clone(&link.back))
            }
            _ => None,
        }
    }

    /// A packet from the sender was opened.
    pub(super) fn heard(&mut self, head: Head) {
        if let State::Linked(link) = &mut self.state
            && link.id == head.link
        {
            link.heard = head.number + 1;
            link.heard_at = Instant::now();
        }
    }

    /// How it is with the partition.
    pub(super) fn beat(&self) -> LineBeat {
        let link = match &self.state {
            State::Linked(link) => Some(link),
            State::Alone | State::Withdrawing | State::Parking | State::Clearing => None,
        };
        LineBeat {
            partition: self.number,
            epoch: self.epoch,
            link: link.map(|link| link.id),
            next: link.map_or(0, |link| link.next),
            heard: link.map_or(0, |link| link.heard),
        }
    }

    /// Whether a sender has it that was heard within this time.
    pub(super) fn is_heard(&self, within: Duration) -> bool {
        match &self.state {
            State::Linked(link) => !link.is_over && link.heard_at.elapsed() < within,
            State::Alone | State::Withdrawing | State::Parking | State::Clearing => false,
        }
    }

    /// The sender gives the partition back.
    pub(super) fn end(&mut self) {
        if let State::Linked(link) = &mut self.state {
            link.is_over = true;
        }
    }

    /// Whether something has waited for so long.
    pub(super) fn has_waited(&self, patience: Duration) -> bool {
        let first = self.unsettled.first_key_value();
        first.is_some_and(|(_, first)| first.since.elapsed() > patience)
    }

    /// Begins to take the partition away from whoever has it. `false`: that has begun.
    pub(super) fn withdraw(&mut self) -> bool {
        let begins = matches!(self.state, State::Alone | State::Linked(_));
        if begins {
            self.state = State::Withdrawing;
        }
        begins
    }

    /// Nobody has the partition any more before this epoch. Returns all that is to be parked, in order.
    pub(super) fn withdrawn(&mut self, epoch: i64) -> Vec<(HookId, Delivery)> {
        self.epoch = epoch;
        self.state = State::Parking;
        self.changed.clear();
        let unsettled = std::mem::take(&mut self.unsettled).into_values();
        let unsettled = unsettled.map(|one| (one.hook.id.clone(), one.delivery));
        unsettled.collect()
    }

    /// The bytes of what is not settled, by whose it is.
    pub(super) fn parties(&self) -> HashMap<Party, usize> {
        let mut parties: HashMap<Party, usize> = HashMap::new();
        for Unsettled { hook, delivery, .. } in self.unsettled.values() {
            *parties.entry(Party::of(hook)).or_default() +=
                delivery.body.len() + memory_budget::DELIVERY;
        }
        parties
    }

    /// The hooks of a party that have something here.
    pub(super) fn hooks_of(&self, party: &Party) -> Vec<String> {
        let hooks = self.unsettled.values().map(|one| &one.hook);
        let hooks = hooks.filter(|hook| Party::of(hook) == *party);
        let hooks: HashSet<&str> = hooks.map(|hook| hook.id.as_str()).collect();
        hooks.into_iter().map(str::to_owned).collect()
    }

    /// Leaves the rows that were forgotten out of what is here, and has the sender do the same.
    pub(super) fn forget(&mut self, forgotten: &Forgotten) {
        for unsettled in self.unsettled.values_mut() {
            forgotten.apply(&mut unsettled.delivery);
        }
        self.say(Frame::Forgotten);
    }
}

impl Party {
    fn of(hook: &Hook) -> Self {
        match &hook.owner {
            Some(owner) => Self::Owner(Arc::clone(owner)),
            None => Self::Hook(hook.id.clone()),
        }
    }
}

impl Link {
    /// Whether the sender was told exactly this.
    fn tells(&self, hook: &Arc<Hook>) -> bool {
        let told = self.told.get(&hook.id);
        told.is_some_and(|told| told.as_ref().is_some_and(|told| Arc::ptr_eq(told, hook)))
    }

    /// Tells a hook as what follows is sent to it.
    fn define(&mut self, hook: &Arc<Hook>) {
        if !self.tells(hook) {
            self.told.insert(hook.id.clone(), Some(Arc::clone(hook)));
            self.queue.push_back(Item::Define(Arc::clone(hook)));
        }
    }

    fn update(&mut self, hook: &Arc<Hook>) {
        self.told.insert(hook.id.clone(), Some(Arc::clone(hook)));
        self.queue.push_back(Item::Update(Arc::clone(hook)));
    }

    fn stop(&mut self, id: &HookId) {
        self.told.insert(id.clone(), None);
        let stop = Frame::Stop(id.as_str().to_owned());
        self.queue.push_back(Item::Frame(stop));
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::{
        cluster::cipher::{Keys, Way},
        config,
        delivery::{lane::Place, whose::Whose},
        event::Position,
        hook::Origin,
        message::MessageKey,
        postgres::Lsn,
        send::target::Target,
    };

    const FIRST: fn() -> Frame = || Frame::Begin(1, None);

    fn hook(id: &str, path: &str) -> Arc<Hook> {
        let url = format!("https://example.com/{path}").parse().unwrap();
        Arc::new(Hook {
            id: HookId::new(id, true),
            owner: None,
            events: [].into(),
            filter: None,
            target: Target::new(&url, None, &[]).unwrap(),
            delivery: Arc::new(config::Delivery::default()),
            since: None,
            active: true,
            origin: Origin::Table,
        })
    }

    fn delivery(number: u64) -> Delivery {
        Delivery {
            id: format!("msg_{number}").into(),
            event: "a".into(),
            position: Position {
                commit_lsn: Lsn(1),
                index: number,
            },
            commit_time: SystemTime::UNIX_EPOCH,
            place: Place::One(number),
            body: vec![b'x'; 1000].into(),
            content_type: "text/plain".into(),
            whose: Whose::Unknown,
            about: Arc::default(),
            outline: None,
            attempts: 0,
            waited: None,
            unfit: None,
            asked: None,
            held: None,
        }
    }

    fn begin(line: &mut Line, epoch: i64, id: u64) {
        let keys = Keys::new(MessageKey::new(&[1; 64], Lsn(0)), "test".into());
        let cipher = |way| keys.of_link(0, epoch, id, way);
        line.begin(epoch, id, (cipher(Way::Out), cipher(Way::Back)), FIRST());
    }

    /// What is said, in words, in packets of no more than `largest` bytes.
    fn said(line: &mut Line, largest: usize) -> Vec<String> {
        let (mut text, mut number) = (Vec::new(), None);
        while let Some(packet) = line.packet(largest) {
            assert!(packet.text.len() <= largest);
            assert_eq!(
                packet.head.number,
                number.map_or(packet.head.number, |last| last + 1)
            );
            number = Some(packet.head.number);
            text.extend(packet.text);
        }
        let config = config::Config::parse(
            std::path::Path::new("hooks.toml"),
            "database.url = \"host=127.0.0.1 port=1\"\nevents.a = \"b.created\"",
            &|_| None,
        );
        let config = config.unwrap();
        let target = |told: Box<super::super::told::Told>| {
            let heard = told.into_hook(&config).unwrap();
            let path = heard.hook.target.display().rsplit('/').next().unwrap();
            format!("{} at {path}", heard.hook.id)
        };
        let (mut rest, mut said) = (&text[..], Vec::new());
        while let Some(frame) = Frame::take(&mut rest).unwrap() {
            said.push(match frame {
                Frame::Begin(..) => "begin".to_owned(),
                Frame::Define(told) => format!("define {}", target(told)),
                Frame::Update(told) => format!("update {}", target(told)),
                Frame::Stop(id) => format!("stop {id}"),
                Frame::Deliver { number, hook, .. } => format!("deliver {number} to {hook}"),
                _ => "something else".to_owned(),
            });
        }
        assert!(rest.is_empty());
        said
    }

    #[test]
    fn a_link_begins_with_all_that_is_not_settled_behind_the_hooks_of_its_moment() {
        let mut line = Line::new(0);
        let (old, new, other) = (hook("1", "old"), hook("1", "new"), hook("2", "other"));
        assert!(line.hand(&old, delivery(0)).is_none());
        line.update(&new);
        assert!(line.hand(&new, delivery(1)).is_none());
        assert!(line.hand(&other, delivery(2)).is_none());
        assert!(line.hand(&other, delivery(3)).is_none());
        line.stop(&other.id);
        assert!(line.settle(2).is_some() && line.settle(2).is_none());
        begin(&mut line, 1, 7);
        let expected = [
            "begin",
            "define 1 at old",
            "deliver 0 to 1",
            "define 1 at new",
            "deliver 1 to 1",
            "define 2 at other",
            "deliver 3 to 2",
        ];
        let mut told = said(&mut line, 1 << 20);
        let mut changed = told.split_off(expected.len());
        changed.sort_unstable();
        assert_eq!(told, expected);
        // The sender is to go on with what was disabled for a while.
        assert_eq!(changed, ["stop 2", "update 1 at new"]);
        // What comes is said as it comes, and hooks only where the sender knows them.
        line.update(&hook("3", "unknown"));
        line.update(&old);
        assert!(line.hand(&old, delivery(4)).is_none());
        assert_eq!(
            said(&mut line, 1 << 20),
            ["update 1 at old", "deliver 4 to 1"]
        );
        // Another link is told all of it once more, in pieces if need be.
        begin(&mut line, 2, 8);
        let again = said(&mut line, 100);
        assert_eq!(again.first().map(String::as_str), Some("begin"));
        assert_eq!(
            again
                .iter()
                .filter(|said| said.starts_with("deliver"))
                .count(),
            4
        );
        let mut last = again[again.len() - 2..].to_vec();
        last.sort_unstable();
        assert_eq!(last, ["stop 2", "update 1 at old"]);
    }

    #[test]
    fn what_nobody_takes_is_parked_in_order_until_a_sender_of_a_newer_epoch_comes() {
        let mut line = Line::new(0);
        let hook = hook("1", "hook");
        begin(&mut line, 3, 7);
        assert_eq!(line.answer(3, 7), Answer::Nothing, "it has begun");
        assert_eq!(
            line.answer(2, 8),
            Answer::Nothing,
            "it is of an older epoch"
        );
        assert_eq!(line.answer(3, 8), Answer::Begin);
        for number in 0..3 {
            assert!(line.hand(&hook, delivery(number)).is_none());
        }
        assert!(line.withdraw() && !line.withdraw());
        assert_eq!(line.answer(4, 9), Answer::Nothing, "it is being taken away");
        // What comes meanwhile is parked behind the others.
        assert!(line.hand(&hook, delivery(3)).is_none());
        let parked = line.withdrawn(5);
        let parked: Vec<&str> = parked.iter().map(|(_, one)| &*one.id).collect();
        assert_eq!(parked, ["msg_0", "msg_1", "msg_2", "msg_3"]);
        assert!(line.hand(&hook, delivery(4)).is_some() && line.is_empty());
        assert_eq!(line.answer(4, 9), Answer::Nothing);
        assert_eq!(line.answer(6, 9), Answer::Clear);
        line.clear();
        // Now it waits until what was parked is there.
        assert_eq!(line.answer(6, 9), Answer::Nothing);
        assert!(line.hand(&hook, delivery(5)).is_none());
        line.cleared();
        assert_eq!(line.answer(6, 9), Answer::Begin);
        begin(&mut line, 6, 9);
        assert_eq!(
            said(&mut line, 1 << 20),
            ["begin", "define 1 at hook", "deliver 4 to 1"]
        );
    }

    #[test]
    fn only_the_next_packet_of_the_link_is_heard() {
        let mut line = Line::new(0);
        begin(&mut line, 1, 7);
        let head = |link, number| Head {
            version: VERSION,
            link,
            epoch: 1,
            number,
        };
        assert!(line.expects(head(7, 0)).is_some());
        assert!(line.expects(head(7, 1)).is_none() && line.expects(head(8, 0)).is_none());
        line.heard(head(7, 0));
        assert!(line.expects(head(7, 0)).is_none() && line.expects(head(7, 1)).is_some());
        assert_eq!(line.beat().heard, 1);
        assert!(line.is_heard(Duration::from_secs(60)));
        line.end();
        assert!(!line.is_heard(Duration::from_secs(60)));
    }
}
