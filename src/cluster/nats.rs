//! The connection to NATS, and what can be wrong with it.

use std::{error::Error as _, sync::Arc, time::Duration};

use async_nats::{
    Client, ConnectOptions, Event, ServerInfo,
    jetstream::{
        self,
        context::{CreateKeyValueErrorKind, KeyValueErrorKind},
        kv::Store as Bucket,
        stream::StorageType,
    },
};
use thiserror::Error;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::{
    backoff::{Backoff, spread},
    config::{Cluster, NatsLogin},
    nats,
};

/// The pauses between two tries to connect.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
/// How long a server has to answer when it is connected to.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How often a connection says that it is there. One that is dead is found after two of them.
const PING: Duration = Duration::from_secs(2);
/// The oldest version that is known to keep what the bucket needs.
const OLDEST: (u64, u64) = (2, 11);
/// As many replicas has a bucket where there are so many servers.
const REPLICAS: usize = 3;

/// Why NATS cannot be used: what, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// No server answers.
    #[error(
        "[cluster] nats: none of {places} can be connected to: {reason}; start a server there, or correct the address"
    )]
    Unreachable {
        /// The servers.
        places: String,
        /// Why.
        reason: String,
    },
    /// It does not let us in.
    #[error(
        "[cluster] nats: {places} does not let rowhook in: {reason}; correct the user and password in nats, or credentials, or nkey"
    )]
    LoggedOut {
        /// The servers.
        places: String,
        /// Why.
        reason: String,
    },
    /// Our own certificates or keys cannot be used.
    #[error("[cluster] {key} cannot be used: {reason}; give another file")]
    BadKey {
        /// The key of `[cluster]`.
        key: &'static str,
        /// Why.
        reason: String,
    },
    /// It has no JetStream.
    #[error(
        "[cluster] nats: the server {server} has no JetStream; start it with --jetstream, or give the account JetStream"
    )]
    NoJetStream {
        /// The server.
        server: String,
    },
    /// It is too old.
    #[error(
        "[cluster] nats: the server {server} is of version {version}, and a cluster needs 2.11 or newer; upgrade it"
    )]
    TooOld {
        /// The server.
        server: String,
        /// Its version.
        version: String,
    },
    /// Somebody else has a stream of this name.
    #[error(
        "[cluster] nats: the stream KV_{bucket} is there with other settings ({difference}); remove it with: nats kv del {bucket}, or give [cluster] another name"
    )]
    OtherStream {
        /// The bucket.
        bucket: String,
        /// What is different.
        difference: String,
    },
    /// The rowhooks of a cluster do not agree.
    #[error(
        "[cluster] partitions is {ours} here, and {theirs} at the others of the cluster {bucket}; stop all of them before it is changed, and have the same hooks.toml everywhere"
    )]
    OtherPartitions {
        /// The bucket.
        bucket: String,
        /// How many we have.
        ours: u32,
        /// How many they have.
        theirs: u32,
    },
    /// Something is not allowed, or does not work now.
    #[error(
        "[cluster] nats: {doing} fails: {reason}; let rowhook's user publish and subscribe to rowhook-cluster.>, $KV.{bucket}.>, $JS.API.> and _INBOX.>"
    )]
    Refused {
        /// What.
        doing: &'static str,
        /// The bucket.
        bucket: String,
        /// Why.
        reason: String,
    },
}

/// The connection to NATS, which is made as soon as it can be, and made anew when it breaks. Clones share it.
#[derive(Clone)]
pub struct Nats {
    client: watch::Receiver<Option<Client>>,
    _connecting: Arc<AbortOnDropHandle<()>>,
}

