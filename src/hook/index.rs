//! Finds the hooks that an event is sent to, in time that does not grow with the number of hooks.
//!
//! The reader owns the index and updates it from the stream, so a hook applies from exactly the place of its row among
//! the other changes.

use std::{
    borrow::Cow,
    hash::{BuildHasher, Hash},
    sync::Arc,
    time::SystemTime,
};

use hashbrown::{DefaultHashBuilder, HashMap, HashSet, HashTable, hash_table::Entry};

use crate::{
    config::{Order, Pattern},
    hook::{Hook, HookId},
    postgres::equality::{Equality, coarse},
};

/// All active hooks, by event and owner.
///
/// There may be a million. To save memory the tables hold no copies of their keys but compare the hooks' own fields,
/// and hooks share equal owners and patterns.
#[derive(Debug)]
pub struct Index {
    hooks: HashTable<Arc<Hook>>,
    listeners: HashMap<Arc<str>, Listeners>,
    owners: HashSet<Arc<str>>,
    /// There are few single ones: no more than the names of events have prefixes. Lists are forgotten with their hooks.
    patterns: HashSet<Arc<[Pattern]>>,
    /// Hashes ids and owners.
    hasher: DefaultHashBuilder,
}

/// The hooks on one event.
#[derive(Debug, Default)]
struct Listeners {
    of_owner: HashTable<ByOwner>,
    of_everyone: Vec<Arc<Hook>>,
    /// How many of them want all of their events in order.
    ordered: usize,
}

/// The hooks of one owner on one event, and of owners whose names may turn out to be the same ([`coarse`]). The name is
/// that in the hooks. Nearly always there is only one hook.
#[derive(Debug)]
enum ByOwner {
    One(Arc<Hook>),
    /// At least two.
    #[expect(
        clippy::box_collection,
        reason = "a Vec would make every entry three words, and nearly all have one hook"
    )]
    Many(Box<Vec<Arc<Hook>>>),
}

