//! Asks the database for what a change does not carry: the owner of its row, values that the stream left out, generated
//! columns, the additions of `enrich`, and who may see the row.

pub mod casts;
pub mod computing;
pub mod enrich;
pub mod generated;
pub mod halves;
mod moment;
pub mod owner;
mod owner_query;
mod owner_rows;
pub mod partitions;
pub mod permission;
mod present;
pub mod query;
pub mod toast;
pub mod versions;
