//! rowhook: webhooks from any Postgres database, with zero changes to the application.
//!
//! The path of a row: [`postgres::stream`] reads it, [`postgres::pgoutput`] decodes it to a [`change`], [`event`] names
//! it, [`owner`] says whose it is, [`hook`] finds who hears it, [`payload`] renders it, [`delivery`] carries it, and its
//! ledger says what may be confirmed. [`reader`] is where these meet, and [`run`] keeps them going.
//!
//! [`receive`] is the other end: it verifies webhooks, queues them, and runs tasks on them.

pub mod change;
pub mod cli;
pub mod config;
pub mod console;
pub mod delivery;
pub mod demo;
pub mod enrich;
pub mod event;
pub mod explain;
pub mod filter;
pub mod history;
pub mod hook;
pub mod journal;
pub mod manage;
pub mod message;
pub mod meters;
pub mod owner;
pub mod payload;
pub mod permission;
pub mod postgres;
pub mod reader;
pub mod receive;
pub mod rehearsal;
pub mod run;
pub mod schema;
pub mod server;
pub mod signature;
pub mod store;
pub mod trace;
