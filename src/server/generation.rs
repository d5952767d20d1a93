//! What one configuration makes of the server. A reload builds a new generation and leaves the old one as it is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::Map;
use tokio::{
    sync::{Mutex, watch},
    time::{Instant, timeout},
};

use super::{
    jwt::Verifier,
    known_tokens::KnownTokens,
    oidc::Provider,
    pool::{AdminPool, PooledAdmin},
    problem::Problem,
    rate_limit::RateLimits,
    refusals::{MINUTE, Refusals, Refused},
};
use crate::{
    act::{Who, what},
    config::{self, Config, Role, admins::hash},
    journal::Journal,
    manage::{Actor, Admin, Error, identity::Login, ping, running::Running},
    meters::Meters,
    preview::catalogue::Described,
    run::{health::Health, reload::Reload},
    send::Sender,
};

/// How long a request waits for a session with the database.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who borrows sessions for tokens that are not known, or not yet.
pub(super) const STRANGERS: &str = "strangers";
/// How many refused logins go on record one by one in a minute, of all visitors together.
const REFUSALS_PER_MINUTE: u32 = 60;

/// The parts of a running rowhook that the server and the console read and switch, for one database.
#[derive(Clone)]
pub struct Handles {
    /// What happens to events and deliveries.
    pub journal: Journal,
    /// The counters and gauges.
    pub meters: Arc<Meters>,
    /// How rowhook is attached to the stream.
    pub health: Arc<Health>,
    /// Told when hooks.toml is to be read again.
    pub reload: Arc<Reload>,
    /// True while reading and sending are paused.
    pub paused: watch::Sender<bool>,
}

impl Handles {
    /// What people are told of the running rowhook.
    pub fn running(&self) -> Running {
        Running {
            meters: Arc::clone(&self.meters),
            health: Arc::clone(&self.health),
            paused: self.paused.subscribe(),
        }
    }
}

/// An operator with a token.
pub(super) struct Operator {
    /// The SHA-256 of the token. Hashes compare in the same time whatever the token's length.
    pub(super) token: [u8; 32],
    pub(super) role: Role,
    pub(super) login: Login,
}

/// Those whose tokens stand in hooks.toml.
fn operators(server: &config::Server) -> Vec<Operator> {
    let first = server.admin_token.as_ref().map(|token| Operator {
        token: hash(token),
        role: Role::All,
        login: Login::AdminToken,
    });
    let named = server.admins.iter().map(|admin| Operator {
        token: admin.token,
        role: admin.role,
        login: Login::NamedAdmin(admin.name.clone()),
    });
    first.into_iter().chain(named).collect()
}

/// A configuration with everything that is derived from it.
pub(super) struct Generation {
    pub(super) config: Arc<Config>,
    pub(super) server: config::Server,
    /// Those whose tokens stand in hooks.toml.
    pub(super) operators: Vec<Operator>,
    pub(super) jwt: Option<Verifier>,
    /// Where operators log in to the page.
    pub(super) provider: Option<Provider>,
    /// What callers may ask for.
    pub(super) limits: RateLimits,
    /// What strangers may guess, by where they come from.
    pub(super) guesses: RateLimits,
    pub(super) known_tokens: KnownTokens,
    /// What owners may test.
    tests: RateLimits,
    /// The events as the catalogue last showed them, and when.
    pub(super) catalogue: Mutex<Option<(Instant, Arc<Vec<Described>>)>>,
    /// How many refused logins go on record one by one, and how many others there were since the last of them.
    logins: RateLimits,
    refused: AtomicU64,
    /// Refused requests to the API.
    refusals: Refusals,
    pub(super) handles: Handles,
    /// Sends tests to the targets of hooks.
    pub(super) sender: Sender,
    pool: AdminPool,
}

impl Generation {
    /// Derives everything from a configuration.
    ///
    /// # Errors
    /// When the keys that JWTs are verified with cannot be read.
    pub(super) fn build(
        config: &Arc<Config>,
        server: &config::Server,
        handles: &Handles,
        sender: &Sender,
    ) -> Result<Self> {
        let provider = server.oidc.as_ref().map(Provider::new).transpose();
        let jwt = server.jwt.as_ref().map(Verifier::new).transpose();
        Ok(Self {
            config: Arc::clone(config),
            operators: operators(server),
            provider: provider.context("[server.oidc]")?,
            jwt: jwt.context("[server.jwt]")?,
            limits: RateLimits::per_minute(server.requests_per_minute),
            guesses: RateLimits::per_minute(server.requests_per_minute),
            known_tokens: KnownTokens::default(),
            tests: RateLimits::per_minute(config.limits.tests_per_minute),
            catalogue: Mutex::default(),
            logins: RateLimits::per_minute(REFUSALS_PER_MINUTE),
            refused: AtomicU64::new(0),
            refusals: Refusals::default(),
            server: server.clone(),
            handles: handles.clone(),
            sender: sender.clone(),
            pool: AdminPool::new(config, handles.running()),
        })
    }

