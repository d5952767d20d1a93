//! Somebody who is logged in to the page, and what every page of theirs shows.

use std::sync::Arc;

use axum::{
    RequestPartsExt,
    extract::FromRequestParts,
    http::request::Parts,
    response::{IntoResponse, Response},
};
use minijinja::{Value, context};
use subtle::ConstantTimeEq;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{door::Door, plain, template};
use crate::{
    act::Via,
    listen::Guest,
    manage::{Actor, act::Act, hooks::Hook},
    server::{
        access::{self, Caller},
        pool::PooledAdmin,
        problem::Problem,
        sessions::{Credential, Lifetime, Session},
        state::AppState,
        visitor::Visitor,
    },
};

/// Whoever made a request with the cookie of an open session.
pub(super) struct User {
    pub(super) caller: Caller,
    /// The key of the session, as the cookie carries it.
    pub(super) key: String,
    session: Session,
    visitor: Visitor,
    door: Door,
}

/// As [`User`], for what the script of an open page asks for by itself. It does not count as a use of the session.
pub(super) struct Watcher(pub(super) User);

impl User {
    pub(super) fn actor(&self) -> &Actor {
        self.caller.actor()
    }

    /// By which door they came.
    pub(super) fn door(&self) -> Door {
        self.door
    }

    /// What the addresses of the pages begin with that they see.
    pub(super) fn root(&self) -> String {
        self.door.root(&self.caller.generation)
    }

    /// Cancelled when their session has ended.
    pub(super) fn end(&self) -> &CancellationToken {
        &self.session.ended
    }

    /// Whether they are still logged in, with something that is still good and gives them what it gave.
    ///
    /// # Errors
    /// When that cannot be found out now.
    pub(super) async fn is_still_good(&self, state: &AppState) -> Result<bool, Problem> {
        let generation = state.current();
        let lifetime = Lifetime::of(&generation.server);
        if state.sessions.watch(&self.key, lifetime).is_none() {
            return Ok(false);
        }
        let credential = &self.session.credential;
        let now = access::identify_again(&generation, self.visitor, credential).await?;
        Ok(now.is_some_and(|now| now.actor() == self.actor()))
    }

    /// Borrows a connection to the database.
    pub(super) async fn admin(&self) -> Result<PooledAdmin, Problem> {
        self.caller.admin().await
    }

    /// Renders a page; `here` is the entry of the menu that it belongs to.
    pub(super) fn page(&self, name: &str, here: &str, values: Value) -> Response {
        let common = self.common(here);
        template::page(name, context! { ..values, ..common })
    }

    /// Renders a problem as a page.
    pub(super) fn problem(&self, problem: &Problem) -> Response {
        let problem = self.in_their_words(problem);
        template::problem(&problem, self.common(""))
    }

    /// A problem without what only operators can do about it, for whoever is in the portal.
    pub(super) fn in_their_words(&self, problem: &Problem) -> Problem {
        match self.door {
            Door::Page => problem.clone(),
            Door::Portal => problem.saying(plain::sentence(problem.detail())),
        }
    }

