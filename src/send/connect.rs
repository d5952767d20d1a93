//! Makes the TCP connections of requests: looks up the host, has the guard judge each address, and connects to the
//! first that answers.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use http::Uri;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tower_service::Service;

use super::{
    guard::{Guard, Refusal},
    resolve::Resolver,
    tunnel,
};
use crate::{config::Proxy, files};

/// How long to wait for an address before the next one of the host is tried beside it.
const NEXT_ADDRESS: Duration = Duration::from_millis(250);
/// The interval of TCP keepalives. They keep firewalls from dropping the connection while an endpoint takes long to
/// answer.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// A connection is given up when data that was sent stays unacknowledged for this time.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(30);

/// How many connections are open at once, if there are files enough. Further ones wait for one of them to close.
const CONNECTIONS: usize = 1 << 15;
/// They take one of so many parts of the files that may be open. Without the rest, Postgres could not be reached again
/// when a session with it has ended.
const PARTS: usize = 2;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Connects only where the guard allows.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    guard: Arc<Guard>,
    resolver: Resolver,
    proxy: Option<Arc<Proxy>>,
    places: Arc<Semaphore>,
    /// How many places there are.
    most: usize,
}

impl Connector {
    pub(super) fn new(guard: &Arc<Guard>, resolver: &Resolver, proxy: &Option<Proxy>) -> Self {
        let most = files::share(CONNECTIONS, PARTS);
        Self {
            guard: Arc::clone(guard),
            resolver: resolver.clone(),
            proxy: proxy.clone().map(Arc::new),
            places: Arc::new(Semaphore::new(most)),
            most,
        }
    }

    /// How many connections may be open at once.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Refuses a name whose addresses are all forbidden. One that cannot be resolved is not refused.
    pub(super) async fn check(&self, name: &str) -> Result<(), Refusal> {
        match self.resolver.resolve(name).await {
            Ok(found) => self.allowed_of(name, &found).map(drop),
            Err(_) => Ok(()),
        }
    }

    /// Connects to the host of a URL.
    pub(super) async fn connect(self, uri: Uri) -> Result<Placed, BoxError> {
        let host = uri.host().ok_or(Refusal::NoHost)?;
        let port = match uri.port_u16() {
            Some(port) => port,
            None if uri.scheme_str() == Some("http") => 80,
            None => 443,
        };
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        let addresses = match (literal.parse::<IpAddr>(), &self.proxy) {
            (Ok(address), _) => self.allowed(&[address])?,
            (Err(_), None) => self.allowed_of(host, &self.resolver.resolve(host).await?)?,
            // The proxy looks the name up by itself. Where we can, we judge it before.
            (Err(_), Some(_)) => {
                self.check(host).await?;
                Vec::new()
            }
        };
        let place = Arc::clone(&self.places).acquire_owned().await?;
        let stream = match &self.proxy {
            None => connect_to_one(with_port(&addresses, port)).await?,
            Some(proxy) => {
                let stream = tunnel::reach(self.connect_to_proxy(proxy)).await?;
                tunnel::open(stream, proxy, host, port).await?
            }
        };
        Ok(Placed {
            stream,
            _place: place,
        })
    }

    /// The operator has chosen the proxy, so it may be anywhere.
    async fn connect_to_proxy(&self, proxy: &Proxy) -> io::Result<TcpStream> {
        let addresses = match proxy.host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => {
                let found = self.resolver.resolve(&proxy.host).await;
                found.map_err(io::Error::other)?.to_vec()
            }
        };
        connect_to_one(with_port(&addresses, proxy.port)).await
    }

    /// Those of the addresses of a name that the guard allows.
    fn allowed_of(&self, name: &str, found: &[IpAddr]) -> Result<Vec<IpAddr>, Refusal> {
        self.allowed(found).map_err(|refusal| {
            tracing::debug!(name, %refusal, "a target is refused");
            Refusal::Name
        })
    }

    /// Those of the addresses of a host that the guard allows.
    fn allowed(&self, found: &[IpAddr]) -> Result<Vec<IpAddr>, Refusal> {
        let mut refused = None;
        let mut allowed = Vec::with_capacity(found.len());
        for address in found {
            match self.guard.check_address(*address) {
                Ok(()) => allowed.push(*address),
                Err(refusal) => refused = refused.or(Some(refusal)),
            }
        }
        match refused {
            Some(refusal) if allowed.is_empty() => Err(refusal),
            _ => Ok(allowed),
        }
    }
}

fn with_port(addresses: &[IpAddr], port: u16) -> Vec<SocketAddr> {
    let with_port = |address: &IpAddr| SocketAddr::new(*address, port);
    addresses.iter().map(with_port).collect()
}

/// Connects to one of the addresses: the next is tried as soon as one fails, or beside it when it takes long. So an
/// address that swallows everything takes no time from the others.
async fn connect_to_one(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut untried = in_turns(addresses).into_iter();
    let mut trying = FuturesUnordered::new();
    let mut error = io::Error::other("the host has no address");
    trying.extend(untried.next().map(connect));
    loop {
        tokio::select! {
            tried = trying.next() => match tried {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(failed)) => {
                    error = failed;
                    trying.extend(untried.next().map(connect));
                }
                None => return Err(error),
            },
            () = sleep(NEXT_ADDRESS), if untried.len() > 0 => {
                trying.extend(untried.next().map(connect));
            }
        }
    }
}

/// The addresses with the two versions of IP in turns, so that a network without one of them costs one attempt.
fn in_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (like_first, others): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv4() == first_is_v4);
    let mut others = others.into_iter();
    let mut turns = Vec::with_capacity(like_first.len() + others.len());
    for address in like_first {
        turns.push(address);
        turns.extend(others.next());
    }
    turns.extend(others);
    turns
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE)
        .with_retries(3);
    let settings = SockRef::from(&socket);
    settings.set_tcp_keepalive(&keepalive)?;
    // Without this the pool would go on using an HTTP/2 connection whose peer has vanished.
    #[cfg(target_os = "linux")]
    settings.set_tcp_user_timeout(Some(UNACKNOWLEDGED_TIMEOUT))?;
    socket.connect(address).await
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Placed>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Placed>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.clone().connect(uri);
        Box::pin(async { Ok(TokioIo::new(connecting.await?)) })
    }
}

/// A connection that has its place among all of them.
#[derive(Debug)]
pub(super) struct Placed {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
}

impl Connection for Placed {
    fn connected(&self) -> Connected {
        self.stream.connected()
    }
}

impl AsyncRead for Placed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Placed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_of_ip_take_turns_and_the_order_is_kept_otherwise() {
        let sorted = |addresses: &[&str]| {
            let addresses = addresses.iter().map(|address| address.parse().unwrap());
            let turns = in_turns(addresses.collect());
            let turns = turns.iter().map(ToString::to_string);
            turns.collect::<Vec<String>>().join(" ")
        };
        let mixed = ["[::1]:1", "[::2]:1", "[::3]:1", "1.0.0.1:1", "1.0.0.2:1"];
        assert_eq!(
            sorted(&mixed),
            "[::1]:1 1.0.0.1:1 [::2]:1 1.0.0.2:1 [::3]:1"
        );
        assert_eq!(sorted(&["1.0.0.1:1", "1.0.0.2:1"]), "1.0.0.1:1 1.0.0.2:1");
        assert_eq!(
            sorted(&["1.0.0.1:1", "[::1]:1", "[::2]:1"]),
            "1.0.0.1:1 [::1]:1 [::2]:1"
        );
        assert_eq!(sorted(&[]), "");
    }
}
