//! HTTP/1.1 for endpoints that are known to speak nothing newer.
//!
//! A connection has no task of its own: whoever makes a request writes it and reads its answer. That saves two changes
//! of task and two messages for each request, which take longer than all that is said here.

mod body;
mod connection;
mod head;
mod pool;
mod stream;

use std::{future::poll_fn, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::Full;

pub(super) use self::pool::{Origin, Pool};
use self::{
    body::{Framing, Progress},
    connection::Connection,
};
use super::answer::Failure;

/// An answer of which the head has come.
#[derive(Debug)]
pub(super) struct Answering {
    /// The status.
    pub(super) status: StatusCode,
    /// The headers.
    pub(super) headers: HeaderMap,
    /// The body, which is still to come.
    pub(super) body: Body,
}

/// A body that is still to come.
#[derive(Debug)]
pub(super) struct Body {
    framing: Framing,
    connection: Connection,
    /// Who keeps the connection for another request, if one may follow.
    kept_by: Option<Arc<Origin>>,
}

impl Origin {
    /// Makes a request and waits for the head of its answer, on a connection that is open already, or on a new one
    /// where there is none or `is_again`.
    ///
    /// # Errors
    /// When there is no answer. [`Failure::Closed`]: the connection was closed, perhaps just as it was used.
    pub(super) async fn request(
        self: &Arc<Self>,
        request: &http::Request<Full<Bytes>>,
        body: &Bytes,
        is_again: bool,
    ) -> Result<Answering, Failure> {
        let open = if is_again { None } else { self.take() };
        let mut connection = match open {
            Some(connection) => connection,
            None => Box::pin(self.connect()).await?,
        };
        let (head, is_sent) = connection
            .exchange(head::write(request, body.len()), body)
            .await?;
        let may_follow = head.keeps_alive && is_sent;
        Ok(Answering {
            status: head.status,
            headers: head.headers,
            body: Body {
                framing: head.framing,
                connection,
                kept_by: may_follow.then(|| Arc::clone(self)),
            },
        })
    }
}

impl Body {
    /// Reads until there are so many bytes. If the body has ended by then, the connection is kept for another request.
    pub(super) async fn read(mut self, body: &mut Vec<u8>, most: usize) {
        let mut progress = self.framing.take(&mut self.connection.input, body);
        while progress == Progress::Unfinished && body.len() < most {
            let piece = poll_fn(|context| self.connection.poll_piece(context)).await;
            // What breaks off has ended. Its status is known already.
            progress = match piece {
                Ok(1..) => self.framing.take(&mut self.connection.input, body),
                Ok(0) | Err(_) => Progress::Broken,
            };
        }
        body.truncate(most);
        if let Some(origin) = self.kept_by
            && progress == Progress::Finished
            && self.connection.input.is_empty()
        {
            origin.keep(self.connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use http_body_util::BodyExt;
    use hyper_util::rt::TokioIo;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::{head::Head, *};

    /// What is said by an answer: its status, its headers, and its body.
    type Said = (u16, Vec<(String, Vec<u8>)>, Vec<u8>);

    fn sorted(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
        let headers = headers.iter();
        let headers = headers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
        let mut headers: Vec<_> = headers.collect();
        headers.sort();
        headers
    }

    /// What we understand of an answer that comes in pieces of this size, after which the connection ends.
    fn ours(answer: &[u8], size: usize) -> Option<Said> {
        let (mut input, mut searched) = (BytesMut::new(), 0);
        let (mut head, mut body): (Option<Head>, _) = (None, Vec::new());
        let mut progress = Progress::Unfinished;
        for piece in answer.chunks(size) {
            input.extend_from_slice(piece);
            if head.is_none() {
                head = head::take(&mut input, &mut searched).ok()?;
            }
            if let Some(head) = head.as_mut().filter(|_| progress == Progress::Unfinished) {
                progress = head.framing.take(&mut input, &mut body);
            }
        }
        let head = head?;
        Some((head.status.as_u16(), sorted(&head.headers), body))
    }

    /// What hyper understands of it, if anything.
    async fn theirs(answer: &[u8]) -> Option<Said> {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let handshake = hyper::client::conn::http1::Builder::new()
            .ignore_invalid_headers_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .handshake(TokioIo::new(near));
        let (mut sender, connection) = handshake.await.ok()?;
        tokio::spawn(connection);
        let request = http::Request::post("/")
            .body(Full::new(Bytes::new()))
            .ok()?;
        let asked = async {
            let response = sender.send_request(request).await.ok()?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.ok()?.to_bytes().to_vec();
            Some((head.status.as_u16(), sorted(&head.headers), body))
        };
        let answered = async {
            let _ = far.read(&mut [0; 1024]).await;
            let _ = far.write_all(answer).await;
            let _ = far.shutdown().await;
        };
        tokio::join!(asked, answered).0
    }

    /// Answers as they come, good and odd.
    fn answers() -> impl Strategy<Value = Vec<u8>> {
        let line = prop::sample::select(vec![
            "a: 1",
            "A:1",
            "a:\t 1 ",
            "b : 2",
            "c: 1\r\n 2",
            "nonsense",
            ": 1",
            "x y@: 1",
            "d: caf\u{e9}",
            "e: a\u{1}b",
            "content-length: 5",
            "Content-Length: 5",
            "transfer-encoding: chunked",
            "connection: close",
            "e:",
        ]);
        let before = prop::sample::select(vec![
            "",
            "\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n",
        ]);
        let status = prop::sample::select(vec![
            "HTTP/1.1 200 OK",
            "HTTP/1.1 204 No Content",
            "HTTP/1.1 304 X",
            "HTTP/1.0 500 Oh no",
            "HTTP/1.1 410",
            "HTTP/1.1 200 ",
            "HTTP/1.1 999 Odd",
            "HTTP/2 200",
            "SSH-2.0",
            "HTTP/1.1 20 X",
            "HTTP/1.1 200\tX",
        ]);
        let body = prop::sample::select(vec![
            "",
            "hello",
            "hello and more",
            "5\r\nhello\r\n0\r\n\r\n",
            "2;x=1\r\nhe\r\n3\r\nllo\r\n0\r\na: 1\r\n\r\n",
        ]);
        let lines = prop::collection::vec(line, 0..6);
        (before, status, lines, body).prop_map(|(before, status, lines, body)| {
            let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            format!("{before}{status}\r\n{lines}\r\n{body}").into_bytes()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn what_hyper_understands_we_understand_alike(answer in answers(), size in 1..200_usize) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let theirs = runtime.block_on(theirs(&answer));
            if theirs.is_some() {
                prop_assert_eq!(ours(&answer, size), theirs, "{}", String::from_utf8_lossy(&answer));
            }
        }

        #[test]
        fn nothing_that_comes_panics(answer in prop::collection::vec(any::<u8>(), 0..300), size in 1..50_usize) {
            let begun = [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".as_slice(), &answer].concat();
            ours(&answer, size);
            ours(&begun, size);
        }
    }
}
