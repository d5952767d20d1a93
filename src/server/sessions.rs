//! The sessions of the page, and the cookie that they are known by.
//!
//! A session holds the token that opened it, and that token is checked again with each request: a token that is revoked
//! ends its sessions. Over TLS the names of cookies begin with `__Host-`, so that no other host of the same domain can
//! set them.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use axum::http::{HeaderMap, HeaderValue, header};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use cookie::{Cookie, SameSite};
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use crate::lock::lock;

const COOKIE: &str = "rowhook_session";
/// The cookie that the form of the login page belongs to.
const LOGIN_COOKIE: &str = "rowhook_login";
/// How long that form can be used.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// A session ends after this time without a request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(8 * 60 * 60);
/// The most sessions of one caller, and of all. Opening one more ends the one that was used longest ago: among those of
/// the same caller, and then among those of the caller who has most.
const SESSIONS_OF_ONE: usize = 50;
const MAX_SESSIONS: usize = 10_000;

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
    /// Whose it is.
    caller: String,
    used_at: Instant,
}

impl Sessions {
    /// Opens a session of `caller`, and returns the `Set-Cookie` header for it.
    pub(super) fn open(&self, caller: &str, token: &str, over_tls: bool) -> HeaderValue {
        let key = random();
        let mut sessions = self.lock();
        let now = Instant::now();
        sessions.retain(|_, session| now - session.used_at < IDLE_TIMEOUT);
        let count = |caller: &str| {
            let theirs = sessions.values().filter(|session| session.caller == caller);
            theirs.count()
        };
        if count(caller) >= SESSIONS_OF_ONE {
            end_oldest(&mut sessions, caller);
        } else if sessions.len() >= MAX_SESSIONS {
            let mut counts: HashMap<&str, usize> = HashMap::new();
            for session in sessions.values() {
                *counts.entry(&session.caller).or_default() += 1;
            }
            let most = counts.into_iter().max_by_key(|(_, count)| *count);
            if let Some(most) = most.map(|(caller, _)| caller.to_owned()) {
                end_oldest(&mut sessions, &most);
            }
        }
        let session = Session {
            token: token.to_owned(),
            csrf: random(),
            caller: caller.to_owned(),
            used_at: now,
        };
        sessions.insert(key.clone(), session);
        set_cookie(COOKIE, &key, IDLE_TIMEOUT, over_tls)
    }

    /// Whether the session of this key is open. It does not count as used.
    pub(super) fn is_open(&self, key: &str) -> bool {
        self.lock().contains_key(key)
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

fn end_oldest(sessions: &mut HashMap<String, Session>, caller: &str) {
    let theirs = sessions.iter();
    let theirs = theirs.filter(|(_, session)| session.caller == caller);
    let oldest = theirs.min_by_key(|(_, session)| session.used_at);
    if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
        sessions.remove(&oldest);
    }
}

/// The session key in the cookies of a request.
pub(super) fn key_of(headers: &HeaderMap, over_tls: bool) -> Option<String> {
    value_of(headers, COOKIE, over_tls)
}

/// The word that a new form of the login page carries, and the `Set-Cookie` header that makes it good for this browser
/// alone. Otherwise another site could log somebody in as somebody else.
pub(super) fn login_word(over_tls: bool) -> (String, HeaderValue) {
    let word = random();
    let cookie = set_cookie(LOGIN_COOKIE, &word, LOGIN_TIMEOUT, over_tls);
    (word, cookie)
}

/// Whether the form of the login page with this word was made for the browser that sends it.
pub(super) fn is_login_word(headers: &HeaderMap, word: &str, over_tls: bool) -> bool {
    value_of(headers, LOGIN_COOKIE, over_tls)
        .is_some_and(|known| bool::from(known.as_bytes().ct_eq(word.as_bytes())))
}

fn value_of(headers: &HeaderMap, name: &str, over_tls: bool) -> Option<String> {
    let name = name_of(name, over_tls);
    let cookies = headers.get_all(header::COOKIE).iter();
    cookies
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(Cookie::split_parse)
        .filter_map(Result::ok)
        .find_map(|cookie| (cookie.name() == name).then(|| cookie.value().to_owned()))
}

/// The `Set-Cookie` header that makes a browser forget its session.
pub(super) fn clear_cookie(over_tls: bool) -> HeaderValue {
    set_cookie(COOKIE, "", Duration::ZERO, over_tls)
}

/// Scripts cannot read the cookie, and a request that another site makes does not carry it.
fn set_cookie(name: &str, value: &str, max_age: Duration, over_tls: bool) -> HeaderValue {
    let seconds = i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX);
    let cookie = Cookie::build((name_of(name, over_tls), value))
        .path("/")
        .http_only(true)
        .secure(over_tls)
        .same_site(SameSite::Strict)
        .max_age(cookie::time::Duration::seconds(seconds));
    HeaderValue::try_from(cookie.to_string()).unwrap_or(HeaderValue::from_static(""))
}

fn name_of(name: &str, over_tls: bool) -> String {
    match over_tls {
        true => format!("__Host-{name}"),
        false => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_known_by_its_cookie_until_it_is_closed() {
        let sessions = Sessions::default();
        let set = sessions.open("owner 7", "secret", false);
        let set = set.to_str().unwrap();
        let (pair, attributes) = set.split_once("; ").unwrap();
        assert_eq!(
            attributes,
            "HttpOnly; SameSite=Strict; Path=/; Max-Age=28800"
        );
        let mut headers = HeaderMap::new();
        let sent = format!("other=1; {pair}");
        headers.insert(header::COOKIE, sent.parse().unwrap());
        let key = key_of(&headers, false).unwrap();
        assert_eq!(sessions.find(&key).unwrap().token, "secret");
        sessions.close(&key);
        assert!(sessions.find(&key).is_none());
        assert_eq!(
            clear_cookie(false),
            "rowhook_session=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0"
        );
    }

    #[test]
    fn over_tls_a_cookie_is_of_this_host_alone_and_no_other_counts() {
        let sessions = Sessions::default();
        let set = sessions.open("owner 7", "secret", true);
        let set = set.to_str().unwrap();
        assert!(set.starts_with("__Host-rowhook_session="), "{set}");
        assert!(set.contains("; Secure; Path=/;"), "{set}");
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "rowhook_session=planted".parse().unwrap());
        assert_eq!(key_of(&headers, true), None);
    }

    #[test]
    fn whoever_logs_in_again_and_again_ends_only_their_own_sessions() {
        let sessions = Sessions::default();
        sessions.open("operator", "admin", false);
        for _ in 0..2000 {
            sessions.open("owner 7", "secret", false);
        }
        let open = sessions.lock();
        let of = |caller: &str| open.values().filter(|one| one.caller == caller).count();
        assert_eq!((of("operator"), of("owner 7")), (1, SESSIONS_OF_ONE));
    }

    #[test]
    fn a_form_of_the_login_page_is_good_for_one_browser() {
        let (word, set) = login_word(false);
        let pair = set.to_str().unwrap().split(';').next().unwrap().to_owned();
        let mut headers = HeaderMap::new();
        assert!(!is_login_word(&headers, &word, false));
        headers.insert(header::COOKIE, pair.parse().unwrap());
        assert!(is_login_word(&headers, &word, false));
        assert!(!is_login_word(&headers, "another", false));
    }
}
