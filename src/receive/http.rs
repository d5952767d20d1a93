//! Serves HTTP to strangers: as many connections as we can afford, and none of them for ever.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{Router, extract::Request, response::Response};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_service::Service;

/// Connections at a time; those above it wait to be accepted.
const CONNECTIONS: usize = 512;
/// So long the headers of a request may be on their way, and so long a connection may rest between two.
const HEADERS: Duration = Duration::from_secs(10);
/// So long is waited when the system has no more connections to give.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Serves `router` until it is told to stop, and then what has begun, within `grace`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
    grace: Duration,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let slot = tokio::select! {
            slot = Arc::clone(&slots).acquire_owned() => slot,
            () = stop.cancelled() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (connection, _) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(EXHAUSTED).await;
                continue;
            }
        };
        let (router, stop) = (router.clone(), stop.clone());
        connections.spawn(async move {
            hold(TokioIo::new(connection), router, stop).await;
            drop(slot);
        });
    }
    connections.close();
    if timeout(grace, connections.wait()).await.is_err() {
        tracing::warn!("requests were still on their way at the end of the grace period");
    }
}

async fn hold(connection: TokioIo<tokio::net::TcpStream>, router: Router, stop: CancellationToken) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .serve_connection(connection, TowerToHyperService::new(Adapted(router)));
    let mut served = std::pin::pin!(served);
    tokio::select! {
        // What goes wrong with a connection is its sender's concern, who will come again.
        _ = served.as_mut() => return,
        () = stop.cancelled() => served.as_mut().graceful_shutdown(),
    }
    let _ = served.await;
}

/// A router that takes bodies as hyper has them.
#[derive(Clone)]
struct Adapted(Router);

impl Service<hyper::Request<Incoming>> for Adapted {
    type Response = Response;
    type Error = Infallible;
    type Future = <Router as Service<Request>>::Future;

    fn poll_ready(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        Service::<Request>::poll_ready(&mut self.0, context)
    }

    fn call(&mut self, request: hyper::Request<Incoming>) -> Self::Future {
        self.0.call(request.map(axum::body::Body::new))
    }
}
