//! One session of the console. Until it is logged in, it is bounded in bytes and in time, and its first error ends it.
//!
//! pgwire's own loop bounds neither: a stranger could announce a password of a gigabyte, and an error before the login
//! would leave the session ready for queries.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::StreamExt;
use pgwire::{
    api::{ClientInfo, ErrorHandler, PgWireConnectionState, PgWireServerHandlers},
    messages::PgWireFrontendMessage,
    tokio::server::{
        MaybeTls, PgWireMessageServerCodec, negotiate_tls, process_error, process_message,
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::sleep,
};
use tokio_util::codec::{Framed, FramedParts};

use super::wire::Handlers;
use crate::listen::Guest;

/// How long a login may take. `psql` asks for the password before it begins one.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes that a stranger may send. A login takes a few hundred.
const LOGIN_BYTES: usize = 16 << 10;

type Session = Framed<Bounded, PgWireMessageServerCodec<String>>;

/// Serves one session to its end.
///
/// # Errors
/// When the connection breaks, or a stranger does not log in within the bounds.
pub(super) async fn serve(socket: TcpStream, handlers: Handlers, guest: Guest) -> io::Result<()> {
    let late = async {
        sleep(LOGIN_TIMEOUT).await;
        if guest.is_known() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        served = converse(socket, handlers, &guest) => served,
        () = late => Err(io::Error::new(io::ErrorKind::TimedOut, "nobody logged in")),
    }
}

async fn converse(socket: TcpStream, handlers: Handlers, guest: &Guest) -> io::Result<()> {
    let Some(negotiated) = negotiate_tls::<String>(socket, None).await? else {
        return Ok(());
    };
    let old = negotiated.into_parts();
    let mut parts = FramedParts::new(
        Bounded {
            stream: old.io,
            left: Some(LOGIN_BYTES),
        },
        old.codec,
    );
    (parts.read_buf, parts.write_buf) = (old.read_buf, old.write_buf);
    let mut session: Session = Framed::from_parts(parts);
    let startup = handlers.startup_handler();
    let queries = handlers.queries();
    let (copy, cancel) = (handlers.copy_handler(), handlers.cancel_handler());
    let errors = handlers.error_handler();
    while let Some(message) = session.next().await {
        let message = message.map_err(io::Error::other)?;
        let extends = message.is_extended_query();
        if !guest.is_known() && !belongs_to_login(&message) {
            return Err(io::Error::other("a query before the login"));
        }
        let processed = process_message(
            message,
            &mut session,
            startup.clone(),
            queries.clone(),
            queries.clone(),
            copy.clone(),
            cancel.clone(),
        );
        if let Err(mut error) = processed.await {
            errors.on_error(&session, &mut error);
            process_error(&mut session, error, extends).await?;
            if !guest.is_known() {
                return Ok(());
            }
        } else if !guest.is_known() && is_logged_in(session.state()) {
            guest.recognize();
            session.get_mut().left = None;
        }
    }
    Ok(())
}

fn belongs_to_login(message: &PgWireFrontendMessage) -> bool {
    matches!(
        message,
        PgWireFrontendMessage::Startup(_)
            | PgWireFrontendMessage::CancelRequest(_)
            | PgWireFrontendMessage::SslNegotiation(_)
            | PgWireFrontendMessage::PasswordMessageFamily(_)
            | PgWireFrontendMessage::Terminate(_)
    )
}

fn is_logged_in(state: PgWireConnectionState) -> bool {
    !matches!(
        state,
        PgWireConnectionState::AwaitingSslRequest
            | PgWireConnectionState::AwaitingStartup
            | PgWireConnectionState::AuthenticationInProgress
    )
}

/// A connection that takes only so many bytes.
struct Bounded {
    stream: MaybeTls,
    /// How many more bytes are taken; `None`: any number.
    left: Option<usize>,
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let taken = buffer.filled().len() - before;
        if let Some(left) = &mut self.left {
            match left.checked_sub(taken) {
                Some(rest) => *left = rest,
                None => return Poll::Ready(Err(io::Error::other("a login of too many bytes"))),
            }
        }
        read
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