impl Index {
    /// An empty index for these events, which are all that can happen.
    pub fn new(events: impl IntoIterator<Item = Arc<str>>) -> Self {
        Self {
            hooks: HashTable::new(),
            listeners: events
                .into_iter()
                .map(|event| (event, Listeners::default()))
                .collect(),
            owners: HashSet::new(),
            patterns: HashSet::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// Adds a hook, or replaces the one with the same id.
    pub fn put(&mut self, mut hook: Arc<Hook>) {
        // A hook that others hold already cannot be changed. It then takes more memory, and nothing else.
        if let Some(own) = Arc::get_mut(&mut hook) {
            self.share(own);
        }
        let hash = self.hasher.hash_one(hook.id.as_str());
        let is_same = |other: &Arc<Hook>| other.id == hook.id;
        let rehash = |other: &Arc<Hook>| self.hasher.hash_one(other.id.as_str());
        match self.hooks.entry(hash, is_same, rehash) {
            Entry::Vacant(place) => {
                place.insert(Arc::clone(&hook));
            }
            Entry::Occupied(mut place) => {
                let earlier = std::mem::replace(place.get_mut(), Arc::clone(&hook));
                self.leave(&earlier);
            }
        }
        each_of(&mut self.listeners, &hook.events, |listeners| {
            listeners.add(Arc::clone(&hook), &self.hasher);
        });
    }

    /// Removes a hook. Returns it if there was one.
    pub fn remove(&mut self, id: &HookId) -> Option<Arc<Hook>> {
        let hash = self.hasher.hash_one(id.as_str());
        let place = self.hooks.find_entry(hash, |hook| hook.id == *id).ok()?;
        let (hook, _) = place.remove();
        self.leave(&hook);
        Some(hook)
    }

    /// Removes a hook from the lists of its events, and its owner if no other hook has it.
    fn leave(&mut self, hook: &Hook) {
        each_of(&mut self.listeners, &hook.events, |listeners| {
            listeners.remove(hook, &self.hasher);
        });
        if hook.events.len() > 1
            && self
                .patterns
                .get(&hook.events)
                .is_some_and(|kept| Arc::strong_count(kept) <= 2)
        {
            self.patterns.remove(&hook.events);
        }
        if let Some(owner) = &hook.owner
            && self
                .owners
                .get(owner)
                .is_some_and(|kept| Arc::strong_count(kept) <= 2)
        {
            // Only this hook and the set itself have it.
            self.owners.remove(owner);
        }
    }

    /// Lets the hook share the owner and the patterns that other hooks have already.
    fn share(&mut self, hook: &mut Hook) {
        if let Some(owner) = &mut hook.owner {
            shared(&mut self.owners, owner);
        }
        shared(&mut self.patterns, &mut hook.events);
    }

    /// The hook with this id.
    pub fn get(&self, id: &HookId) -> Option<&Arc<Hook>> {
        let hash = self.hasher.hash_one(id.as_str());
        self.hooks.find(hash, |hook| hook.id == *id)
    }

    /// The hooks of this owner, whose name is a value with this equality.
    pub fn of_owner(&self, owner: &str, equality: Equality) -> Vec<Arc<Hook>> {
        let mut hooks: Vec<Arc<Hook>> = Vec::new();
        for listeners in self.listeners.values() {
            for hook in listeners.of(owner, &self.hasher) {
                if is_of(hook, owner, equality) && hooks.iter().all(|other| other.id != hook.id) {
                    hooks.push(Arc::clone(hook));
                }
            }
        }
        hooks
    }

    /// All hooks. They are collected first, so that the index can be changed on the way.
    pub fn all(&self) -> impl Iterator<Item = Arc<Hook>> + use<> {
        let all: Vec<Arc<Hook>> = self.hooks.iter().map(Arc::clone).collect();
        all.into_iter()
    }

    /// The number of hooks.
    pub fn len(&self) -> usize {
        self.hooks.len()
    }

    /// Are there no hooks?
    pub fn is_empty(&self) -> bool {
        self.hooks.is_empty()
    }

    /// Is there a hook on `event`?
    pub fn has_hooks_for(&self, event: &str) -> bool {
        self.listeners.get(event).is_some_and(|listeners| {
            !listeners.of_owner.is_empty() || !listeners.of_everyone.is_empty()
        })
    }

    /// Is there a hook on `event` that wants all of its events in order?
    pub fn is_ordered(&self, event: &str) -> bool {
        self.listeners.get(event).is_some_and(|of| of.ordered > 0)
    }

    /// The hooks that `event` is sent to, if it was committed at `commit_time`. Filters are not evaluated.
    pub fn matches<'a>(
        &'a self,
        event: &str,
        audience: Audience<'a>,
        commit_time: SystemTime,
    ) -> impl Iterator<Item = &'a Arc<Hook>> {
        let listeners = self.listeners.get(event);
        let everyone = listeners
            .map(|of| of.of_everyone.iter())
            .into_iter()
            .flatten();
        let owners = match audience {
            Audience::Everyone => None,
            Audience::Owner(owner, equality) => Some(listeners.zip(owner).into_iter().flat_map(
                move |(of, owner)| {
                    let hooks = of.of(owner, &self.hasher).iter();
                    hooks.filter(move |hook| is_of(hook, owner, equality))
                },
            )),
        };
        let of_all = listeners.filter(|_| owners.is_none());
        let of_all = of_all
            .into_iter()
            .flat_map(|of| of.of_owner.iter().flat_map(ByOwner::hooks));
        let of_one = owners.into_iter().flatten();
        everyone
            .chain(of_all)
            .chain(of_one)
            .filter(move |hook| hook.existed_at(commit_time))
    }
}

impl Listeners {
    /// The hooks of an owner, and of those whose names may be the same.
    fn of(&self, owner: &str, hasher: &DefaultHashBuilder) -> &[Arc<Hook>] {
        let owner = coarse(owner);
        let hash = hasher.hash_one(&*owner);
        let hooks = self.of_owner.find(hash, |hooks| hooks.owner() == owner);
        hooks.map_or(&[], ByOwner::hooks)
    }

