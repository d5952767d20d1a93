//! rowhook: webhooks from any Postgres database, with zero changes to the application.
//!
//! # The path of a row
//!
//! 1. [`postgres::stream`] receives a committed change from the replication slot, and [`postgres::pgoutput`] decodes it
//!    into a [`change`]. An event that SQL fires itself comes the same way, as a [`message`].
//! 2. [`event`] decides which events of hooks.toml the change is. Conditions are CEL, which [`expression`] evaluates.
//! 3. [`lookup`] reads from the database what the change does not say: values that the stream left out, the row's
//!    owner, columns of other tables, and who may see the row.
//! 4. [`hook`] finds the hooks that receive the event, and [`payload`] renders its body for each of them. With its
//!    hook, that is a [`delivery`].
//! 5. [`courier`] is a task for each hook. It carries the deliveries: it signs them with [`signature`], makes the
//!    requests with [`send`], and decides what is tried again and when. What cannot be delivered now is parked in the
//!    database by [`store`], and [`history`] records the attempts.
//! 6. [`delivery::ledger`] keeps account of what is settled: delivered, or durably parked or dead. Only that is
//!    confirmed to Postgres, which sends everything else again after a restart.
//!
//! In a [`cluster`], steps 5 and 6 have a network between them: one rowhook reads, and many send.
//!
//! [`before`] asks endpoints about what is not committed yet, in a stream of its own.
//!
//! [`reader`] drives steps 2 to 4, and [`run`] opens sessions with the database and keeps all of this going.
//!
//! # Around it
//!
//! [`config`] reads hooks.toml, and [`setup`] creates what rowhook needs in the database. [`preview`] answers what
//! would happen without doing it. [`manage`] is what people do with hooks and deliveries; [`cli`], [`server`] (the API
//! and the page) and [`console`] (`psql`) offer it to them. What they do goes on record as
//! an [`act`]. [`meters`], [`trace`] and [`journal`] make visible what happens, and [`demo`] shows it on a throwaway
//! Postgres.
//!
//! [`receive`] is the other end: it verifies webhooks, queues them, and runs tasks on them.

pub mod act;
pub mod backoff;
pub mod before;
pub mod change;
pub mod cli;
pub mod cluster;
pub mod config;
#[cfg(feature = "console")]
pub mod console;
pub mod courier;
pub mod delivery;
pub mod demo;
pub mod event;
pub mod expression;
pub mod files;
pub mod gzip;
pub mod history;
pub mod hook;
pub mod journal;
pub mod listen;
pub mod lock;
pub mod lookup;
pub mod manage;
pub mod message;
pub mod meters;
#[cfg(feature = "nats")]
pub mod nats;
pub mod nearest;
pub mod panics;
pub mod payload;
pub mod postgres;
pub mod preview;
pub mod reader;
pub mod receive;
pub mod run;
pub mod seal;
pub mod secret;
pub mod send;
pub mod server;
pub mod setup;
pub mod signature;
pub mod store;
pub mod terminal;
pub mod trace;

/// The Rust in the book, which is compiled with the other examples.
#[cfg(doctest)]
#[doc = include_str!("../docs/book/recipes/verifying.md")]
pub mod book {}
