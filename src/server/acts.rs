//! Which act each operation of the API is. What is not in this table is for operators with all rights alone.

use axum::http::Method;

use crate::manage::act::Act;

/// The act of a request with this method to this route.
pub(super) fn of_api(method: &Method, route: &str) -> Act {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    match (is_read, route) {
        (true, "/api/status") => Act::SeeStatus,
        (true, "/api/events" | "/api/events/{name}") => Act::SeeEvents,
        (true, "/api/events/{name}/samples") => Act::SeeDeliveries,
        (true, "/api/hooks" | "/api/hooks/{id}") => Act::SeeHooks,
        (true, "/api/hooks/{id}/deliveries" | "/api/deliveries" | "/api/deliveries/{id}") => {
            Act::SeeDeliveries
        }
        (true, "/api/backfills" | "/api/backfills/{id}") => Act::SeeBackfills,
        (true, "/api/tokens") => Act::SeeTokens,
        (true, "/api/audit") => Act::SeeActs,
        (false, "/api/hooks/{id}/test") => Act::TestHook,
        (
            false,
            "/api/deliveries/retry"
            | "/api/deliveries/{id}/retry"
            | "/api/retry-dead"
            | "/api/replay",
        ) => Act::SendAgain,
        (
            false,
            "/api/hooks"
            | "/api/hooks/{id}"
            | "/api/hooks/{id}/enable"
            | "/api/hooks/{id}/disable"
            | "/api/hooks/{id}/rotate",
        ) => Act::ChangeHooks,
        (false, "/api/backfills" | "/api/backfills/{id}" | "/api/backfills/{id}/resume") => {
            Act::Backfill
        }
        (false, "/api/tokens" | "/api/tokens/{id}") => Act::ChangeTokens,
        (false, "/api/portal") => Act::OpenPortal,
        (false, "/api/forget") => Act::Forget,
        (false, "/api/ask/{event}") => Act::Ask,
        _ => Act::Control,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::api::document;

    /// Each operation of the API, with its act.
    const OPERATIONS: &str = "
        delete /api/backfills/{id} Backfill
        delete /api/hooks/{id} ChangeHooks
        delete /api/tokens/{id} ChangeTokens
        get /api/audit SeeActs
        get /api/backfills SeeBackfills
        get /api/backfills/{id} SeeBackfills
        get /api/deliveries SeeDeliveries
        get /api/deliveries/{id} SeeDeliveries
        get /api/events SeeEvents
        get /api/events/{name} SeeEvents
        get /api/events/{name}/samples SeeDeliveries
        get /api/hooks SeeHooks
        get /api/hooks/{id} SeeHooks
        get /api/hooks/{id}/deliveries SeeDeliveries
        get /api/status SeeStatus
        get /api/tokens SeeTokens
        patch /api/hooks/{id} ChangeHooks
        post /api/ask/{event} Ask
        post /api/backfills Backfill
        post /api/backfills/{id}/resume Backfill
        post /api/deliveries/retry SendAgain
        post /api/deliveries/{id}/retry SendAgain
        post /api/forget Forget
        post /api/hooks ChangeHooks
        post /api/hooks/{id}/disable ChangeHooks
        post /api/hooks/{id}/enable ChangeHooks
        post /api/hooks/{id}/rotate ChangeHooks
        post /api/hooks/{id}/test TestHook
        post /api/portal OpenPortal
        post /api/reload Control
        post /api/replay SendAgain
        post /api/retry-dead SendAgain
        post /api/tokens ChangeTokens
        put /api/hooks/{id} ChangeHooks
    ";

    #[test]
    fn each_operation_of_the_document_is_an_act() {
        let document = document();
        let mut found = Vec::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for method in operations.as_object().unwrap().keys() {
                let named: Method = method.to_uppercase().parse().unwrap();
                found.push(format!("{method} {path} {:?}", of_api(&named, path)));
            }
        }
        found.sort();
        let expected: Vec<&str> = OPERATIONS.lines().map(str::trim).collect();
        let expected: Vec<&str> = expected
            .into_iter()
            .filter(|line| !line.is_empty())
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_document_says_what_each_operation_needs() {
        let document = document();
        let told = |method: &str, path: &str| {
            let told = document["paths"][path][method]["description"].as_str();
            told.unwrap().lines().last().unwrap().to_owned()
        };
        assert_eq!(
            told("post", "/api/replay"),
            "Needs the role support of operators, or the scope deliveries of owners."
        );
        assert_eq!(
            told("post", "/api/forget"),
            "For operators alone. Needs the role all."
        );
    }

    #[test]
    fn what_the_table_does_not_have_is_for_operators_with_all_rights() {
        for (method, route) in [
            (Method::GET, ""),
            (Method::GET, "/api/reload"),
            (Method::DELETE, "/api/status"),
        ] {
            assert_eq!(of_api(&method, route), Act::Control, "{method} {route}");
        }
    }
}
