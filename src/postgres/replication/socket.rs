//! The socket of a replication connection, with TLS as the address requires it.

use std::{io, sync::Arc};

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;

use crate::postgres::{
    address::{Address, Host, TlsMode},
    failure::Failure,
    keepalive, tls,
};

/// The socket that a replication connection uses: unix, TCP or TLS.
pub type Socket = Box<dyn Carrier>;

/// A stream of bytes in both directions.
pub trait Carrier: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Carrier for T {}

/// Connects to one host of the address.
pub(super) async fn open(address: &Address, host: &Host) -> Result<Socket, Failure> {
    match host {
        Host::Unix { folder, port } => {
            let path = folder.join(format!(".s.PGSQL.{port}"));
            Ok(Box::new(UnixStream::connect(path).await?))
        }
        Host::Tcp { name, port } => {
            let socket = TcpStream::connect((name.as_str(), *port)).await?;
            socket.set_nodelay(true)?;
            notice_silence(&socket)?;
            protect(socket, address, name).await
        }
    }
}

/// Sets the TCP options that detect a dead connection.
fn notice_silence(socket: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(socket);
    let probes = TcpKeepalive::new().with_time(keepalive::IDLE);
    let probes = probes
        .with_interval(keepalive::INTERVAL)
        .with_retries(keepalive::RETRIES);
    socket.set_tcp_keepalive(&probes)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(keepalive::UNACKNOWLEDGED))?;
    Ok(())
}

/// Negotiates TLS as `sslmode` requires it.
async fn protect(mut socket: TcpStream, address: &Address, host: &str) -> Result<Socket, Failure> {
    let mode = address.tls.mode;
    if mode == TlsMode::Disable {
        return Ok(Box::new(socket));
    }
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    socket.write_all(&request).await?;
    match (socket.read_u8().await?, mode) {
        (b'S', _) => {}
        (b'N', TlsMode::Prefer) => return Ok(Box::new(socket)),
        (b'N', _) => return Err(Failure::Tls("server does not support TLS".into())),
        // The message is not shown: it is not authenticated, and may come from someone in between.
        (b'E', _) => return Err(io::Error::other("the server complains").into()),
        _ => return Err(Failure::protocol("it answers neither yes nor no to TLS")),
    }
    let config = tls::client(&address.tls).map_err(Failure::Tls)?;
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|error| Failure::Tls(error.to_string()))?;
    let connector = TlsConnector::from(Arc::new(config));
    match connector.connect(name, socket).await {
        Ok(socket) => Ok(Box::new(socket)),
        Err(error) => Err(explain(error)),
    }
}

/// Finds out whether a handshake failed over TLS itself: rustls wraps its own errors in I/O errors.
fn explain(error: io::Error) -> Failure {
    match error.get_ref() {
        Some(cause) if cause.is::<rustls::Error>() => Failure::Tls(cause.to_string()),
        _ => Failure::Io(error),
    }
}
