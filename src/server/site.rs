//! Which database a request is about.
//!
//! With `[database]` there is one, and everything is about it. With `[[databases]]` everything about one of them is
//! under `/databases/NAME`, as it would be on top: its page, its API, its metrics and its health. On top is what is
//! about all.

use std::sync::{Arc, RwLock};

use axum::{
    Router,
    extract::{Request, State},
    http::{Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::{
    generation::Generation, health, keys, login_links::LoginLinks, metrics, page, problem::Problem,
    routes::routes, samples, sessions::Sessions, state::AppState,
};

/// What the addresses of one of several databases begin with; its name follows.
const DATABASES: &str = "/databases/";

/// Everything that is served, for each database.
pub(super) struct Site {
    databases: RwLock<Arc<Vec<Database>>>,
    /// Who is logged in to the page. It is the same page for all databases, and so the same cookie.
    sessions: Arc<Sessions>,
    /// What somebody can log in with once.
    links: Arc<LoginLinks>,
    /// Cancelled when the server stops.
    pub(super) stop: CancellationToken,
}

/// What is served about one database.
#[derive(Clone)]
struct Database {
    /// `None`: that of `[database]`.
    name: Option<String>,
    state: Arc<AppState>,
    routes: Router,
}

impl Site {
    /// A site without databases.
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self {
            databases: RwLock::default(),
            sessions: Arc::default(),
            links: Arc::default(),
            stop,
        }
    }

    /// Serves these databases from now on, and no others. Requests that have begun keep the generation that they began
    /// with.
    pub(super) fn replace(&self, generations: Vec<Generation>) {
        let old = self.databases();
        let databases = generations.into_iter().map(|generation| {
            let name = generation.config.name.clone();
            match old.iter().find(|database| database.name == name) {
                Some(known) => {
                    known.state.replace(generation);
                    known.clone()
                }
                None => self.add(name, generation),
            }
        });
        let databases: Vec<Database> = databases.collect();
        for gone in old.iter() {
            if !databases.iter().any(|database| database.name == gone.name) {
                gone.state.stop.cancel();
            }
        }
        let mut current = self.databases.write();
        **current
            .as_mut()
            .unwrap_or_else(|poisoned| poisoned.get_mut()) = Arc::new(databases);
    }

    fn add(&self, name: Option<String>, generation: Generation) -> Database {
        let stop = self.stop.child_token();
        let state = Arc::new(AppState::new(generation, &self.sessions, &self.links, stop));
        tokio::spawn(take_samples(Arc::clone(&state)));
        Database {
            name,
            routes: routes(&state),
            state,
        }
    }

    /// The path of a new link that logs the operator in; `None` if the operator has no token.
    pub(super) fn login_link(&self) -> Option<String> {
        let databases = self.databases();
        let state = &databases.first()?.state;
        let generation = state.current();
        let token = generation.server.admin_token.as_ref()?;
        Some(state.address(&self.links.make(token.expose())))
    }

    /// All databases, in the order of hooks.toml.
    fn databases(&self) -> Arc<Vec<Database>> {
        let databases = self.databases.read();
        Arc::clone(&databases.unwrap_or_else(|poisoned| poisoned.into_inner()))
    }
}

/// Takes the samples of the page's charts until the server stops.
async fn take_samples(state: Arc<AppState>) {
    let mut ticks = tokio::time::interval(samples::INTERVAL);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let handles = &state.current().handles;
                let lag = handles.health.now(Instant::now()).lag;
                state.samples.take(&handles.meters, lag);
            }
            () = state.stop.cancelled() => return,
        }
    }
}

/// Answers a request, by the database that it is about.
pub(super) async fn answer(State(site): State<Arc<Site>>, mut request: Request) -> Response {
    let databases = site.databases();
    if let [only] = &databases[..]
        && only.name.is_none()
    {
        return about(only, request).await;
    }
    let path = request.uri().path();
    let Some((name, below)) = named(path) else {
        return about_all(&databases, request.method(), path).await;
    };
    let is_meant = |database: &&Database| database.name.as_deref() == Some(name);
    let Some(database) = databases.iter().find(is_meant) else {
        let what = format!("there is no database {name:?} here");
        return problem(&what, &databases).into_response();
    };
    let query = request.uri().query().map(|query| format!("?{query}"));
    let address = format!("{below}{}", query.unwrap_or_default());
    match Uri::try_from(address) {
        Ok(address) => *request.uri_mut() = address,
        Err(_) => return Problem::no_such_address().into_response(),
    }
    about(database, request).await
}

async fn about(database: &Database, request: Request) -> Response {
    match database.routes.clone().call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// The name of the database in an address, and the address without it.
fn named(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix(DATABASES)?;
    match rest.find('/') {
        Some(end) => Some((&rest[..end], &rest[end..])),
        None => Some((rest, "/")),
    }
}

/// Answers what is about all databases.
async fn about_all(databases: &[Database], method: &Method, path: &str) -> Response {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return problem("this address is of no database", databases).into_response();
    }
    let states: Vec<Arc<AppState>> = databases
        .iter()
        .map(|database| Arc::clone(&database.state))
        .collect();
    match path {
        "/" => page::all(&states),
        "/style.css" => page::style().await.into_response(),
        "/metrics" => metrics::of_all(&states).await.into_response(),
        "/.well-known/webhook-keys" => keys::of_all(&states).into_response(),
        "/health/live" => health::live().await.into_response(),
        "/health/ready" => health::all_ready(&states).into_response(),
        _ => problem("this address is of no database", databases).into_response(),
    }
}

/// Not found, with the addresses that there are.
fn problem(what: &str, databases: &[Database]) -> Problem {
    let names = databases
        .iter()
        .filter_map(|database| database.name.as_deref());
    let addresses: Vec<String> = names.map(|name| format!("{DATABASES}{name}")).collect();
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("{what}; write one of {} before it", addresses.join(", ")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_its_database_first() {
        for (path, expected) in [
            ("/databases/shop", Some(("shop", "/"))),
            ("/databases/shop/", Some(("shop", "/"))),
            ("/databases/shop/api/hooks", Some(("shop", "/api/hooks"))),
            ("/databases/shop//x", Some(("shop", "//x"))),
            ("/databases", None),
            ("/api/hooks", None),
            ("/", None),
        ] {
            assert_eq!(named(path), expected, "{path}");
        }
    }
}
