//! The turn of a crowd: some of its deliveries are handed on, and then others have theirs.

use std::sync::Arc;

use tokio::{
    task::yield_now,
    time::{Instant, sleep_until},
};

use super::{Reader, crowds::TURN, deliver::STEPS_AT_ONCE, guarded::Guarded};
use crate::delivery::{about, memory_budget::Permit};

/// The part of the memory that crowds leave to others.
const PART_LEFT: usize = 4;

impl Reader {
    /// Hands on the next deliveries of a crowd, and gives the next crowd its turn. `granted` is the memory of the first
    /// of them. Nothing is waited for, so that nothing is half done when a session ends.
    pub(super) fn serve_crowd(&mut self, mut granted: Option<Permit>) {
        let (mut left, mut spent) = (TURN, 0);
        while left > 0
            && spent <= STEPS_AT_ONCE
            && let Some(late) = self.crowds.front()
        {
            let (event, owner) = (Arc::clone(&late.event), self.crowds.owner());
            let mut renderer = Guarded::new(&event);
            let about = about::of_event(&event);
            while left > 0
                && spent <= STEPS_AT_ONCE
                && let Some(hook) = self.crowds.next_hook()
            {
                let rendered = self.render_one(&mut renderer, &hook, &mut spent);
                let bytes = rendered.bytes(&hook);
                let pool = &self.context.memory.stream;
                let memory = granted.take();
                let memory = memory.or_else(|| pool.try_acquire_leaving(bytes, PART_LEFT));
                let Some(memory) = memory else {
                    if self.crowds.stall(bytes) {
                        self.couriers.relieve_memory();
                    }
                    return;
                };
                let Some((listener, ticket)) = self.crowds.pop() else {
                    return;
                };
                self.hand_on(&mut renderer, &about, listener, rendered, ticket, memory);
                self.catch_up(&hook);
                left -= 1;
            }
            self.crowds.leave();
            if self.crowds.owner() != owner {
                return;
            }
        }
        self.crowds.rotate();
    }

    /// Gives the next crowd its turn. One that has waited long for memory gets it before all others.
    pub(super) async fn go_on_with_crowds(&mut self) {
        let granted = match self.crowds.starves_for() {
            Some(bytes) => Some(self.reserve(None, bytes).await),
            None => None,
        };
        self.serve_crowd(granted);
    }

    /// Waits until there is room in the lines.
    pub(super) async fn wait_for_crowds(&mut self) {
        while self.crowds.is_full() {
            self.await_turn().await;
        }
    }

    /// Waits until nothing stands in a line.
    pub(super) async fn finish_crowds(&mut self) {
        while !self.crowds.is_empty() {
            self.await_turn().await;
        }
    }

    async fn await_turn(&mut self) {
        match self.crowds.next_turn() {
            Some(at) if at > Instant::now() => sleep_until(at).await,
            Some(_) | None => yield_now().await,
        }
        self.go_on_with_crowds().await;
    }
}
