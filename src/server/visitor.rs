//! Where a request comes from, and whether it came over TLS, also through proxies.
//!
//! What a request says of that itself counts only where a proxy of `trusted_proxies` hands it on.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, FromRequestParts, Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{FORWARDED, STRICT_TRANSPORT_SECURITY},
        request::Parts,
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use ipnet::{IpNet, Ipv6Net};

use super::{problem::Problem, request::Peer, state::AppState};
use crate::{
    act::{Kind, Via, Who},
    manage::identity::Identity,
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// How many of the last bits of an IPv6 address one visitor can choose.
const VISITORS_BITS: u8 = 64;

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Visitor {
    address: IpAddr,
    /// Whether the browser speaks TLS with the proxy.
    pub(super) over_tls: bool,
}

impl Visitor {
    fn of(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> Self {
        let peer = peer.to_canonical();
        let is_proxy = |address: &IpAddr| proxies.iter().any(|proxy| proxy.contains(address));
        if !is_proxy(&peer) {
            return Self {
                address: peer,
                over_tls: false,
            };
        }
        let hops = forwarded(headers);
        let listed = list(headers, &FORWARDED_FOR);
        // A proxy writes one of the two headers and may pass on what the other says, which is the visitor's own word.
        let address = match (listed.is_empty(), hops.is_empty()) {
            (false, true) => last_stranger(peer, listed.into_iter(), is_proxy),
            (true, false) => {
                let named = hops
                    .iter()
                    .map(|hop| hop.from.as_deref().unwrap_or_default());
                last_stranger(peer, named, is_proxy)
            }
            _ => peer,
        };
        let protocol = list(headers, &FORWARDED_PROTO)
            .last()
            .map(ToString::to_string);
        let protocol = protocol.or_else(|| hops.into_iter().next_back()?.protocol);
        Self {
            address,
            over_tls: protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case("https")),
        }
    }

    /// Somebody who is known by `identity`, as what they do goes on record.
    pub(super) fn as_known(&self, identity: &Identity, via: Via) -> Who {
        Who {
            address: Some(self.address),
            via: Some(via),
            ..identity.who()
        }
    }

    /// Somebody of whom nothing else is known, as what they do goes on record.
    pub(super) fn as_stranger(&self, via: Via) -> Who {
        Who {
            address: Some(self.address),
            via: Some(via),
            ..Who::only(Kind::Stranger)
        }
    }

    /// What limits count by: the address, or for IPv6 the network that a visitor has all addresses of.
    pub(super) fn name(&self) -> String {
        match self.address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => match Ipv6Net::new(address, VISITORS_BITS) {
                Ok(network) => network.trunc().to_string(),
                Err(_) => address.to_string(),
            },
        }
    }
}

/// The last of these hops that is no proxy of ours. What stands before it is the visitor's own word.
fn last_stranger<'a>(
    peer: IpAddr,
    hops: impl DoubleEndedIterator<Item = &'a str>,
    is_proxy: impl Fn(&IpAddr) -> bool,
) -> IpAddr {
    let mut last = peer;
    for hop in hops.rev() {
        let Some(address) = address(hop) else {
            return last;
        };
        last = address;
        if !is_proxy(&address) {
            return last;
        }
    }
    last
}

/// Reads an address, with or without a port and quotation marks.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let alone = text.trim_start_matches('[').trim_end_matches(']');
    let address = alone.parse().ok().or_else(with_port)?;
    Some(IpAddr::to_canonical(&address))
}

/// The elements of a header that is a list, from all its lines.
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let lines = headers.get_all(name).iter();
    let lines = lines.map(|line| line.to_str().unwrap_or_default());
    lines
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .collect()
}

/// A hop of the header `Forwarded`.
struct Hop {
    from: Option<String>,
    protocol: Option<String>,
}

