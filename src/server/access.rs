//! Who comes, and whether they may. Every request for something of value passes here first.
//!
//! A token is the operator's, an owner's, or one of the application's own. Tokens are compared by their hashes, so that
//! how long a comparison takes says nothing about a token.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    body::{Body, to_bytes},
    extract::{ConnectInfo, FromRequestParts, Request, State},
    http::{Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::time::{Instant, timeout};

use super::{
    generation::{Home, House, Lent},
    idempotency,
    problem::Problem,
    request::Peer,
};
use crate::manage::{Who, tokens::Scope};

/// So long a request may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);

/// Somebody who was let in.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) who: Who,
    pub(super) scope: Scope,
}

impl Caller {
    /// A name that no other caller has.
    pub(super) fn name(&self) -> String {
        match &self.who {
            Who::Operator => "operator".to_owned(),
            Who::Owner(owner) => format!("owner {owner}"),
        }
    }
}

/// A request of somebody who was let in.
pub(super) struct Visit {
    pub(super) house: Arc<House>,
    pub(super) caller: Caller,
}

impl Visit {
    pub(super) fn who(&self) -> &Who {
        &self.caller.who
    }

    /// A session with the database.
    pub(super) async fn office(&self) -> Result<Lent, Problem> {
        self.house
            .office()
            .await
            .map_err(|error| Problem::failed(&error))
    }

    /// Refuses everyone but the operator.
    pub(super) fn operator(&self) -> Result<(), Problem> {
        match self.caller.who {
            Who::Operator => Ok(()),
            Who::Owner(_) => Err(Problem::forbidden("only the operator may do this")),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let house = parts.extensions.get::<Arc<House>>().cloned();
        let caller = parts.extensions.get::<Caller>().cloned();
        let visit = house.zip(caller);
        let visit = visit.map(|(house, caller)| Self { house, caller });
        visit.ok_or_else(Problem::unauthorized)
    }
}

/// Lets those in who may come, as often as they may.
pub(super) async fn access(
    State(home): State<Arc<Home>>,
    ConnectInfo(peer): Peer,
    request: Request,
    next: Next,
) -> Response {
    let house = home.now();
    match admitted(&house, peer, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn admitted(
    house: &Arc<House>,
    peer: SocketAddr,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let limited = |caller: &str| {
        let taken = house.limits.take(caller, Instant::now());
        taken.map_err(Problem::too_many)
    };
    let token = bearer(&request);
    let caller = match token {
        Some(token) => recognize(house, &token).await?,
        None => None,
    };
    let Some(caller) = caller else {
        limited(&format!("stranger {}", peer.ip()))?;
        return Err(Problem::unauthorized());
    };
    let name = caller.name();
    limited(&name)?;
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    if changes && caller.scope != Scope::Write {
        return Err(Problem::forbidden(
            "this token may look, and change nothing",
        ));
    }
    let (mut parts, body) = request.into_parts();
    let body = match changes {
        true => arrived(body, house.server.max_request).await?,
        false => axum::body::Bytes::new(),
    };
    parts.extensions.insert(Arc::clone(house));
    parts.extensions.insert(caller);
    idempotency::once(house, &name, parts, body, next).await
}

/// The whole body, if it is not too large and not too slow.
async fn arrived(body: Body, most: usize) -> Result<axum::body::Bytes, Problem> {
    match timeout(ARRIVAL, to_bytes(body, most)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "the body is larger than {most} bytes, or broke off; see max_request under [server]"
            ),
        )),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive in time",
        )),
    }
}

fn bearer(request: &Request) -> Option<String> {
    let header = request.headers().get(header::AUTHORIZATION)?;
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    let is_one = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty();
    is_one.then(|| token.to_owned())
}

/// Whose token it is; `None`: nobody's.
pub(super) async fn recognize(house: &Arc<House>, token: &str) -> Result<Option<Caller>, Problem> {
    let hash: [u8; 32] = Sha256::digest(token).into();
    if let Some(admin) = &house.admin
        && bool::from(admin.ct_eq(&hash))
    {
        return Ok(Some(Caller {
            who: Who::Operator,
            scope: Scope::Write,
        }));
    }
    if let Some(jwt) = &house.jwt
        && token.matches('.').count() == 2
    {
        let owner = jwt.owner(token);
        return Ok(owner.map(|owner| Caller {
            who: Who::Owner(owner),
            scope: Scope::Write,
        }));
    }
    if !crate::manage::tokens::looks_like_one(token) {
        return Ok(None);
    }
    let office = house.office().await;
    let office = office.map_err(|error| Problem::failed(&error))?;
    let known = office.admit(token).await?;
    Ok(known.map(|(owner, scope)| Caller {
        who: Who::Owner(owner),
        scope,
    }))
}
