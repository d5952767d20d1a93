//! What requests are answered with: the configuration as it is now, sessions with the database, and what a running rowhook
//! has to say.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::{jwt::Verifier, limit::Limits, samples::Samples, sessions::Sessions};
use crate::{
    config::{self, Config},
    journal::Journal,
    manage::Office,
    meters::Meters,
};

/// So many requests speak to the database at a time.
const SESSIONS: usize = 8;

/// What a running rowhook hands over.
#[derive(Clone)]
pub struct Handles {
    /// What happens.
    pub journal: Journal,
    /// What is counted.
    pub meters: Arc<Meters>,
    /// Rung when hooks.toml is to be read again.
    pub reload: Arc<Notify>,
    /// True while nothing is to be read and sent.
    pub paused: watch::Sender<bool>,
}

/// Where the house stands; the house may be built anew.
pub(super) struct Home {
    house: RwLock<Arc<House>>,
    /// Who has logged in to the page.
    pub(super) sessions: Sessions,
    /// What the page's charts are made of.
    pub(super) samples: Samples,
    /// Cancelled when nothing more is answered.
    pub(super) end: CancellationToken,
}

impl Home {
    pub(super) fn new(house: House, end: CancellationToken) -> Self {
        Self {
            house: RwLock::new(Arc::new(house)),
            sessions: Sessions::default(),
            samples: Samples::default(),
            end,
        }
    }

    pub(super) fn renew(&self, house: House) {
        *self.house.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(house);
    }

    /// The house as it is now.
    pub(super) fn now(&self) -> Arc<House> {
        Arc::clone(&self.house.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What one configuration makes of the server.
pub(super) struct House {
    pub(super) config: Arc<Config>,
    pub(super) server: config::Server,
    /// Its hash: comparing hashes takes as long for every token, whatever its length.
    pub(super) admin: Option<[u8; 32]>,
    pub(super) jwt: Option<Verifier>,
    pub(super) limits: Limits,
    pub(super) handles: Handles,
    offices: Mutex<Vec<Office>>,
    free: Arc<Semaphore>,
}

impl House {
    pub(super) fn build(
        config: &Arc<Config>,
        server: &config::Server,
        handles: &Handles,
    ) -> Result<Self> {
        let jwt = server.jwt.as_ref().map(Verifier::new).transpose();
        let admin = server.admin_token.as_ref();
        Ok(Self {
            config: Arc::clone(config),
            admin: admin.map(|token| Sha256::digest(token.expose()).into()),
            jwt: jwt.context("[server.jwt]")?,
            limits: Limits::per_minute(server.requests_per_minute),
            server: server.clone(),
            handles: handles.clone(),
            offices: Mutex::new(Vec::new()),
            free: Arc::new(Semaphore::new(SESSIONS)),
        })
    }

    /// A session with the database, for one request at a time.
    pub(super) async fn office(self: &Arc<Self>) -> Result<Lent> {
        let permit = Arc::clone(&self.free).acquire_owned().await;
        let permit = permit.context("wait for a session with the database")?;
        let kept = loop {
            match self.offices().pop() {
                Some(office) if !office.is_open() => {}
                kept => break kept,
            }
        };
        let office = match kept {
            Some(office) => office,
            None => Office::open(Arc::clone(&self.config), "rowhook server").await?,
        };
        Ok(Lent {
            office: Some(office),
            house: Arc::clone(self),
            _permit: permit,
        })
    }

    /// A session for long work, which keeps no request waiting.
    pub(super) async fn own_office(&self) -> Result<Office> {
        Office::open(Arc::clone(&self.config), "rowhook backfill").await
    }

    fn offices(&self) -> MutexGuard<'_, Vec<Office>> {
        self.offices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session that is given back when it is dropped.
pub(super) struct Lent {
    /// Always there until it is dropped.
    office: Option<Office>,
    house: Arc<House>,
    _permit: OwnedSemaphorePermit,
}

const LENT: &str = "it is taken out only when it is dropped";

impl Deref for Lent {
    type Target = Office;

    fn deref(&self) -> &Office {
        self.office.as_ref().expect(LENT)
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Office {
        self.office.as_mut().expect(LENT)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(office) = self.office.take().filter(Office::is_open) {
            self.house.offices().push(office);
        }
    }
}
