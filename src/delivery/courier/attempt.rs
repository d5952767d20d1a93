//! One request of a courier: what it says of the delivery, of the hook and of its endpoint.

use std::{sync::Arc, time::SystemTime};

use tokio::time::Instant;

use super::{AT_ONCE, Courier, round::Outcome};
use crate::{
    delivery::{
        Delivery,
        retry::{self, Verdict},
        send::Request,
    },
    history::Attempt,
    hook::Hook,
    journal::Entry,
    store::{Disabling, Fate, Write},
};

impl Courier {
    /// One attempt of a delivery that the slot still keeps.
    pub(super) async fn try_fresh(
        self: &Arc<Self>,
        hook: &Arc<Hook>,
        mut delivery: Delivery,
    ) -> Outcome {
        let (verdict, answer) = self.attempt(hook, &mut delivery).await;
        match verdict {
            Verdict::Delivered => {
                delivery.settle();
                Outcome::Arrived
            }
            Verdict::TryAgain { after, throttle } => Outcome::Again {
                delivery: Box::new(delivery),
                after,
                whole_hook: throttle,
                reason: answer,
            },
            Verdict::Disable { reason, gone } => {
                self.disable(hook, &reason, gone, &answer).await;
                Outcome::Again {
                    delivery: Box::new(delivery),
                    after: AT_ONCE,
                    whole_hook: false,
                    reason: answer,
                }
            }
            Verdict::Dead { reason } => {
                self.lament(&delivery, &reason);
                // It holds the LSN until it is on record, and nothing later of its lane can overtake that: what a crash
                // brings back comes back in order.
                self.park(delivery, Fate::Dead, Some(reason));
                Outcome::Dead
            }
        }
    }

    /// One attempt of a delivery of the table, and the record of how it ended.
    pub(super) async fn try_parked(&self, hook: &Arc<Hook>, mut delivery: Delivery) -> Outcome {
        let (verdict, answer) = self.attempt(hook, &mut delivery).await;
        let (id, place, attempts) = (Arc::clone(&delivery.id), delivery.place, delivery.attempts);
        let failed = |fate, reason: String| {
            let (hook, id) = (self.id.clone(), Arc::clone(&id));
            self.desk.store.done(move |done| Write::Failed {
                hook,
                id,
                place,
                attempts,
                fate,
                reason,
                done,
            })
        };
        match verdict {
            Verdict::Delivered => {
                let (hook, id) = (self.id.clone(), Arc::clone(&id));
                self.desk
                    .store
                    .done(move |done| Write::Delivered {
                        hook,
                        id,
                        place,
                        done,
                    })
                    .await;
                Outcome::Arrived
            }
            Verdict::TryAgain { after, throttle } => {
                failed(Fate::Tried(after), answer.clone()).await;
                Outcome::Again {
                    delivery: Box::new(delivery),
                    after,
                    whole_hook: throttle,
                    reason: answer,
                }
            }
            Verdict::Disable { reason, gone } => {
                self.disable(hook, &reason, gone, &answer).await;
                failed(Fate::Tried(AT_ONCE), answer.clone()).await;
                Outcome::Again {
                    delivery: Box::new(delivery),
                    after: AT_ONCE,
                    whole_hook: false,
                    reason: answer,
                }
            }
            Verdict::Dead { reason } => {
                self.lament(&delivery, &reason);
                failed(Fate::Dead, reason).await;
                Outcome::Dead
            }
        }
    }

