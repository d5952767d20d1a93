//! Everything that speaks to Postgres: connecting, setting up, reading the stream, and telling what is in it.

pub mod address;
pub mod connect;
pub mod nearest;
pub mod pgoutput;
pub mod quote;
pub mod relation;
mod tls;

pub use pgwire_replication::Lsn;
