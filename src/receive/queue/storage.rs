//! Where a queue is stored.

use std::path::PathBuf;

use crate::secret::Secret;

/// Where a queue is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// In a folder of this machine, used by one receiver at a time.
    Folder(PathBuf),
    /// In NATS JetStream at this URL, shared by any number of receivers. The URL may contain credentials.
    Nats(Secret),
}
