//! `/api/tokens`: tokens of owners. For the operator only.

use axum::http::StatusCode;

use crate::manage::tokens::{IssuedToken, NewToken, Token};
use crate::server::{
    access::Caller,
    problem::Problem,
    request::{Json, Path},
};

/// List tokens, the newest first.
#[utoipa::path(get, path = "/api/tokens", tag = "tokens", operation_id = "listTokens",
    responses((status = 200, body = [Token])))]
pub(super) async fn list(caller: Caller) -> Result<Json<Vec<Token>>, Problem> {
    let admin = caller.admin().await?;
    Ok(Json(admin.tokens().await?))
}

/// Issue a token for an owner. It is shown only in this response.
#[utoipa::path(post, path = "/api/tokens", tag = "tokens", operation_id = "issueToken", request_body = NewToken,
    responses((status = 201, body = IssuedToken)))]
pub(super) async fn add(
    caller: Caller,
    Json(new): Json<NewToken>,
) -> Result<(StatusCode, Json<IssuedToken>), Problem> {
    let mut admin = caller.admin().await?;
    Ok((StatusCode::CREATED, Json(admin.issue_token(new).await?)))
}

/// Revoke a token.
#[utoipa::path(delete, path = "/api/tokens/{id}", tag = "tokens", operation_id = "revokeToken",
    params(("id" = i64, Path, description = "The token's number")),
    responses((status = 204, description = "It opens nothing any more")))]
pub(super) async fn revoke(caller: Caller, Path(id): Path<i64>) -> Result<StatusCode, Problem> {
    let mut admin = caller.admin().await?;
    admin.revoke_token(id).await?;
    Ok(StatusCode::NO_CONTENT)
}
