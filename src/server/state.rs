//! What all requests about one database share: the current [`Generation`], the sessions of the page and the samples of
//! its charts.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::{sync::Mutex, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    generation::Generation, login_links::LoginLinks, samples::Samples, sessions::Sessions,
};
use crate::manage::status::Status;

/// The state that every handler is given.
pub(super) struct AppState {
    generation: RwLock<Arc<Generation>>,
    /// Who is logged in to the page.
    pub(super) sessions: Arc<Sessions>,
    /// The links that log somebody in once.
    pub(super) links: Arc<LoginLinks>,
    /// What the page's charts are drawn from.
    pub(super) samples: Samples,
    /// What the tables held when that was asked last, and when it was. Whoever asks holds it meanwhile.
    pub(super) table_status: Mutex<Option<(Instant, Option<Status>)>>,
    /// Cancelled when the server stops.
    pub(super) stop: CancellationToken,
}

impl AppState {
    pub(super) fn new(
        generation: Generation,
        sessions: &Arc<Sessions>,
        links: &Arc<LoginLinks>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            generation: RwLock::new(Arc::new(generation)),
            sessions: Arc::clone(sessions),
            links: Arc::clone(links),
            samples: Samples::default(),
            table_status: Mutex::default(),
            stop,
        }
    }

    /// The name of the database in `[[databases]]`; empty for that of `[database]`.
    pub(super) fn name(&self) -> String {
        self.current().config.name.clone().unwrap_or_default()
    }

    /// What the addresses of this database begin with: `/databases/NAME`, or nothing for that of `[database]`.
    pub(super) fn root(&self) -> String {
        self.current().root()
    }

    /// The address of something of this database.
    pub(super) fn address(&self, path: &str) -> String {
        format!("{}{path}", self.root())
    }

    /// Puts another generation in place. Requests that have begun keep the one they began with.
    pub(super) fn replace(&self, generation: Generation) {
        *self
            .generation
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(generation);
    }

    /// The generation that new requests are answered with.
    pub(super) fn current(&self) -> Arc<Generation> {
        Arc::clone(
            &self
                .generation
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}
