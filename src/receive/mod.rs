//! The other end: receives webhooks, verifies them, and has tasks run on what they say.
//!
//! The path of a request: [`gate`] reads it within bounds, [`verify`] says whether it is believed, [`envelope`] what it is
//! about, [`queue`] keeps it for each [`task`] that wants it, and [`attempt`] makes attempts until one succeeds.
//! [`service`] is where these meet; `rowhook receive` is that with what receive.toml and its plugins say.
//!
//! A program of its own uses the same parts. Functions take the place of commands:
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
//! Where the program has a router and a queue already, a layer of axum lets through only what is verified:
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

pub mod config;

pub mod attempt;
pub mod envelope;
pub mod gate;
pub mod http;
pub mod layer;
pub mod plugin;
pub mod print;
pub mod queue;
pub mod reaper;
pub mod registry;
pub mod service;
pub mod task;
pub mod verify;

pub use self::{
    envelope::Received,
    gate::Gate,
    layer::VerifyLayer,
    registry::Registry,
    service::{Options, Place, Receiver},
    task::Task,
    verify::Verifier,
};