impl Nats {
    /// Begins to connect.
    ///
    /// # Errors
    /// When this build has no client of NATS.
    pub fn start(cluster: &Cluster) -> Result<Self, Error> {
        let (connected, client) = watch::channel(None);
        let cluster = cluster.clone();
        let connecting = async move {
            let (mut failures, mut told) = (0, None);
            loop {
                match connect(&cluster).await {
                    Ok(client) => {
                        connected.send_replace(Some(client));
                        return;
                    }
                    Err(error) => {
                        failures += 1;
                        if told.as_ref() != Some(&error) {
                            tracing::error!("{error} (said once; it is tried again)");
                            told = Some(error);
                        }
                    }
                }
                let pause = spread(PAUSES.pause(failures), 0.2, rand::random());
                tokio::time::sleep(pause).await;
            }
        };
        let connecting = tokio::spawn(connecting.in_current_span());
        Ok(Self {
            client,
            _connecting: Arc::new(AbortOnDropHandle::new(connecting)),
        })
    }

    /// The client, as soon as there is one. From then on it connects anew by itself.
    pub async fn client(&self) -> Client {
        let mut client = self.client.clone();
        loop {
            if let Some(client) = &*client.borrow_and_update() {
                return client.clone();
            }
            if client.changed().await.is_err() {
                // The task that connects has ended without a client, which only a panic can do.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Connects to one of the servers, and checks it.
///
/// # Errors
/// When there is none, or it cannot be used.
pub async fn examine(cluster: &Cluster) -> Result<(), Error> {
    check(&connect(cluster).await?.server_info())
}

/// Connects to one of the servers.
///
/// # Errors
/// When there is none, or it cannot be used.
async fn connect(cluster: &Cluster) -> Result<Client, Error> {
    let places = cluster.places();
    let urls = cluster
        .nats
        .iter()
        .map(|server| server.url.expose().parse());
    let urls: Result<Vec<async_nats::ServerAddr>, _> = urls.collect();
    let urls = urls.map_err(|error| Error::Unreachable {
        places: places.clone(),
        reason: error.to_string(),
    })?;
    let tls = nats::tls(cluster.ca.as_deref());
    let tls = tls.map_err(|reason| Error::BadKey { key: "ca", reason })?;
    let options = ConnectOptions::new()
        .name("rowhook")
        .connection_timeout(TIMEOUT)
        .ping_interval(PING)
        // Those that hooks.toml names, by the names that it has for them.
        .ignore_discovered_servers()
        .reconnect_delay_callback(|attempts| {
            PAUSES.pause(u32::try_from(attempts).unwrap_or(u32::MAX))
        })
        .event_callback(|event| async move {
            match event {
                Event::Connected => tracing::info!("connected to NATS"),
                Event::Disconnected => {
                    tracing::warn!("the connection to NATS is lost; it is made again");
                }
                Event::SlowConsumer(_) => tracing::warn!(
                    "NATS was faster than this process; what was lost is asked for again"
                ),
                Event::ServerError(error) => tracing::warn!(%error, "NATS"),
                Event::ClientError(error) => tracing::debug!(%error, "NATS"),
                Event::LameDuckMode | Event::Draining | Event::Closed => {}
            }
        })
        .tls_client_config(tls);
    let options = match &cluster.login {
        None => options,
        Some(NatsLogin::Nkey(seed)) => options.nkey(seed.expose().to_owned()),
        Some(NatsLogin::Credentials(text)) => {
            let read = options.credentials(text.expose());
            read.map_err(|error| Error::BadKey {
                key: "credentials",
                reason: error.to_string(),
            })?
        }
    };
    options.connect(urls).await.map_err(|error| {
        let kind = error.kind();
        let reason = match error.source() {
            Some(source) => format!("{kind}: {source}"),
            None => kind.to_string(),
        };
        match kind {
            async_nats::ConnectErrorKind::AuthorizationViolation
            | async_nats::ConnectErrorKind::Authentication => Error::LoggedOut { places, reason },
            _ => Error::Unreachable { places, reason },
        }
    })
}

/// Checks the server that we are connected to.
///
/// # Errors
/// When it is too old, or has no JetStream.
pub(super) fn check(info: &ServerInfo) -> Result<(), Error> {
    let server = format!("{}:{}", info.host, info.port);
    let mut numbers = info.version.split('.');
    let mut number = || numbers.next().and_then(|number| number.parse().ok());
    let version: (u64, u64) = (number().unwrap_or(0), number().unwrap_or(0));
    if version < OLDEST {
        return Err(Error::TooOld {
            server,
            version: info.version.clone(),
        });
    }
    match info.jetstream {
        true => Ok(()),
        false => Err(Error::NoJetStream { server }),
    }
}

/// Opens the bucket, and creates it where it is missing.
///
/// # Errors
/// When the server cannot be used, or somebody else has a stream of that name.
pub async fn bucket(client: &Client, cluster: &Cluster, name: &str) -> Result<Bucket, Error> {
    check(&client.server_info())?;
    let mut context = jetstream::new(client.clone());
    context.set_timeout(TIMEOUT);
    let refused = |doing, reason: String| Error::Refused {
        doing,
        bucket: name.to_owned(),
        reason,
    };
    match context.get_key_value(name).await {
        Ok(bucket) => return as_wanted(bucket, name),
        Err(error) if error.kind() == KeyValueErrorKind::GetBucket => {}
        Err(error) => {
            return Err(Error::OtherStream {
                bucket: name.to_owned(),
                difference: error.to_string(),
            });
        }
    }
    let wanted = jetstream::kv::Config {
        bucket: name.to_owned(),
        description: "Which sender of a rowhook cluster has which hooks".to_owned(),
        history: 1,
        storage: StorageType::Memory,
        num_replicas: if cluster.nats.len() >= REPLICAS {
            REPLICAS
        } else {
            1
        },
        ..jetstream::kv::Config::default()
    };
    match context.create_key_value(wanted).await {
        Ok(bucket) => Ok(bucket),
        // Another may have made it just now.
        Err(error) if error.kind() == CreateKeyValueErrorKind::BucketCreate => {
            match context.get_key_value(name).await {
                Ok(bucket) => as_wanted(bucket, name),
                Err(_) => Err(refused("to make the bucket", with_source(&error))),
            }
        }
        Err(error) => Err(refused("to make the bucket", with_source(&error))),
    }
}

fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// A bucket that survives nothing is what is wanted: what it says is of use only as long as somebody renews it.
fn as_wanted(bucket: Bucket, name: &str) -> Result<Bucket, Error> {
    let config = &bucket.stream.cached_info().config;
    let difference = if config.storage != StorageType::Memory {
        Some("it is stored in files, and not in memory".to_owned())
    } else if config.max_messages_per_subject != 1 {
        Some(format!(
            "it keeps {} values of a key, and not one",
            config.max_messages_per_subject
        ))
    } else if !config.max_age.is_zero() {
        Some("its values end by themselves".to_owned())
    } else {
        None
    };
    match difference {
        None => Ok(bucket),
        Some(difference) => Err(Error::OtherStream {
            bucket: name.to_owned(),
            difference,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_too_old_or_has_no_jetstream_is_named() {
        let server = |version: &str, jetstream| ServerInfo {
            host: "127.0.0.1".into(),
            port: 4222,
            version: version.into(),
            jetstream,
            ..ServerInfo::default()
        };
        assert_eq!(check(&server("2.11.0", true)), Ok(()));
        assert_eq!(check(&server("3.0.0-beta", true)), Ok(()));
        let error = check(&server("2.9.10", true)).unwrap_err().to_string();
        assert_eq!(
            error,
            "[cluster] nats: the server 127.0.0.1:4222 is of version 2.9.10, and a cluster needs 2.11 or newer; upgrade it"
        );
        let error = check(&server("2.15.1", false)).unwrap_err().to_string();
        assert_eq!(
            error,
            "[cluster] nats: the server 127.0.0.1:4222 has no JetStream; start it with --jetstream, or give the account JetStream"
        );
    }
}
