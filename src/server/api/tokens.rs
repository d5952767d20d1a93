//! `/api/tokens`: tokens of owners, made by the operator.

use axum::http::StatusCode;

use crate::manage::tokens::{MadeToken, NewToken, Token};
use crate::server::{
    access::Visit,
    problem::Problem,
    request::{Id, Json},
};

/// List tokens, the newest first. The operator's alone, as all of this.
#[utoipa::path(get, path = "/api/tokens", tag = "tokens", responses((status = 200, body = [Token])))]
pub(super) async fn list(visit: Visit) -> Result<Json<Vec<Token>>, Problem> {
    visit.operator()?;
    let office = visit.office().await?;
    Ok(Json(office.tokens().await?))
}

/// Make a token for an owner. It is shown this once.
#[utoipa::path(post, path = "/api/tokens", tag = "tokens", request_body = NewToken,
    responses((status = 201, body = MadeToken)))]
pub(super) async fn add(
    visit: Visit,
    Json(new): Json<NewToken>,
) -> Result<(StatusCode, Json<MadeToken>), Problem> {
    visit.operator()?;
    let office = visit.office().await?;
    Ok((StatusCode::CREATED, Json(office.make_token(new).await?)))
}

/// Revoke a token.
#[utoipa::path(delete, path = "/api/tokens/{id}", tag = "tokens", params(("id" = i64, Path, description = "The token's number")),
    responses((status = 204, description = "It opens nothing any more")))]
pub(super) async fn revoke(visit: Visit, Id(id): Id<i64>) -> Result<StatusCode, Problem> {
    visit.operator()?;
    let office = visit.office().await?;
    office.revoke_token(id).await?;
    Ok(StatusCode::NO_CONTENT)
}
