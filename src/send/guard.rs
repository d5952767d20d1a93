//! Protects the internal network from server-side request forgery: users choose targets, and must not reach with them
//! what only rowhook's host can reach.
//!
//! What counts is the address that is connected to. A name is resolved once, and the resolved address is checked and
//! used.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

/// Refuses targets that may not be called.
#[derive(Debug, Clone)]
pub struct Guard {
    allow_http: bool,
    allowed: Vec<IpNet>,
}

/// Why a target was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The scheme of the URL is neither https nor an allowed http.
    Scheme(String),
    /// The URL names no host.
    NoHost,
    /// The address is not public.
    Address(IpAddr, &'static str),
    /// A name leads to an address that is not public. Which one is not said, because whoever chooses targets could read
    /// the names of the internal network that way.
    Name,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme(scheme) if scheme == "http" => {
                f.write_str("the target is not https; use https, or set delivery.allow_http")
            }
            Self::Scheme(scheme) => write!(f, "the target's scheme is {scheme:?}; use https"),
            Self::NoHost => f.write_str("the target names no host"),
            Self::Name => f.write_str(
                "the target's host leads to an address that is not public; delivery.allow_networks can open its network",
            ),
            Self::Address(address, "metadata") => write!(
                f,
                "the target's address {address} is that of a cloud's metadata service; only naming it alone in delivery.allow_networks opens it"
            ),
            Self::Address(address, kind) => write!(
                f,
                "the target's address {address} is not public ({kind}); delivery.allow_networks can open its network"
            ),
        }
    }
}

impl std::error::Error for Refusal {}

impl Guard {
    /// Allows public addresses, and those in the networks `allowed`.
    pub fn new(allow_http: bool, allowed: &[IpNet]) -> Self {
        Self {
            allow_http,
            allowed: allowed.to_vec(),
        }
    }

    /// Checks the scheme of a URL, and its host if that is an address. A name is checked when it is resolved.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn check_url(&self, url: &Url) -> Result<(), Refusal> {
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http => {}
            other => return Err(Refusal::Scheme(other.to_owned())),
        }
        match url.host() {
            Some(Host::Domain("")) | None => Err(Refusal::NoHost),
            Some(Host::Domain(_)) => Ok(()),
            Some(Host::Ipv4(address)) => self.check_address(address.into()),
            Some(Host::Ipv6(address)) => self.check_address(address.into()),
        }
    }

    /// Checks an address before it is connected to.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn check_address(&self, address: IpAddr) -> Result<(), Refusal> {
        // An IPv6 address that leads to an IPv4 address is checked as that, and only as that.
        let meant = match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => embedded_v4(v6).map_or(address, IpAddr::V4),
        };
        if is_metadata(meant) {
            let alone =
                |net: &IpNet| net.addr() == meant && net.prefix_len() == net.max_prefix_len();
            let named = self.allowed.iter().any(alone);
            return if named {
                Ok(())
            } else {
                Err(Refusal::Address(address, "metadata"))
            };
        }
        if self.allowed.iter().any(|net| net.contains(&meant)) {
            return Ok(());
        }
        let kind = match meant {
            IpAddr::V4(v4) => special_v4(v4),
            IpAddr::V6(v6) => special_v6(v6),
        };
        kind.map_or(Ok(()), |kind| Err(Refusal::Address(address, kind)))
    }
}

fn is_metadata(address: IpAddr) -> bool {
    // AWS, Google, Azure and most others; containers of AWS; EKS; Alibaba; Azure's platform, which is a public address;
    // Scaleway; Tencent; Oracle.
    const V4: [Ipv4Addr; 8] = [
        Ipv4Addr::new(169, 254, 169, 254),
        Ipv4Addr::new(169, 254, 170, 2),
        Ipv4Addr::new(169, 254, 170, 23),
        Ipv4Addr::new(100, 100, 100, 200),
        Ipv4Addr::new(168, 63, 129, 16),
        Ipv4Addr::new(169, 254, 42, 42),
        Ipv4Addr::new(169, 254, 0, 23),
        Ipv4Addr::new(192, 0, 0, 192),
    ];
    // AWS; EKS; Google; Scaleway.
    const V6: [Ipv6Addr; 4] = [
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
        Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
        Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
    ];
    match address {
        IpAddr::V4(v4) => V4.contains(&v4),
        IpAddr::V6(v6) => V6.contains(&v6),
    }
}

