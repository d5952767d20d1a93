//! The heads of HTTP/1 messages: what is written before a body, and what an answer says before its own.

use bytes::{Buf, BytesMut};
use http::{
    Request, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING},
};
use httparse::{EMPTY_HEADER, Header, ParserConfig, Response, Status};
use thiserror::Error;

use super::body::Framing;

/// How many headers an answer usually has at most, and how many it may have. Browsers and curl take about as many.
const USUAL_HEADERS: usize = 64;
const MOST_HEADERS: usize = 1000;
/// How many bytes the head of an answer may have.
const MOST_OF_HEAD: usize = 256 << 10;
/// How the head of each answer begins.
const BEGINNING: &[u8] = b"HTTP/1.";

/// What an answer says before its body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The status.
    pub(super) status: StatusCode,
    /// The headers, without those that are not as they have to be.
    pub(super) headers: HeaderMap,
    /// How its body ends.
    pub(super) framing: Framing,
    /// Whether another request may follow on the connection.
    pub(super) keeps_alive: bool,
}

/// Why something is not the head of an answer.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum BadHead {
    /// It does not begin as one.
    #[error("it does not begin with HTTP/1")]
    Beginning,
    /// It is too long.
    #[error("its headers have more than {MOST_OF_HEAD} bytes")]
    TooLong,
    /// It cannot be read.
    #[error(transparent)]
    Parse(#[from] httparse::Error),
    /// It has an odd status.
    #[error("{0} is no status")]
    Status(u16),
}

/// Writes the head of a request whose body has this length.
pub(super) fn write<T>(request: &Request<T>, length: usize) -> Vec<u8> {
    let mut head = Vec::with_capacity(512);
    let (method, uri) = (request.method().as_str(), request.uri());
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = uri.authority().map_or("", |authority| authority.as_str());
    for part in [method, " ", path, " HTTP/1.1\r\nhost: ", host, "\r\n"] {
        head.extend_from_slice(part.as_bytes());
    }
    for (name, value) in request.headers() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    let length = length.to_string();
    for part in ["content-length: ", &length, "\r\n\r\n"] {
        head.extend_from_slice(part.as_bytes());
    }
    head
}

/// Takes the head of an answer off what has come, once it is whole. What comes before the final answer (`100 Continue`
/// and the like) is passed over. `searched` is how many bytes are known not to have the end of a head.
///
/// # Errors
/// When this is not the head of an answer.
pub(super) fn take(input: &mut BytesMut, searched: &mut usize) -> Result<Option<Head>, BadHead> {
    loop {
        // Empty lines before an answer are nothing.
        while let Some(b'\r' | b'\n') = input.first() {
            input.advance(1);
            *searched = 0;
        }
        if !input.iter().zip(BEGINNING).all(|(one, other)| one == other) {
            return Err(BadHead::Beginning);
        }
        let parsed = match has_end(input, *searched) {
            true => parse(input)?,
            false => None,
        };
        let Some((length, head)) = parsed else {
            *searched = input.len();
            return match input.len() > MOST_OF_HEAD {
                true => Err(BadHead::TooLong),
                false => Ok(None),
            };
        };
        input.advance(length);
        *searched = 0;
        if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Some(head));
        }
    }
}

/// Whether there is an empty line, the end of a head. One that was not there is not looked for again.
fn has_end(input: &[u8], searched: usize) -> bool {
    let unsearched = input.get(searched.saturating_sub(3)..).unwrap_or_default();
    let mut rest = unsearched;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
        rest = rest.get(at + 1..).unwrap_or_default();
        if rest.starts_with(b"\n") || rest.starts_with(b"\r\n") {
            return true;
        }
    }
    false
}

/// Reads a head, and how many bytes it has. `None`: it is not whole.
fn parse(input: &[u8]) -> Result<Option<(usize, Head)>, BadHead> {
    match parse_into(&mut [EMPTY_HEADER; USUAL_HEADERS], input) {
        Err(BadHead::Parse(httparse::Error::TooManyHeaders)) => {
            parse_into(&mut vec![EMPTY_HEADER; MOST_HEADERS], input)
        }
        parsed => parsed,
    }
}

fn parse_into<'a>(
    room: &mut [Header<'a>],
    input: &'a [u8],
) -> Result<Option<(usize, Head)>, BadHead> {
    // What counts is the status. A header that is not as it has to be is left out, as browsers and curl do.
    let mut parser = ParserConfig::default();
    parser
        .ignore_invalid_headers_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true);
    let mut response = Response::new(room);
    let Status::Complete(length) = parser.parse_response(&mut response, input)? else {
        return Ok(None);
    };
    let code = response.code.unwrap_or_default();
    let status = StatusCode::from_u16(code).map_err(|_| BadHead::Status(code))?;
    let mut headers = HeaderMap::with_capacity(response.headers.len());
    for header in response.headers.iter() {
        if let (Ok(name), Some(value)) = (HeaderName::try_from(header.name), value_of(header)) {
            headers.append(name, value);
        }
    }
    let head = Head {
        status,
        framing: framing(status, &headers),
        keeps_alive: status != StatusCode::SWITCHING_PROTOCOLS
            && keeps_alive(response.version == Some(1), &headers),
        headers,
    };
    Ok(Some((length, head)))
}

/// The value of a header. One of several lines is put on one.
fn value_of(header: &Header<'_>) -> Option<HeaderValue> {
    if !header.value.contains(&b'\n') {
        return HeaderValue::from_bytes(header.value).ok();
    }
    let lines = header.value.split(|byte| *byte == b'\n');
    let lines: Vec<&[u8]> = lines.map(<[u8]>::trim_ascii).collect();
    HeaderValue::from_bytes(&lines.join(&b' ')).ok()
}

