//! Opens a tunnel to a target through a proxy of HTTP.
//!
//! What the proxy says of itself is told apart from what it says of the target: it is no fault of an endpoint when the
//! way to it is closed.

use std::{fmt, io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::config::Proxy;

/// How long the proxy may take to accept a connection. It stands nearby.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// The most bytes of the head of its answer, and the most headers.
const MOST_OF_HEAD: usize = 16 << 10;
const MOST_HEADERS: usize = 100;

/// Why there is no tunnel.
#[derive(Debug)]
pub(super) enum Closed {
    /// The proxy cannot be used, for no target: it is not there, does not let us in, or does not speak HTTP.
    Proxy(String),
    /// The proxy does not reach this target, or is not to.
    Target(String),
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proxy(reason) | Self::Target(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Closed {}

impl From<io::Error> for Closed {
    fn from(error: io::Error) -> Self {
        Self::Proxy(format!("no answer: {error}"))
    }
}

/// Has the proxy, to which `stream` is a connection, connect to `host`, which has brackets where it is an address of
/// IPv6.
pub(super) async fn open(
    mut stream: TcpStream,
    proxy: &Proxy,
    host: &str,
    port: u16,
) -> Result<TcpStream, Closed> {
    let login = proxy.authorization.as_ref();
    let login = login.map(|login| format!("Proxy-Authorization: {}\r\n", login.expose()));
    let request = format!(
        "CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{}\r\n",
        login.unwrap_or_default()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    loop {
        if let Some(status) = status(&head)? {
            return judge(status).map(|()| stream);
        }
        // Nothing of the target follows the head: it says nothing before we do.
        let read = stream.read_buf(&mut head).await?;
        if read == 0 {
            return Err(Closed::Proxy("it hung up before an answer".to_owned()));
        }
    }
}

/// Connects with `connecting`, for [`PATIENCE`].
pub(super) async fn reach(
    connecting: impl Future<Output = io::Result<TcpStream>>,
) -> Result<TcpStream, Closed> {
    match timeout(PATIENCE, connecting).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(Closed::Proxy(format!("no connection: {error}"))),
        Err(_) => Err(Closed::Proxy(format!("no connection after {PATIENCE:?}"))),
    }
}

/// The status of an answer whose head is whole.
fn status(head: &[u8]) -> Result<Option<u16>, Closed> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    match answer.parse(head) {
        Ok(httparse::Status::Complete(_)) => Ok(answer.code),
        Ok(httparse::Status::Partial) if head.len() < MOST_OF_HEAD => Ok(None),
        Ok(httparse::Status::Partial) => Err(Closed::Proxy("its answer has no end".to_owned())),
        Err(error) => Err(Closed::Proxy(format!("its answer is not HTTP: {error}"))),
    }
}

/// What an answer to CONNECT means. Proxies say with 403 and 5xx what holds for this target alone.
fn judge(status: u16) -> Result<(), Closed> {
    match status {
        200..=299 => Ok(()),
        401 | 407 => Err(Closed::Proxy(format!(
            "it answers {status} and wants a login, which delivery.proxy has as http://USER:PASSWORD@HOST"
        ))),
        403 => Err(Closed::Target(
            "the proxy may not connect to it (403)".to_owned(),
        )),
        500..=599 => Err(Closed::Target(format!(
            "the proxy does not reach it ({status})"
        ))),
        _ => Err(Closed::Proxy(format!("it answers {status} to CONNECT"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_when_its_head_is_whole() {
        let status = |head: &str| status(head.as_bytes());
        assert!(matches!(status(""), Ok(None)));
        assert!(matches!(status("HTTP/1.1 200 Connection est"), Ok(None)));
        assert!(matches!(
            status("HTTP/1.1 200 OK\r\nVia: x\r\n\r\n"),
            Ok(Some(200))
        ));
        assert!(matches!(
            status("HTTP/1.0 407 Login\r\n\r\n"),
            Ok(Some(407))
        ));
        assert!(matches!(
            status("SSH-2.0-OpenSSH\r\n"),
            Err(Closed::Proxy(_))
        ));
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(MOST_OF_HEAD));
        assert!(matches!(status(&endless), Err(Closed::Proxy(_))));
    }

    #[test]
    fn what_a_proxy_says_of_a_target_is_told_apart_from_what_it_says_of_itself() {
        assert!(judge(200).is_ok());
        for code in [403, 500, 502, 503, 504] {
            assert!(matches!(judge(code), Err(Closed::Target(_))), "{code}");
        }
        for code in [100, 301, 400, 401, 404, 405, 407, 429] {
            assert!(matches!(judge(code), Err(Closed::Proxy(_))), "{code}");
        }
    }
}
