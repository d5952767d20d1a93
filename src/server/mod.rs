//! What rowhook itself listens on: the API, metrics and health.
//!
//! It lives beside the stream and neither waits for it nor holds it up: whatever is asked of it is done in the tables.

mod access;
pub mod api;
mod cors;
mod generation;
mod health;
mod idempotency;
mod jwt;
mod limit;
mod metrics;
mod page;
mod problem;
mod request;
mod samples;
mod sessions;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use axum::{Router, middleware, routing::get};
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

pub use self::generation::Handles;
use self::generation::{Home, House};
use crate::config::Config;

/// So long the end waits for answers.
const GRACE: Duration = Duration::from_secs(5);

/// What listens, if something does.
pub struct Server {
    home: Option<Arc<Home>>,
    listening: Option<Listening>,
    handles: Handles,
}

struct Listening {
    at: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    /// Begins to listen, where `[server]` says so.
    ///
    /// # Errors
    /// When the address is taken, or what JWTs are checked with cannot be read.
    pub async fn start(config: &Arc<Config>, handles: &Handles) -> Result<Self> {
        let mut server = Self {
            home: None,
            listening: None,
            handles: handles.clone(),
        };
        server.renew(config).await?;
        Ok(server)
    }

    /// Goes on with another configuration. Requests that have begun end with the old one.
    ///
    /// # Errors
    /// As [`Self::start`]; then everything stays as it was.
    pub async fn renew(&mut self, config: &Arc<Config>) -> Result<()> {
        let Some(wanted) = &config.server else {
            self.home = None;
            if let Some(listening) = self.listening.take() {
                listening.end().await;
            }
            return Ok(());
        };
        let house = House::build(config, wanted, &self.handles)?;
        let same = self.listening.as_ref().map(|listening| listening.at) == Some(wanted.listen);
        match (&self.home, same) {
            (Some(home), true) => home.renew(house),
            _ => {
                let home = Arc::new(Home::new(house, CancellationToken::new()));
                let listening = Listening::begin(wanted.listen, &home).await?;
                self.home = Some(home);
                if let Some(old) = self.listening.replace(listening) {
                    old.end().await;
                }
            }
        }
        Ok(())
    }

    /// Stops to listen, and waits a while for what is being answered.
    pub async fn stop(self) {
        if let Some(listening) = self.listening {
            listening.end().await;
        }
    }
}

impl Listening {
    async fn begin(at: SocketAddr, home: &Arc<Home>) -> Result<Self> {
        let listener = TcpListener::bind(at).await;
        let listener =
            listener.with_context(|| format!("listen on {at}, as [server] listen says"))?;
        let bound = listener.local_addr().context("read the address")?;
        tracing::info!(address = %bound, "listening");
        let stop = home.end.clone();
        let ended = stop.clone().cancelled_owned();
        let service = router(home).into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(sample(Arc::clone(home)));
        let task = tokio::spawn(async move {
            let serving = axum::serve(listener, service).with_graceful_shutdown(ended);
            if let Err(error) = serving.await {
                tracing::error!(%error, "the server ended badly");
            }
        });
        Ok(Self { at, stop, task })
    }

    async fn end(self) {
        self.stop.cancel();
        let abort = self.task.abort_handle();
        if timeout(GRACE, self.task).await.is_err() {
            abort.abort();
        }
    }
}

/// Gathers what the page's charts are made of, for as long as it is listened.
async fn sample(home: Arc<Home>) {
    let mut ticks = tokio::time::interval(samples::INTERVAL);
    loop {
        tokio::select! {
            _ = ticks.tick() => home.samples.take(&home.now().handles.meters),
            () = home.end.cancelled() => return,
        }
    }
}

/// All that is answered.
fn router(home: &Arc<Home>) -> Router {
    Router::new()
        .merge(api::router(home))
        .merge(page::router(home))
        .route("/metrics", get(metrics::metrics))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .fallback(problem::nothing_here)
        .method_not_allowed_fallback(problem::not_so)
        .layer(middleware::from_fn_with_state(Arc::clone(home), cors::cors))
        .with_state(Arc::clone(home))
}
