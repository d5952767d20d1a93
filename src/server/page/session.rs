//! Who has logged in. A session holds the token that opened it, which is looked at again with each request: a token that is
//! revoked ends its sessions.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, header, request::Parts},
    response::{IntoResponse, Redirect, Response},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use super::template;
use crate::{
    lock::lock,
    manage::{Who, tokens::Scope},
    server::{
        access::{self, Caller},
        generation::{Home, House, Lent},
        problem::Problem,
    },
};

const COOKIE: &str = "rowhook_session";
/// A session that nobody uses for so long ends.
const IDLE: Duration = Duration::from_secs(8 * 60 * 60);
/// No more are kept; the ones that were used longest ago go.
const MOST: usize = 1000;

/// All sessions.
#[derive(Default)]
pub(in crate::server) struct Sessions(Mutex<HashMap<String, Session>>);

#[derive(Clone)]
struct Session {
    token: String,
    csrf: String,
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

    fn find(&self, key: &str) -> Option<Session> {
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
        lock(&self.0)
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

/// A request of somebody who has logged in.
pub(super) struct Visitor {
    pub(super) house: Arc<House>,
    pub(super) caller: Caller,
    pub(super) key: String,
    pub(super) csrf: String,
}

impl Visitor {
    pub(super) fn who(&self) -> &Who {
        &self.caller.who
    }

    pub(super) fn may_write(&self) -> bool {
        self.caller.scope == Scope::Write
    }

    pub(super) async fn office(&self) -> Result<Lent, Problem> {
        self.house
            .office()
            .await
            .map_err(|error| Problem::failed(&error))
    }

    /// Was the form that was sent one of ours, and may they change things?
    pub(super) fn check(&self, csrf: &str) -> Result<(), Problem> {
        if !bool::from(self.csrf.as_bytes().ct_eq(csrf.as_bytes())) {
            return Err(Problem::forbidden(
                "the form is too old, or not one of this page; go back, reload, and try again",
            ));
        }
        Ok(())
    }

    /// As [`Self::check`], for what changes something.
    pub(super) fn check_change(&self, csrf: &str) -> Result<(), Problem> {
        self.check(csrf)?;
        match self.may_write() {
            true => Ok(()),
            false => Err(Problem::forbidden(
                "this token may look, and change nothing",
            )),
        }
    }
}

impl FromRequestParts<Arc<Home>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, home: &Arc<Home>) -> Result<Self, Response> {
        let cookies = parts.headers.get_all(header::COOKIE).iter();
        let cookies = cookies.filter_map(|cookies| cookies.to_str().ok());
        let key = cookies
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='))
            .find_map(|(name, value)| (name == COOKIE).then(|| value.to_owned()));
        let found = key.and_then(|key| Some((home.sessions.find(&key)?, key)));
        let Some((session, key)) = found else {
            return Err(Redirect::to("/login").into_response());
        };
        let house = home.now();
        match access::recognize(&house, &session.token).await {
            Ok(Some(caller)) => Ok(Self {
                house,
                caller,
                key,
                csrf: session.csrf,
            }),
            Ok(None) => {
                home.sessions.close(&key);
                Err(Redirect::to("/login").into_response())
            }
            Err(problem) => Err(template::problem(None, &problem)),
        }
    }
}
