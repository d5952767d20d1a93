//! Whether a body is sent compressed.
//!
//! What is signed is always the body as it was before: servers and frameworks often unpack it before the receiver's
//! code sees it, so that there is nothing else to verify. It also means that a body which is sent again as it is has
//! the same signature.

use std::{collections::HashSet, sync::Mutex};

use bytes::Bytes;

use crate::{gzip, lock::lock};

/// Smaller bodies are not compressed: with the headers around them, nothing is saved.
const SMALLEST: usize = 1 << 10;
/// Larger bodies are compressed on a thread of their own, because it takes milliseconds.
const QUICK: usize = 32 << 10;
/// How many endpoints are remembered that take none. With more, they are asked again.
const REMEMBERED: usize = 10_000;

/// The endpoints that have refused compressed bodies, since rowhook was started.
#[derive(Debug, Default)]
pub(super) struct Unpacked(Mutex<HashSet<Box<str>>>);

impl Unpacked {
    pub(super) fn has(&self, url: &str) -> bool {
        lock(&self.0).contains(url)
    }

    pub(super) fn add(&self, url: &str) {
        let mut all = lock(&self.0);
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(url.into());
    }
}

/// The body in gzip; `None` where it is better sent as it is.
pub(super) async fn pack(body: &Bytes) -> Option<Bytes> {
    if body.len() < SMALLEST {
        return None;
    }
    if body.len() <= QUICK {
        return gzip::pack(body).map(Bytes::from);
    }
    let body = body.clone();
    let packed = tokio::task::spawn_blocking(move || gzip::pack(&body)).await;
    // Should it have panicked, the body goes as it is.
    packed.ok().flatten().map(Bytes::from)
}
