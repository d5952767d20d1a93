//! The other end: receives webhooks, verifies them, and has tasks run on what they say.

pub mod attempt;
pub mod broom;
pub mod envelope;
pub mod task;
pub mod verify;
