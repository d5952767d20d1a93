//! `/api/portal`: links that open the portal for owners. For operators only.

use axum::http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::manage::portal::NewPortalLink;
use crate::server::{access::Caller, address, problem::Problem, request::Json, visitor::Visitor};

/// A link that opens the portal for one owner, once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PortalLink {
    /// The link, for the owner's browser alone.
    #[schema(
        example = "https://hooks.example/portal/enter/3MvE1kQwJ2mYfVt0a7n9cXoLrB5sHdUeGpTiZk8Wq4A"
    )]
    url: String,
    /// Until when it can be used.
    expires_at: String,
}

/// Make a link that opens the portal for an owner, once and within ten minutes. It is shown only in this response.
#[utoipa::path(post, path = "/api/portal", tag = "portal", operation_id = "makePortalLink",
    request_body = NewPortalLink,
    responses((status = 201, body = PortalLink)))]
pub(super) async fn add(
    caller: Caller,
    visitor: Visitor,
    headers: HeaderMap,
    Json(new): Json<NewPortalLink>,
) -> Result<(StatusCode, Json<PortalLink>), Problem> {
    let portal = caller.generation.config.portal.as_ref();
    let named = portal.and_then(|portal| portal.url.as_ref());
    let base = address::of_server(named, visitor, &headers).ok_or_else(|| {
        Problem::bad_request(
            "the request does not say which host it is for; send the header Host, or set url under [portal]",
        )
    })?;
    let mut admin = caller.admin().await?;
    let made = admin.make_portal_link(&new.owner).await?;
    let url = base.join(&made.path);
    let url = url.map_err(|error| Problem::unavailable(&error.into()))?;
    let link = PortalLink {
        url: url.into(),
        expires_at: made.expires_at,
    };
    Ok((StatusCode::CREATED, Json(link)))
}
