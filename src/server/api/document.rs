//! The OpenAPI document of the API.

use std::sync::Arc;

use axum::{extract::State, http::header, response::IntoResponse};
use serde_json::{Value, json};
use utoipa::OpenApi;

use super::{
    ask, audit, backfills, deliveries, events, forget, hooks, portal, schemas, status, tokens,
};
use crate::server::{acts, problem::Problem, state::AppState};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "rowhook",
        description = "Hooks and deliveries of rowhook. Owners see and touch their own; the operator, everything."
    ),
    paths(
        status::show,
        status::reload,
        events::list,
        events::show,
        events::samples,
        hooks::list,
        hooks::add,
        hooks::show,
        hooks::change,
        hooks::replace,
        hooks::remove,
        hooks::enable,
        hooks::disable,
        hooks::rotate,
        hooks::test,
        deliveries::of_hook,
        deliveries::list,
        deliveries::show,
        deliveries::retry,
        deliveries::retry_many,
        deliveries::retry_dead,
        deliveries::replay,
        backfills::list,
        backfills::begin,
        backfills::show,
        backfills::cancel,
        backfills::resume,
        tokens::list,
        tokens::add,
        tokens::revoke,
        portal::add,
        forget::owner,
        audit::list,
        ask::ask,
    ),
    components(schemas(Problem))
)]
struct Document;

/// The document, with what all operations share: authentication, problems, and idempotency keys.
///
/// Clients are generated from it, and users of these read the names of operations and types as they stand here.
pub fn document() -> Value {
    let mut document = serde_json::to_value(Document::openapi()).unwrap_or_default();
    document["components"]["securitySchemes"] = json!({
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "The token of an operator, one that rowhook made for an owner, or a JWT of the application."
        }
    });
    document["security"] = json!([{"token": []}]);
    let problem = json!({
        "description": "What went wrong",
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
        }
    });
    let key = json!({
        "name": "Idempotency-Key",
        "in": "header",
        "required": false,
        "description": "A request that is made again with the same key is done once and answered as before, for a day. What is shown only once is null then.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"}
    });
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (path, operations) in paths {
        let operations = operations.as_object_mut().into_iter().flatten();
        for (method, operation) in operations {
            // The specification asks for a description of each.
            let responses = operation["responses"].as_object_mut();
            for response in responses.into_iter().flat_map(serde_json::Map::values_mut) {
                if response.get("description").is_none() {
                    response["description"] = json!("What was asked for");
                }
            }
            operation["responses"]["default"] = problem.clone();
            let needs = needs(method, path);
            operation["description"] = match operation["description"].as_str() {
                Some(told) if !told.is_empty() => json!(format!("{told}\n\n{needs}")),
                _ => json!(needs),
            };
            // Hooks may be made and changed by forms too, as many subscribe.
            if matches!(path.as_str(), "/api/hooks" | "/api/hooks/{id}")
                && let Some(content) = operation.pointer_mut("/requestBody/content")
                && let Some(content) = content.as_object_mut()
                && let Some(json) = content.get("application/json").cloned()
            {
                content.insert("application/x-www-form-urlencoded".into(), json);
            }
            if method == "post" && !matches!(path.as_str(), "/api/tokens" | "/api/portal") {
                match operation["parameters"].as_array_mut() {
                    Some(parameters) => parameters.push(key.clone()),
                    None => operation["parameters"] = json!([key]),
                }
            }
        }
    }
    schemas::complete(&mut document);
    document
}

/// Which role and which scope an operation needs.
fn needs(method: &str, path: &str) -> String {
    let method = method.to_uppercase().parse().unwrap_or_default();
    let (role, scope) = acts::of_api(&method, path).asks();
    let role = role.name();
    match scope {
        Some(scope) => format!(
            "Needs the role {role} of operators, or the scope {} of owners.",
            scope.as_str()
        ),
        None => format!("For operators alone. Needs the role {role}."),
    }
}

/// `GET /api/openapi.json`. Where there are several databases, it says where the API of this one begins.
pub(super) async fn serve(State(state): State<Arc<AppState>>) -> impl IntoResponse {
    let mut document = document();
    let root = state.root();
    if !root.is_empty() {
        document["servers"] = json!([{"url": root}]);
    }
    (
        [(header::CONTENT_TYPE, "application/json")],
        document.to_string(),
    )
}
