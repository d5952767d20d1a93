//! Decodes the messages of the `pgoutput` plugin, protocol version 1.
