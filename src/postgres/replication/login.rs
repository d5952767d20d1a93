//! Startup and authentication of a replication connection.

use fallible_iterator::FallibleIterator;
use postgres_protocol::{
    authentication::{
        md5_hash,
        sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256},
    },
    message::{backend::Message, frontend},
};

use super::Connection;
use crate::postgres::{address::Address, failure::Failure};

impl Connection {
    /// Sends the startup message, and authenticates in the way that the server asks for. Returns the encoding of the
    /// database.
    pub(super) async fn log_in(
        &mut self,
        address: &Address,
        name: &str,
        options: &str,
    ) -> Result<Option<String>, Failure> {
        let mut encoding = None;
        let who = [
            ("user", address.user.as_str()),
            ("database", &address.database),
            ("replication", "database"),
            ("client_encoding", "UTF8"),
            ("application_name", name),
            ("options", options),
        ];
        self.send(|out| frontend::startup_message(who, out)).await?;
        let password = || {
            let password = address.find_password().ok_or(Failure::NoPassword)?;
            Ok::<_, Failure>(password.expose().as_bytes().to_vec())
        };
        loop {
            match self.receive().await? {
                Message::ParameterStatus(told) => {
                    if told.name().map_err(Failure::protocol)? == "server_encoding" {
                        encoding = Some(told.value().map_err(Failure::protocol)?.to_owned());
                    }
                }
                Message::AuthenticationOk
                | Message::BackendKeyData(_)
                | Message::NoticeResponse(_) => {}
                Message::AuthenticationCleartextPassword => {
                    let password = password()?;
                    self.send(|out| frontend::password_message(&password, out))
                        .await?;
                }
                Message::AuthenticationMd5Password(asked) => {
                    let user = address.user.as_bytes();
                    let hash = md5_hash(user, &password()?, asked.salt());
                    self.send(|out| frontend::password_message(hash.as_bytes(), out))
                        .await?;
                }
                Message::AuthenticationSasl(asked) => {
                    let mut mechanisms = asked.mechanisms();
                    let known = mechanisms.any(|mechanism| Ok(mechanism == SCRAM_SHA_256));
                    if !known.map_err(Failure::protocol)? {
                        return Err(Failure::protocol("it offers no SCRAM-SHA-256"));
                    }
                    self.scram(&password()?).await?;
                }
                Message::ReadyForQuery(_) => return Ok(encoding),
                _ => {
                    return Err(Failure::protocol(
                        "it asks for a way to log in that rowhook has not",
                    ));
                }
            }
        }
    }

    /// Authenticates with SCRAM-SHA-256 (RFC 7677), without channel binding.
    async fn scram(&mut self, password: &[u8]) -> Result<(), Failure> {
        let mut scram = ScramSha256::new(password, ChannelBinding::unsupported());
        self.send(|out| frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), out))
            .await?;
        let Message::AuthenticationSaslContinue(challenge) = self.receive().await? else {
            return Err(Failure::protocol("it does not go on with SCRAM"));
        };
        scram.update(challenge.data()).map_err(Failure::protocol)?;
        self.send(|out| frontend::sasl_response(scram.message(), out))
            .await?;
        let Message::AuthenticationSaslFinal(proof) = self.receive().await? else {
            return Err(Failure::protocol("it does not finish SCRAM"));
        };
        scram.finish(proof.data()).map_err(Failure::protocol)
    }
}
