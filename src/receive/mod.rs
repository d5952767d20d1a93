//! The other end: receives webhooks, verifies them, and has tasks run on what they say.

pub mod attempt;
pub mod broom;
pub mod envelope;
pub mod gate;
pub mod http;
pub mod layer;
pub mod plugin;
pub mod print;
pub mod queue;
pub mod registry;
pub mod service;
pub mod task;
pub mod verify;
