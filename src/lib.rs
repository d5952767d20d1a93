//! rowhook: webhooks from any Postgres database, with zero changes to the application.
//!
//! The path of a row: [`postgres::stream`] reads it, [`postgres::pgoutput`] decodes it to a [`change`], [`event`] names
//! it, [`owner`] says whose it is, [`hook`] finds who hears it, [`payload`] renders it, [`delivery`] carries it, and its
//! ledger says what may be confirmed. [`reader`] is where these meet, and [`run`] keeps them going.
//!
//! [`receive`] is the other end: it verifies webhooks, queues them, and runs tasks on them.

pub mod backoff;
pub mod change;
pub mod cli;
pub mod config;
pub mod console;
pub mod courier;
pub mod delivery;
pub mod demo;
pub mod event;
pub mod expression;
pub mod history;
pub mod hook;
pub mod journal;
pub mod lock;
pub mod lookup;
pub mod manage;
pub mod message;
pub mod meters;
pub mod nearest;
pub mod payload;
pub mod postgres;
pub mod preview;
pub mod reader;
pub mod receive;
pub mod run;
pub mod secret;
pub mod send;
pub mod server;
pub mod setup;
pub mod signature;
pub mod store;
pub mod trace;
