//! Somebody who is logged in to the page, and what every page of theirs shows.

use std::sync::Arc;

use axum::{
    RequestPartsExt,
    extract::FromRequestParts,
    http::request::Parts,
    response::{IntoResponse, Redirect, Response},
};
use minijinja::{Value, context};
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use super::template;
use crate::{
    listen::Guest,
    manage::Actor,
    server::{
        access::{self, Caller},
        pool::PooledAdmin,
        problem::Problem,
        sessions,
        state::AppState,
        visitor::Visitor,
    },
};

/// Whoever made a request with the cookie of an open session.
pub(super) struct User {
    pub(super) caller: Caller,
    /// The key of the session, as the cookie carries it.
    pub(super) session: String,
    csrf: String,
    token: String,
    visitor: Visitor,
}

impl User {
    pub(super) fn actor(&self) -> &Actor {
        self.caller.actor()
    }

    /// Whether they are still logged in, with a token that is still good and gives them what it gave.
    pub(super) async fn is_still_good(&self, state: &AppState) -> bool {
        if !state.sessions.is_open(&self.session) {
            return false;
        }
        let now = access::identify(&state.current(), self.visitor, &self.token).await;
        now.is_ok_and(|now| now.is_some_and(|now| now.actor == self.caller.identity.actor))
    }

    /// Borrows a connection to the database.
    pub(super) async fn admin(&self) -> Result<PooledAdmin, Problem> {
        self.caller.admin().await
    }

    /// Refuses everyone but the operator.
    pub(super) fn require_operator(&self) -> Result<(), Problem> {
        self.caller.require_operator()
    }

    /// Renders a page; `here` is the entry of the menu that it belongs to.
    pub(super) fn page(&self, name: &str, here: &str, values: Value) -> Response {
        let common = self.common(here);
        template::page(name, context! { ..values, ..common })
    }

    /// Renders a problem as a page.
    pub(super) fn problem(&self, problem: &Problem) -> Response {
        template::problem(problem, self.common(""))
    }

    /// What the layout shows on every page.
    fn common(&self, here: &str) -> Value {
        let (operator, name) = match self.actor() {
            Actor::Operator => (true, "operator".to_owned()),
            Actor::Owner(owner) => (false, owner.clone()),
        };
        context! {
            operator,
            name,
            root => self.caller.generation.root(),
            database => self.caller.generation.config.name.clone(),
            here,
            csrf => self.csrf.clone(),
            may_write => self.caller.identity.may_write(),
            version => env!("CARGO_PKG_VERSION"),
        }
    }

    /// Refuses a form that does not carry the CSRF token of this session.
    pub(super) fn check_csrf(&self, csrf: &str) -> Result<(), Problem> {
        match bool::from(self.csrf.as_bytes().ct_eq(csrf.as_bytes())) {
            true => Ok(()),
            false => Err(Problem::forbidden(
                "the form is too old, or not one of this page; go back, reload, and try again",
            )),
        }
    }

    /// As [`Self::check_csrf`], and refuses a token of read scope.
    pub(super) fn check_change(&self, csrf: &str) -> Result<(), Problem> {
        self.check_csrf(csrf)?;
        match self.caller.identity.may_write() {
            true => Ok(()),
            false => Err(access::read_only()),
        }
    }
}

impl FromRequestParts<Arc<AppState>> for User {
    type Rejection = Response;

    /// Whoever is not logged in, or whose token is no longer good, is sent to the login page.
    async fn from_request_parts(
        parts: &mut Parts,
        state: &Arc<AppState>,
    ) -> Result<Self, Response> {
        let visitor = parts.extract::<Visitor>().await;
        let visitor = visitor.map_err(IntoResponse::into_response)?;
        let key = sessions::key_of(&parts.headers, visitor.over_tls);
        let found = key.and_then(|key| Some((state.sessions.find(&key)?, key)));
        let Some((session, key)) = found else {
            return Err(Redirect::to(&state.address("/login")).into_response());
        };
        let generation = state.current();
        let common = context! { root => generation.root() };
        match access::identify(&generation, visitor, &session.token).await {
            Ok(Some(identity)) => {
                let name = format!("page {}", identity.name());
                if let Err(wait) = generation.limits.take(&name, Instant::now()) {
                    let problem = Problem::too_many_requests(wait);
                    return Err(template::problem(&problem, common));
                }
                if let Some(guest) = parts.extensions.get::<Guest>() {
                    guest.recognize();
                }
                Ok(Self {
                    caller: Caller {
                        generation,
                        identity,
                    },
                    session: key,
                    csrf: session.csrf,
                    token: session.token,
                    visitor,
                })
            }
            Ok(None) => {
                // A token may be good for another database of the same page.
                if generation.config.name.is_none() {
                    state.sessions.close(&key);
                }
                Err(Redirect::to(&state.address("/login")).into_response())
            }
            Err(problem) => Err(template::problem(&problem, common)),
        }
    }
}
