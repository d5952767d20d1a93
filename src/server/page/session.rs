//! Who has logged in.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
    response::{IntoResponse, Redirect, Response},
};
use minijinja::{Value, context};
use subtle::ConstantTimeEq;

use super::template;
use crate::{
    manage::{Who, tokens::Scope},
    server::{
        access::{self, Caller},
        generation::{Home, House, Lent},
        problem::Problem,
        sessions::COOKIE,
    },
};

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

    /// Renders a page, with what every page of somebody who has logged in shows.
    pub(super) fn page(&self, name: &str, here: &str, values: Value) -> Response {
        let common = self.common(here);
        template::page(name, context! { ..values, ..common })
    }

    /// Renders a problem as a page.
    pub(super) fn problem(&self, problem: &Problem) -> Response {
        template::problem(problem, self.common(""))
    }

    /// What every page shows; `here` is the part of the menu that it belongs to.
    fn common(&self, here: &str) -> Value {
        let (operator, name) = match self.who() {
            Who::Operator => (true, "operator".to_owned()),
            Who::Owner(owner) => (false, owner.clone()),
        };
        context! {
            operator,
            name,
            here,
            csrf => self.csrf.clone(),
            may_write => self.may_write(),
            version => env!("CARGO_PKG_VERSION"),
        }
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
            Err(problem) => Err(template::problem(&problem, context! {})),
        }
    }
}