/// The IPv4 address that packets to an IPv6 address arrive at: mapped, compatible, translated, NAT64 and 6to4 forms.
fn embedded_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match v6.segments() {
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => Some(v4(high, low)),
        [0, 0, 0, 0, 0xffff, 0, high, low] => Some(v4(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(v4(high, low)),
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    const NETS: [(Ipv4Addr, u8, &str); 15] = [
        (Ipv4Addr::new(0, 0, 0, 0), 8, "this host"),
        (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
        (Ipv4Addr::new(100, 64, 0, 0), 10, "carrier-grade NAT"),
        (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
        (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
        (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
        (Ipv4Addr::new(192, 0, 0, 0), 24, "protocol assignments"),
        (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
        (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relay"),
        (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
        (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking"),
        (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
        (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
        (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
        (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
    ];
    NETS.into_iter()
        .find(|(net, length, _)| Ipv4Net::new_assert(*net, *length).contains(&address))
        .map(|(_, _, kind)| kind)
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    const fn v6(a: u16, b: u16, c: u16) -> Ipv6Addr {
        Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)
    }
    const NETS: [(Ipv6Addr, u8, &str); 12] = [
        (Ipv6Addr::UNSPECIFIED, 128, "this host"),
        (Ipv6Addr::LOCALHOST, 128, "loopback"),
        (v6(0x64, 0xff9b, 1), 48, "local NAT64"),
        (v6(0x100, 0, 0), 64, "discard"),
        (
            v6(0x2001, 0, 0),
            23,
            "protocol assignments, Teredo among them",
        ),
        (v6(0x2001, 0xdb8, 0), 32, "documentation"),
        (v6(0x3fff, 0, 0), 20, "documentation"),
        (v6(0x5f00, 0, 0), 16, "segment routing"),
        (v6(0xfc00, 0, 0), 7, "private"),
        (v6(0xfe80, 0, 0), 10, "link-local"),
        (v6(0xfec0, 0, 0), 10, "site-local"),
        (v6(0xff00, 0, 0), 8, "multicast"),
    ];
    NETS.into_iter()
        .find(|(net, length, _)| Ipv6Net::new_assert(*net, *length).contains(&address))
        .map(|(_, _, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(allowed: &[&str], url: &str) -> Result<(), Refusal> {
        let allowed: Vec<IpNet> = allowed.iter().map(|net| net.parse().unwrap()).collect();
        Guard::new(true, &allowed).check_url(&Url::parse(url).unwrap())
    }

    #[test]
    fn public_addresses_pass() {
        for host in [
            "1.1.1.1",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "[2606:4700::1111]",
            "[::ffff:1.1.1.1]",
            "[64:ff9b::101:101]",
            "example.com",
        ] {
            assert_eq!(judge(&[], &format!("https://{host}/")), Ok(()), "{host}");
        }
    }

    #[test]
    fn all_other_addresses_are_refused_however_they_are_written() {
        for host in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            // decimal, octal, hex and short forms, a trailing dot
            "2130706433",
            "0177.0.0.1",
            "0x7f.1",
            "127.1",
            "127.0.0.1.",
            "[::]",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::127.0.0.1]",
            "[::ffff:0:127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b:1::1]",
            "[100::1]",
            "[2001::1]",
            "[2001:1ff::1]",
            "[2001:db8::1]",
            "[2002:7f00:1::]",
            "[5f00::1]",
            "[fc00::1]",
            "[fd12::1]",
            "[fe80::1]",
            "[febf::1]",
            "[ff02::1]",
            "[3fff::1]",
            "[fec0::1]",
        ] {
            assert!(judge(&[], &format!("https://{host}/")).is_err(), "{host}");
        }
    }

    #[test]
    fn an_opened_network_passes_but_for_metadata() {
        assert_eq!(judge(&["127.0.0.0/8"], "http://127.0.0.1:8080/"), Ok(()));
        assert_eq!(
            judge(&["127.0.0.0/8"], "http://[::ffff:127.0.0.1]/"),
            Ok(())
        );
        assert_eq!(judge(&["fd00::/8"], "http://[fd00::1]/"), Ok(()));
        for (net, host) in [
            ("169.254.0.0/16", "169.254.169.254"),
            ("0.0.0.0/0", "169.254.169.254"),
            ("100.64.0.0/10", "100.100.100.200"),
            ("fd00::/8", "[fd00:ec2::254]"),
            ("::/0", "[::ffff:169.254.169.254]"),
            ("169.254.0.0/16", "169.254.42.42"),
            ("169.254.0.0/16", "169.254.0.23"),
            ("192.0.0.0/24", "192.0.0.192"),
            ("fd00:42::/32", "[fd00:42::42]"),
            ("10.0.0.0/8", "168.63.129.16"),
        ] {
            let refused = judge(&[net], &format!("http://{host}/")).unwrap_err();
            assert!(refused.to_string().contains("metadata"), "{refused}");
        }
        // What opens a wrapper does not open what is inside.
        assert!(judge(&["64:ff9b::/96"], "http://[64:ff9b::7f00:1]/").is_err());
        assert_eq!(
            judge(&["169.254.169.254/32"], "http://169.254.169.254/"),
            Ok(())
        );
    }

    #[test]
    fn a_refusal_names_the_address_and_the_remedy() {
        let told = |allow_http, url: &str| {
            Guard::new(allow_http, &[])
                .check_url(&Url::parse(url).unwrap())
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            told(false, "http://example.com/"),
            "the target is not https; use https, or set delivery.allow_http"
        );
        assert_eq!(
            told(true, "ftp://example.com/"),
            "the target's scheme is \"ftp\"; use https"
        );
        assert_eq!(
            told(true, "http://10.0.0.1/"),
            "the target's address 10.0.0.1 is not public (private); delivery.allow_networks can open its network"
        );
    }
}