    /// Has reasons and answers of rowhook's say nothing that only operators can do, where somebody is in the portal.
    pub(super) fn retell<'a>(&self, told: impl IntoIterator<Item = &'a mut String>) {
        if self.door == Door::Portal {
            for text in told {
                *text = plain::reason(text);
            }
        }
    }

    /// The same for a whole sentence.
    pub(super) fn retell_sentence(&self, told: &mut String) {
        if self.door == Door::Portal {
            *told = plain::sentence(told);
        }
    }

    /// The same for what is told of a hook.
    pub(super) fn retell_hook(&self, hook: &mut Hook) {
        let last = hook.last.as_mut().map(|last| &mut last.answer);
        self.retell(hook.invalid.as_mut().into_iter().chain(last));
        self.retell_sentence(&mut hook.why);
    }

    /// As [`Self::end`] is for one process: what opened their session opens it nowhere any more.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(super) async fn end_everywhere(&self) -> Result<(), Problem> {
        match &self.session.credential {
            Credential::Portal { guest, .. } => {
                Ok(self.admin().await?.end_portal(guest.link).await?)
            }
            Credential::Token(_) | Credential::Person(_) => Ok(()),
        }
    }

    /// What the layout shows on every page.
    fn common(&self, here: &str) -> Value {
        let identity = &self.caller.identity;
        let may = |act| identity.may(act);
        let dressed = self.door.common(&self.caller.generation);
        let page = context! {
            operator => identity.role().is_some(),
            role => identity.role().map(|role| role.name()),
            name => identity.name(),
            database => self.caller.generation.config.name.clone(),
            here,
            csrf => self.session.csrf.clone(),
            may => context! {
                test => may(Act::TestHook),
                send_again => may(Act::SendAgain),
                change_hooks => may(Act::ChangeHooks),
                see_acts => may(Act::SeeActs),
                see_tokens => may(Act::SeeTokens),
                change_tokens => may(Act::ChangeTokens),
                see_backfills => may(Act::SeeBackfills),
                backfill => may(Act::Backfill),
                forget => may(Act::Forget),
            },
            version => env!("CARGO_PKG_VERSION"),
        };
        context! { ..dressed, ..page }
    }

    /// Refuses a form that does not carry the CSRF token of this session.
    pub(super) fn check_csrf(&self, csrf: &str) -> Result<(), Problem> {
        match bool::from(self.session.csrf.as_bytes().ct_eq(csrf.as_bytes())) {
            true => Ok(()),
            false => Err(Problem::forbidden(
                "the form is too old, or not one of this page; go back, reload, and try again",
            )),
        }
    }

    /// As [`Self::check_csrf`], and refuses what they may not do.
    pub(super) fn check(&self, csrf: &str, act: Act) -> Result<(), Problem> {
        self.check_csrf(csrf)?;
        Ok(self.caller.identity.require(act)?)
    }

    /// Whoever is not logged in, or whose token is no longer good, is sent to the login page.
    async fn find(
        parts: &mut Parts,
        state: &Arc<AppState>,
        is_use: bool,
    ) -> Result<Self, Response> {
        let visitor = parts.extract::<Visitor>().await;
        let visitor = visitor.map_err(IntoResponse::into_response)?;
        let generation = state.current();
        let door = Door::of(parts);
        let lifetime = Lifetime::of(&generation.server);
        let key = door.key(&parts.headers, visitor.over_tls);
        let session = key.as_deref().and_then(|key| match is_use {
            true => state.sessions.find(key, lifetime),
            false => state.sessions.watch(key, lifetime),
        });
        let session = session.filter(|session| door.admits(&session.credential));
        let Some((session, key)) = session.zip(key) else {
            return Err(door.refuse(&generation));
        };
        match access::identify_again(&generation, visitor, &session.credential).await {
            Ok(Some(identity)) => {
                let name = format!("page {}", identity.caller());
                if let Err(wait) = generation.limits.take(&name, Instant::now()) {
                    let problem = Problem::too_many_requests(wait);
                    return Err(door.problem(&generation, &problem));
                }
                if let Some(guest) = parts.extensions.get::<Guest>() {
                    guest.recognize();
                }
                Ok(Self {
                    caller: Caller {
                        generation,
                        who: visitor.as_known(&identity, Via::Page),
                        identity,
                    },
                    key,
                    session,
                    visitor,
                    door,
                })
            }
            Ok(None) => {
                // A token may be good for another database of the same page.
                if generation.config.name.is_none() {
                    state.sessions.close(&key);
                }
                Err(door.refuse(&generation))
            }
            Err(problem) => Err(door.problem(&generation, &problem)),
        }
    }
}

impl FromRequestParts<Arc<AppState>> for User {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &Arc<AppState>,
    ) -> Result<Self, Response> {
        Self::find(parts, state, true).await
    }
}

impl FromRequestParts<Arc<AppState>> for Watcher {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &Arc<AppState>,
    ) -> Result<Self, Response> {
        User::find(parts, state, false).await.map(Self)
    }
}
