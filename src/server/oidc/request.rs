//! The requests to a provider.

use reqwest::RequestBuilder;

use super::Failure;

/// The most bytes of an answer.
const LARGEST_ANSWER: usize = 1 << 20;

/// Sends a request, and returns the status and the body of the answer.
pub(super) async fn send(request: RequestBuilder, host: &str) -> Result<(u16, Vec<u8>), Failure> {
    let failed = |error| Failure::of_request(host, error);
    let mut answer = request.send().await.map_err(failed)?;
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(failed)? {
        if body.len() + part.len() > LARGEST_ANSWER {
            return Err(Failure::Unusable {
                host: host.to_owned(),
                reason: "its answer is too large".to_owned(),
            });
        }
        body.extend_from_slice(&part);
    }
    Ok((answer.status().as_u16(), body))
}
