//! Looks up the hosts of targets as the system would: in /etc/hosts, and at the name servers of /etc/resolv.conf with
//! its search domains.
//!
//! Name servers are strangers too. A name whose servers are silent costs only those who ask for it: lookups hold no
//! thread, one name is looked up once for all who wait for it, and names that were silent before have a lane of their
//! own.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use futures_util::{FutureExt, future::Shared};
use hickory_resolver::{
    Hosts, TokioResolver,
    config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::Query,
        rr::{Name, RecordType},
    },
    system_conf::read_system_conf,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use crate::{files, lock::lock};

/// How long a name may take that was never silent. Healthy servers answer in less.
const BRISK: Duration = Duration::from_secs(2);
/// How long any name may take.
const LONGEST: Duration = Duration::from_secs(10);
/// How many names are looked up at once, if there are files enough: each takes a few sockets.
const LOOKUPS: usize = 256;
/// How many of those that were silent are looked up at once.
const SILENT_LOOKUPS: usize = 32;
/// The lookups take one of so many parts of the files that may be open.
const PARTS: usize = 16;
/// For how long a name that was silent is not asked for again, at first and at most. It doubles each time.
const SILENCE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(120));
/// The most names that are remembered as silent.
const MOST_SILENT: usize = 10_000;
/// The longest that an answer is kept, whatever its TTL says.
const LONGEST_TTL: Duration = Duration::from_secs(3600);
/// The longest that it is kept that there is no such name.
const LONGEST_NEGATIVE_TTL: Duration = Duration::from_secs(10);
/// The most answers that are kept.
const KEPT: u64 = 10_000;
/// How often the files of the system are looked at for changes.
const FILES_INTERVAL: Duration = Duration::from_secs(5);
/// The files that say how names are looked up.
const FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// Looks up names. Cheap to clone; all clones share what they know.
#[derive(Clone)]
pub(super) struct Resolver(Arc<Shelf>);

/// A name that cannot be resolved, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unresolved(String);

type Found = Result<Arc<[IpAddr]>, Unresolved>;
type Lookup = Shared<Pin<Box<dyn Future<Output = Found> + Send>>>;

struct Shelf {
    /// The name servers of the configuration; empty: those of the system.
    servers: Vec<SocketAddr>,
    system: Mutex<Option<System>>,
    /// The lookups that are on their way.
    going: Mutex<HashMap<Box<str>, Lookup>>,
    /// The names whose servers did not answer.
    silent: Mutex<HashMap<Box<str>, Silence>>,
    /// The lane of names that were never silent.
    brisk_lane: Semaphore,
    /// The lane of names that are silent, or were when they were last asked for.
    silent_lane: Semaphore,
}

/// The resolver as the files of the system had it.
struct System {
    asked: Asked,
    checked: Instant,
    changed: [Option<SystemTime>; 2],
}

/// Who is asked for a name: the hosts file, and if it has none of its addresses, the name servers.
#[derive(Clone)]
struct Asked {
    hosts: Arc<Hosts>,
    resolver: TokioResolver,
}

/// A name whose servers did not answer.
#[derive(Debug, Clone, Copy)]
struct Silence {
    until: Instant,
    lasts: Duration,
}

impl Resolver {
    /// Asks these name servers, or those of the system if there are none.
    pub(super) fn new(servers: &[SocketAddr]) -> Self {
        let lookups = files::share(LOOKUPS, PARTS);
        Self(Arc::new(Shelf {
            servers: servers.to_vec(),
            system: Mutex::default(),
            going: Mutex::default(),
            silent: Mutex::default(),
            brisk_lane: Semaphore::new(lookups),
            silent_lane: Semaphore::new(SILENT_LOOKUPS.min(lookups)),
        }))
    }

    /// The addresses of a name.
    ///
    /// # Errors
    /// When it has none, or its name servers do not answer.
    pub(super) async fn resolve(&self, name: &str) -> Found {
        let lookup = self.lookup(name)?;
        lookup.await
    }

