//! What a schema describes.

use crate::{config::Action, event::shape::Shape, postgres::relation::Relation};

/// An event, with everything that its bodies depend on.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The event's name.
    pub event: &'a str,
    /// What the event is about.
    pub about: About<'a>,
}

/// What an event is about.
#[derive(Debug, Clone, Copy)]
pub enum About<'a> {
    /// A change of a row.
    Row {
        /// The table of the row.
        relation: &'a Relation,
        /// What happens to the row.
        action: &'a Action,
        /// How bodies show the row: which columns, or by which template.
        shape: &'a Shape,
    },
    /// A payload that SQL passes, which can be any JSON.
    Anything,
}
