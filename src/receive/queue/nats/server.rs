//! A server of NATS: how it is connected to, asked, and published to.

use std::{error::Error as _, fmt::Display, sync::Arc};

use async_nats::{
    ConnectOptions, HeaderMap,
    jetstream::{
        self,
        context::PublishErrorKind,
        message::PublishMessage,
        stream::{self, LastRawMessageErrorKind, Stream},
    },
};
use bytes::Bytes;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use url::Url;

use super::message::{FACTS, Facts};
use crate::{receive::queue::Error, secret::Secret};

#[derive(Debug, Clone)]
pub(super) struct Server {
    place: String,
    pub(super) context: jetstream::Context,
}

impl Server {
    pub(super) async fn connect(url: &Secret) -> Result<Self, Error> {
        let mut place = Url::parse(url.expose()).map_err(|_| Error {
            place: "in NATS".into(),
            reason: "its URL cannot be read".into(),
        })?;
        // Neither can fail for a URL with a host.
        let _ = place.set_username("");
        let _ = place.set_password(None);
        let place = place.to_string();
        let connected = ConnectOptions::new()
            .name("rowhook receive")
            .tls_client_config(tls().map_err(|reason| Error {
                place: place.clone(),
                reason,
            })?)
            .connect(url.expose())
            .await;
        let client = connected.map_err(|error| Error {
            place: place.clone(),
            reason: format!("cannot be connected to: {error}"),
        })?;
        Ok(Self {
            place,
            context: jetstream::new(client),
        })
    }

    pub(super) fn wrong(&self, doing: &str, error: impl Display) -> Error {
        Error {
            place: self.place.clone(),
            reason: format!("{doing}: {error}"),
        }
    }

    pub(super) async fn stream(&self, config: stream::Config) -> Result<Stream, Error> {
        let name = config.name.clone();
        let made = self.context.create_or_update_stream(config).await;
        made.map_err(|error| self.wrong("cannot make its stream", error))?;
        let stream = self.context.get_stream(&name).await;
        stream.map_err(|error| self.wrong("cannot open its stream", error))
    }

    /// Publishes, and returns when the server has it on disk: whether it had it already, or `None` when it has no room.
    pub(super) async fn publish(
        &self,
        subject: String,
        message_id: &str,
        facts: &Facts,
        body: Bytes,
    ) -> Result<Option<bool>, Error> {
        let written = serde_json::to_string(facts);
        let written = written.map_err(|error| self.wrong("cannot write facts", error))?;
        let mut headers = HeaderMap::new();
        headers.insert(FACTS, written);
        let message = PublishMessage::build()
            .payload(body)
            .headers(headers)
            .message_id(message_id);
        let published = async { self.context.send_publish(subject, message).await?.await };
        match published.await {
            Ok(ack) => Ok(Some(ack.duplicate)),
            Err(error) if is_full(&error) => Ok(None),
            Err(error) => Err(self.wrong("cannot keep a message", error)),
        }
    }
}

/// Trusts whom the system trusts, or what `SSL_CERT_FILE` holds. Used where the URL, or the server, asks for TLS.
fn tls() -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    // Named, since the process has no default provider: more than one is linked.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn is_full(error: &jetstream::context::PublishError) -> bool {
    let told = error
        .source()
        .and_then(|source| source.downcast_ref::<jetstream::Error>());
    error.kind() == PublishErrorKind::Other
        && told.is_some_and(|told| {
            told.error_code() == jetstream::ErrorCode::STREAM_STORE_FAILED
                || told.to_string().contains("maximum bytes")
        })
}

/// What is accepted or done, each a message of its own subject. (A bucket of NATS would be the same; the library cannot ask
/// servers as old as Debian's for one.)
#[derive(Debug, Clone)]
pub(super) struct Notes {
    pub(super) server: Server,
    pub(super) stream: Stream,
}

impl Notes {
    pub(super) async fn has(&self, note: &str) -> Result<bool, Error> {
        let subject = format!("rowhook.done.{note}");
        match self.stream.get_last_raw_message_by_subject(&subject).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(false),
            Err(error) => Err(self.server.wrong("cannot look up what is done", error)),
        }
    }

    /// Returns when the server has it on disk.
    pub(super) async fn put(&self, note: &str) -> Result<(), Error> {
        let subject = format!("rowhook.done.{note}");
        let context = &self.server.context;
        let noted = async { context.publish(subject, Bytes::new()).await?.await };
        match noted.await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.server.wrong("cannot note what is done", error)),
        }
    }
}