    /// The lookup of a name that is on its way, or a new one.
    fn lookup(&self, name: &str) -> Result<Lookup, Unresolved> {
        let shelf = &self.0;
        let mut going = lock(&shelf.going);
        if let Some(lookup) = going.get(name) {
            return Ok(lookup.clone());
        }
        let was_silent = match lock(&shelf.silent).get(name) {
            Some(silence) if silence.until > Instant::now() => return Err(Unresolved::silent()),
            silence => silence.is_some(),
        };
        // A task of its own: what is found out is of use to those who ask later, when nobody waits any more.
        let task = tokio::spawn({
            let (shelf, name) = (Arc::clone(shelf), Box::<str>::from(name));
            async move {
                let going = Going { shelf, name };
                going.look_up(was_silent).await
            }
        });
        let ended = task.map(|ended| match ended {
            Ok(found) => found,
            Err(error) => Err(Unresolved(error.to_string())),
        });
        let lookup = ended.boxed().shared();
        going.insert(name.into(), lookup.clone());
        Ok(lookup)
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

/// A lookup on its way. When it ends, also by a panic, the next who asks begins another.
struct Going {
    shelf: Arc<Shelf>,
    name: Box<str>,
}

impl Drop for Going {
    fn drop(&mut self) {
        lock(&self.shelf.going).remove(&self.name);
    }
}

impl Going {
    async fn look_up(&self, was_silent: bool) -> Found {
        let begun = Instant::now();
        let found = self.in_lane(was_silent).await;
        let found = found.unwrap_or_else(|| Err(Unresolved::silent()));
        // Other servers than ours may be the silent ones. Ours then say so after a while.
        match &found {
            Err(_) if begun.elapsed() >= BRISK => self.shelf.note_silence(&self.name),
            _ => drop(lock(&self.shelf.silent).remove(&self.name)),
        }
        found
    }

    /// What is found in the lane of the name; `None` if that takes too long.
    async fn in_lane(&self, was_silent: bool) -> Option<Found> {
        let shelf = &self.shelf;
        let mut asking = pin!(self.ask());
        if !was_silent {
            let place = shelf.brisk_lane.acquire().await;
            if let Ok(found) = timeout(BRISK, asking.as_mut()).await {
                return Some(found);
            }
            drop(place);
            // Whoever takes long goes on beside the silent ones, if they leave room.
            let _place = shelf.silent_lane.try_acquire().ok()?;
            return timeout(LONGEST - BRISK, asking).await.ok();
        }
        let _place = shelf.silent_lane.acquire().await;
        timeout(LONGEST, asking).await.ok()
    }

    async fn ask(&self) -> Found {
        let asked = self.shelf.asked()?;
        // The host of a URL is ASCII already. Names with underscores are no names of hosts, and yet in use.
        let name = Name::from_ascii(&self.name).map_err(|error| Unresolved(error.to_string()))?;
        let listed = asked.listed(&name);
        if !listed.is_empty() {
            return Ok(listed.into());
        }
        match asked.resolver.lookup_ip(name).await {
            Ok(found) => {
                let found: Arc<[IpAddr]> = found.iter().collect();
                match found.is_empty() {
                    true => Err(Unresolved::no_address()),
                    false => Ok(found),
                }
            }
            Err(error) if error.is_no_records_found() => Err(Unresolved::no_address()),
            Err(NetError::Timeout) => Err(Unresolved::silent()),
            Err(error) => Err(Unresolved(error.to_string())),
        }
    }
}

impl Asked {
    /// The addresses of a name in the hosts file. If it has any, the name servers are not asked.
    fn listed(&self, name: &Name) -> Vec<IpAddr> {
        let kinds = [RecordType::AAAA, RecordType::A];
        let found = kinds.into_iter().filter_map(|kind| {
            let query = Query::query(name.clone(), kind);
            self.hosts.lookup_static_host(&query)
        });
        let addresses = found.flat_map(|found| {
            let records = found.answers().iter();
            let addresses = records.filter_map(|record| record.data.ip_addr());
            addresses.collect::<Vec<_>>()
        });
        addresses.collect()
    }
}

impl Shelf {
    fn note_silence(&self, name: &str) {
        let now = Instant::now();
        let mut silent = lock(&self.silent);
        let (first, most) = SILENCE;
        let before = silent.get(name).map(|silence| silence.lasts);
        let lasts = before.map_or(first, |lasts| (lasts * 2).min(most));
        if silent.len() >= MOST_SILENT {
            silent.retain(|_, silence| silence.until > now);
        }
        if silent.len() < MOST_SILENT {
            let until = now + lasts;
            silent.insert(name.into(), Silence { until, lasts });
        }
    }

    /// Who is asked, made anew when the files of the system have changed.
    fn asked(&self) -> Result<Asked, Unresolved> {
        let mut system = lock(&self.system);
        let is_new = |system: &System| system.checked.elapsed() < FILES_INTERVAL;
        if let Some(system) = system.as_ref().filter(|system| is_new(system)) {
            return Ok(system.asked.clone());
        }
        let changed = FILES.map(changed_at);
        if let Some(known) = system.as_mut().filter(|known| known.changed == changed) {
            known.checked = Instant::now();
            return Ok(known.asked.clone());
        }
        let resolver = build(&self.servers).map_err(|error| Unresolved(error.to_string()))?;
        let asked = Asked {
            // Without such a file, nothing is listed.
            hosts: Arc::new(Hosts::from_system().unwrap_or_default()),
            resolver,
        };
        *system = Some(System {
            asked: asked.clone(),
            checked: Instant::now(),
            changed,
        });
        Ok(asked)
    }
}

fn changed_at(file: &str) -> Option<SystemTime> {
    Path::new(file).metadata().ok()?.modified().ok()
}

fn build(servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let (config, mut options) = match servers {
        [] => of_the_system(),
        servers => {
            let servers = servers.iter().map(|server| name_server(*server));
            let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            (config, ResolverOpts::default())
        }
    };
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = KEPT;
    options.positive_max_ttl = Some(LONGEST_TTL);
    options.negative_max_ttl = Some(LONGEST_NEGATIVE_TTL);
    let provider = TokioRuntimeProvider::default();
    let mut builder = TokioResolver::builder_with_config(config, provider);
    *builder.options_mut() = options;
    builder.build()
}

/// What /etc/resolv.conf says. Like the system's own resolver, asks this host where it names nobody.
fn of_the_system() -> (ResolverConfig, ResolverOpts) {
    let Ok((config, options)) = read_system_conf() else {
        let this_host = SocketAddr::from((Ipv4Addr::LOCALHOST, 53));
        let servers = vec![name_server(this_host)];
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        return (config, ResolverOpts::default());
    };
    let (domain, search, servers) = config.into_parts();
    // The host's own domain is searched only where no other is named.
    let domain = domain.filter(|_| search.is_empty());
    (ResolverConfig::from_parts(domain, search, servers), options)
}

fn name_server(server: SocketAddr) -> NameServerConfig {
    let mut config = NameServerConfig::udp_and_tcp(server.ip());
    for connection in &mut config.connections {
        connection.port = server.port();
    }
    config
}

impl Unresolved {
    fn no_address() -> Self {
        Self("it has no address".into())
    }

    fn silent() -> Self {
        Self("its name servers do not answer".into())
    }
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unresolved {}
