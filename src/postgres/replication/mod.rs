//! A replication session: an ordinary one that also takes the commands of replication, on a connection of our own, because
//! tokio-postgres has none that carries the stream.

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

/// The server accepts a stream in both directions.
const COPY_BOTH: u8 = b'W';
/// Postgres makes no message that is larger.
const LARGEST: usize = 1 << 30;

/// An open replication session. It ends with the value.
pub struct Connection {
    socket: Socket,
    /// What has come and is not read yet.
    unread: BytesMut,
}

/// Which server, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's system identifier, which a restored copy shares.
    pub system_identifier: String,
    /// The timeline, which a promoted standby changes.
    pub timeline: u32,
    /// How far the WAL was flushed when the session began.
    pub flushed: Lsn,
}

/// The kind of the message that begins here, and how many bytes it takes with its head; `None` until the head is there.
///
/// # Errors
/// When it is no head, or that of a message that is too large to be one.
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

/// The same of a message that has come to its end; `None` until it has.
///
/// # Errors
/// As [`head`].
pub(super) fn whole(unread: &[u8]) -> Result<Option<(u8, usize)>, Failure> {
    Ok(head(unread)?.filter(|(_, length)| *length <= unread.len()))
}

/// The settings of a session, as the server takes them at its start: those of the address, and then ours, which so override
/// them.
fn options(address: &Address, settings: &[(&str, &str)]) -> String {
    let theirs = address.options.iter().cloned();
    let ours = settings
        .iter()
        .map(|(name, value)| format!("-c {name}={value}"));
    theirs.chain(ours).collect::<Vec<_>>().join(" ")
}

impl Connection {
    /// Opens a session called `name` in pg_stat_replication, on the first of the hosts that lets us in. `settings` are made for
    /// it, after those of the address.
    ///
    /// # Errors
    /// What the last host answered.
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
            connection.log_in(address, name, options).await?;
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

    /// Which server this is.
    ///
    /// # Errors
    /// When the session breaks.
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

    /// Begins to stream, and gives away the connection for it, with what has come already.
    ///
    /// # Errors
    /// When the server refuses, or the session breaks.
    pub async fn start(mut self, command: &str) -> Result<(Socket, BytesMut), Failure> {
        self.send(|out| frontend::query(command, out)).await?;
        loop {
            match whole(&self.unread)? {
                // postgres-protocol does not know this answer, which says nothing but its kind.
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

    /// The one row of a query's result, as text.
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

    /// The next message of the server; a refusal is a failure.
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
