//! Which rowhook holds a slot.

/// Finds whether a name ($2) is that of the holder of a slot ($1).
pub(super) const HOLDS: &str = "select from holder where slot = $1 and name = $2";

/// Who we are to other rowhooks on the same slot.
#[derive(Debug, Clone)]
pub struct Holder {
    /// The name of the slot.
    pub slot: String,
    /// A name that no other process has.
    pub name: String,
}
