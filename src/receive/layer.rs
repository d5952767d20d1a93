//! An axum layer that passes on only requests that are verified.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use tower_layer::Layer;
use tower_service::Service;

use super::gate::{Gate, Rejection};

/// Passes on only requests that its gate admits, and answers the others itself: those that are not signed, too large,
/// too slow or malformed. A request that is passed on has a [`Received`] among its extensions, and an unchanged body.
///
/// [`Received`]: super::Received
#[derive(Debug, Clone)]
pub struct VerifyLayer {
    gate: Arc<Gate>,
}

impl VerifyLayer {
    /// Creates a layer with this gate.
    pub fn new(gate: Gate) -> Self {
        let gate = Arc::new(gate);
        Self { gate }
    }
}

impl<S> Layer<S> for VerifyLayer {
    type Service = VerifyService<S>;

    fn layer(&self, inner: S) -> VerifyService<S> {
        VerifyService {
            gate: Arc::clone(&self.gate),
            inner,
        }
    }
}

/// The service that [`VerifyLayer`] wraps around another.
#[derive(Debug, Clone)]
pub struct VerifyService<S> {
    gate: Arc<Gate>,
    inner: S,
}

impl<S> Service<Request> for VerifyService<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // Only this instance was polled ready, so it serves the request, and a clone takes its place.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let gate = Arc::clone(&self.gate);
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let mut copy = Request::new(body);
            *copy.method_mut() = parts.method.clone();
            *copy.uri_mut() = parts.uri.clone();
            *copy.headers_mut() = parts.headers.clone();
            let admitted = async {
                let (headers, body) = gate.read(copy).await?;
                let (received, _) = gate.verify(&headers, body.clone(), SystemTime::now())?;
                Ok::<_, Rejection>((received, body))
            };
            match admitted.await {
                Ok((received, body)) => {
                    let body = Body::from(body);
                    parts.extensions.insert(received);
                    inner.call(Request::from_parts(parts, body)).await
                }
                Err(rejection) => Ok(rejection.into_response()),
            }
        })
    }
}
