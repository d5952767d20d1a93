//! The HTTP server of rowhook: the API, the page, metrics and health.
//!
//! It runs beside the stream and neither waits for it nor holds it up. Everything it changes, it changes in the tables.

mod access;
pub mod api;
mod cors;
mod generation;
mod health;
mod idempotency;
mod jwt;
mod keys;
mod known_tokens;
mod metrics;
mod page;
mod panics;
mod pool;
mod problem;
mod rate_limit;
mod request;
mod samples;
mod sessions;
mod state;
mod visitor;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use axum::{Router, extract::Request, http::Uri, middleware, routing::get};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub use self::generation::Handles;
use self::{generation::Generation, state::AppState};
use crate::{config::Config, listen::http::serve};

/// How long stopping waits for requests that are being answered.
const GRACE: Duration = Duration::from_secs(5);
/// How long the body of a request may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The server, listening or not as the configuration has it.
pub struct Server {
    running: Option<Running>,
    handles: Handles,
}

/// A listening server.
struct Running {
    address: SocketAddr,
    state: Arc<AppState>,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts to listen if the configuration has a `[server]` section.
    ///
    /// # Errors
    /// When the address is taken, or the keys that JWTs are verified with cannot be read.
    pub async fn start(config: &Arc<Config>, handles: &Handles) -> Result<Self> {
        let mut server = Self {
            running: None,
            handles: handles.clone(),
        };
        server.reload(config).await?;
        Ok(server)
    }

    /// Goes on with another configuration. Requests that have begun are answered with the old one.
    ///
    /// # Errors
    /// As for [`Self::start`]; everything then stays as it was.
    pub async fn reload(&mut self, config: &Arc<Config>) -> Result<()> {
        let Some(wanted) = &config.server else {
            if let Some(running) = self.running.take() {
                running.stop().await;
            }
            return Ok(());
        };
        let generation = Generation::build(config, wanted, &self.handles)?;
        match &self.running {
            Some(running) if running.address == wanted.listen => {
                running.state.replace(generation);
            }
            _ => {
                let next = Running::start(wanted.listen, generation).await?;
                if let Some(old) = self.running.replace(next) {
                    old.stop().await;
                }
            }
        }
        Ok(())
    }

    /// Stops to listen, and waits a while for requests that are being answered.
    pub async fn stop(self) {
        if let Some(running) = self.running {
            running.stop().await;
        }
    }
}

impl Running {
    async fn start(address: SocketAddr, generation: Generation) -> Result<Self> {
        let listener = TcpListener::bind(address).await;
        let listener =
            listener.with_context(|| format!("listen on {address}, as [server] listen says"))?;
        let bound = listener.local_addr().context("read the address")?;
        tracing::info!(address = %bound, "listening");
        let stop = CancellationToken::new();
        let state = Arc::new(AppState::new(generation, stop.clone()));
        tokio::spawn(take_samples(Arc::clone(&state)));
        let routes = router(&state);
        let task = tokio::spawn(serve(listener, routes, Some(BODY_TIMEOUT), stop, GRACE));
        Ok(Self {
            address,
            state,
            task,
        })
    }

    async fn stop(self) {
        self.state.stop.cancel();
        // It ends within the grace period, and there is nobody to report a panic of it to.
        let _ = self.task.await;
    }
}

/// Takes the samples of the page's charts until the server stops.
async fn take_samples(state: Arc<AppState>) {
    let mut ticks = tokio::time::interval(samples::INTERVAL);
    loop {
        tokio::select! {
            _ = ticks.tick() => state.samples.take(&state.current().handles.meters),
            () = state.stop.cancelled() => return,
        }
    }
}

/// The routes of everything that is served. A slash at the end of an address makes no difference.
fn router(state: &Arc<AppState>) -> Router {
    // The address has to be another one before its route is looked for, so the routes stand behind the middleware.
    Router::new()
        .fallback_service(routes(state))
        .layer(middleware::map_request(without_last_slash))
}

async fn without_last_slash(mut request: Request) -> Request {
    let uri = request.uri();
    let path = uri.path().strip_suffix('/').filter(|path| !path.is_empty());
    if let Some(path) = path {
        let query = uri.query().map(|query| format!("?{query}"));
        let address = format!("{path}{}", query.unwrap_or_default());
        // What was an address with the slash is one without it, unless it begins with two of them.
        if let Ok(address) = Uri::try_from(address) {
            *request.uri_mut() = address;
        }
    }
    request
}

fn routes(state: &Arc<AppState>) -> Router {
    Router::new()
        .merge(api::router(state))
        .merge(page::router(state))
        .route("/metrics", get(metrics::metrics))
        .route("/.well-known/webhook-keys", get(keys::serve))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(middleware::from_fn_with_state(
            Arc::clone(state),
            cors::cors,
        ))
        .layer(middleware::from_fn_with_state(
            Arc::clone(state),
            panics::catch,
        ))
        .layer(middleware::from_fn_with_state(
            Arc::clone(state),
            visitor::recognize,
        ))
        .with_state(Arc::clone(state))
}
