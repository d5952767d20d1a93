//! The wire to Postgres: addresses, connections, the replication stream, and what is in it.
//!
//! Nothing here knows of hooks, events or the configuration.

pub mod address;
pub mod cast;
pub mod connect;
pub mod division;
pub mod equality;
mod error;
pub mod failure;
pub mod fault;
pub mod followed;
pub mod json;
mod lsn;
mod passfile;
pub mod password_command;
pub mod pgoutput;
pub mod quote;
pub mod relation;
pub mod replication;
pub mod snapshot;
pub mod standby;
pub mod stream;
mod table_name;
pub mod time;
mod tls;
pub mod tuple;
pub mod types;
mod wire;

pub(crate) use self::error::error_message;
pub use self::lsn::Lsn;
pub use self::table_name::TableName;
