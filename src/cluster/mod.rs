//! A cluster: one rowhook reads the slot, and many send.
//!
//! The hooks are divided into partitions, each of which is with one sender at a time. The reader hands the deliveries
//! of a partition to its sender through NATS, together with the hooks that they are for, and keeps their tickets until
//! the sender says that they are settled.
//!
//! What is between a reader and a sender is a [`link`](line): packets that are numbered and sealed. NATS may lose any
//! of them. Whoever finds a gap begins the link anew, and then the reader hands on again what is not settled.
//!
//! Who has a partition is decided in a key-value bucket of NATS ([`keeper`]), and fenced in the database: an epoch is
//! counted up whenever a partition changes hands, and what is written in an older one is refused.

pub mod nats;
pub mod outlet;
pub mod sender;

mod beat;
mod cipher;
mod dispatcher;
mod fair;
mod frame;
mod keeper;
mod lease;
mod line;
mod packet;
mod share;
mod speaker;
mod subjects;
mod told;
mod word;
