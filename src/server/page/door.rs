//! By which door somebody comes: to the page with a token, or to the portal with a link. What opens one opens nothing
//! behind the other, in the same browser too.

use axum::{
    http::{HeaderMap, StatusCode, request::Parts},
    response::{IntoResponse, Redirect, Response},
};
use minijinja::{Value, context};

use super::{dress, template};
use crate::server::{
    generation::Generation,
    problem::Problem,
    sessions::{self, Credential},
};

/// A door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// To the page of operators and of owners with a token.
    Page,
    /// To the portal.
    Portal,
}

impl Door {
    /// The door of a request.
    pub(super) fn of(parts: &Parts) -> Self {
        let found = parts.extensions.get::<Self>().copied();
        found.unwrap_or(Self::Page)
    }

    /// What the addresses behind it begin with.
    pub(super) fn root(self, generation: &Generation) -> String {
        let root = generation.root();
        match self {
            Self::Page => root,
            Self::Portal => format!("{root}{}", dress::PLACE),
        }
    }

    /// What the layout shows on every page behind it.
    pub(super) fn common(self, generation: &Generation) -> Value {
        match self {
            Self::Page => {
                context! { root => generation.root(), shows => dress::shows(None) }
            }
            Self::Portal => dress::of(&generation.config),
        }
    }

    /// The key of the session that a request has.
    pub(super) fn key(self, headers: &HeaderMap, over_tls: bool) -> Option<String> {
        match self {
            Self::Page => sessions::key_of(headers, over_tls),
            Self::Portal => sessions::portal_key_of(headers),
        }
    }

    /// Whether a session that was opened with this is one for this door.
    pub(super) fn admits(self, credential: &Credential) -> bool {
        let is_guest = matches!(credential, Credential::Portal { .. });
        is_guest == (self == Self::Portal)
    }

    /// What whoever has no session here gets.
    pub(super) fn refuse(self, generation: &Generation) -> Response {
        match self {
            Self::Page => Redirect::to(&format!("{}/login", generation.root())).into_response(),
            Self::Portal => {
                let why = "This session has ended, or the browser has not kept it.";
                dress::ended(generation, StatusCode::UNAUTHORIZED, why)
            }
        }
    }

    /// A problem as a page of somebody who has no session here.
    pub(super) fn problem(self, generation: &Generation, problem: &Problem) -> Response {
        template::problem(problem, self.common(generation))
    }
}
