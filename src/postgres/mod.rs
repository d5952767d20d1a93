//! Everything that speaks to Postgres: connecting, setting up, reading the stream, and telling what is in it.

pub mod pgoutput;
pub mod relation;

pub use pgwire_replication::Lsn;
