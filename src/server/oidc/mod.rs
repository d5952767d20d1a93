//! Operators log in to the page through a provider of OpenID Connect: by an authorization code, with PKCE.
//!
//! Nothing is remembered between the two halves of a login but what the browser keeps in a cookie, and the keys of the
//! provider are asked for at each login. So nobody's logins are in the way of others', and a key that the provider has
//! replaced opens nothing.

mod attempt;
mod discovery;
mod exchange;
mod failure;
mod id_token;
mod person;
mod request;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use reqwest::{Client, redirect};
use tokio::sync::Mutex;
use url::Url;

pub(super) use self::{
    attempt::{Attempt, forget},
    exchange::Entered,
    failure::Failure,
    person::Person,
};
use self::{discovery::Endpoints, exchange::Exchange};
use crate::config::Oidc;

/// How long a request to the provider may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long what the provider says of itself counts, and how long it is left alone when it said nothing.
const FRESH: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(1);

/// The provider of `[server.oidc]`.
pub(super) struct Provider {
    config: Oidc,
    client: Client,
    found: Mutex<Option<Found>>,
}

/// What the provider has said of itself last, and until when that counts.
struct Found {
    endpoints: Result<Endpoints, Failure>,
    until: Instant,
}

impl Provider {
    /// Nothing is asked of the provider yet.
    ///
    /// # Errors
    /// When the client of HTTP cannot be made.
    pub(super) fn new(config: &Oidc) -> Result<Self> {
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(TIMEOUT);
        Ok(Self {
            config: config.clone(),
            client: client.build().context("make the HTTP client")?,
            found: Mutex::default(),
        })
    }

    /// The host that people know the provider by.
    pub(super) fn host(&self) -> &str {
        self.config.issuer.host_str().unwrap_or_default()
    }

    /// The address of the provider to send a browser to. It comes back to `back`.
    ///
    /// # Errors
    /// When the provider cannot be asked, or what it says of itself cannot be used.
    pub(super) async fn begin(&self, attempt: &Attempt, back: &Url) -> Result<Url, Failure> {
        let endpoints = self.endpoints().await?;
        Ok(endpoints.ask(&self.config, attempt, back))
    }

    /// Finds out who came back from the provider with this code.
    ///
    /// # Errors
    /// When the provider cannot be asked, does not take the code, or says what cannot be used.
    pub(super) async fn finish(
        &self,
        attempt: &Attempt,
        back: &Url,
        code: &str,
    ) -> Result<Entered, Failure> {
        let endpoints = self.endpoints().await?;
        let exchange = Exchange {
            client: &self.client,
            config: &self.config,
            endpoints: &endpoints,
        };
        exchange.enter(attempt, back, code).await
    }

    /// What a provider says that sends a browser back with an error.
    pub(super) fn refusal(&self, error: &str) -> Failure {
        Failure::Refused {
            host: self.host().to_owned(),
            reason: failure::error_name(error).to_owned(),
        }
    }

    /// Where to ask the provider for what. It is asked once for all who wait for it.
    async fn endpoints(&self) -> Result<Endpoints, Failure> {
        let mut found = self.found.lock().await;
        if let Some(found) = &*found
            && Instant::now() < found.until
        {
            return found.endpoints.clone();
        }
        let endpoints = discovery::ask(&self.client, &self.config).await;
        let life = if endpoints.is_ok() { FRESH } else { PAUSE };
        let until = Instant::now() + life;
        found.insert(Found { endpoints, until }).endpoints.clone()
    }
}
