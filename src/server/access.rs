//! Who makes a request, and whether they may. Every request to the API passes here first.
//!
//! A token is an operator's, one that rowhook made for an owner, or a JWT of the application. Tokens are compared by
//! their hashes, so the time of a comparison says nothing about a token. What each request needs stands in the table of
//! [`acts`], and is asked of the caller before anything is done.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use super::{
    acts,
    generation::{Generation, STRANGERS},
    idempotency,
    pool::PooledAdmin,
    problem::Problem,
    sessions::Credential,
    state::AppState,
    visitor::Visitor,
};
use crate::{
    act::{Via, Who},
    config::PortalPart,
    listen::Guest,
    manage::{
        Actor,
        identity::{Identity, Login, caller_of},
        portal,
        scope::{Scope, Scopes},
        tokens,
    },
};

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
        self.identity.actor()
    }

    /// Borrows a connection to the database. What is done with it is on record as done by this caller.
    pub(super) async fn admin(&self) -> Result<PooledAdmin, Problem> {
        let mut admin = self.generation.admin(&self.identity.caller()).await?;
        admin.act_for(self.who.clone());
        Ok(admin)
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
        Some(token) => {
            let found = identify(generation, visitor, token).await?;
            if found.is_none() {
                let stranger = visitor.as_stranger(Via::Api);
                generation.record_refused_token(visitor.name(), stranger);
            }
            found
        }
        None => {
            count_guess(generation, visitor)?;
            None
        }
    };
    let identity = identity.ok_or_else(Problem::unauthorized)?;
    if let Some(guest) = request.extensions().get::<Guest>() {
        guest.recognize();
    }
    let name = identity.caller();
    let taken = generation.limits.take(&name, Instant::now());
    taken.map_err(Problem::too_many_requests)?;
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("", MatchedPath::as_str);
    identity.require(acts::of_api(request.method(), route))?;
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let (mut parts, body) = request.into_parts();
    let body = match changes {
        true => read_body(body, generation.server.max_request).await?,
        false => Bytes::new(),
    };
    parts.extensions.insert(Caller {
        generation: Arc::clone(generation),
        who: visitor.as_known(&identity, Via::Api),
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
    if let Some(operator) = operator(generation, &hash) {
        return Ok(Some(operator));
    }
    if let Some(jwt) = &generation.jwt
        && token.matches('.').count() == 2
        && let Some(owner) = jwt.owner(token)
    {
        return Ok(Some(Identity::owner(owner, Scopes::all(), Login::Jwt)));
    }
    let known = generation.known_tokens.owner(&hash);
    let is_known = known.is_some();
    let caller = match known {
        Some(owner) => caller_of(&owner),
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
        Some(bearer) if !is_known => {
            generation.guesses.give_back(&visitor.name());
            generation.known_tokens.remember(hash, &bearer.owner);
        }
        Some(_) => {}
        None => generation.known_tokens.forget(&hash),
    }
    Ok(found.map(|bearer| {
        let login = Login::OwnerToken {
            id: bearer.id,
            name: bearer.name,
        };
        Identity::owner(bearer.owner, bearer.scope, login)
    }))
}

/// The operator whose token has this hash. All are compared, so that the time says nothing of which.
fn operator(generation: &Generation, hash: &[u8; 32]) -> Option<Identity> {
    let mut found = None;
    for operator in &generation.operators {
        if bool::from(operator.token.ct_eq(hash)) {
            found = Some(operator);
        }
    }
    found.map(|operator| Identity::operator(operator.role, operator.login.clone()))
}

/// Finds out whether what a session was opened with is still good.
///
/// # Errors
/// As [`identify`].
pub(super) async fn identify_again(
    generation: &Generation,
    visitor: Visitor,
    credential: &Credential,
) -> Result<Option<Identity>, Problem> {
    match credential {
        Credential::Token(token) => identify(generation, visitor, token).await,
        Credential::Person(person) => {
            let oidc = generation.server.oidc.as_ref();
            Ok(oidc.and_then(|oidc| person.identity(oidc)))
        }
        Credential::Portal { guest, database } => {
            guest_of_portal(generation, guest, database.as_deref()).await
        }
    }
}

/// What somebody may do whom a link has let in to the portal; `None`: that is over, or was to another database.
async fn guest_of_portal(
    generation: &Generation,
    guest: &portal::Guest,
    database: Option<&str>,
) -> Result<Option<Identity>, Problem> {
    let Some(shown) = &generation.config.portal else {
        return Ok(None);
    };
    let is_open = database == generation.config.name.as_deref() && {
        let admin = generation.admin(&caller_of(&guest.owner)).await?;
        admin.is_portal_open(guest).await?
    };
    if !is_open {
        return Ok(None);
    }
    let parts = [
        (PortalPart::Hooks, Scope::Hooks),
        (PortalPart::Test, Scope::Test),
        (PortalPart::Retry, Scope::Deliveries),
    ];
    let given = parts.into_iter().filter(|(part, _)| shown.shows(*part));
    let scopes = Scopes::of(given.map(|(_, scope)| scope));
    let login = Login::Portal(guest.link);
    Ok(Some(Identity::owner(guest.owner.clone(), scopes, login)))
}

/// Counts a request of a visitor with a link to the portal, which may be a guess. To be given back if it is not.
pub(super) fn count_link(generation: &Generation, visitor: Visitor) -> Result<(), Problem> {
    count_guess(generation, visitor)
}

/// Counts a request without a token that is known to be good.
fn count_guess(generation: &Generation, visitor: Visitor) -> Result<(), Problem> {
    let taken = generation.guesses.take(&visitor.name(), Instant::now());
    taken.map_err(Problem::too_many_requests)
}

/// Counts a look of a stranger at what is open to everyone.
pub(super) fn count_look(generation: &Generation, visitor: Visitor) -> Result<(), Problem> {
    let name = format!("look {}", visitor.name());
    let taken = generation.guesses.take(&name, Instant::now());
    taken.map_err(Problem::too_many_requests)
}

/// Counts a login that the provider is asked about. Guesses at tokens do not count for it, so that those of others at
/// the same address keep no operator out.
pub(super) fn count_login(generation: &Generation, visitor: Visitor) -> Result<(), Problem> {
    let name = format!("login {}", visitor.name());
    let taken = generation.guesses.take(&name, Instant::now());
    taken.map_err(Problem::too_many_requests)
}
