//! What rowhook would do, without doing it: which events and hooks a change would fire, and what the bodies look like.

pub mod explain;
pub mod rehearsal;
pub mod schema;
