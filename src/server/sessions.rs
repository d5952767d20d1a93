//! The sessions of the page, and the cookie that they are known by.
//!
//! A session holds the token that opened it, and that token is checked again with each request: a token that is revoked
//! ends its sessions.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use axum::http::{HeaderMap, HeaderValue, header};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use cookie::{Cookie, SameSite};
use tokio::time::Instant;

use crate::lock::lock;

const COOKIE: &str = "rowhook_session";
/// A session ends after this time without a request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(8 * 60 * 60);
/// The most sessions that are kept. Opening one more ends the one that was used longest ago.
const MAX_SESSIONS: usize = 1000;

/// All open sessions, by their keys.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<String, Session>>);

/// An open session.
#[derive(Clone)]
pub(super) struct Session {
    /// The token that it was opened with.
    pub(super) token: String,
    /// The token that its forms carry, which other sites cannot know.
    pub(super) csrf: String,
    used_at: Instant,
}

impl Sessions {
    /// Opens a session, and returns the `Set-Cookie` header for it.
    pub(super) fn open(&self, token: &str) -> HeaderValue {
        let key = random();
        let mut sessions = self.lock();
        let now = Instant::now();
        sessions.retain(|_, session| now - session.used_at < IDLE_TIMEOUT);
        if sessions.len() >= MAX_SESSIONS {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.used_at);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                sessions.remove(&oldest);
            }
        }
        let session = Session {
            token: token.to_owned(),
            csrf: random(),
            used_at: now,
        };
        sessions.insert(key.clone(), session);
        set_cookie(&key, IDLE_TIMEOUT)
    }

    /// Ends a session.
    pub(super) fn close(&self, key: &str) {
        self.lock().remove(key);
    }

    /// The session of this key, if it is open. It counts as used now.
    pub(super) fn find(&self, key: &str) -> Option<Session> {
        let mut sessions = self.lock();
        let session = sessions.get_mut(key)?;
        let now = Instant::now();
        if now - session.used_at >= IDLE_TIMEOUT {
            sessions.remove(key);
            return None;
        }
        session.used_at = now;
        Some(session.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        lock(&self.0)
    }
}

fn random() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// The session key in the cookies of a request.
pub(super) fn key_of(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter();
    cookies
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(Cookie::split_parse)
        .filter_map(Result::ok)
        .find_map(|cookie| (cookie.name() == COOKIE).then(|| cookie.value().to_owned()))
}

/// The `Set-Cookie` header that makes a browser forget its session.
pub(super) fn clear_cookie() -> HeaderValue {
    set_cookie("", Duration::ZERO)
}

/// Scripts cannot read the cookie, and a request that another site makes does not carry it.
fn set_cookie(key: &str, max_age: Duration) -> HeaderValue {
    let seconds = i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX);
    let cookie = Cookie::build((COOKIE, key))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .max_age(cookie::time::Duration::seconds(seconds));
    HeaderValue::try_from(cookie.to_string()).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_known_by_its_cookie_until_it_is_closed() {
        let sessions = Sessions::default();
        let set = sessions.open("secret");
        let set = set.to_str().unwrap();
        let (pair, attributes) = set.split_once("; ").unwrap();
        assert_eq!(
            attributes,
            "HttpOnly; SameSite=Strict; Path=/; Max-Age=28800"
        );
        let mut headers = HeaderMap::new();
        let sent = format!("other=1; {pair}");
        headers.insert(header::COOKIE, sent.parse().unwrap());
        let key = key_of(&headers).unwrap();
        assert_eq!(sessions.find(&key).unwrap().token, "secret");
        sessions.close(&key);
        assert!(sessions.find(&key).is_none());
        assert_eq!(
            clear_cookie(),
            "rowhook_session=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0"
        );
    }
}
