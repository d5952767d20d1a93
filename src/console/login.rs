//! The login to the console: any user name, with the one password of `[console]`.

use std::{fmt::Debug, sync::Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Sink, SinkExt};
use pgwire::{
    api::{
        ClientInfo, METADATA_USER, PgWireConnectionState,
        auth::{
            DefaultServerParameterProvider, StartupHandler, finish_authentication,
            protocol_negotiation, save_startup_parameters_to_metadata,
        },
    },
    error::{PgWireError, PgWireResult},
    messages::{
        PgWireBackendMessage, PgWireFrontendMessage,
        startup::{Authentication, PasswordMessageFamily},
    },
};

use super::scram::{Challenge, MECHANISM};
use crate::{lock::lock, secret::Secret};

/// The login of one session.
pub(super) struct Login {
    password: Secret,
    stage: Mutex<Stage>,
}

enum Stage {
    /// The client is asked to begin.
    Asked,
    /// It has begun, and must answer this.
    Challenged(Challenge),
    /// It has succeeded or failed. There is no second try in a session.
    Over,
}

impl Login {
    pub(super) fn new(password: Secret) -> Self {
        Self {
            password,
            stage: Mutex::new(Stage::Asked),
        }
    }

    /// What the client is answered, and whether it is logged in by that.
    fn proceed(
        &self,
        message: PasswordMessageFamily,
        user: impl FnOnce() -> String,
    ) -> PgWireResult<(Authentication, bool)> {
        let malformed = || PgWireError::InvalidScramMessage("not one of this exchange".to_owned());
        let mut stage = lock(&self.stage);
        match std::mem::replace(&mut *stage, Stage::Over) {
            Stage::Asked => {
                let first = message.into_sasl_initial_response()?;
                if first.auth_method != MECHANISM {
                    return Err(PgWireError::UnsupportedSASLAuthMethod(first.auth_method));
                }
                let data = first.data.unwrap_or_default();
                let begun = Challenge::begin(self.password.expose(), &data);
                let (challenge, answer) = begun.map_err(|_| malformed())?;
                *stage = Stage::Challenged(challenge);
                Ok((Authentication::SASLContinue(Bytes::from(answer)), false))
            }
            Stage::Challenged(challenge) => {
                let last = message.into_sasl_response()?;
                let verifier = challenge.finish(&last.data).map_err(|_| malformed())?;
                let verifier = verifier.ok_or_else(|| PgWireError::InvalidPassword(user()))?;
                Ok((Authentication::SASLFinal(Bytes::from(verifier)), true))
            }
            Stage::Over => Err(PgWireError::InvalidSASLState),
        }
    }
}

#[async_trait]
impl StartupHandler for Login {
    async fn on_startup<C>(
        &self,
        client: &mut C,
        message: PgWireFrontendMessage,
    ) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match message {
            PgWireFrontendMessage::Startup(startup) => {
                protocol_negotiation(client, &startup).await?;
                save_startup_parameters_to_metadata(client, &startup);
                client.set_state(PgWireConnectionState::AuthenticationInProgress);
                let mechanisms = Authentication::SASL(vec![MECHANISM.to_owned()]);
                let asked = client.send(PgWireBackendMessage::Authentication(mechanisms));
                asked.await?;
            }
            PgWireFrontendMessage::PasswordMessageFamily(message) => {
                let user = || {
                    let name = client.metadata().get(METADATA_USER);
                    name.cloned().unwrap_or_default()
                };
                let (answer, is_in) = self.proceed(message, user)?;
                let answered = client.send(PgWireBackendMessage::Authentication(answer));
                answered.await?;
                if is_in {
                    finish_authentication(client, &DefaultServerParameterProvider::default())
                        .await?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}
