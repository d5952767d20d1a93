//! What rowhook would do, told without doing it: how a row is judged, what a hook would be sent, and what bodies look like.

pub mod explain;
pub mod rehearsal;
pub mod schema;