    fn add(&mut self, hook: Arc<Hook>, hasher: &DefaultHashBuilder) {
        self.ordered += usize::from(hook.delivery.order == Order::Hook);
        let Some(owner) = hook.owner.as_deref() else {
            return self.of_everyone.push(hook);
        };
        let owner = coarse(owner);
        let hash = hasher.hash_one(&*owner);
        let is_same = |hooks: &ByOwner| hooks.owner() == owner;
        let rehash = |hooks: &ByOwner| hasher.hash_one(&*hooks.owner());
        match self.of_owner.entry(hash, is_same, rehash) {
            Entry::Vacant(place) => {
                place.insert(ByOwner::One(hook));
            }
            Entry::Occupied(mut place) => match place.get_mut() {
                ByOwner::Many(hooks) => hooks.push(hook),
                one @ ByOwner::One(_) => {
                    let both = [one.hooks(), &[hook]].concat();
                    *one = ByOwner::Many(Box::new(both));
                }
            },
        }
    }

    fn remove(&mut self, hook: &Hook, hasher: &DefaultHashBuilder) {
        self.ordered -= usize::from(hook.delivery.order == Order::Hook);
        let Some(owner) = hook.owner.as_deref() else {
            return self.of_everyone.retain(|other| other.id != hook.id);
        };
        let owner = coarse(owner);
        let hash = hasher.hash_one(&*owner);
        let Ok(mut place) = self
            .of_owner
            .find_entry(hash, |hooks| hooks.owner() == owner)
        else {
            return;
        };
        match place.get_mut() {
            ByOwner::One(_) => {
                place.remove();
            }
            ByOwner::Many(hooks) => {
                hooks.retain(|other| other.id != hook.id);
                if let [one] = &hooks[..] {
                    *place.get_mut() = ByOwner::One(Arc::clone(one));
                }
            }
        }
    }
}

impl ByOwner {
    /// What their owners' names have in common.
    fn owner(&self) -> Cow<'_, str> {
        let owner = self.hooks().first().and_then(|hook| hook.owner.as_deref());
        coarse(owner.unwrap_or_default())
    }

    fn hooks(&self) -> &[Arc<Hook>] {
        match self {
            Self::One(hook) => std::slice::from_ref(hook),
            Self::Many(hooks) => hooks,
        }
    }
}

fn is_of(hook: &Hook, owner: &str, equality: Equality) -> bool {
    let of = hook.owner.as_deref();
    of.is_some_and(|of| equality.same(of, owner))
}

/// Does something for each event that one of the patterns matches.
fn each_of(
    listeners: &mut HashMap<Arc<str>, Listeners>,
    patterns: &[Pattern],
    mut act: impl FnMut(&mut Listeners),
) {
    // Names need no walk over all events, and nearly all patterns are names.
    let is_name = |pattern: &Pattern| matches!(pattern, Pattern::Exact(_));
    if patterns.iter().all(is_name) {
        for (at, pattern) in patterns.iter().enumerate() {
            if let Pattern::Exact(name) = pattern
                && !patterns[..at].contains(pattern)
                && let Some(listeners) = listeners.get_mut(name.as_str())
            {
                act(listeners);
            }
        }
        return;
    }
    for (event, listeners) in listeners {
        if patterns.iter().any(|pattern| pattern.matches(event)) {
            act(listeners);
        }
    }
}

/// Replaces `own` by the equal value of the set, or adds it to the set.
fn shared<T: Hash + Eq + ?Sized>(set: &mut HashSet<Arc<T>>, own: &mut Arc<T>) {
    match set.get(&**own) {
        Some(equal) => *own = Arc::clone(equal),
        None => {
            set.insert(Arc::clone(own));
        }
    }
}

/// Which hooks of owners an event is sent to. Hooks without an owner are sent it in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience<'a> {
    /// Those of the row's owner, whose name is a value with this equality; none where the owner is unknown.
    Owner(Option<&'a str>, Equality),
    /// `+`: those of all owners.
    Everyone,
}