    /// What the addresses of this database begin with: `/databases/NAME`, or nothing for that of `[database]`.
    pub(super) fn root(&self) -> String {
        self.config.root()
    }

    /// Borrows a connection to the database for a few queries, out of the share of `caller`. To be given back before
    /// anything else is waited for.
    pub(super) async fn admin(&self, caller: &str) -> Result<PooledAdmin, Problem> {
        match timeout(PATIENCE, self.pool.acquire(caller)).await {
            Ok(admin) => admin.map_err(|error| Problem::unavailable(&error)),
            Err(_) => Err(Problem::busy()),
        }
    }

    /// Refuses a test of an owner who has sent as many in a minute as `[limits]` allows.
    pub(super) fn count_test(&self, actor: &Actor) -> Result<(), Problem> {
        let Actor::Owner(owner) = actor else {
            return Ok(());
        };
        let taken = self.tests.take(owner, Instant::now());
        taken.map_err(Problem::too_many_tests)
    }

    /// Verifies a target before a hook is made for it, as `[server] verify` asks for. To be called while no connection
    /// is borrowed, for the target may take its time.
    pub(super) async fn verify_target(&self, target: &str) -> Result<(), Error> {
        let (sender, delivery) = (&self.sender, &self.config.delivery);
        ping::verify_target(sender, delivery, target, self.server.verify).await
    }

    /// Puts on record what somebody has done that is no operation on the tables.
    pub(super) async fn record(
        &self,
        caller: &str,
        who: Who,
        what: &'static str,
    ) -> Result<(), Problem> {
        let mut admin = self.admin(caller).await?;
        admin.act_for(who);
        Ok(admin.record_alone(what, Map::new()).await?)
    }

    /// Puts on record that somebody was not let in. Of very many, the first of each minute are on record one by one,
    /// and the others are counted, so that guesses do not fill the table.
    pub(super) async fn record_refusal(&self, who: Who) {
        let taken = self.logins.take("all", Instant::now());
        if taken.is_err() {
            self.refused.fetch_add(1, Relaxed);
            return;
        }
        let more = self.refused.swap(0, Relaxed);
        let recorded = async {
            let mut admin = self.admin(STRANGERS).await?;
            admin.act_for(who);
            let mut after = Map::new();
            if more > 0 {
                after.insert("others before".to_owned(), more.into());
            }
            Ok::<_, Problem>(admin.record_alone(what::LOGIN_REFUSED, after).await?)
        };
        if let Err(problem) = recorded.await {
            self.refused.fetch_add(more + 1, Relaxed);
            tracing::warn!(
                reason = problem.detail(),
                "a refused login is not on record"
            );
        }
    }

    /// Has it go on record that a request of `visitor` came with a token that is not good. Nobody waits for that.
    pub(super) fn record_refused_token(self: &Arc<Self>, visitor: String, who: Who) {
        let Some(first) = self.refusals.count(&visitor) else {
            return;
        };
        let generation = Arc::clone(self);
        tokio::spawn(async move {
            let mut next = Some(first);
            while let Some(refused) = next {
                if let Err(problem) = generation.record_refused(&who, refused).await {
                    let reason = problem.detail();
                    tracing::warn!(reason, "refused requests are not on record yet");
                    generation.refusals.give_back(&visitor, refused);
                }
                tokio::time::sleep(MINUTE).await;
                next = generation.refusals.take(&visitor);
            }
        });
    }

    async fn record_refused(&self, who: &Who, refused: Refused) -> Result<(), Problem> {
        let mut admin = self.admin(STRANGERS).await?;
        admin.act_for(who.clone());
        let mut after = Map::from_iter([("requests".to_owned(), refused.requests.into())]);
        if refused.others > 0 {
            after.insert("requests of others".to_owned(), refused.others.into());
        }
        Ok(admin.record_alone(what::TOKEN_REFUSED, after).await?)
    }

    /// Opens a connection outside of the pool, for long work that must not keep requests waiting.
    pub(super) async fn dedicated_admin(&self) -> Result<Admin> {
        let config = Arc::clone(&self.config);
        Admin::open(config, "rowhook backfill", Who::default()).await
    }
}
