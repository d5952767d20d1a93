//! Endpoints that answer well, badly, late, slowly, or not at all, and what they got.

use harness::{Http2, Manners, SECRET};
use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_LENGTH, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::value::RawValue;
use tokio::net::TcpListener;

use crate::HOOKS;

/// All endpoints, and the deliveries that they accepted.
pub struct Endpoints {
    /// From now on, all endpoints but the last answer well.
    pub healthy: AtomicBool,
    /// From now on, the last endpoint answers well too.
    pub all_healthy: AtomicBool,
    pub heard: Mutex<Vec<Heard>>,
    random: Mutex<StdRng>,
}

/// A delivery that was answered with 200.
pub struct Heard {
    pub hook: usize,
    pub id: String,
    pub body: Bytes,
    pub at: SystemTime,
}

/// What an endpoint does with a request. It is chosen at random.
enum Mood {
    Well,
    Status(u16),
    Throttle,
    Late,
    Trickle,
    Lie,
    Redirect,
    /// It lets few in, and asks the others with this status to come back in a second.
    Limit(u16),
    /// It refuses with this status whatever holds more than one delivery.
    Refuse(u16),
}

impl Endpoints {
    fn chance(&self, chances: u32) -> u32 {
        self.random.lock().unwrap().random_range(0..chances)
    }

    /// Notes what was accepted.
    fn hear(&self, hook: usize, headers: &HeaderMap, body: &Bytes) {
        let members = members(headers, body).into_iter();
        let heard = members.map(|(id, body)| Heard {
            hook,
            id,
            body,
            at: SystemTime::now(),
        });
        self.heard.lock().unwrap().extend(heard);
    }

    /// What becomes of a connection of HTTP/2. Until all is well, most of them end while requests are on their way, and
    /// some before any is looked at.
    fn manners(&self) -> Manners {
        if self.healthy.load(Ordering::SeqCst) {
            return Manners::Answers;
        }
        match self.chance(10) {
            0 | 1 => Manners::GoesAway,
            2 => Manners::Refuses,
            answered => Manners::GoesAwayAfter(usize::try_from(1 + 4 * answered).unwrap()),
        }
    }

    /// The first four endpoints always answer well, the last one only at the end, and the others at random.
    fn mood(&self, hook: usize) -> Mood {
        if hook == HOOKS - 1 && !self.all_healthy.load(Ordering::SeqCst) {
            return Mood::Status(500);
        }
        if self.healthy.load(Ordering::SeqCst) || hook < 4 {
            return Mood::Well;
        }
        match (hook % 10, self.chance(20)) {
            (_, 0 | 1) => Mood::Status(500),
            (_, 2) => Mood::Status(404),
            (_, 3) => Mood::Throttle,
            (_, 4) => Mood::Redirect,
            (5, 5) if self.chance(5) == 0 => Mood::Status(410),
            (6, 5) => Mood::Late,
            (7, 5) => Mood::Trickle,
            (8, 5) => Mood::Lie,
            (9, 5..=9) => Mood::Limit(429),
            (9, 10..=14) => Mood::Limit(503),
            (2, 5..=7) => Mood::Refuse(413),
            (2, 8..=9) => Mood::Refuse(400),
            _ => Mood::Well,
        }
    }
}

/// Serves the endpoints at `/h0`, `/h1` and so on, at two places. At the first, one connection in thirty is closed at
/// once. The other one speaks HTTP/2, and its connections go away.
pub async fn open(seed: u64) -> (String, Http2, Arc<Endpoints>) {
    let endpoints = Arc::new(Endpoints {
        healthy: AtomicBool::new(false),
        all_healthy: AtomicBool::new(false),
        random: Mutex::new(StdRng::seed_from_u64(seed)),
        heard: Mutex::default(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new()
        .fallback(receive)
        .with_state(Arc::clone(&endpoints));
    let doors = Arc::clone(&endpoints);
    let leaving = Http2::serving(app.clone(), move |_| doors.manners()).await;
    let doors = Arc::clone(&endpoints);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if !doors.healthy.load(Ordering::SeqCst) && doors.chance(30) == 0 {
                continue;
            }
            let service = TowerToHyperService::new(app.clone());
            tokio::spawn(async move {
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    (url, leaving, endpoints)
}

async fn receive(State(endpoints): State<Arc<Endpoints>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let hook: usize = parts.uri.path().trim_start_matches("/h").parse().unwrap();
    // The client was killed in the middle of its request, which does not count.
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    standardwebhooks::Webhook::new(SECRET)
        .unwrap()
        .verify(&body, &parts.headers)
        .unwrap();
    match endpoints.mood(hook) {
        Mood::Well => {}
        Mood::Status(code) => return status(code).into_response(),
        Mood::Throttle => {
            return (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "0")]).into_response();
        }
        Mood::Limit(code) => return (status(code), [(RETRY_AFTER, "1")]).into_response(),
        Mood::Refuse(code) if members(&parts.headers, &body).len() > 1 => {
            return status(code).into_response();
        }
        Mood::Refuse(_) => {}
        Mood::Redirect => return (StatusCode::FOUND, [("location", "/h0")]).into_response(),
        Mood::Late => {
            // This is longer than the timeout, so the client is gone by then.
            tokio::time::sleep(Duration::from_secs(3)).await;
            return StatusCode::OK.into_response();
        }
        Mood::Trickle => {
            // It has said 200, whatever becomes of its body.
            endpoints.hear(hook, &parts.headers, &body);
            let crumbs = futures_util::stream::unfold(0, |crumb| async move {
                tokio::time::sleep(Duration::from_millis(300)).await;
                (crumb < 10).then(|| (Ok::<_, Infallible>(Bytes::from_static(b".")), crumb + 1))
            });
            return Body::from_stream(crumbs).into_response();
        }
        // The body is shorter than its content-length, and the connection breaks.
        Mood::Lie => {
            return Response::builder()
                .status(StatusCode::INTERNAL_SERVER_ERROR)
                .header(CONTENT_LENGTH, "1000")
                .body(Body::from_stream(futures_util::stream::iter([Ok::<
                    _,
                    Infallible,
                >(
                    Bytes::from_static(b"no"),
                )])))
                .unwrap();
        }
    }
    endpoints.hear(hook, &parts.headers, &body);
    StatusCode::OK.into_response()
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap()
}

/// The deliveries of a request: its one delivery, or the members of its array.
fn members(headers: &HeaderMap, body: &Bytes) -> Vec<(String, Bytes)> {
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    if !headers.contains_key("rowhook-batch") {
        return vec![(text("webhook-id"), body.clone())];
    }
    let bodies: Vec<&RawValue> = serde_json::from_slice(body).unwrap();
    let bodies = bodies
        .into_iter()
        .map(|body| Bytes::copy_from_slice(body.get().as_bytes()));
    let ids = text("rowhook-batch");
    let ids: Vec<String> = ids.split(',').map(str::to_owned).collect();
    assert_eq!(ids.len(), bodies.len());
    ids.into_iter().zip(bodies).collect()
}
