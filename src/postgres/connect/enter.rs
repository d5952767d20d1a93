//! From an address to a session that the server has let us into: the one way for sessions of either kind.
//!
//! Hosts, and the IP addresses of each, are tried in the order that libpq would. What a server that was reached refuses
//! is final, so that a wrong password is not tried at every host.

use std::{future::Future, sync::Arc, time::Duration};

use rand::seq::SliceRandom;
use rustls::ClientConfig;
use tokio::time::timeout;

use super::{
    error::{Error, Reason},
    login::{Entered, Login},
    socket::{self, Place},
};
use crate::{
    postgres::{
        address::{Address, Host, Target, TlsMode},
        failure::Failure,
        passfile, tls,
        wire::Wire,
    },
    secret::Secret,
};

/// What the server says on login about whether it is a standby.
const IN_RECOVERY: &str = "in_hot_standby";

/// What is the same for all hosts of one attempt to connect.
struct Attempt<'a> {
    address: &'a Address,
    startup: &'a [(&'a str, &'a str)],
    /// What `password_command` printed.
    printed: Option<Secret>,
    /// `None` where no host is reached with TLS.
    tls: Option<Arc<ClientConfig>>,
    /// Whether a replication session is wanted.
    replication: bool,
}

impl Address {
    /// Enters the first host that lets us in. `startup` is what the startup message says beside role and database.
    ///
    /// # Errors
    /// If no host does: the error of the last one that was tried.
    pub(in super::super) async fn enter(
        &self,
        startup: &[(&str, &str)],
        replication: bool,
    ) -> Result<Entered, Error> {
        let attempt = Attempt {
            address: self,
            startup,
            printed: self.printed_password().await?,
            tls: self.tls_config()?,
            replication,
        };
        let mut hosts: Vec<&Host> = self.hosts.iter().collect();
        if self.shuffled {
            hosts.shuffle(&mut rand::rng());
        }
        let wanted = match self.target {
            Target::PreferStandby => vec![Target::Standby, Target::Any],
            target => vec![target],
        };
        let mut last = None;
        for wanted in wanted {
            for host in &hosts {
                let reason = match attempt.enter_host(host, wanted).await {
                    Ok(entered) => return Ok(entered),
                    Err(reason) => reason,
                };
                let error = Error {
                    at: host.to_string(),
                    reason,
                };
                if !error.reason.is_of_host() {
                    return Err(error);
                }
                last = Some(error);
            }
        }
        Err(last.unwrap_or_else(|| self.error(Reason::Other("the address has no host".into()))))
    }

    async fn printed_password(&self) -> Result<Option<Secret>, Error> {
        let Some(command) = &self.password_command else {
            return Ok(None);
        };
        let printed = command.run().await;
        printed
            .map(Some)
            .map_err(|cause| self.error(Reason::NoCommand(cause)))
    }

    fn tls_config(&self) -> Result<Option<Arc<ClientConfig>>, Error> {
        let is_reached = self.hosts.iter().any(|host| host.name().is_some());
        if !is_reached || self.tls.mode == TlsMode::Disable {
            return Ok(None);
        }
        match tls::client(&self.tls) {
            Ok(config) => Ok(Some(Arc::new(config))),
            Err(problem) => Err(self.error(Reason::Tls(problem))),
        }
    }

    /// The error of a replication session that failed before it was used.
    pub(in super::super) fn failed(&self, failure: Failure) -> Error {
        self.error(self.refused(failure, true))
    }

    /// An error that is not of one host.
    pub(super) fn error(&self, reason: Reason) -> Error {
        let first = self.hosts.first();
        Error {
            at: first.map_or_else(|| self.database.clone(), ToString::to_string),
            reason,
        }
    }
}

impl Attempt<'_> {
    async fn enter_host(&self, host: &Host, wanted: Target) -> Result<Entered, Reason> {
        let unreachable = |error: std::io::Error| Reason::Unreachable(error.to_string());
        let places = within(self.address.connect_timeout, async {
            socket::places(host).await.map_err(unreachable)
        });
        let mut places = places.await?;
        if self.address.shuffled {
            places.shuffle(&mut rand::rng());
        }
        let mut last = Reason::Unreachable("its name has no address".into());
        for place in &places {
            let entering = within(self.address.connect_timeout, async {
                let entered = self.enter_place(host, place, wanted).await;
                entered.map_err(|failure| self.address.refused(failure, self.replication))
            });
            last = match entering.await {
                Ok(entered) => return Ok(entered),
                Err(reason) if reason.is_of_host() => reason,
                Err(reason) => return Err(reason),
            };
        }
        Err(last)
    }

    /// Enters one place of a host, with TLS or without, as `sslmode` has it.
    async fn enter_place(
        &self,
        host: &Host,
        place: &Place,
        wanted: Target,
    ) -> Result<Entered, Failure> {
        let ways: &[bool] = match (place, self.address.tls.mode) {
            (Place::Unix(_), _) | (_, TlsMode::Disable) => &[false],
            (_, TlsMode::Allow) => &[false, true],
            (_, TlsMode::Prefer) => &[true, false],
            (_, TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull) => &[true],
        };
        // Where both ways fail, what was said to TLS tells more.
        let mut told: Option<Failure> = None;
        for with_tls in ways {
            let socket = socket::connect(self.address, place).await?;
            let protected = match (with_tls, &self.tls, host.name()) {
                (true, Some(config), Some(name)) => {
                    socket::encrypt(socket, self.address, config.clone(), name).await
                }
                _ => Ok(socket::plain(socket)),
            };
            let protected = match protected {
                Ok(protected) => protected,
                Err(failure) => {
                    told.get_or_insert(failure);
                    continue;
                }
            };
            let encrypted = protected.encrypted;
            let login = Login {
                address: self.address,
                password: self.password(host),
                startup: self.startup,
                binding: protected.binding,
            };
            match login.log_in(Wire::new(protected.socket)).await {
                Ok(entered) => return is_wanted(entered, wanted),
                Err(failure @ Failure::Refused { .. }) if encrypted == *with_tls => {
                    if *with_tls || told.is_none() {
                        told = Some(failure);
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
        Err(told.unwrap_or_else(Failure::closed))
    }

    /// The password for a host: that of the command or the address or, if it has none, that of the password file as it
    /// is now.
    fn password(&self, host: &Host) -> Option<Secret> {
        let address = self.address;
        let own = self.printed.as_ref().or(address.password.as_ref()).cloned();
        own.or_else(|| {
            let (name, port) = host.in_password_file();
            let login = passfile::Login {
                host: name,
                port,
                database: &address.database,
                user: &address.user,
            };
            passfile::look_up(address.passfile.as_ref()?, &login)
        })
    }
}

/// Passes over a server of another kind than the one that is wanted.
fn is_wanted(entered: Entered, wanted: Target) -> Result<Entered, Failure> {
    let in_recovery = entered.parameters.get(IN_RECOVERY);
    let is_standby = in_recovery.is_some_and(|told| told == "on");
    match (wanted, is_standby) {
        (Target::Primary, true) => Err(Failure::Standby),
        (Target::Standby, false) => Err(Failure::NoStandby),
        _ => Ok(entered),
    }
}

async fn within<T>(
    limit: Option<Duration>,
    doing: impl Future<Output = Result<T, Reason>>,
) -> Result<T, Reason> {
    match limit {
        Some(limit) => match timeout(limit, doing).await {
            Ok(done) => done,
            Err(_) => Err(Reason::Silent(limit)),
        },
        None => doing.await,
    }
}