/// How the body of an answer ends (RFC 9112, section 6.3). A length that is none counts as if it were not there.
fn framing(status: StatusCode, headers: &HeaderMap) -> Framing {
    if matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::SWITCHING_PROTOCOLS
    ) {
        return Framing::Length(0);
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        let last = tokens(headers, TRANSFER_ENCODING).last();
        return match last.is_some_and(|last| last.eq_ignore_ascii_case("chunked")) {
            true => Framing::chunked(),
            false => Framing::UntilClosed,
        };
    }
    let mut lengths = tokens(headers, CONTENT_LENGTH).map(|length| {
        let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
        length.parse().ok().filter(|_| is_number)
    });
    match lengths.next() {
        Some(Some(length)) if lengths.all(|other| other == Some(length)) => Framing::Length(length),
        _ => Framing::UntilClosed,
    }
}

/// Whether the connection is kept open after the answer.
fn keeps_alive(is_1_1: bool, headers: &HeaderMap) -> bool {
    let mut says = tokens(headers, CONNECTION);
    match is_1_1 {
        true => !says.any(|token| token.eq_ignore_ascii_case("close")),
        false => says.any(|token| token.eq_ignore_ascii_case("keep-alive")),
    }
}

/// The parts of a header that is a list, or stands more than once.
fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter();
    let texts = values.map(|value| value.to_str().unwrap_or_default());
    texts.flat_map(|text| text.split(',').map(str::trim))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> Result<Option<Head>, BadHead> {
        take(&mut BytesMut::from(text), &mut 0)
    }

    fn head(lines: &str) -> Head {
        taken(&format!("HTTP/1.1 {lines}\r\n\r\n"))
            .unwrap()
            .unwrap()
    }

    #[test]
    fn a_body_ends_as_the_head_says() {
        for (lines, framing) in [
            ("200 OK\r\ncontent-length: 2", Framing::Length(2)),
            ("200 OK\r\ncontent-length: 2, 2", Framing::Length(2)),
            (
                "200 OK\r\ncontent-length: 2\r\ncontent-length: 3",
                Framing::UntilClosed,
            ),
            ("200 OK\r\ncontent-length: +2", Framing::UntilClosed),
            (
                "200 OK\r\ncontent-length: 99999999999999999999",
                Framing::UntilClosed,
            ),
            ("200 OK", Framing::UntilClosed),
            ("204 No Content\r\ncontent-length: 2", Framing::Length(0)),
            (
                "200 OK\r\ntransfer-encoding: gzip, Chunked\r\ncontent-length: 2",
                Framing::chunked(),
            ),
            (
                "200 OK\r\ntransfer-encoding: chunked, gzip",
                Framing::UntilClosed,
            ),
        ] {
            assert_eq!(head(lines).framing, framing, "{lines}");
        }
    }

    #[test]
    fn a_connection_is_kept_as_the_head_says() {
        for (text, keeps_alive) in [
            ("HTTP/1.1 200 OK\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nconnection: a, Close\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\n\r\n", true),
        ] {
            let head = taken(text).unwrap().unwrap();
            assert_eq!(head.keeps_alive, keeps_alive, "{text}");
        }
    }

    #[test]
    fn what_comes_before_the_answer_is_passed_over() {
        let text = "\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 202 \r\n\r\nrest";
        let mut input = BytesMut::from(text);
        let head = take(&mut input, &mut 0).unwrap().unwrap();
        assert_eq!((head.status.as_u16(), &input[..]), (202, &b"rest"[..]));
        assert!(head.headers.is_empty());
    }

    #[test]
    fn a_head_may_come_in_pieces_of_any_size() {
        let whole = "\r\nHTTP/1.1 200 OK\r\na: 1\r\n b\r\n\r\n";
        for size in 1..whole.len() {
            let (mut input, mut searched, mut found) = (BytesMut::new(), 0, None);
            for piece in whole.as_bytes().chunks(size) {
                assert_eq!(found, None);
                input.extend_from_slice(piece);
                found = take(&mut input, &mut searched).unwrap();
            }
            let found = found.unwrap();
            assert_eq!(found.headers["a"], "1 b");
        }
    }

    #[test]
    fn what_is_no_head_is_refused_at_once_and_what_has_no_end_is_bounded() {
        assert_eq!(taken("SSH-2.0-OpenSSH_9.2\r\n"), Err(BadHead::Beginning));
        assert_eq!(taken("HTTP/2 200 OK\r\n\r\n"), Err(BadHead::Beginning));
        assert_eq!(taken("HTTP/1"), Ok(None));
        assert_eq!(taken(""), Ok(None));
        assert!(taken("HTTP/1.1 abc\r\n\r\n").is_err());
        assert!(taken("HTTP/1.1 099 X\r\n\r\n").is_err());
        let endless = format!("HTTP/1.1 200 OK\r\na: {}", "x".repeat(MOST_OF_HEAD));
        assert_eq!(taken(&endless), Err(BadHead::TooLong));
        let many: String = (0..=MOST_HEADERS)
            .map(|number| format!("x-{number}: 1\r\n"))
            .collect();
        let many = taken(&format!("HTTP/1.1 200 OK\r\n{many}\r\n"));
        assert_eq!(many, Err(BadHead::Parse(httparse::Error::TooManyHeaders)));
    }

    #[test]
    fn a_request_has_this_head() {
        let request = Request::put("http://a.example:8080/hook?x=1").header("webhook-id", "msg_1");
        let head = write(&request.body(()).unwrap(), 7);
        assert_eq!(
            String::from_utf8(head).unwrap(),
            "PUT /hook?x=1 HTTP/1.1\r\nhost: a.example:8080\r\nwebhook-id: msg_1\r\ncontent-length: 7\r\n\r\n"
        );
    }
}
