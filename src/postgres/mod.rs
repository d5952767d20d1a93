//! Everything that speaks to Postgres: connecting, setting up, reading the stream, and telling what is in it.

pub mod address;
pub mod asking;
pub mod catalog;
pub mod check;
pub mod connect;
pub mod gap;
pub mod json;
pub mod lag;
mod lsn;
pub mod migration;
pub mod nearest;
mod passfile;
pub mod pgoutput;
pub mod plan;
pub mod question;
pub mod quote;
pub mod relation;
pub mod replication;
mod session;
pub mod setup;
pub mod stream;
pub mod teardown;
mod tls;
pub mod toast;
pub mod types;

pub use self::lsn::Lsn;
pub(crate) use self::session::told;
