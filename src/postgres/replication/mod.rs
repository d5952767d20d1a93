//! Connections in replication mode: ordinary queries, and the commands of the replication protocol.
//!
//! tokio-postgres does not support the stream, so these connections speak the protocol themselves.

use bytes::{Buf, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::{backend::Message, frontend};

use super::{
    Lsn,
    address::Address,
    connect::{self, session},
    failure::Failure,
    wire::{Wire, whole},
};

pub use super::wire::Socket;

/// The kind of CopyBothResponse: a stream in both directions begins.
const COPY_BOTH: u8 = b'W';

/// An open connection in replication mode. Dropping it closes it.
pub struct Connection {
    wire: Wire,
}

/// The answer to IDENTIFY_SYSTEM: which server this is, and how far its WAL goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The system identifier of the cluster. A copy that was restored from a backup has the same one.
    pub system_identifier: String,
    /// The timeline. It changes when a standby is promoted.
    pub timeline: u32,
    /// The position up to which the WAL is flushed.
    pub flushed: Lsn,
}

/// The `options` of the startup message: those of the address, and then `settings`, which override them.
fn options(address: &Address, settings: &[(&str, &str)]) -> String {
    let theirs = address.options.iter().cloned();
    let ours = settings
        .iter()
        .map(|(name, value)| format!("-c {name}={value}"));
    theirs.chain(ours).collect::<Vec<_>>().join(" ")
}

impl Connection {
    /// Opens a connection on the first host that accepts it. `name` is its name in pg_stat_replication. `settings`
    /// override those of the address.
    ///
    /// # Errors
    /// If no host accepts it: the error of the last one.
    pub async fn open(
        address: &Address,
        name: &str,
        settings: &[(&str, &str)],
    ) -> Result<Self, connect::Error> {
        let options = options(address, settings);
        let startup = [
            ("replication", "database"),
            ("application_name", name),
            ("options", options.as_str()),
        ];
        let entered = address.enter(&startup, true).await?;
        let told = |name: &str| entered.parameters.get(name).map(String::as_str);
        let mut later = Vec::new();
        if told("server_encoding") == Some("SQL_ASCII") {
            // Such a database checks no encoding. Asked for UTF-8, the server would end the stream at the first text
            // that is not, each time anew.
            later.push("select set_config('client_encoding', 'SQL_ASCII', false)");
        }
        if session::has_transaction_timeout(told("server_version").and_then(session::major)) {
            // To the server, decoding a transaction is one itself.
            later.push("select set_config('transaction_timeout', '0', false)");
        }
        let mut connection = Self { wire: entered.wire };
        for sql in later {
            let set = connection.row(sql).await;
            set.map_err(|failure| address.failed(failure))?;
        }
        Ok(connection)
    }

    /// Asks the server who it is.
    ///
    /// # Errors
    /// If the connection breaks, or the server refuses.
    pub async fn identify(&mut self) -> Result<Identity, Failure> {
        let row = self.row("IDENTIFY_SYSTEM").await?;
        let [system_identifier, timeline, flushed, ..] = row.as_slice() else {
            return Err(Failure::protocol("IDENTIFY_SYSTEM has too few columns"));
        };
        Ok(Identity {
            system_identifier: system_identifier.clone(),
            timeline: timeline.parse().map_err(Failure::protocol)?,
            flushed: flushed.parse().map_err(Failure::protocol)?,
        })
    }

    /// Starts the stream with `command`. Returns the socket that carries it, and the bytes that have already been
    /// received.
    ///
    /// # Errors
    /// If the server refuses, or the connection breaks.
    pub async fn start(self, command: &str) -> Result<(Socket, BytesMut), Failure> {
        let mut wire = self.wire;
        wire.send(|out| frontend::query(command, out)).await?;
        loop {
            match whole(&wire.unread)? {
                // postgres-protocol does not know CopyBothResponse. Nothing of it matters but its kind.
                Some((COPY_BOTH, length)) => {
                    wire.unread.advance(length);
                    return Ok((wire.socket, wire.unread));
                }
                Some(_) => {
                    wire.receive().await?;
                }
                None => wire.read().await?,
            }
        }
    }

    /// Runs a command that has no result.
    ///
    /// # Errors
    /// If the server refuses, or the connection breaks.
    pub async fn command(&mut self, command: &str) -> Result<(), Failure> {
        self.row(command).await.map(drop)
    }

    /// Runs a query, and returns the values of its last row as text.
    async fn row(&mut self, sql: &str) -> Result<Vec<String>, Failure> {
        self.wire.send(|out| frontend::query(sql, out)).await?;
        let mut columns = Vec::new();
        loop {
            match self.wire.receive().await? {
                Message::DataRow(row) => {
                    let values = row.ranges().map(|range| {
                        let value = row.buffer().get(range.unwrap_or_default());
                        Ok(String::from_utf8_lossy(value.unwrap_or_default()).into_owned())
                    });
                    columns = values.collect().map_err(Failure::protocol)?;
                }
                Message::ReadyForQuery(_) => return Ok(columns),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_settings_come_after_those_of_the_address() {
        let of = |url| {
            let address = Address::parse_with(url, &|_| None).unwrap();
            options(&address, &[("c", "d"), ("e", "f")])
        };
        assert_eq!(
            of("postgres://u@h/d?options=-c%20a%3Db"),
            "-c a=b -c c=d -c e=f"
        );
        assert_eq!(of("postgres://u@h/d"), "-c c=d -c e=f");
    }
}
