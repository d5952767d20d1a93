//! What happens, as server-sent events: each attempt that history notes, and now and then a word to look at the figures again.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream;
use tokio::time::{Instant, sleep_until};

use super::session::Visitor;
use crate::{
    manage::attempts::News,
    server::{generation::Home, problem::Problem},
};

/// History is written once a second.
const LOOK: Duration = Duration::from_secs(1);
/// How often the figures are worth a look.
const GLANCE: Duration = Duration::from_secs(5);

struct Watching {
    visitor: Visitor,
    last: i64,
    pending: Vec<News>,
    look: Instant,
    glance: Instant,
    end: tokio_util::sync::CancellationToken,
}

pub(super) async fn live(State(home): State<Arc<Home>>, visitor: Visitor) -> Response {
    let office = match visitor.office().await {
        Ok(office) => office,
        Err(problem) => return problem.into_response(),
    };
    let last = match office.newest_attempt().await {
        Ok(last) => last,
        Err(error) => return Problem::from(error).into_response(),
    };
    drop(office);
    let now = Instant::now();
    let watching = Watching {
        visitor,
        last,
        pending: Vec::new(),
        look: now,
        glance: now + GLANCE,
        end: home.end.clone(),
    };
    let events = stream::unfold(watching, |watching| async move { watching.next().await });
    Sse::new(events)
        .keep_alive(KeepAlive::default())
        .into_response()
}

impl Watching {
    /// The next event; `None` where there is nobody to look for it any more.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            if !self.pending.is_empty() {
                let news = self.pending.remove(0);
                let event = Event::default().event("attempt").json_data(&news).ok()?;
                return Some((Ok(event), self));
            }
            let next = self.look.min(self.glance);
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.end.cancelled() => return None,
            }
            let now = Instant::now();
            if now >= self.glance {
                self.glance = now + GLANCE;
                return Some((Ok(Event::default().event("glance").data("look")), self));
            }
            self.look = now + LOOK;
            let office = self.visitor.house.office().await.ok()?;
            let news = office
                .news(self.visitor.who(), None, self.last)
                .await
                .ok()?;
            if let Some(newest) = news.last() {
                self.last = newest.id;
            }
            self.pending = news;
        }
    }
}
