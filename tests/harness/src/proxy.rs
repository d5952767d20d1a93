//! A proxy of HTTP that opens tunnels.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A proxy that connects to whatever it is asked for, if it is asked with the right login.
#[derive(Debug)]
pub struct Proxy {
    /// Its port on 127.0.0.1.
    pub port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    server: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a port of 127.0.0.1 that nobody uses, or on this one, and lets in who says `authorization`.
    pub async fn start(port: u16, authorization: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (noted, login) = (Arc::clone(&asked), authorization.to_owned());
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, login.clone(), Arc::clone(&noted)));
            }
        });
        Self {
            port,
            asked,
            server,
        }
    }

    /// What it was asked to connect to so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Serves one connection. A client that goes away ends it.
async fn serve(stream: TcpStream, login: String, asked: Arc<Mutex<Vec<String>>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    while head.last().is_none_or(|line: &String| !line.is_empty()) {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        head.push(line.trim_end().to_owned());
    }
    let target = head[0]
        .strip_prefix("CONNECT ")?
        .strip_suffix(" HTTP/1.1")?;
    asked.lock().unwrap().push(target.to_owned());
    if !head.contains(&format!("Proxy-Authorization: {login}")) {
        let answer = b"HTTP/1.1 407 Who are you?\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n";
        return stream.write_all(answer).await.ok();
    }
    let Ok(mut there) = TcpStream::connect(target).await else {
        return stream
            .write_all(b"HTTP/1.1 503 It is not there\r\n\r\n")
            .await
            .ok();
    };
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nVia: 1.1 test\r\n\r\n")
        .await
        .ok()?;
    copy_bidirectional(&mut stream, &mut there)
        .await
        .ok()
        .map(drop)
}
