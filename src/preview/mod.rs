//! What rowhook would do, without doing it: which events and hooks a change would fire, and what the bodies look like.

pub mod asyncapi;
pub mod catalogue;
mod embedding;
pub mod example;
pub mod explain;
pub mod openapi;
pub mod rehearsal;
pub mod sample;
pub mod schema;

/// The headers of each request that receivers need, with what they hold.
const HEADERS: [(&str, &str); 3] = [
    (
        "webhook-id",
        "The id of the delivery, the same in each attempt.",
    ),
    (
        "webhook-timestamp",
        "When this attempt was made, in seconds since 1970.",
    ),
    (
        "webhook-signature",
        "The signatures, separated by spaces; there is none where the hook has no secret.",
    ),
];
