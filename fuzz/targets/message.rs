//! Messages that SQL writes into the WAL, which any role may.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use rowhook::{
    message::{Envelope, MessageKey, SqlMessage},
    postgres::Lsn,
};

fuzz_target!(|data: &[u8]| {
    let message = Bytes::copy_from_slice(data);
    let key = MessageKey::new(b"a key that nobody knows", Lsn::default());
    let envelope = Envelope {
        prefix: "rowhook",
        xid: 7,
        lsn: Lsn::default(),
    };
    let (content, doubt) = key.open(envelope, &message);
    assert!(doubt.is_some(), "nobody signs without the key");
    let _ = SqlMessage::parse(&content);
    let _ = SqlMessage::parse(&message);
});
