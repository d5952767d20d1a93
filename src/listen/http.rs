//! Serves HTTP to strangers, with bounds on how long headers and bodies may take and how long a connection may be idle.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    response::Response,
};
use bytes::Bytes;
use hyper::{
    body::{Body as _, Frame, Incoming, SizeHint},
    server::conn::http1,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Sleep, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::{Guest, accept};
use crate::files;

/// How many connections of a listener are open at once, if there are files enough.
const SEATS: usize = 512;
/// A listener takes one of so many parts of the files that may be open. The rest is for deliveries and Postgres.
const PARTS: usize = 4;
/// How long the headers of a request may take to arrive, and how long a connection may be idle between requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves `router` until `stop` is cancelled. Requests that have begun by then may end within `grace`. A body may take
/// `body_timeout` to arrive; without it, the router bounds that itself.
///
/// Each request has a [`ConnectInfo`] and its [`Guest`] as extensions.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    body_timeout: Option<Duration>,
    stop: CancellationToken,
    grace: Duration,
) {
    let give_up = CancellationToken::new();
    let connections = accept(
        &listener,
        files::share(SEATS, PARTS),
        &stop,
        |stream, peer, guest| {
            let visit = Visit {
                router: router.clone(),
                peer,
                guest,
                body_timeout,
            };
            let (stop, give_up) = (stop.clone(), give_up.clone());
            async move {
                tokio::select! {
                    () = serve_connection(stream, visit, stop) => {}
                    () = give_up.cancelled() => {}
                }
            }
        },
    )
    .await;
    // Nobody else may connect while the last requests are answered.
    drop(listener);
    if timeout(grace, connections.wait()).await.is_err() {
        tracing::warn!("requests were still on their way at the end of the grace period");
        give_up.cancel();
        connections.wait().await;
    }
}

async fn serve_connection(stream: TcpStream, visit: Visit, stop: CancellationToken) {
    // Answers are small, and each goes out at once.
    let _ = stream.set_nodelay(true);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(visit));
    let mut served = std::pin::pin!(served);
    tokio::select! {
        // An error of a connection is not ours to handle: whoever made it will try again.
        _ = served.as_mut() => return,
        () = stop.cancelled() => served.as_mut().graceful_shutdown(),
    }
    let _ = served.await;
}

/// The router, for the requests of one connection.
#[derive(Clone)]
struct Visit {
    router: Router,
    peer: SocketAddr,
    guest: Guest,
    body_timeout: Option<Duration>,
}

impl Service<hyper::Request<Incoming>> for Visit {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request>::poll_ready(&mut self.router, context)
    }

    fn call(&mut self, request: hyper::Request<Incoming>) -> Self::Future {
        let body_timeout = self.body_timeout;
        let mut request = request.map(|body| match body_timeout {
            Some(limit) if !body.is_end_stream() => Body::new(Timed {
                body,
                deadline: Box::pin(sleep(limit)),
            }),
            _ => Body::new(body),
        });
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(self.peer));
        extensions.insert(self.guest.clone());
        let attended = self.guest.attend();
        let answering = self.router.call(request);
        Box::pin(async move {
            let answer = answering.await;
            drop(attended);
            answer
        })
    }
}

/// A body that breaks off when it takes too long.
struct Timed {
    body: Incoming,
    deadline: Pin<Box<Sleep>>,
}

impl hyper::body::Body for Timed {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        if self.deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err("the body did not arrive in time".into())));
        }
        let frame = Pin::new(&mut self.body).poll_frame(context);
        frame.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
