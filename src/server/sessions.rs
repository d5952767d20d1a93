//! The sessions of the page and of the portal, and the cookies that they are known by.
//!
//! A session holds what opened it, a token, a login at the provider or a link to the portal, and that is checked again
//! with each request: a token that is revoked ends its sessions. It ends after some time without a request, and after
//! some time in any case.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use axum::http::{HeaderMap, HeaderValue};
use subtle::ConstantTimeEq;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    cookies::{self, SameSite, random},
    oidc::Person,
};
use crate::{
    config,
    lock::lock,
    manage::{identity::caller_of, portal::Guest},
};

const COOKIE: &str = "rowhook_session";
/// The cookie of the portal. A browser may have both.
const PORTAL_COOKIE: &str = "rowhook_portal";
/// The cookie that the form of the login page belongs to.
const LOGIN_COOKIE: &str = "rowhook_login";
/// How long that form can be used.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// The most sessions of one caller, and of all. Opening one more ends the one that was used longest ago: among those of
/// the same caller, and then among those of the caller who has most.
const SESSIONS_OF_ONE: usize = 50;
const MAX_SESSIONS: usize = 10_000;

/// All open sessions, by their keys.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<String, Open>>);

/// What opens a session.
#[derive(Clone)]
pub(super) enum Credential {
    Token(String),
    Person(Person),
    Portal {
        guest: Guest,
        /// The database that they are of. An owner of the same name in another one may be somebody else.
        database: Option<String>,
    },
}

/// How long sessions last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lifetime {
    /// How long one lasts that is not used.
    idle: Duration,
    /// How long one lasts at most.
    most: Duration,
}

/// An open session.
#[derive(Clone)]
pub(super) struct Session {
    /// What it was opened with.
    pub(super) credential: Credential,
    /// The token that its forms carry, which other sites cannot know.
    pub(super) csrf: String,
    /// Cancelled when the session ends.
    pub(super) ended: CancellationToken,
    /// Whose it is.
    caller: String,
    opened_at: Instant,
    used_at: Instant,
    /// When what opened it ends.
    ends_at: Option<Instant>,
}

/// A session with what tells everyone of its end when it is dropped.
struct Open {
    session: Session,
    _end: DropGuard,
}

impl Lifetime {
    pub(super) fn of(server: &config::Server) -> Self {
        Self {
            idle: server.session_idle,
            most: server.session_max,
        }
    }
}

impl Session {
    fn is_over(&self, lifetime: Lifetime, now: Instant) -> bool {
        now - self.used_at >= lifetime.idle
            || now - self.opened_at >= lifetime.most
            || self.ends_at.is_some_and(|end| now >= end)
    }
}

impl Sessions {
    /// Opens a session of `caller`, and returns the `Set-Cookie` header for it. What opens it is good for `life`, if
    /// that is bounded.
    pub(super) fn open(
        &self,
        caller: &str,
        credential: Credential,
        life: Option<Duration>,
        lifetime: Lifetime,
        over_tls: bool,
    ) -> HeaderValue {
        let key = self.add(caller, credential, life, lifetime);
        let most = life.map_or(lifetime.most, |life| life.min(lifetime.most));
        cookies::set(COOKIE, &key, most, SameSite::Strict, over_tls)
    }

    /// Opens a session of the portal, and returns the `Set-Cookie` header for it.
    pub(super) fn open_portal(
        &self,
        guest: Guest,
        database: Option<String>,
        lifetime: Lifetime,
    ) -> HeaderValue {
        let caller = caller_of(&guest.owner);
        let key = self.add(
            &caller,
            Credential::Portal { guest, database },
            None,
            lifetime,
        );
        cookies::set_embedded(PORTAL_COOKIE, &key, lifetime.most)
    }

    /// Adds a session, and returns its key.
    fn add(
        &self,
        caller: &str,
        credential: Credential,
        life: Option<Duration>,
        lifetime: Lifetime,
    ) -> String {
        let key = random();
        let mut sessions = self.lock();
        let now = Instant::now();
        sessions.retain(|_, open| !open.session.is_over(lifetime, now));
        let count = |caller: &str| {
            let all = sessions.values();
            all.filter(|open| open.session.caller == caller).count()
        };
        if count(caller) >= SESSIONS_OF_ONE {
            end_oldest(&mut sessions, caller);
        } else if sessions.len() >= MAX_SESSIONS {
            let mut counts: HashMap<&str, usize> = HashMap::new();
            for open in sessions.values() {
                *counts.entry(&open.session.caller).or_default() += 1;
            }
            let most = counts.into_iter().max_by_key(|(_, count)| *count);
            if let Some(most) = most.map(|(caller, _)| caller.to_owned()) {
                end_oldest(&mut sessions, &most);
            }
        }
        let ended = CancellationToken::new();
        let open = Open {
            _end: ended.clone().drop_guard(),
            session: Session {
                credential,
                csrf: random(),
                ended,
                caller: caller.to_owned(),
                opened_at: now,
                used_at: now,
                ends_at: life.map(|life| now + life),
            },
        };
        sessions.insert(key.clone(), open);
        key
    }

    /// Ends a session, for everyone who has it.
    pub(super) fn close(&self, key: &str) {
        self.lock().remove(key);
    }

    /// The session of this key, if it is open. It counts as used now.
    pub(super) fn find(&self, key: &str, lifetime: Lifetime) -> Option<Session> {
        self.look_up(key, lifetime, true)
    }

