//! The connection to a NATS server.

use std::{error::Error as _, fmt::Display};

use async_nats::{
    ConnectOptions, HeaderMap,
    jetstream::{
        self,
        context::PublishErrorKind,
        message::PublishMessage,
        stream::{self, Stream},
    },
};
use bytes::Bytes;
use url::Url;

use super::message::{METADATA, Metadata};
use crate::{nats, receive::queue::error::Error, secret::Secret};

/// A connection to a NATS server with JetStream. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Server {
    /// The URL without credentials, for errors.
    location: String,
    pub(super) context: jetstream::Context,
}

impl Server {
    pub(super) async fn connect(url: &Secret) -> Result<Self, Error> {
        let mut location = Url::parse(url.expose()).map_err(|_| Error {
            location: "in NATS".into(),
            reason: "its URL cannot be read".into(),
        })?;
        // Neither can fail for a URL with a host.
        let _ = location.set_username("");
        let _ = location.set_password(None);
        let location = location.to_string();
        let connected = ConnectOptions::new()
            .name("rowhook receive")
            .tls_client_config(nats::tls(None).map_err(|reason| Error {
                location: location.clone(),
                reason,
            })?)
            .connect(url.expose())
            .await;
        let client = connected.map_err(|error| Error {
            location: location.clone(),
            reason: format!("cannot be connected to: {error}"),
        })?;
        Ok(Self {
            location,
            context: jetstream::new(client),
        })
    }

    /// An error of this server: what could not be done, and why.
    pub(super) fn error(&self, doing: &str, error: impl Display) -> Error {
        Error {
            location: self.location.clone(),
            reason: format!("{doing}: {error}"),
        }
    }

    /// Creates a stream, or updates its configuration, and opens it.
    pub(super) async fn stream(&self, config: stream::Config) -> Result<Stream, Error> {
        let name = config.name.clone();
        let made = self.context.create_or_update_stream(config).await;
        made.map_err(|error| self.error("cannot make its stream", error))?;
        let stream = self.context.get_stream(&name).await;
        stream.map_err(|error| self.error("cannot open its stream", error))
    }

    /// Publishes a message, and returns once the server has stored it.
    ///
    /// `Some(true)`: the server had a message with this id already, and stored nothing. `Some(false)`: it stored this
    /// one. `None`: the stream is full.
    pub(super) async fn publish(
        &self,
        subject: String,
        message_id: &str,
        metadata: &Metadata,
        body: Bytes,
    ) -> Result<Option<bool>, Error> {
        let written = serde_json::to_string(metadata);
        let written = written.map_err(|error| self.error("cannot write facts", error))?;
        let mut headers = HeaderMap::new();
        headers.insert(METADATA, written);
        let message = PublishMessage::build()
            .payload(body)
            .headers(headers)
            .message_id(message_id);
        let published = async { self.context.send_publish(subject, message).await?.await };
        match published.await {
            Ok(ack) => Ok(Some(ack.duplicate)),
            Err(error) if is_full(&error) => Ok(None),
            Err(error) => Err(self.error("cannot keep a message", error)),
        }
    }
}

fn is_full(error: &jetstream::context::PublishError) -> bool {
    let cause = error
        .source()
        .and_then(|source| source.downcast_ref::<jetstream::Error>());
    error.kind() == PublishErrorKind::Other
        && cause.is_some_and(|cause| {
            cause.error_code() == jetstream::ErrorCode::STREAM_STORE_FAILED
                || cause.to_string().contains("maximum bytes")
        })
}
