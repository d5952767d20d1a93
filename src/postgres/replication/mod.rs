//! Connections in replication mode: ordinary queries, and the commands of the replication protocol.
//!
//! tokio-postgres does not support the stream, so these connections speak the protocol themselves.

mod login;
mod socket;

use std::io;

use bytes::{Buf, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::{
    backend::{Header, Message},
    frontend,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub use self::socket::Socket;
use super::{
    Lsn,
    address::{Address, Host},
    connect::{self, Reason},
    failure::Failure,
};

/// The kind of CopyBothResponse: a stream in both directions begins.
const COPY_BOTH: u8 = b'W';
/// The largest message that Postgres sends, in bytes.
const LARGEST: usize = 1 << 30;

/// An open connection in replication mode. Dropping it closes it.
pub struct Connection {
    socket: Socket,
    /// Bytes that have been received and not yet been parsed.
    unread: BytesMut,
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

/// The kind of the next message and its length in bytes, with its header. Returns `None` until the header has been
/// received.
///
/// # Errors
/// If it is not a header, or is that of a message larger than Postgres sends.
pub(super) fn head(unread: &[u8]) -> Result<Option<(u8, usize)>, Failure> {
    let Some(header) = Header::parse(unread).map_err(Failure::protocol)? else {
        return Ok(None);
    };
    match usize::try_from(header.len()) {
        Ok(length) if length <= LARGEST => Ok(Some((header.tag(), length + 1))),
        _ => Err(Failure::protocol(format!(
            "a message of {} bytes",
            header.len()
        ))),
    }
}

/// The kind of the next message and its length in bytes, with its header. Returns `None` until all of it has been
/// received.
///
/// # Errors
/// If it does not begin with a header, or is larger than Postgres sends.
pub(super) fn whole(unread: &[u8]) -> Result<Option<(u8, usize)>, Failure> {
    Ok(head(unread)?.filter(|(_, length)| *length <= unread.len()))
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
        let open = |host| Self::open_on(host, address, name, &options);
        address.on_first_host(open).await
    }

    async fn open_on(
        host: &Host,
        address: &Address,
        name: &str,
        options: &str,
    ) -> Result<Self, Reason> {
        let opening = async {
            let mut connection = Self {
                socket: socket::open(address, host).await?,
                unread: BytesMut::new(),
            };
            let encoding = connection.log_in(address, name, options).await?;
            if encoding.as_deref() == Some("SQL_ASCII") {
                // Such a database checks no encoding. Asked for UTF-8, the server would end the stream at the first
                // text that is not, each time anew.
                connection
                    .row("select set_config('client_encoding', 'SQL_ASCII', false)")
                    .await?;
            }
            if address.read_write {
                let row = connection.row("show transaction_read_only").await?;
                if row.first().is_some_and(|setting| setting == "on") {
                    return Err(Failure::ReadOnly);
                }
            }
            Ok(connection)
        };
        opening.await.map_err(|failure| address.refused(failure))
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
    pub async fn start(mut self, command: &str) -> Result<(Socket, BytesMut), Failure> {
        self.send(|out| frontend::query(command, out)).await?;
        loop {
            match whole(&self.unread)? {
                // postgres-protocol does not know CopyBothResponse. Nothing of it matters but its kind.
                Some((COPY_BOTH, length)) => {
                    self.unread.advance(length);
                    return Ok((self.socket, self.unread));
                }
                Some(_) => {
                    self.receive().await?;
                }
                None => self.read().await?,
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
        self.send(|out| frontend::query(sql, out)).await?;
        let mut columns = Vec::new();
        loop {
            match self.receive().await? {
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

    async fn send(
        &mut self,
        write: impl FnOnce(&mut BytesMut) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let mut out = BytesMut::new();
        write(&mut out)?;
        self.socket.write_all(&out).await?;
        Ok(self.socket.flush().await?)
    }

    /// Receives the next message of the server. An ErrorResponse is an error.
    async fn receive(&mut self) -> Result<Message, Failure> {
        loop {
            match Message::parse(&mut self.unread).map_err(Failure::protocol)? {
                Some(Message::ErrorResponse(error)) => return Err(Failure::refused(&error)),
                Some(message) => return Ok(message),
                None => self.read().await?,
            }
        }
    }

    async fn read(&mut self) -> Result<(), Failure> {
        match self.socket.read_buf(&mut self.unread).await? {
            0 => Err(Failure::closed()),
            _ => Ok(()),
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

    #[test]
    fn a_message_is_whole_when_all_of_it_has_come_and_none_is_larger_than_postgres_makes() {
        let message = b"d\0\0\0\x06ab";
        for come in 0..5 {
            assert_eq!(head(&message[..come]).unwrap(), None);
        }
        assert_eq!(head(&message[..5]).unwrap(), Some((b'd', 7)));
        assert_eq!(whole(&message[..6]).unwrap(), None);
        assert_eq!(whole(message).unwrap(), Some((b'd', 7)));
        for length in [3, -1, i32::MAX] {
            let head_of = [&b"d"[..], &length.to_be_bytes()].concat();
            assert!(
                matches!(head(&head_of), Err(Failure::Protocol(_))),
                "{length}"
            );
        }
    }
}
