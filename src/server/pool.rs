//! Connections to the database, which requests borrow for the time of their queries.
//!
//! A caller has some of them at most, so that nobody's requests keep others waiting, however many they are. No
//! statement takes long, so that what is lent comes back.

use std::{
    collections::HashMap,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    act::Who,
    config::Config,
    lock::lock,
    manage::{Admin, running::Running},
};

/// The most connections that are open at a time. Requests beyond that wait for one.
const SIZE: usize = 8;
/// The most that one caller has at a time.
const SHARE: usize = 2;
/// How long a statement may take. Less than a scraper of metrics waits.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(8);
/// From this number of callers on, those that have nothing are forgotten.
const MANY: usize = 1000;

/// Opens connections when they are needed, and keeps them for the next request.
pub(super) struct AdminPool {
    config: Arc<Config>,
    /// The rowhook that the connections know of.
    running: Running,
    idle: Arc<Mutex<Vec<Admin>>>,
    permits: Arc<Semaphore>,
    /// What callers may still borrow, by their names, as long as they have something or wait.
    shares: Mutex<HashMap<String, Weak<Semaphore>>>,
}

impl AdminPool {
    pub(super) fn new(config: &Arc<Config>, running: Running) -> Self {
        Self {
            config: Arc::clone(config),
            running,
            idle: Arc::default(),
            permits: Arc::new(Semaphore::new(SIZE)),
            shares: Mutex::default(),
        }
    }

    /// Borrows a connection, and waits while `caller` has their share, or all are borrowed.
    pub(super) async fn acquire(&self, caller: &str) -> Result<PooledAdmin> {
        let share = self.share_of(caller).acquire_owned().await;
        let share = share.context("wait for a session with the database")?;
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.context("wait for a session with the database")?;
        let open = loop {
            match lock(&self.idle).pop() {
                Some(admin) if !admin.is_open() => {}
                found => break found,
            }
        };
        let mut admin = match open {
            Some(admin) => admin,
            None => {
                let config = Arc::clone(&self.config);
                let mut admin = Admin::open(config, "rowhook server", Who::default()).await?;
                admin.beside(self.running.clone());
                admin.bound_statements(STATEMENT_TIMEOUT).await?;
                admin
            }
        };
        // Until somebody borrows it who says who they are.
        admin.act_for(Who::default());
        Ok(PooledAdmin {
            admin: Some(admin),
            idle: Arc::clone(&self.idle),
            _permits: [share, permit],
        })
    }

    fn share_of(&self, caller: &str) -> Arc<Semaphore> {
        let mut shares = lock(&self.shares);
        if let Some(share) = shares.get(caller).and_then(Weak::upgrade) {
            return share;
        }
        if shares.len() >= MANY {
            shares.retain(|_, share| share.strong_count() > 0);
        }
        let share = Arc::new(Semaphore::new(SHARE));
        shares.insert(caller.to_owned(), Arc::downgrade(&share));
        share
    }
}

/// A borrowed connection. It returns to the pool when it is dropped, if it is still open and nothing has panicked.
pub(super) struct PooledAdmin {
    /// Some until it is dropped.
    admin: Option<Admin>,
    idle: Arc<Mutex<Vec<Admin>>>,
    /// That of the caller, and that of the pool.
    _permits: [OwnedSemaphorePermit; 2],
}

const BORROWED: &str = "it is taken out only when it is dropped";

impl Deref for PooledAdmin {
    type Target = Admin;

    fn deref(&self) -> &Admin {
        self.admin.as_ref().expect(BORROWED)
    }
}

impl DerefMut for PooledAdmin {
    fn deref_mut(&mut self) -> &mut Admin {
        self.admin.as_mut().expect(BORROWED)
    }
}

impl Drop for PooledAdmin {
    fn drop(&mut self) {
        // A panic may have left it in the middle of something.
        let is_well = |admin: &Admin| admin.is_open() && !std::thread::panicking();
        if let Some(admin) = self.admin.take().filter(is_well) {
            lock(&self.idle).push(admin);
        }
    }
}