    async fn attempt(&self, hook: &Arc<Hook>, delivery: &mut Delivery) -> (Verdict, String) {
        let (started, started_at) = (Instant::now(), SystemTime::now());
        let request = Request {
            target: &hook.target,
            id: &delivery.id,
            body: delivery.body.clone(),
            content_type: &delivery.content_type,
            at: started_at,
            timeout: hook.delivery.timeout,
        };
        let answer = self.desk.sender.send(request).await;
        delivery.attempts += 1;
        let jitter = rand::random_range(0.0..1.0);
        let verdict = retry::verdict(
            &answer,
            delivery.attempts,
            &hook.delivery.retries,
            SystemTime::now(),
            jitter,
        );
        let verdict = self.weigh(hook, verdict);
        if let Verdict::TryAgain { after, .. } = &verdict {
            tracing::warn!(hook = %hook.id, event = %delivery.event, id = %delivery.id, attempt = delivery.attempts, retry_in = ?after, answer = %answer, "an attempt failed");
        }
        self.desk.journal.tell(|| Entry::Attempted {
            id: Arc::clone(&delivery.id),
            event: Arc::clone(&delivery.event),
            hook: hook.id.clone(),
            target: hook.target.display().into(),
            answer: answer.to_string(),
            delivered: verdict == Verdict::Delivered,
            took: started.elapsed(),
            commit_time: delivery.commit_time,
        });
        let told = answer.to_string();
        self.desk.history.note(Attempt {
            hook: Arc::clone(hook),
            delivery: Arc::clone(&delivery.id),
            event: Arc::clone(&delivery.event),
            content_type: Arc::clone(&delivery.content_type),
            number: delivery.attempts,
            started_at,
            took: started.elapsed(),
            delivered: verdict == Verdict::Delivered,
            body: Some(delivery.body.clone()),
            answer,
        });
        // A text in Postgres has no zero bytes.
        (verdict, told.replace('\0', "�"))
    }

    /// What a verdict comes to when the hook has failed for long.
    fn weigh(&self, hook: &Hook, verdict: Verdict) -> Verdict {
        let now = Instant::now();
        let spell = &mut self.state().spell;
        let disabled = match verdict {
            Verdict::Delivered => {
                if spell.succeeded() {
                    self.tell_spell(None);
                }
                return verdict;
            }
            Verdict::Disable { .. } => return verdict,
            Verdict::TryAgain { .. } | Verdict::Dead { .. } => {
                if spell.failed(now) {
                    self.tell_spell(Some(SystemTime::now()));
                }
                spell.verdict(hook.delivery.disable_after, now)
            }
        };
        match disabled {
            Some(reason) => Verdict::Disable {
                reason,
                gone: false,
            },
            None => verdict,
        }
    }

    /// Has it written down since when there has been no success, so that it survives us.
    fn tell_spell(&self, since: Option<SystemTime>) {
        let hook = self.id.clone();
        self.desk.store.put(Write::Failing { hook, since });
    }

    /// Disables the hook. Memory first, the table after; but a hook that has been pointed elsewhere since the request was
    /// made is not concerned.
    async fn disable(&self, hook: &Arc<Hook>, reason: &str, gone: bool, last_answer: &str) {
        let lasted = {
            let mut state = self.state();
            let here = hook.target.display();
            // Other requests of the hook may have come to the same, and one word is enough.
            if state
                .hook
                .as_ref()
                .is_none_or(|now| now.target.display() != here)
            {
                return;
            }
            state.hook = None;
            state.active = false;
            let lasted = state.spell.lasted(Instant::now());
            // When it is enabled again, it begins anew.
            if state.spell.succeeded() {
                self.tell_spell(None);
            }
            lasted
        };
        tracing::warn!(hook = %hook.id, target = hook.target.display(), reason, "the hook is disabled, and its deliveries are kept");
        let disabling = Disabling {
            hook,
            reason,
            gone,
            since: SystemTime::now()
                .checked_sub(lasted)
                .unwrap_or(SystemTime::UNIX_EPOCH),
            last_answer,
        };
        self.desk.store.disable(&disabling).await;
    }

    pub(super) fn lament(&self, delivery: &Delivery, reason: &str) {
        tracing::error!(hook = %self.id, event = %delivery.event, id = %delivery.id, attempts = delivery.attempts, reason, "a delivery is dead");
    }
}