impl Hook {
    /// Is it sent `event`, if that is for this audience? Its filter is not evaluated.
    pub fn hears(&self, event: &str, audience: Audience<'_>) -> bool {
        let is_for_it = match (&self.owner, audience) {
            (None, _) | (_, Audience::Everyone) => true,
            (Some(own), Audience::Owner(owner, equality)) => {
                owner.is_some_and(|owner| equality.same(owner, own))
            }
        };
        is_for_it && self.events.iter().any(|pattern| pattern.matches(event))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use url::Url;

    use super::*;
    use crate::{config::Delivery, hook::Origin, send::target::Target};

    fn hook(id: &str, owner: Option<&str>, events: &[Pattern]) -> Arc<Hook> {
        Arc::new(Hook {
            id: HookId::new(id, true),
            owner: owner.map(Arc::from),
            events: events.into(),
            filter: None,
            target: Target::new(&Url::parse("https://example.com/").unwrap(), None, &[]).unwrap(),
            delivery: Arc::new(Delivery::default()),
            since: None,
            active: true,
            origin: Origin::Table,
        })
    }

    fn exact(name: &str) -> Pattern {
        Pattern::Exact(name.into())
    }

    fn index() -> Index {
        let mut index = Index::new([
            "book.added".into(),
            "book.removed".into(),
            "shelf.added".into(),
        ]);
        index.put(hook("1", Some("7"), &[exact("book.added")]));
        index.put(hook("2", Some("8"), &[Pattern::Prefix("book.".into())]));
        index.put(hook("3", None, &[Pattern::Any]));
        index
    }

    fn ids(index: &Index, event: &str, audience: Audience<'_>) -> Vec<String> {
        let mut ids: Vec<_> = index
            .matches(event, audience, SystemTime::UNIX_EPOCH)
            .map(|hook| hook.id.to_string())
            .collect();
        ids.sort();
        ids
    }

    #[test]
    fn an_owner_hears_their_own_and_an_operator_hears_all() {
        let index = index();
        assert_eq!(
            ids(
                &index,
                "book.added",
                Audience::Owner(Some("7"), Equality::Text)
            ),
            ["1", "3"]
        );
        assert_eq!(
            ids(
                &index,
                "book.added",
                Audience::Owner(Some("8"), Equality::Text)
            ),
            ["2", "3"]
        );
        assert_eq!(
            ids(&index, "book.added", Audience::Owner(None, Equality::Text)),
            ["3"]
        );
        assert_eq!(
            ids(&index, "book.added", Audience::Everyone),
            ["1", "2", "3"]
        );
        assert_eq!(
            ids(
                &index,
                "shelf.added",
                Audience::Owner(Some("8"), Equality::Text)
            ),
            ["3"]
        );
        assert_eq!(ids(&index, "never.heard", Audience::Everyone), [""; 0]);
    }

    #[test]
    fn owners_are_compared_as_values_and_not_as_texts() {
        let mut index = Index::new(["book.added".into()]);
        for (id, owner) in [
            ("1", "7"),
            ("2", "07"),
            ("3", "Anna"),
            ("4", "anna"),
            ("5", "anna "),
        ] {
            index.put(hook(id, Some(owner), &[exact("book.added")]));
        }
        let heard = |index: &Index, owner, equality| {
            ids(index, "book.added", Audience::Owner(Some(owner), equality))
        };
        assert_eq!(heard(&index, "7", Equality::Text), ["1"]);
        assert_eq!(heard(&index, "7", Equality::Integer), ["1", "2"]);
        assert_eq!(heard(&index, "anna", Equality::Text), ["4"]);
        assert_eq!(heard(&index, "anna   ", Equality::Padded), ["4", "5"]);
        assert_eq!(heard(&index, "ANNA", Equality::CaseInsensitive), ["3", "4"]);
        index.remove(&HookId::new("4", true));
        assert_eq!(heard(&index, "Anna", Equality::Text), ["3"]);
        assert_eq!(index.of_owner("007", Equality::Integer).len(), 2);
    }

    #[test]
    fn a_hook_is_replaced_and_removed_whole() {
        let mut index = index();
        index.put(hook("1", Some("9"), &[exact("book.removed")]));
        assert_eq!(
            ids(
                &index,
                "book.added",
                Audience::Owner(Some("7"), Equality::Text)
            ),
            ["3"]
        );
        assert_eq!(
            ids(
                &index,
                "book.removed",
                Audience::Owner(Some("9"), Equality::Text)
            ),
            ["1", "3"]
        );
        for id in ["1", "2", "3"] {
            assert!(index.remove(&HookId::new(id, true)).is_some());
        }
        assert!(index.is_empty() && !index.has_hooks_for("book.added"));
        assert!(index.remove(&HookId::new("1", true)).is_none());
    }

    #[test]
    fn hooks_of_one_owner_on_one_event_are_told_apart() {
        let mut index = index();
        index.put(hook("4", Some("7"), &[exact("book.added")]));
        index.put(hook("5", Some("7"), &[exact("book.added")]));
        let of_7 = |index: &Index| {
            ids(
                index,
                "book.added",
                Audience::Owner(Some("7"), Equality::Text),
            )
        };
        assert_eq!(of_7(&index), ["1", "3", "4", "5"]);
        index.remove(&HookId::new("4", true));
        assert_eq!(of_7(&index), ["1", "3", "5"]);
        index.remove(&HookId::new("1", true));
        assert_eq!(of_7(&index), ["3", "5"]);
        index.remove(&HookId::new("5", true));
        assert_eq!(of_7(&index), ["3"]);
    }

    #[test]
    fn hooks_share_their_owner_and_patterns_and_an_owner_without_hooks_is_forgotten() {
        let mut index = index();
        index.put(hook("4", Some("7"), &[exact("book.added")]));
        let own = |id: &str| Arc::clone(index.get(&HookId::new(id, true)).unwrap());
        let (one, other) = (own("1"), own("4"));
        assert!(Arc::ptr_eq(&one.events, &other.events));
        let owner = |hook: &Hook| Arc::clone(hook.owner.as_ref().unwrap());
        assert!(Arc::ptr_eq(&owner(&one), &owner(&other)));
        drop((one, other));
        for id in ["1", "4"] {
            index.remove(&HookId::new(id, true));
        }
        assert!(!index.owners.contains("7") && index.owners.contains("8"));
    }

    #[test]
    fn a_hook_on_several_events_is_sent_each_of_them_once() {
        let mut index = Index::new(["a.x", "a.y", "b"].map(Into::into));
        let single = index.patterns.len();
        index.put(hook(
            "1",
            Some("7"),
            &[exact("a.x"), exact("b"), exact("a.x")],
        ));
        let both = [Pattern::Prefix("a.".into()), exact("a.x")];
        index.put(hook("2", Some("7"), &both));
        index.put(hook("3", Some("7"), &both));
        let heard =
            |index: &Index, event| ids(index, event, Audience::Owner(Some("7"), Equality::Text));
        assert_eq!(heard(&index, "a.x"), ["1", "2", "3"]);
        assert_eq!(heard(&index, "a.y"), ["2", "3"]);
        assert_eq!(heard(&index, "b"), ["1"]);
        index.put(hook("1", Some("7"), &[exact("a.y"), exact("b")]));
        assert_eq!(heard(&index, "a.x"), ["2", "3"]);
        assert_eq!(heard(&index, "a.y"), ["1", "2", "3"]);
        index.remove(&HookId::new("2", true));
        assert_eq!(heard(&index, "a.y"), ["1", "3"]);
        for id in ["1", "3"] {
            index.remove(&HookId::new(id, true));
        }
        // Nothing is kept of lists that no hook has any more.
        assert_eq!(index.patterns.len(), single);
    }

    #[test]
    fn whether_a_hook_wants_all_of_an_event_in_order_is_known_as_long_as_it_does() {
        let mut index = Index::new(["a".into(), "b".into()]);
        let put = |index: &mut Index, id: &str, order| {
            let mut hook = Arc::into_inner(hook(id, Some("7"), &[exact("a")])).unwrap();
            hook.delivery = Arc::new(Delivery {
                order,
                ..Delivery::default()
            });
            index.put(Arc::new(hook));
        };
        put(&mut index, "1", Order::Hook);
        put(&mut index, "2", Order::Hook);
        assert!(index.is_ordered("a") && !index.is_ordered("b"));
        put(&mut index, "1", Order::Row);
        assert!(index.is_ordered("a"));
        index.remove(&HookId::new("2", true));
        assert!(!index.is_ordered("a"));
    }

    #[test]
    fn a_hook_loaded_at_start_does_not_hear_what_was_committed_before_it_was_made() {
        let mut index = Index::new(["book.added".into()]);
        let made = SystemTime::UNIX_EPOCH + Duration::from_secs(60);
        let mut young = Arc::into_inner(hook("1", None, &[exact("book.added")])).unwrap();
        young.since = Some(made);
        index.put(Arc::new(young));
        let heard_at = |time| {
            index
                .matches("book.added", Audience::Everyone, time)
                .count()
        };
        assert_eq!(heard_at(made - Duration::from_micros(1)), 0);
        assert_eq!(heard_at(made), 1);
    }
}
