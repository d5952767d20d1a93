//! The other end of webhooks: receives requests, verifies them, and runs tasks for them.
//!
//! The path of a request: the [`gate`] reads it within bounds, [`verify`] decides whether it is believed, [`envelope`]
//! finds out what it is about, the [`queue`] stores a job for each [`task`] that wants it, and [`attempt`] runs each
//! job until it succeeds or its attempts are used up. The [`receiver`] connects these. `rowhook receive` is a receiver
//! with the options of receive.toml and the tasks of receive.toml and its plugins.
//!
//! This module uses little of the rest of rowhook: the reader of the configuration, `send`, `signature`, `secret` and
//! `gzip`.
//!
//! A program can use the same parts as a library. Functions take the place of commands:
//!
//! ```no_run
//! use rowhook::receive::{Gate, Options, Received, Receiver, Registry, Verifier};
//! use tokio_util::sync::CancellationToken;
//!
//! #[tokio::main]
//! async fn main() -> anyhow::Result<()> {
//!     let mut registry = Registry::new();
//!     registry.on("tenant", "created", |received: Received| async move {
//!         let tenant: serde_json::Value = serde_json::from_slice(&received.body)?;
//!         println!("{} {}", received.id, tenant["data"]["name"]);
//!         anyhow::Ok(())
//!     });
//!     let verifier = Verifier::standard([std::env::var("WEBHOOK_SECRET")?])?;
//!     let options = Options::new(Gate::new(verifier));
//!     let receiver = Receiver::open(registry.tasks(), options).await?;
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:9000").await?;
//!     receiver.run(listener, CancellationToken::new()).await
//! }
//! ```
//!
//! A program that has a router and a queue already can use an axum layer, which passes on only verified requests:
//!
//! ```
//! use axum::{Extension, Router, routing::post};
//! use rowhook::receive::{Gate, Received, Verifier, VerifyLayer};
//!
//! async fn hook(Extension(received): Extension<Received>) -> String {
//!     format!("{} is about {}", received.id, received.envelope)
//! }
//!
//! let verifier = Verifier::standard(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])?;
//! let app: Router = Router::new()
//!     .route("/hooks", post(hook))
//!     .layer(VerifyLayer::new(Gate::new(verifier)));
//! # anyhow::Ok(())
//! ```

pub mod attempt;
mod command;
pub mod config;
mod content;
mod endpoint;
pub mod envelope;
pub mod gate;
pub mod handshake;
mod identity;
pub mod layer;
mod malformed;
pub mod options;
pub mod plugin;
pub mod print;
pub mod queue;
pub mod reaper;
pub mod receiver;
pub mod registry;
pub mod task;
pub mod verify;

pub use self::{
    envelope::Received, gate::Gate, layer::VerifyLayer, options::Options, queue::Storage,
    receiver::Receiver, registry::Registry, task::Task, verify::Verifier,
};
