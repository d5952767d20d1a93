//! Connections to the database, which requests borrow one at a time.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex},
};

use anyhow::{Context, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{config::Config, lock::lock, manage::Admin};

/// The most connections that are open at a time. Requests beyond that wait for one.
const SIZE: usize = 8;

/// Opens connections when they are needed, and keeps them for the next request.
pub(super) struct AdminPool {
    config: Arc<Config>,
    idle: Arc<Mutex<Vec<Admin>>>,
    permits: Arc<Semaphore>,
}

impl AdminPool {
    pub(super) fn new(config: &Arc<Config>) -> Self {
        Self {
            config: Arc::clone(config),
            idle: Arc::default(),
            permits: Arc::new(Semaphore::new(SIZE)),
        }
    }

    /// Borrows a connection, and waits while all are borrowed.
    pub(super) async fn acquire(&self) -> Result<PooledAdmin> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.context("wait for a session with the database")?;
        let open = loop {
            match lock(&self.idle).pop() {
                Some(admin) if !admin.is_open() => {}
                found => break found,
            }
        };
        let admin = match open {
            Some(admin) => admin,
            None => Admin::open(Arc::clone(&self.config), "rowhook server").await?,
        };
        Ok(PooledAdmin {
            admin: Some(admin),
            idle: Arc::clone(&self.idle),
            _permit: permit,
        })
    }
}

/// A borrowed connection. It returns to the pool when it is dropped, if it is still open and nothing has panicked.
pub(super) struct PooledAdmin {
    /// Some until it is dropped.
    admin: Option<Admin>,
    idle: Arc<Mutex<Vec<Admin>>>,
    _permit: OwnedSemaphorePermit,
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
