//! Who has logged in to the page.
//!
//! A session holds the token that opened it, and that token is checked again with each request: a token that is revoked ends
//! its sessions.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::http::HeaderValue;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use tokio::time::Instant;

/// The name of the cookie.
pub(super) const COOKIE: &str = "rowhook_session";
/// A session that nobody uses for so long ends.
const IDLE: Duration = Duration::from_secs(8 * 60 * 60);
/// No more are kept; the ones that were used longest ago go.
const MOST: usize = 1000;

/// All sessions.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<String, Session>>);

#[derive(Clone)]
pub(super) struct Session {
    pub(super) token: String,
    pub(super) csrf: String,
    used: Instant,
}

impl Sessions {
    /// Opens a session, and gives the cookie that it is known by.
    pub(super) fn open(&self, token: &str) -> HeaderValue {
        let key = random();
        let mut sessions = self.lock();
        let now = Instant::now();
        sessions.retain(|_, session| now - session.used < IDLE);
        if sessions.len() >= MOST {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.used);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                sessions.remove(&oldest);
            }
        }
        let session = Session {
            token: token.to_owned(),
            csrf: random(),
            used: now,
        };
        sessions.insert(key.clone(), session);
        cookie_of(&key, IDLE.as_secs())
    }

    pub(super) fn close(&self, key: &str) {
        self.lock().remove(key);
    }

    pub(super) fn find(&self, key: &str) -> Option<Session> {
        let mut sessions = self.lock();
        let session = sessions.get_mut(key)?;
        let now = Instant::now();
        if now - session.used >= IDLE {
            sessions.remove(key);
            return None;
        }
        session.used = now;
        Some(session.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn random() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// Scripts cannot read it, and no other site can have it sent.
pub(super) fn cookie_of(key: &str, seconds: u64) -> HeaderValue {
    let cookie = format!("{COOKIE}={key}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}");
    HeaderValue::try_from(cookie).unwrap_or(HeaderValue::from_static(""))
}