fn forwarded(headers: &HeaderMap) -> Vec<Hop> {
    let hops = list(headers, &FORWARDED).into_iter();
    let hops = hops.map(|hop| {
        let value = |name: &str| {
            let mut pairs = hop.split(';').filter_map(|pair| pair.split_once('='));
            let (_, value) = pairs.find(|(key, _)| key.trim().eq_ignore_ascii_case(name))?;
            Some(value.trim().trim_matches('"').to_owned())
        };
        Hop {
            from: value("for"),
            protocol: value("proto"),
        }
    });
    hops.collect()
}

/// Middleware that says of each request who makes it. Over TLS, browsers are told to stay with TLS.
///
/// A request is answered to its end although whoever made it has left. Otherwise a session with the database would be
/// lent to the next one while it is still busy for them.
pub(super) async fn recognize(
    State(state): State<Arc<AppState>>,
    ConnectInfo(peer): Peer,
    mut request: Request,
    next: Next,
) -> Response {
    let proxies = &state.current().server.trusted_proxies;
    let visitor = Visitor::of(peer.ip(), request.headers(), proxies);
    request.extensions_mut().insert(visitor);
    let mut response = match tokio::spawn(next.run(request)).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(%error, "a request is not answered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    };
    if visitor.over_tls {
        let year = HeaderValue::from_static("max-age=31536000");
        response
            .headers_mut()
            .insert(STRICT_TRANSPORT_SECURITY, year);
    }
    response
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let visitor = parts.extensions.get::<Self>().copied();
        visitor.ok_or_else(Problem::no_such_address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visitor(peer: &str, lines: &[(&'static str, &str)]) -> (String, bool) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let proxies = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
        let visitor = Visitor::of(peer.parse().unwrap(), &headers, &proxies);
        (visitor.name(), visitor.over_tls)
    }

    #[test]
    fn a_visitor_is_the_last_address_that_is_no_proxy_of_ours() {
        let listed = "x-forwarded-for";
        for (peer, lines, expected) in [
            (
                "203.0.113.1",
                &[(listed, "198.51.100.7")][..],
                "203.0.113.1",
            ),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &[(listed, "198.51.100.7")], "198.51.100.7"),
            (
                "::ffff:10.0.0.1",
                &[(listed, "198.51.100.7")],
                "198.51.100.7",
            ),
            (
                "10.0.0.1",
                &[(listed, "1.1.1.1, 198.51.100.7, 10.2.3.4")],
                "198.51.100.7",
            ),
            (
                "10.0.0.1",
                &[(listed, "1.1.1.1"), (listed, "198.51.100.7:80")],
                "198.51.100.7",
            ),
            ("10.0.0.1", &[(listed, "1.1.1.1, nonsense")], "10.0.0.1"),
            ("10.0.0.1", &[(listed, "10.9.9.9")], "10.9.9.9"),
            (
                "fd00::1",
                &[(listed, "[2001:db8:1:2:3::4]:99")],
                "2001:db8:1:2::/64",
            ),
            (
                "10.0.0.1",
                &[(
                    "forwarded",
                    "for=1.1.1.1, For=\"[2001:db8::9]:1\";proto=http",
                )],
                "2001:db8::/64",
            ),
            (
                "10.0.0.1",
                &[("forwarded", "for=1.1.1.1, for=_hidden")],
                "10.0.0.1",
            ),
            (
                "10.0.0.1",
                &[("forwarded", "for=1.1.1.1"), (listed, "198.51.100.7")],
                "10.0.0.1",
            ),
        ] {
            assert_eq!(visitor(peer, lines).0, expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn tls_is_believed_where_a_proxy_of_ours_says_it() {
        for (peer, line, expected) in [
            ("10.0.0.1", ("x-forwarded-proto", "https"), true),
            ("10.0.0.1", ("x-forwarded-proto", "https, http"), false),
            ("10.0.0.1", ("forwarded", "for=1.1.1.1;proto=HTTPS"), true),
            ("10.0.0.1", ("x-other", "https"), false),
            ("203.0.113.1", ("x-forwarded-proto", "https"), false),
        ] {
            assert_eq!(visitor(peer, &[line]).1, expected, "{peer} {line:?}");
        }
    }
}
