//! `[server]`: what rowhook itself listens on.

use super::{
    Server,
    reader::{Keys, Table, Value},
};

pub(super) const KEYS: Keys = Keys {
    known: &["listen", "admin_token"],
    later: &[],
};

pub(super) fn read(section: &Table<'_>) -> Option<Server> {
    let listen = section.need("listen", "listen = \"127.0.0.1:8640\", or remove [server]");
    let admin_token = section.find("admin_token").and_then(Value::secret);
    let listen = listen?;
    listen.not_yet();
    let text = listen.string()?;
    let address = text.parse().ok();
    if address.is_none() {
        listen.wrong(format!(
            "{} is no address to listen on; write an IP address and a port, such as \"127.0.0.1:8640\"",
            listen.quote(&text)
        ));
    }
    Some(Server {
        listen: address?,
        admin_token,
    })
}
