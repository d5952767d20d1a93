//! Links that log somebody in to the page, each of them once.
//!
//! Whoever makes one hands it to a browser: `rowhook demo` prints one. It holds a random key and never the token.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::lock::lock;

/// How long a link can be used.
const LIFETIME: Duration = Duration::from_secs(10 * 60);

/// The links that have not been used yet, by the SHA-256 of their keys.
#[derive(Default)]
pub(super) struct LoginLinks(Mutex<HashMap<[u8; 32], Link>>);

struct Link {
    /// What the link logs in with.
    token: String,
    made_at: Instant,
}

impl LoginLinks {
    /// Makes a link, and returns its path.
    pub(super) fn make(&self, token: &str) -> String {
        let key = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let now = Instant::now();
        let link = Link {
            token: token.to_owned(),
            made_at: now,
        };
        let mut links = lock(&self.0);
        links.retain(|_, link| link.is_good(now));
        links.insert(hash(&key), link);
        format!("/login/link/{key}")
    }

    /// The token of the link with this key, which cannot be used any more. `None` if it was used, is too old, or never
    /// was.
    pub(super) fn take(&self, key: &str) -> Option<String> {
        let link = lock(&self.0).remove(&hash(key))?;
        link.is_good(Instant::now()).then_some(link.token)
    }
}

impl Link {
    fn is_good(&self, now: Instant) -> bool {
        now - self.made_at < LIFETIME
    }
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_link_is_good_once_and_for_ten_minutes() {
        let links = LoginLinks::default();
        let key = |path: String| path.strip_prefix("/login/link/").unwrap().to_owned();
        let (first, second) = (key(links.make("secret")), key(links.make("secret")));
        assert_eq!(links.take("another"), None);
        assert_eq!(links.take(&first), Some("secret".to_owned()));
        assert_eq!(links.take(&first), None);
        tokio::time::advance(LIFETIME).await;
        assert_eq!(links.take(&second), None);
        assert!(lock(&links.0).is_empty());
    }
}
