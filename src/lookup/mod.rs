//! What a change lacks and the database is asked for: the owner of its row, values that the stream left out, what is shown
//! beside the row, and who may see it.

pub mod asking;
pub mod enrich;
pub mod owner;
pub mod permission;
pub mod toast;
