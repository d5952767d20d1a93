//! What all requests share: the current [`Generation`], the sessions of the page and the samples of its charts.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::{sync::Mutex, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{generation::Generation, samples::Samples, sessions::Sessions};

/// The state that every handler is given.
pub(super) struct AppState {
    generation: RwLock<Arc<Generation>>,
    /// Who is logged in to the page.
    pub(super) sessions: Sessions,
    /// What the page's charts are drawn from.
    pub(super) samples: Samples,
    /// What the tables held when that was asked last, and when it was. Whoever asks holds it meanwhile.
    pub(super) table_metrics: Mutex<Option<(Instant, String)>>,
    /// Cancelled when the server stops.
    pub(super) stop: CancellationToken,
}

impl AppState {
    pub(super) fn new(generation: Generation, stop: CancellationToken) -> Self {
        Self {
            generation: RwLock::new(Arc::new(generation)),
            sessions: Sessions::default(),
            samples: Samples::default(),
            table_metrics: Mutex::default(),
            stop,
        }
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
