//! A cluster: one rowhook reads the slot, and many send.
//!
//! The hooks are divided into partitions, each of which is with one sender at a time. The reader hands the deliveries
//! of a partition to its sender through NATS, together with the hooks that they are for, and keeps their tickets until
//! the sender says that they are settled.
//!
//! What is between a reader and a sender is a link (`line`): packets that are numbered and sealed. NATS may lose any
//! of them. Whoever finds a gap begins the link anew, and then the reader hands on again what is not settled.
//!
//! Who has a partition is decided in a key-value bucket of NATS (`keeper`), and fenced in the database: an epoch is
//! counted up whenever a partition changes hands, and what is written in an older one is refused.
//!
//! A build without the feature `nats` has no clusters: what stands for them there cannot be made, and says why.

#[cfg(not(feature = "nats"))]
#[path = "no_dispatcher.rs"]
mod dispatcher;
#[cfg(not(feature = "nats"))]
#[path = "no_nats.rs"]
pub mod nats;
pub mod outlet;
pub mod parts;
#[cfg(not(feature = "nats"))]
#[path = "no_sender.rs"]
pub mod sender;

#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "nats")]
pub mod sender;

#[cfg(feature = "nats")]
mod beat;
#[cfg(feature = "nats")]
mod cipher;
#[cfg(feature = "nats")]
mod dispatcher;
#[cfg(feature = "nats")]
mod fair;
#[cfg(feature = "nats")]
mod frame;
#[cfg(feature = "nats")]
mod keeper;
#[cfg(feature = "nats")]
mod lease;
#[cfg(feature = "nats")]
mod line;
#[cfg(feature = "nats")]
mod packet;
#[cfg(feature = "nats")]
mod share;
#[cfg(feature = "nats")]
mod speaker;
#[cfg(feature = "nats")]
mod subjects;
#[cfg(feature = "nats")]
mod told;
#[cfg(feature = "nats")]
mod word;
