//! Addresses of databases: URLs and key=value strings.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rowhook::postgres::address::Address;

fuzz_target!(|text: &str| {
    // Neither the environment nor a file counts: what a text means is to depend on the text alone.
    let home = |name: &str| (name == "HOME").then(|| "/nonexistent".to_owned());
    if let Ok(address) = Address::parse_with(text, &home) {
        assert!(!address.hosts.is_empty(), "there is a host to connect to");
    }
});
