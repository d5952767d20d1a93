//! Messages of the replication stream.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use rowhook::postgres::pgoutput::decode;

fuzz_target!(|data: &[u8]| {
    let message = decode(Bytes::copy_from_slice(data));
    // One byte more is never the same message.
    if message.is_ok() {
        assert!(decode([data, b"\0"].concat().into()).is_err());
    }
});
