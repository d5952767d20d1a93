//! Which owners may see the rows of a batch, asked for all of them before the first is delivered.

use std::{collections::HashSet, sync::Arc};

use anyhow::Result;

use super::{
    Reader,
    step::{ChangeDraft, Permissions},
};
use crate::{
    change::RowChange,
    event::{Event, Subject},
    hook::{Hook, index::Audience},
    lookup::{
        owner::Ownership,
        permission::{Answer, VisibilityCheck},
    },
    postgres::equality::Equality,
};

impl Reader {
    /// Asks whether the owners of the hooks that listen to these changes may see the rows, with one query for each
    /// table.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(super) async fn ask_permissions(&self, drafts: &mut [&mut ChangeDraft]) -> Result<()> {
        let mut places: Vec<(usize, Arc<str>)> = Vec::new();
        let mut questions: Vec<VisibilityCheck> = Vec::new();
        for (at, draft) in drafts.iter().enumerate() {
            for owner in self.owners_to_ask(draft) {
                if let Some(asked) = self.context.permission.question(&draft.change, &owner) {
                    questions.push(asked);
                    places.push((at, owner));
                }
            }
        }
        if questions.is_empty() {
            return Ok(());
        }
        let asked: Vec<&VisibilityCheck> = questions.iter().collect();
        let answers = self.context.permission.ask(&asked).await?;
        for ((at, owner), answer) in places.into_iter().zip(answers) {
            if let Some(draft) = drafts.get_mut(at) {
                draft.permissions.insert(owner, answer);
            }
        }
        Ok(())
    }

    /// The owners of the hooks that listen to a change; none where every owner may see its table.
    fn owners_to_ask(&self, draft: &ChangeDraft) -> HashSet<Arc<str>> {
        let change = &draft.change;
        if !self.context.permission.concerns(&change.relation.table()) {
            return HashSet::new();
        }
        let owner = match self.ownership(draft) {
            Ownership::Owner(owner) => Some(owner),
            Ownership::Nobody | Ownership::Unknown(_) | Ownership::Untold => None,
        };
        let hooks = draft.rules().flat_map(|(_, rule)| {
            let audience = if rule.all_owners {
                Audience::Everyone
            } else {
                match &owner {
                    Some(owner) => Audience::Owner(Some(&owner.text), owner.equality),
                    None => Audience::Owner(None, Equality::Text),
                }
            };
            let commit_time = change.transaction.commit_time;
            self.hooks.index.matches(&rule.name, audience, commit_time)
        });
        hooks.filter_map(|hook| hook.owner.clone()).collect()
    }

    /// May the hook's owner see the event's row? Returns the question too, if there is one, because every later attempt
    /// asks it anew. A hook that was added after the batch was asked about is asked about now.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(super) async fn may_see(
        &self,
        hook: &Hook,
        event: &Event,
        permissions: &Permissions,
    ) -> Result<(Answer, Option<Arc<VisibilityCheck>>)> {
        let asked = match (&hook.owner, &event.subject) {
            // After TRUNCATE there is no row to be seen.
            (_, Subject::Row { change, .. }) if change.row == RowChange::Truncate => None,
            (Some(owner), Subject::Row { change, .. }) => {
                self.context.permission.question(change, owner)
            }
            (None, _) | (_, Subject::Message(_)) => None,
        };
        let Some(asked) = asked else {
            return Ok((Answer::Yes, None));
        };
        let known = hook.owner.as_ref().and_then(|owner| permissions.get(owner));
        let answer = match known {
            Some(answer) => answer.clone(),
            None => {
                let answers = self.context.permission.ask(&[&asked]).await?;
                let missing = || Answer::Unknown("it was not asked".to_owned());
                answers.into_iter().next().unwrap_or_else(missing)
            }
        };
        Ok((answer, Some(Arc::new(asked))))
    }
}
