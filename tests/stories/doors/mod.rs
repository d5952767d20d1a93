//! The doors of the server: who gets in, with what, for how long, and what they may do there.

mod expiry;
mod provider;
mod roles;
mod scopes;
mod sessions;
mod visit;
