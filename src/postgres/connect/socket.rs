//! Sockets to a server, with TLS as the address requires it.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls::{ClientConfig, pki_types::ServerName};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream, lookup_host},
};
use tokio_rustls::TlsConnector;

use crate::postgres::{
    address::{Address, Host, Keepalive, TlsMode},
    failure::Failure,
    tls,
    wire::Socket,
};

/// One place where a host can be reached.
#[derive(Debug)]
pub(super) enum Place {
    /// An IP address and port.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

/// A socket, with what is known of its encryption.
pub(super) struct Protected {
    pub(super) socket: Socket,
    pub(super) encrypted: bool,
    /// What a session can be bound to.
    pub(super) binding: Option<Vec<u8>>,
}

/// The places of a host; a name may have several.
pub(super) async fn places(host: &Host) -> io::Result<Vec<Place>> {
    let (name, port) = match host {
        Host::Unix { folder, port } => {
            let path = folder.join(format!(".s.PGSQL.{port}"));
            let path = match path.to_str().and_then(|path| path.strip_prefix('@')) {
                Some(name) => PathBuf::from(format!("\0{name}")),
                None => path,
            };
            return Ok(vec![Place::Unix(path)]);
        }
        Host::Tcp { name, port } => (name, *port),
        Host::At { address, port, .. } => (address, *port),
    };
    let found = lookup_host((name.as_str(), port)).await?;
    Ok(found.map(Place::Tcp).collect())
}

/// Connects to one place of the address.
pub(super) async fn connect(address: &Address, place: &Place) -> Result<Socket, Failure> {
    match place {
        Place::Unix(path) => {
            let socket = UnixStream::connect(path).await?;
            if let Some(wanted) = &address.peer {
                let uid = nix::unistd::Uid::from_raw(socket.peer_cred()?.uid());
                let owner = nix::unistd::User::from_uid(uid).ok().flatten();
                let owner = owner.map_or_else(|| uid.to_string(), |user| user.name);
                if owner != *wanted {
                    return Err(Failure::Demand(format!(
                        "its server runs as {owner}, and requirepeer is {wanted}"
                    )));
                }
            }
            Ok(Box::new(socket))
        }
        Place::Tcp(place) => {
            let socket = TcpStream::connect(place).await?;
            socket.set_nodelay(true)?;
            notice_silence(&socket, &address.keepalive)?;
            Ok(Box::new(socket))
        }
    }
}

/// Sets the TCP options that detect a dead connection.
fn notice_silence(socket: &TcpStream, keepalive: &Keepalive) -> io::Result<()> {
    let socket = SockRef::from(socket);
    if keepalive.on {
        let mut probes = TcpKeepalive::new();
        if let Some(idle) = keepalive.idle {
            probes = probes.with_time(idle);
        }
        if let Some(interval) = keepalive.interval {
            probes = probes.with_interval(interval);
        }
        if let Some(count) = keepalive.count {
            probes = probes.with_retries(count);
        }
        socket.set_tcp_keepalive(&probes)?;
    }
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(keepalive.unacknowledged)?;
    Ok(())
}

/// Negotiates TLS. Under `sslmode=prefer`, a server that does not offer it gets a socket without.
pub(super) async fn encrypt(
    mut socket: Socket,
    address: &Address,
    config: Arc<ClientConfig>,
    host: &str,
) -> Result<Protected, Failure> {
    if !address.tls.direct {
        let mut request = BytesMut::new();
        frontend::ssl_request(&mut request);
        socket.write_all(&request).await?;
        match (socket.read_u8().await?, address.tls.mode) {
            (b'S', _) => {}
            (b'N', TlsMode::Prefer) => return Ok(plain(socket)),
            (b'N', _) => return Err(Failure::Tls("server does not support TLS".into())),
            // The message is not shown: it is not authenticated, and may come from someone in between.
            (b'E', _) => return Err(io::Error::other("the server complains").into()),
            _ => return Err(Failure::protocol("it answers neither yes nor no to TLS")),
        }
    }
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|error| Failure::Tls(error.to_string()))?;
    let socket = TlsConnector::from(config)
        .connect(name, socket)
        .await
        .map_err(explain)?;
    let (_, session) = socket.get_ref();
    // Without this, a server of something else could be made to take part.
    if address.tls.direct && session.alpn_protocol() != Some(tls::PROTOCOL) {
        return Err(Failure::Tls(
            "the server does not take sslnegotiation=direct, which Postgres has since 17".into(),
        ));
    }
    let certificates = session.peer_certificates().unwrap_or_default();
    let binding = certificates.first().and_then(tls::binding);
    Ok(Protected {
        socket: Box::new(socket),
        encrypted: true,
        binding,
    })
}

/// A socket without TLS.
pub(super) fn plain(socket: Socket) -> Protected {
    Protected {
        socket,
        encrypted: false,
        binding: None,
    }
}

/// Finds out whether a handshake failed over TLS itself: rustls wraps its own errors in I/O errors.
fn explain(error: io::Error) -> Failure {
    match error.get_ref() {
        Some(cause) if cause.is::<rustls::Error>() => Failure::Tls(cause.to_string()),
        _ => Failure::Io(error),
    }
}
