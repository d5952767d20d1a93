//! An application that embeds the portal, at an origin and a site of its own.

use std::sync::{Arc, Mutex};

use axum::{Router, response::Html, routing::get};
use tokio::net::TcpListener;

/// Serves one page. It stops when it is dropped.
pub struct Site {
    /// Its origin, whose host is not that of rowhook.
    pub origin: String,
    page: Arc<Mutex<String>>,
    server: tokio::task::JoinHandle<()>,
}

impl Site {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let page = Arc::new(Mutex::new(String::new()));
        let shown = Arc::clone(&page);
        let show = get(async move || Html(shown.lock().unwrap().clone()));
        let app = Router::new().route("/", show);
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            origin: format!("http://localhost:{port}"),
            page,
            server,
        }
    }

    /// Shows a page with the portal that a link opens. It notes in the title what it is told of the session.
    pub fn embed(&self, rowhook: &str, link: &str) {
        self.show(&format!(
            "<script src=\"{rowhook}/portal.js\"></script>
            <main><h1>Your webhooks</h1><rowhook-portal src=\"{link}\" label=\"Webhooks of the bookstore\"></rowhook-portal></main>
            <script>
            for (const name of ['opened', 'ended'])
                document.querySelector('rowhook-portal').addEventListener(name, () => document.title += ' ' + name);
            </script>"
        ));
    }

    /// Shows this below its head.
    pub fn show(&self, body: &str) {
        *self.page.lock().unwrap() = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">
            <meta name=\"viewport\" content=\"width=device-width\"><title>The application</title>{body}"
        );
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}
