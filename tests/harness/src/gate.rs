//! An endpoint that keeps its clients waiting.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{net::TcpListener, sync::watch};

/// An endpoint that accepts requests, and answers none of them until it is opened.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    open: watch::Sender<bool>,
    waiting: Arc<AtomicUsize>,
    server: tokio::task::JoinHandle<()>,
}

impl Gate {
    /// Listens, and lets every request wait.
    pub async fn closed() -> Self {
        let (open, opened) = watch::channel(false);
        let waiting = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&waiting);
        let app = axum::Router::new().fallback(move || {
            let (mut opened, count) = (opened.clone(), Arc::clone(&count));
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                let _ = opened.wait_for(|open| *open).await;
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            address,
            open,
            waiting,
            server,
        }
    }

    /// How many requests have come so far.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// The URL to send requests to.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Answers 200 to all requests that wait, and to all later ones at once.
    pub fn open(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.server.abort();
    }
}
