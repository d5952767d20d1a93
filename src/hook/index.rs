//! Finds the hooks that hear an event, in time that does not grow with the number of hooks.
//!
//! The reader owns the index and feeds it from the stream it reads, so a hook applies from exactly the place where its
//! row stands among the other changes.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use crate::{
    config::Pattern,
    hook::{Hook, HookId},
};

/// All active hooks, by what they hear.
#[derive(Debug)]
pub struct Index {
    hooks: HashMap<HookId, Arc<Hook>>,
    listeners: HashMap<Arc<str>, Listeners>,
}

/// The hooks on one event.
#[derive(Debug, Default)]
struct Listeners {
    of_owner: HashMap<Arc<str>, Vec<Arc<Hook>>>,
    of_everyone: Vec<Arc<Hook>>,
}

impl Index {
    /// An index without hooks for these events, which are all that can happen.
    pub fn new(events: impl IntoIterator<Item = Arc<str>>) -> Self {
        Self {
            hooks: HashMap::new(),
            listeners: events
                .into_iter()
                .map(|event| (event, Listeners::default()))
                .collect(),
        }
    }

    /// Adds a hook, in place of one with the same id.
    pub fn put(&mut self, hook: Arc<Hook>) {
        self.remove(&hook.id);
        for listeners in self.heard_by(&hook.events) {
            match &hook.owner {
                Some(owner) => listeners
                    .of_owner
                    .entry(Arc::clone(owner))
                    .or_default()
                    .push(Arc::clone(&hook)),
                None => listeners.of_everyone.push(Arc::clone(&hook)),
            }
        }
        self.hooks.insert(hook.id.clone(), hook);
    }

    /// Takes a hook out. Returns it if there was one.
    pub fn remove(&mut self, id: &HookId) -> Option<Arc<Hook>> {
        let hook = self.hooks.remove(id)?;
        for listeners in self.heard_by(&hook.events) {
            let Some(owner) = &hook.owner else {
                listeners.of_everyone.retain(|other| other.id != *id);
                continue;
            };
            if let Some(hooks) = listeners.of_owner.get_mut(owner) {
                hooks.retain(|other| other.id != *id);
                if hooks.is_empty() {
                    listeners.of_owner.remove(owner);
                }
            }
        }
        Some(hook)
    }

    /// The hook with this id.
    pub fn get(&self, id: &HookId) -> Option<&Arc<Hook>> {
        self.hooks.get(id)
    }

    /// The hooks that hear the rows of this owner, as theirs.
    pub fn of_owner(&self, owner: &str) -> Vec<Arc<Hook>> {
        let mut hooks: Vec<Arc<Hook>> = Vec::new();
        for listeners in self.listeners.values() {
            for hook in listeners.of_owner.get(owner).into_iter().flatten() {
                if hooks.iter().all(|other| other.id != hook.id) {
                    hooks.push(Arc::clone(hook));
                }
            }
        }
        hooks
    }

    /// How many hooks there are.
    pub fn len(&self) -> usize {
        self.hooks.len()
    }

    /// Is there no hook?
    pub fn is_empty(&self) -> bool {
        self.hooks.is_empty()
    }

    /// Could any hook hear `event`?
    pub fn hears(&self, event: &str) -> bool {
        self.listeners.get(event).is_some_and(|listeners| {
            !listeners.of_owner.is_empty() || !listeners.of_everyone.is_empty()
        })
    }

    /// The hooks that hear `event` of a row of `owner`, committed at `commit_time`. Filters are not asked.
    pub fn matches<'a>(
        &'a self,
        event: &str,
        audience: Audience<'_>,
        commit_time: SystemTime,
    ) -> impl Iterator<Item = &'a Arc<Hook>> {
        let listeners = self.listeners.get(event);
        let everyone = listeners
            .map(|of| of.of_everyone.iter())
            .into_iter()
            .flatten();
        let owners = match audience {
            Audience::Everyone => None,
            Audience::Owner(owner) => Some(
                listeners
                    .zip(owner)
                    .and_then(|(of, owner)| of.of_owner.get(owner)),
            ),
        };
        let of_all = listeners.filter(|_| owners.is_none());
        let of_all = of_all
            .into_iter()
            .flat_map(|of| of.of_owner.values().flatten());
        let of_one = owners.flatten().into_iter().flatten();
        everyone
            .chain(of_all)
            .chain(of_one)
            .filter(move |hook| hook.existed_at(commit_time))
    }

    fn heard_by(&mut self, patterns: &[Pattern]) -> Vec<&mut Listeners> {
        // A name needs no walk over all events, and nearly all patterns are names.
        if let [Pattern::Exact(name)] = patterns {
            return self.listeners.get_mut(name.as_str()).into_iter().collect();
        }
        let heard = |event: &str| patterns.iter().any(|pattern| pattern.matches(event));
        self.listeners
            .iter_mut()
            .filter_map(|(event, listeners)| heard(event).then_some(listeners))
            .collect()
    }
}

/// Who may hear an event, besides the hooks that hear everyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience<'a> {
    /// The hooks of the row's owner; none where the owner is unknown.
    Owner(Option<&'a str>),
    /// `+`: the hooks of all owners.
    Everyone,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use url::Url;

    use super::*;
    use crate::{config::Delivery, delivery::send::Target, hook::Origin};

    fn hook(id: &str, owner: Option<&str>, events: &[Pattern]) -> Arc<Hook> {
        Arc::new(Hook {
            id: HookId::new(id, true),
            owner: owner.map(Arc::from),
            events: events.to_vec(),
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
            ids(&index, "book.added", Audience::Owner(Some("7"))),
            ["1", "3"]
        );
        assert_eq!(
            ids(&index, "book.added", Audience::Owner(Some("8"))),
            ["2", "3"]
        );
        assert_eq!(ids(&index, "book.added", Audience::Owner(None)), ["3"]);
        assert_eq!(
            ids(&index, "book.added", Audience::Everyone),
            ["1", "2", "3"]
        );
        assert_eq!(
            ids(&index, "shelf.added", Audience::Owner(Some("8"))),
            ["3"]
        );
        assert_eq!(ids(&index, "never.heard", Audience::Everyone), [""; 0]);
    }

    #[test]
    fn a_hook_is_replaced_and_removed_whole() {
        let mut index = index();
        index.put(hook("1", Some("9"), &[exact("book.removed")]));
        assert_eq!(ids(&index, "book.added", Audience::Owner(Some("7"))), ["3"]);
        assert_eq!(
            ids(&index, "book.removed", Audience::Owner(Some("9"))),
            ["1", "3"]
        );
        for id in ["1", "2", "3"] {
            assert!(index.remove(&HookId::new(id, true)).is_some());
        }
        assert!(index.is_empty() && !index.hears("book.added"));
        assert!(index.remove(&HookId::new("1", true)).is_none());
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
