//! The sender, and endpoints to send to.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::Router;
use bytes::Bytes;
use rowhook::{
    config::{Compression, Delivery},
    secret::Secret,
    send::{Request, Sender, answer::Answer, target::Target},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use url::Url;

pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

pub fn delivery() -> Delivery {
    Delivery {
        allow_http: true,
        allow_networks: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        ..Delivery::default()
    }
}

pub fn sender() -> Sender {
    Sender::new(&delivery()).unwrap()
}

pub fn target(url: &str) -> Target {
    Target::new(&Url::parse(url).unwrap(), Some(&Secret::new(SECRET)), &[]).unwrap()
}

pub async fn send_within(sender: &Sender, target: &Target, timeout: Duration) -> Answer {
    send_body(sender, target, Bytes::from_static(b"{\"n\":1}"), timeout).await
}

pub async fn send_body(sender: &Sender, target: &Target, body: Bytes, timeout: Duration) -> Answer {
    let request = Request {
        target,
        id: "msg_1",
        batch: None,
        body,
        content_type: "application/json",
        compress: Compression::None,
        at: SystemTime::now(),
        timeout,
        span: None,
    };
    sender.send(request).await
}

pub async fn send(sender: &Sender, target: &Target) -> Answer {
    send_within(sender, target, Duration::from_secs(20)).await
}

/// Starts a server that handles each connection with `serve`. Returns its URL and the count of connections.
pub async fn raw<F, S>(serve: S) -> (String, Arc<AtomicUsize>)
where
    F: Future<Output = ()> + Send + 'static,
    S: Fn(TcpStream, usize) -> F + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, count.fetch_add(1, Ordering::SeqCst)));
        }
    });
    (url, connections)
}

/// Reads one request, up to the end of its body, which is `{"n":1}`.
pub async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    while !request.ends_with(b"{\"n\":1}") {
        let mut piece = [0; 1024];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(length) => request.extend_from_slice(&piece[..length]),
        }
    }
    Some(String::from_utf8(request).unwrap())
}

pub async fn answer_with(stream: &mut TcpStream, answer: &[u8]) {
    read_request(stream).await;
    // The client may be gone already.
    let _ = stream.write_all(answer).await;
}

pub fn code(answer: &Answer) -> u16 {
    match answer {
        Answer::Status { code, .. } => *code,
        Answer::Failed(failure) => panic!("{failure}"),
    }
}

/// Serves `app`, and returns its URL.
pub async fn serve(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}
