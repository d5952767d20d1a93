//! Startup and authentication of a session, of either kind.

use std::collections::BTreeMap;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::{
    authentication::{
        md5_hash,
        sasl::{self, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256},
    },
    message::{backend::Message, frontend},
};

use crate::{
    postgres::{
        address::{Address, ChannelBinding, Method},
        failure::Failure,
        wire::Wire,
    },
    secret::Secret,
};

/// A session that the server has let us into.
pub(in super::super) struct Entered {
    pub(in super::super) wire: Wire,
    /// What the server said once we were in, from AuthenticationOk to ReadyForQuery.
    pub(in super::super) greeting: BytesMut,
    /// What the server told of itself.
    pub(in super::super) parameters: BTreeMap<String, String>,
}

/// Who wants to get in, and with what.
pub(super) struct Login<'a> {
    pub(super) address: &'a Address,
    pub(super) password: Option<Secret>,
    /// What the startup message says beside the role and the database.
    pub(super) startup: &'a [(&'a str, &'a str)],
    /// What the session can be bound to.
    pub(super) binding: Option<Vec<u8>>,
}

impl Login<'_> {
    /// Sends the startup message, and authenticates in the way that the server asks for and the address allows.
    pub(super) async fn log_in(self, mut wire: Wire) -> Result<Entered, Failure> {
        let who = [
            ("user", self.address.user.as_str()),
            ("database", &self.address.database),
            ("client_encoding", "UTF8"),
        ];
        let startup = who.into_iter().chain(self.startup.iter().copied());
        wire.send(|out| frontend::startup_message(startup, out))
            .await?;
        let mut greeting = BytesMut::new();
        let mut parameters = BTreeMap::new();
        self.authenticate(&mut wire, &mut greeting).await?;
        loop {
            let (message, raw) = wire.receive_raw().await?;
            greeting.extend_from_slice(&raw);
            match message {
                Message::ParameterStatus(told) => {
                    let name = told.name().map_err(Failure::protocol)?.to_owned();
                    let value = told.value().map_err(Failure::protocol)?.to_owned();
                    parameters.insert(name, value);
                }
                Message::BackendKeyData(_) | Message::NoticeResponse(_) => {}
                Message::ReadyForQuery(_) => {
                    return Ok(Entered {
                        wire,
                        greeting,
                        parameters,
                    });
                }
                _ => return Err(Failure::protocol("it does not go on after the login")),
            }
        }
    }

    /// Answers what the server asks, once, up to its AuthenticationOk.
    async fn authenticate(&self, wire: &mut Wire, greeting: &mut BytesMut) -> Result<(), Failure> {
        let mut asked = None;
        loop {
            let (message, raw) = wire.receive_raw().await?;
            let method = match &message {
                Message::NoticeResponse(_) => continue,
                Message::AuthenticationOk => {
                    if asked.is_none() {
                        self.allow(Method::None)?;
                    }
                    greeting.extend_from_slice(&raw);
                    return Ok(());
                }
                Message::AuthenticationCleartextPassword => Method::Password,
                Message::AuthenticationMd5Password(_) => Method::Md5,
                Message::AuthenticationSasl(_) => Method::Scram,
                _ => {
                    return Err(Failure::protocol(
                        "it asks for a way to log in that rowhook has not",
                    ));
                }
            };
            self.allow(method)?;
            if asked.replace(method).is_some() {
                return Err(Failure::protocol("it asks twice who we are"));
            }
            let password = self.password.as_ref().ok_or(Failure::NoPassword)?;
            let password = password.expose().as_bytes();
            match message {
                Message::AuthenticationMd5Password(body) => {
                    let user = self.address.user.as_bytes();
                    let hash = md5_hash(user, password, body.salt());
                    wire.send(|out| frontend::password_message(hash.as_bytes(), out))
                        .await?;
                }
                Message::AuthenticationSasl(body) => {
                    let mechanisms = body.mechanisms().map(|name| Ok(name.to_owned()));
                    let mechanisms: Vec<String> =
                        mechanisms.collect().map_err(Failure::protocol)?;
                    self.scram(wire, &mechanisms, password).await?;
                }
                _ => {
                    wire.send(|out| frontend::password_message(password, out))
                        .await?;
                }
            }
        }
    }

    /// Whether the address lets a server ask in this way.
    fn allow(&self, method: Method) -> Result<(), Failure> {
        if !self.address.allowed.has(method) {
            return Err(Failure::Demand(format!(
                "the server uses {}, which require_auth excludes",
                method.name()
            )));
        }
        match self.address.channel_binding {
            ChannelBinding::Require if method != Method::Scram => {
                Err(Failure::Demand(NOT_BOUND.into()))
            }
            _ => Ok(()),
        }
    }

    /// Authenticates with SCRAM-SHA-256 (RFC 7677), bound to the TLS connection where both sides can.
    async fn scram(
        &self,
        wire: &mut Wire,
        offered: &[String],
        password: &[u8],
    ) -> Result<(), Failure> {
        let offers = |wanted: &str| offered.iter().any(|name| name == wanted);
        let wanted = self.address.channel_binding;
        let end_point = self
            .binding
            .clone()
            .filter(|_| wanted != ChannelBinding::Disable);
        let (mechanism, binding) = match end_point {
            Some(hash) if offers(SCRAM_SHA_256_PLUS) => (
                SCRAM_SHA_256_PLUS,
                sasl::ChannelBinding::tls_server_end_point(hash),
            ),
            _ if wanted == ChannelBinding::Require => {
                return Err(Failure::Demand(NOT_BOUND.into()));
            }
            _ if !offers(SCRAM_SHA_256) => {
                return Err(Failure::protocol("it offers no SCRAM-SHA-256"));
            }
            // Says that we could, so that nobody in between can have taken the offer away.
            Some(_) => (SCRAM_SHA_256, sasl::ChannelBinding::unrequested()),
            None => (SCRAM_SHA_256, sasl::ChannelBinding::unsupported()),
        };
        let mut scram = ScramSha256::new(password, binding);
        wire.send(|out| frontend::sasl_initial_response(mechanism, scram.message(), out))
            .await?;
        let Message::AuthenticationSaslContinue(challenge) = wire.receive().await? else {
            return Err(Failure::protocol("it does not go on with SCRAM"));
        };
        scram.update(challenge.data()).map_err(Failure::protocol)?;
        wire.send(|out| frontend::sasl_response(scram.message(), out))
            .await?;
        let Message::AuthenticationSaslFinal(proof) = wire.receive().await? else {
            return Err(Failure::protocol("it does not finish SCRAM"));
        };
        scram.finish(proof.data()).map_err(Failure::protocol)
    }
}

const NOT_BOUND: &str =
    "the session is not bound to its TLS connection, and channel_binding is require";