    /// The session of this key, if it is open. It does not count as used.
    pub(super) fn watch(&self, key: &str, lifetime: Lifetime) -> Option<Session> {
        self.look_up(key, lifetime, false)
    }

    fn look_up(&self, key: &str, lifetime: Lifetime, is_use: bool) -> Option<Session> {
        let mut sessions = self.lock();
        let Open { session, .. } = sessions.get_mut(key)?;
        let now = Instant::now();
        if session.is_over(lifetime, now) {
            sessions.remove(key);
            return None;
        }
        if is_use {
            session.used_at = now;
        }
        Some(session.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        lock(&self.0)
    }
}

fn end_oldest(sessions: &mut HashMap<String, Open>, caller: &str) {
    let theirs = sessions.iter();
    let theirs = theirs.filter(|(_, open)| open.session.caller == caller);
    let oldest = theirs.min_by_key(|(_, open)| open.session.used_at);
    if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
        sessions.remove(&oldest);
    }
}

/// The session key in the cookies of a request.
pub(super) fn key_of(headers: &HeaderMap, over_tls: bool) -> Option<String> {
    cookies::value_of(headers, COOKIE, over_tls)
}

/// The session key of the portal in the cookies of a request.
pub(super) fn portal_key_of(headers: &HeaderMap) -> Option<String> {
    cookies::value_of(headers, PORTAL_COOKIE, true)
}

/// The `Set-Cookie` header that makes a browser forget its session of the portal.
pub(super) fn clear_portal_cookie() -> HeaderValue {
    cookies::set_embedded(PORTAL_COOKIE, "", Duration::ZERO)
}

/// The word that a new form of the login page carries, and the `Set-Cookie` header that makes it good for this browser
/// alone. Otherwise another site could log somebody in as somebody else.
pub(super) fn login_word(over_tls: bool) -> (String, HeaderValue) {
    let word = random();
    let cookie = cookies::set(
        LOGIN_COOKIE,
        &word,
        LOGIN_TIMEOUT,
        SameSite::Strict,
        over_tls,
    );
    (word, cookie)
}

/// Whether the form of the login page with this word was made for the browser that sends it.
pub(super) fn is_login_word(headers: &HeaderMap, word: &str, over_tls: bool) -> bool {
    cookies::value_of(headers, LOGIN_COOKIE, over_tls)
        .is_some_and(|known| bool::from(known.as_bytes().ct_eq(word.as_bytes())))
}

/// The `Set-Cookie` header that makes a browser forget its session.
pub(super) fn clear_cookie(over_tls: bool) -> HeaderValue {
    cookies::clear(COOKIE, SameSite::Strict, over_tls)
}

#[cfg(test)]
mod tests {
    use axum::http::header;
    use tokio::time::advance;

    use super::*;

    const LIFETIME: Lifetime = Lifetime {
        idle: Duration::from_secs(60),
        most: Duration::from_secs(100),
    };

    fn token(token: &str) -> Credential {
        Credential::Token(token.to_owned())
    }

    fn key(set: &HeaderValue) -> String {
        let mut headers = HeaderMap::new();
        let pair = set.to_str().unwrap().split(';').next().unwrap();
        headers.insert(header::COOKIE, format!("other=1; {pair}").parse().unwrap());
        key_of(&headers, false).unwrap()
    }

    #[tokio::test]
    async fn a_session_is_known_by_its_cookie_until_it_is_closed() {
        let sessions = Sessions::default();
        let set = sessions.open("owner 7", token("secret"), None, LIFETIME, false);
        let (_, attributes) = set.to_str().unwrap().split_once("; ").unwrap();
        assert_eq!(attributes, "HttpOnly; SameSite=Strict; Path=/; Max-Age=100");
        let key = key(&set);
        let session = sessions.find(&key, LIFETIME).unwrap();
        assert!(matches!(&session.credential, Credential::Token(token) if token == "secret"));
        assert!(!session.ended.is_cancelled());
        sessions.close(&key);
        assert!(session.ended.is_cancelled(), "whoever has it learns of it");
        assert!(sessions.find(&key, LIFETIME).is_none());
        assert_eq!(
            clear_cookie(false),
            "rowhook_session=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_when_it_is_not_used_and_after_its_time_in_any_case() {
        let sessions = Sessions::default();
        let open = |life: Option<u64>| {
            let life = life.map(Duration::from_secs);
            key(&sessions.open("owner 7", token("secret"), life, LIFETIME, false))
        };
        let (used, watched, bounded) = (open(None), open(None), open(Some(70)));
        let second = Duration::from_secs(1);
        let is_open = |key: &str, is_use| sessions.look_up(key, LIFETIME, is_use).is_some();
        advance(59 * second).await;
        assert!(is_open(&used, true) && is_open(&watched, false) && is_open(&bounded, true));
        advance(second).await;
        assert!(!is_open(&watched, false), "to watch is not to use");
        advance(10 * second).await;
        assert!(is_open(&used, true) && !is_open(&bounded, true));
        advance(29 * second).await;
        assert!(is_open(&used, true));
        advance(second).await;
        assert!(!is_open(&used, true));
    }

    #[tokio::test]
    async fn whoever_logs_in_again_and_again_ends_only_their_own_sessions() {
        let sessions = Sessions::default();
        sessions.open("operator", token("admin"), None, LIFETIME, false);
        for _ in 0..2000 {
            sessions.open("owner 7", token("secret"), None, LIFETIME, false);
        }
        let open = sessions.lock();
        let of = |caller: &str| {
            let all = open.values();
            all.filter(|one| one.session.caller == caller).count()
        };
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
