//! The HTTP server of rowhook: the API, the page, metrics and health.
//!
//! It runs beside the stream and neither waits for it nor holds it up. Everything it changes, it changes in the tables.

mod access;
mod acts;
mod address;
pub mod api;
mod backfills;
mod cookies;
mod cors;
mod generation;
mod health;
mod idempotency;
mod jwt;
mod keys;
mod known_tokens;
mod login_links;
mod metrics;
mod oidc;
mod page;
mod panics;
mod pool;
mod problem;
mod rate_limit;
mod refusals;
mod request;
mod routes;
mod samples;
mod sessions;
mod site;
mod state;
mod visitor;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use axum::{Router, extract::Request, http::Uri, middleware};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub use self::generation::Handles;
use self::{generation::Generation, site::Site};
use crate::{config::Config, listen::http::serve, send::Sender};

/// How long stopping waits for requests that are being answered.
const GRACE: Duration = Duration::from_secs(5);
/// How long the body of a request may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The server, listening or not as the configuration has it.
#[derive(Default)]
pub struct Server {
    running: Option<Running>,
}

/// A database that is served.
pub struct Served {
    /// What hooks.toml says of it.
    pub config: Arc<Config>,
    /// What of a running rowhook is about it.
    pub handles: Handles,
}

/// A listening server.
struct Running {
    /// Where the configuration has it listen.
    address: SocketAddr,
    /// Where it listens: with port 0 in the configuration, on a free port.
    bound: SocketAddr,
    site: Arc<Site>,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts to listen if the configuration has a `[server]` section.
    ///
    /// # Errors
    /// When the address is taken, or the keys that JWTs are verified with cannot be read.
    pub async fn start(databases: &[Served]) -> Result<Self> {
        let mut server = Self::default();
        server.reload(databases).await?;
        Ok(server)
    }

    /// Goes on with another configuration. Requests that have begun are answered with the old one.
    ///
    /// # Errors
    /// As for [`Self::start`]; everything then stays as it was.
    pub async fn reload(&mut self, databases: &[Served]) -> Result<()> {
        // What is not of one database is the same for all.
        let shared = databases.first().map(|served| &served.config);
        let wanted = shared.and_then(|config| Some((config, config.server.as_ref()?)));
        let Some((config, wanted)) = wanted else {
            if let Some(running) = self.running.take() {
                running.stop().await;
            }
            return Ok(());
        };
        let sender = Sender::new(&config.delivery)?;
        let generation =
            |Served { config, handles }: &_| Generation::build(config, wanted, handles, &sender);
        let generations: Vec<Generation> =
            databases.iter().map(generation).collect::<Result<_>>()?;
        match &self.running {
            Some(running) if running.address == wanted.listen => {
                running.site.replace(generations);
            }
            _ => {
                let next = Running::start(wanted.listen, generations).await?;
                if let Some(old) = self.running.replace(next) {
                    old.stop().await;
                }
            }
        }
        Ok(())
    }

    /// The address of the page, without a slash at the end; `None` if nothing listens.
    pub fn address(&self) -> Option<String> {
        let running = self.running.as_ref()?;
        Some(format!("http://{}", running.bound))
    }

    /// The address of a new link that logs the operator in to the page, once and within ten minutes. `None` if nothing
    /// listens, or the operator has no token.
    pub fn login_link(&self) -> Option<String> {
        let path = self.running.as_ref()?.site.login_link()?;
        Some(format!("{}{path}", self.address()?))
    }

    /// Stops to listen, and waits a while for requests that are being answered.
    pub async fn stop(self) {
        if let Some(running) = self.running {
            running.stop().await;
        }
    }
}

impl Running {
    async fn start(address: SocketAddr, generations: Vec<Generation>) -> Result<Self> {
        let listener = TcpListener::bind(address).await;
        let listener =
            listener.with_context(|| format!("listen on {address}, as [server] listen says"))?;
        let bound = listener.local_addr().context("read the address")?;
        tracing::info!(address = %bound, "listening");
        let stop = CancellationToken::new();
        let site = Arc::new(Site::new(stop.clone()));
        site.replace(generations);
        let routes = router(&site);
        let task = tokio::spawn(serve(listener, routes, Some(BODY_TIMEOUT), stop, GRACE));
        Ok(Self {
            address,
            bound,
            site,
            task,
        })
    }

    async fn stop(self) {
        self.site.stop.cancel();
        // It ends within the grace period, and there is nobody to report a panic of it to.
        let _ = self.task.await;
    }
}

/// The routes of everything that is served. A slash at the end of an address makes no difference.
fn router(site: &Arc<Site>) -> Router {
    // The address has to be another one before its route is looked for, so the routes stand behind the middleware.
    Router::new()
        .fallback(site::answer)
        .layer(middleware::map_request(without_last_slash))
        .with_state(Arc::clone(site))
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
