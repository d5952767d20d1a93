//! rowhook: webhooks from any Postgres database, with zero changes to the application.

pub mod change;
pub mod config;
pub mod delivery;
pub mod demo;
pub mod filter;
pub mod postgres;
