//! Who makes a request, and whether they may. Every request to the API passes here first.
//!
//! A token is the operator's, one that rowhook made for an owner, or a JWT of the application. Tokens are compared by
//! their hashes, so the time of a comparison says nothing about a token.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{FromRequestParts, Request, State},
    http::{Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use super::{
    generation::{Generation, STRANGERS},
    idempotency,
    pool::PooledAdmin,
    problem::Problem,
    state::AppState,
    visitor::Visitor,
};
use crate::{
    act::{Kind, Via, Who},
    listen::Guest,
    manage::{
        Actor,
        tokens::{self, Scope},
    },
};

/// Whose token a request carries, and what the token allows.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) actor: Actor,
    pub(super) scope: Scope,
    /// The number and the name of the token, if rowhook has issued it.
    token: Option<String>,
}

impl Identity {
    /// A name that no other caller has.
    pub(super) fn name(&self) -> String {
        match &self.actor {
            Actor::Operator => "operator".to_owned(),
            Actor::Owner(owner) => owner_name(owner),
        }
    }

    /// Who they are, as what they do goes on record.
    pub(super) fn who(&self, visitor: Visitor, via: Via) -> Who {
        let (kind, owner) = match (&self.actor, &self.token) {
            (Actor::Operator, _) => (Kind::Operator, None),
            (Actor::Owner(owner), Some(_)) => (Kind::Owner, Some(owner.clone())),
            (Actor::Owner(owner), None) => (Kind::Application, Some(owner.clone())),
        };
        Who {
            kind,
            owner,
            token: self.token.clone(),
            address: Some(visitor.address()),
            via: Some(via),
        }
    }

    pub(super) fn may_write(&self) -> bool {
        self.scope == Scope::Write
    }
}

fn owner_name(owner: &str) -> String {
    format!("owner {owner}")
}

/// Refuses what a token of read scope must not do.
pub(super) fn read_only() -> Problem {
    Problem::forbidden("this token may look, and change nothing")
}

/// Whoever made an authenticated request, with the generation that answers it.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) generation: Arc<Generation>,
    pub(super) identity: Identity,
    /// Who they are, as what they do goes on record.
    pub(super) who: Who,
}

impl Caller {
    pub(super) fn actor(&self) -> &Actor {
        &self.identity.actor
    }

    /// Borrows a connection to the database. What is done with it is on record as done by this caller.
    pub(super) async fn admin(&self) -> Result<PooledAdmin, Problem> {
        let mut admin = self.generation.admin(&self.identity.name()).await?;
        admin.act_for(self.who.clone());
        Ok(admin)
    }

    /// Refuses everyone but the operator.
    pub(super) fn require_operator(&self) -> Result<(), Problem> {
        match self.actor() {
            Actor::Operator => Ok(()),
            Actor::Owner(_) => Err(Problem::forbidden("only the operator may do this")),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(Problem::unauthorized)
    }
}

/// Middleware that lets authenticated requests pass, within their caller's rate limit.
pub(super) async fn require_caller(
    State(state): State<Arc<AppState>>,
    visitor: Visitor,
    request: Request,
    next: Next,
) -> Response {
    match authorize(&state.current(), visitor, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn authorize(
    generation: &Arc<Generation>,
    visitor: Visitor,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let identity = match bearer_token(&request) {
        Some(token) => identify(generation, visitor, token).await?,
        None => {
            count_guess(generation, visitor)?;
            None
        }
    };
    let identity = identity.ok_or_else(Problem::unauthorized)?;
    if let Some(guest) = request.extensions().get::<Guest>() {
        guest.recognize();
    }
    let name = identity.name();
    let taken = generation.limits.take(&name, Instant::now());
    taken.map_err(Problem::too_many_requests)?;
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    if changes && !identity.may_write() {
        return Err(read_only());
    }
    let (mut parts, body) = request.into_parts();
    let body = match changes {
        true => read_body(body, generation.server.max_request).await?,
        false => Bytes::new(),
    };
    parts.extensions.insert(Caller {
        generation: Arc::clone(generation),
        who: identity.who(visitor, Via::Api),
        identity,
    });
    idempotency::run_once(generation, &name, parts, body, next).await
}

/// Reads the whole body, unless it is too large or breaks off, as it also does when it is too slow.
async fn read_body(body: Body, most: usize) -> Result<Bytes, Problem> {
    to_bytes(body, most).await.map_err(|_| {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "the body is larger than {most} bytes, or broke off; see max_request under [server]"
            ),
        )
    })
}

fn bearer_token(request: &Request) -> Option<&str> {
    let header = request.headers().get(header::AUTHORIZATION)?;
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    let is_bearer = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty();
    is_bearer.then_some(token)
}

/// Finds out whose token it is; `None` if it is nobody's.
///
/// What can be told without the database is told to everyone, so nobody's guesses keep the operator out. A token that
/// is not known yet costs its visitor a guess before it is looked up, and gives it back if it is good.
///
/// # Errors
/// When the visitor has guessed too often, or the database has to be asked and cannot be.
pub(super) async fn identify(
    generation: &Generation,
    visitor: Visitor,
    token: &str,
) -> Result<Option<Identity>, Problem> {
    let hash: [u8; 32] = Sha256::digest(token).into();
    if let Some(operator) = &generation.operator_token
        && bool::from(operator.ct_eq(&hash))
    {
        return Ok(Some(Identity {
            actor: Actor::Operator,
            scope: Scope::Write,
            token: None,
        }));
    }
    if let Some(jwt) = &generation.jwt
        && token.matches('.').count() == 2
        && let Some(owner) = jwt.owner(token)
    {
        return Ok(Some(Identity {
            actor: Actor::Owner(owner),
            scope: Scope::Write,
            token: None,
        }));
    }
    let known = generation.known_tokens.owner(&hash);
    let is_known = known.is_some();
    let caller = match known {
        Some(owner) => owner_name(&owner),
        None => {
            count_guess(generation, visitor)?;
            STRANGERS.to_owned()
        }
    };
    if !tokens::looks_like_token(token) {
        return Ok(None);
    }
    let found = {
        let admin = generation.admin(&caller).await?;
        admin.authenticate(token).await?
    };
    match &found {
        Some(good) if !is_known => {
            generation.guesses.give_back(&visitor.name());
            generation.known_tokens.remember(hash, &good.owner);
        }
        Some(_) => {}
        None => generation.known_tokens.forget(&hash),
    }
    Ok(found.map(|good| Identity {
        actor: Actor::Owner(good.owner),
        scope: good.scope,
        token: Some(good.name),
    }))
}

/// Counts a request without a token that is known to be good.
fn count_guess(generation: &Generation, visitor: Visitor) -> Result<(), Problem> {
    let taken = generation.guesses.take(&visitor.name(), Instant::now());
    taken.map_err(Problem::too_many_requests)
}
