//! A table as the stream describes it.

/// A table as a Relation message describes it, with what the catalog adds.
#[derive(Debug)]
pub struct Relation {}
