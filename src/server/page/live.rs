//! Server-sent events: each attempt that history notes, and every few seconds a hint to load the figures again.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream;
use tokio::time::{Instant, sleep_until};

use super::user::{User, Watcher};
use crate::{
    manage::attempts::AttemptSummary,
    server::{problem::Problem, state::AppState},
};

/// History is written once a second, so it is polled as often.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The time between two hints to load the figures again.
const GLANCE_INTERVAL: Duration = Duration::from_secs(5);

/// The events of one open page.
struct Feed {
    user: User,
    /// The id of the last attempt that was read.
    last: i64,
    pending: VecDeque<AttemptSummary>,
    next_poll: Instant,
    next_glance: Instant,
    state: Arc<AppState>,
    /// Whoever listens is logged in no more, and was told so.
    has_ended: bool,
}

/// `GET /live`: the attempts from now on, until the page is closed or the server stops.
pub(super) async fn live(State(state): State<Arc<AppState>>, Watcher(user): Watcher) -> Response {
    let newest = async {
        let admin = user.admin().await?;
        admin.newest_attempt_id().await.map_err(Problem::from)
    };
    let last = match newest.await {
        Ok(last) => last,
        Err(problem) => return problem.into_response(),
    };
    let now = Instant::now();
    let feed = Feed {
        user,
        last,
        pending: VecDeque::new(),
        next_poll: now,
        next_glance: now + GLANCE_INTERVAL,
        state,
        has_ended: false,
    };
    let events = stream::unfold(feed, |feed| async move { feed.next().await });
    Sse::new(events)
        .keep_alive(KeepAlive::default())
        .into_response()
}

impl Feed {
    /// The next event; `None` ends the stream: the server stops, the database cannot be asked, or whoever listens is
    /// logged in no more, and was told so.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        if self.has_ended {
            return None;
        }
        loop {
            if self.user.end().is_cancelled() {
                return Some(self.end());
            }
            if let Some(attempt) = self.pending.pop_front() {
                let event = Event::default().event("attempt").json_data(&attempt).ok()?;
                return Some((Ok(event), self));
            }
            tokio::select! {
                () = sleep_until(self.next_poll.min(self.next_glance)) => {}
                () = self.state.stop.cancelled() => return None,
                () = self.user.end().cancelled() => continue,
            }
            let now = Instant::now();
            if now >= self.next_glance {
                self.next_glance = now + GLANCE_INTERVAL;
                return Some((Ok(Event::default().event("glance").data("look")), self));
            }
            self.next_poll = now + POLL_INTERVAL;
            if !self.user.is_still_good(&self.state).await.ok()? {
                return Some(self.end());
            }
            let admin = self.user.admin().await.ok()?;
            let attempts = admin
                .attempts_after(self.user.actor(), None, self.last)
                .await
                .ok()?;
            if let Some(newest) = attempts.last() {
                self.last = newest.id;
            }
            self.pending = attempts.into();
            let told = self.pending.iter_mut();
            self.user.retell(told.map(|attempt| &mut attempt.answer));
        }
    }

    /// The last event, which has the page ask whoever sees it to log in.
    fn end(mut self) -> (Result<Event, Infallible>, Self) {
        self.has_ended = true;
        (Ok(Event::default().event("end").data("logged out")), self)
    }
}
