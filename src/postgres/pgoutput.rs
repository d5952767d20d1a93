//! Decodes the messages of the output plugin `pgoutput`, protocol version 1.
//!
//! Values are slices of the message, not copies. Any bytes decode to a message or to an error; none cause a panic.

use std::time::SystemTime;

use bytes::Bytes;
use thiserror::Error;

use super::{
    Lsn, time,
    tuple::{Old, Tuple, Value},
};

/// A message of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// The beginning of a transaction, which has already been committed.
    Begin {
        /// The LSN of its commit record.
        commit_lsn: Lsn,
        /// When it was committed.
        commit_time: SystemTime,
        /// Its transaction id.
        xid: u32,
    },
    /// The end of a transaction.
    Commit {
        /// The LSN of its commit record.
        commit_lsn: Lsn,
        /// The end of its commit record. Confirming this LSN confirms the transaction.
        end_lsn: Lsn,
        /// When it was committed.
        commit_time: SystemTime,
    },
    /// The origin of the transaction, which was replicated from another server.
    Origin {
        /// The LSN of the commit on the other server.
        commit_lsn: Lsn,
        /// The name of the replication origin.
        name: String,
    },
    /// The columns of a table, valid from here on.
    Relation(RelationMessage),
    /// A type that is not built in.
    Type {
        /// Its oid.
        oid: u32,
        /// Its schema.
        schema: String,
        /// Its name.
        name: String,
    },
    /// A row was inserted.
    Insert {
        /// The table's oid.
        relation: u32,
        /// The new row.
        new: Tuple,
    },
    /// A row was updated.
    Update {
        /// The table's oid.
        relation: u32,
        /// What is known of the old row.
        old: Old,
        /// The new row.
        new: Tuple,
    },
    /// A row was deleted.
    Delete {
        /// The table's oid.
        relation: u32,
        /// What is known of the deleted row.
        old: Old,
    },
    /// One or more tables were truncated by one command.
    Truncate {
        /// The oids of the tables.
        relations: Vec<u32>,
        /// Whether CASCADE was given.
        cascade: bool,
        /// Whether RESTART IDENTITY was given.
        restart_identity: bool,
    },
    /// A message that was sent by `pg_logical_emit_message`.
    Message {
        /// Whether it belongs to a transaction. If not, it comes outside of Begin and Commit.
        transactional: bool,
        /// Its LSN.
        lsn: Lsn,
        /// Its prefix, which names the application that it is for.
        prefix: String,
        /// Its content.
        content: Bytes,
    },
}

/// The description of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationMessage {
    /// The table's oid.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its replica identity.
    pub identity: ReplicaIdentity,
    /// Its columns, in order, without generated ones.
    pub columns: Vec<ColumnMessage>,
}

/// The description of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnMessage {
    /// Whether it is part of the replica identity.
    pub identity_key: bool,
    /// Its name.
    pub name: String,
    /// The oid of its type.
    pub type_oid: u32,
    /// The modifier of its type; -1 if there is none.
    pub type_modifier: i32,
}

/// Which columns of an old row are written to the WAL: `pg_class.relreplident`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaIdentity {
    /// Those of the primary key.
    Default,
    /// None.
    Nothing,
    /// All columns.
    Full,
    /// Those of a unique index.
    Index,
}

/// Why bytes are not a message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The message ends too early.
    #[error("{reading}: the message ends after {length} bytes")]
    TooShort {
        /// What was being read.
        reading: &'static str,
        /// The length of the message, in bytes.
        length: usize,
    },
    /// There are bytes after the end of the message.
    #[error("{left} bytes after the end of a message of kind {kind:?}")]
    TooLong {
        /// The message's first byte.
        kind: char,
        /// How many bytes there are.
        left: usize,
    },
    /// A byte does not have one of its possible values.
    #[error("{reading}: {found:?} at byte {at} means nothing")]
    Unknown {
        /// What was being read.
        reading: &'static str,
        /// The byte that was found.
        found: char,
        /// Its position, in bytes.
        at: usize,
    },
    /// A name is not in UTF-8, which is the client_encoding of the session.
    #[error("{reading}: not UTF-8 at byte {at}")]
    NotText {
        /// What was being read.
        reading: &'static str,
        /// Where the name begins, in bytes.
        at: usize,
    },
    /// A prepared transaction came, which may never be committed. Only a slot that has two_phase sends these.
    #[error(
        "a prepared transaction came (a message of kind {kind:?}), because the slot has two_phase now: rowhook reads \
         what is committed; set [database] slot to a name that is free, and send what is missing with rowhook backfill"
    )]
    Prepared {
        /// The message's first byte.
        kind: char,
    },
    /// A part of a transaction came before its commit, which is not requested.
    #[error(
        "part of a transaction came before its commit (a message of kind {kind:?}), which rowhook did not ask for: is \
         there a proxy in between? Give the server's own address in [database] url"
    )]
    Streamed {
        /// The message's first byte.
        kind: char,
    },
    /// No version of the protocol that is known here has such a message.
    #[error(
        "a message came of the kind {kind:?}, which this version of rowhook does not know: the server may be newer than \
         it; install a newer rowhook"
    )]
    UnknownKind {
        /// The message's first byte.
        kind: char,
    },
    /// A value is in binary format, which is not requested.
    #[error("a value at byte {at} is in binary format")]
    Binary {
        /// The position of its format, in bytes.
        at: usize,
    },
}

/// Decodes one message.
///
/// # Errors
/// If the bytes are not exactly one message of protocol version 1.
pub fn decode(data: Bytes) -> Result<Message, Error> {
    let mut cursor = Cursor { data, at: 0 };
    let kind = cursor.u8("the kind of message")?;
    let message = match kind {
        b'B' => cursor.begin()?,
        b'C' => cursor.commit()?,
        b'O' => Message::Origin {
            commit_lsn: cursor.lsn("Origin")?,
            name: cursor.text("the origin's name")?,
        },
        b'R' => cursor.relation()?,
        b'Y' => Message::Type {
            oid: cursor.u32("Type")?,
            schema: cursor.schema("the type's schema")?,
            name: cursor.text("the type's name")?,
        },
        b'I' => cursor.insert()?,
        b'U' => cursor.update()?,
        b'D' => cursor.delete()?,
        b'T' => cursor.truncate()?,
        b'M' => cursor.message()?,
        b'b' | b'P' | b'K' | b'r' | b'p' => return Err(Error::Prepared { kind: kind.into() }),
        b'S' | b'E' | b'c' | b'A' => return Err(Error::Streamed { kind: kind.into() }),
        _ => return Err(Error::UnknownKind { kind: kind.into() }),
    };
    match cursor.data.len() - cursor.at {
        0 => Ok(message),
        left => Err(Error::TooLong {
            kind: char::from(kind),
            left,
        }),
    }
}

struct Cursor {
    data: Bytes,
    at: usize,
}

impl Cursor {
    fn begin(&mut self) -> Result<Message, Error> {
        Ok(Message::Begin {
            commit_lsn: self.lsn("Begin")?,
            commit_time: self.time("Begin")?,
            xid: self.u32("Begin")?,
        })
    }

    fn commit(&mut self) -> Result<Message, Error> {
        self.u8("Commit")?;
        Ok(Message::Commit {
            commit_lsn: self.lsn("Commit")?,
            end_lsn: self.lsn("Commit")?,
            commit_time: self.time("Commit")?,
        })
    }

    fn relation(&mut self) -> Result<Message, Error> {
        let oid = self.u32("Relation")?;
        let schema = self.schema("the table's schema")?;
        let name = self.text("the table's name")?;
        let identity = match self.u8("the replica identity")? {
            b'd' => ReplicaIdentity::Default,
            b'n' => ReplicaIdentity::Nothing,
            b'f' => ReplicaIdentity::Full,
            b'i' => ReplicaIdentity::Index,
            other => return Err(self.unknown("the replica identity", other)),
        };
        let columns = self.list("the columns", |cursor| {
            Ok(ColumnMessage {
                identity_key: cursor.u8("a column's flags")? & 1 == 1,
                name: cursor.text("a column's name")?,
                type_oid: cursor.u32("a column's type")?,
                type_modifier: cursor.i32("a column's type")?,
            })
        })?;
        Ok(Message::Relation(RelationMessage {
            oid,
            schema,
            name,
            identity,
            columns,
        }))
    }

    fn insert(&mut self) -> Result<Message, Error> {
        let relation = self.u32("Insert")?;
        match self.u8("Insert")? {
            b'N' => Ok(Message::Insert {
                relation,
                new: self.tuple()?,
            }),
            other => Err(self.unknown("Insert", other)),
        }
    }

    fn update(&mut self) -> Result<Message, Error> {
        let relation = self.u32("Update")?;
        let old = match self.u8("Update")? {
            b'N' => {
                return Ok(Message::Update {
                    relation,
                    old: Old::SameKey,
                    new: self.tuple()?,
                });
            }
            b'K' => Old::Key(self.tuple()?),
            b'O' => Old::Full(self.tuple()?),
            other => return Err(self.unknown("Update", other)),
        };
        match self.u8("Update")? {
            b'N' => Ok(Message::Update {
                relation,
                old,
                new: self.tuple()?,
            }),
            other => Err(self.unknown("Update", other)),
        }
    }

    fn delete(&mut self) -> Result<Message, Error> {
        let relation = self.u32("Delete")?;
        let old = match self.u8("Delete")? {
            b'K' => Old::Key(self.tuple()?),
            b'O' => Old::Full(self.tuple()?),
            other => return Err(self.unknown("Delete", other)),
        };
        Ok(Message::Delete { relation, old })
    }

    fn truncate(&mut self) -> Result<Message, Error> {
        let count = self.u32("Truncate")?;
        let flags = self.u8("Truncate")?;
        let relations = (0..count)
            .map(|_| self.u32("the truncated tables"))
            .collect::<Result<_, _>>()?;
        Ok(Message::Truncate {
            relations,
            cascade: flags & 1 != 0,
            restart_identity: flags & 2 != 0,
        })
    }

    fn message(&mut self) -> Result<Message, Error> {
        let transactional = self.u8("Message")? & 1 == 1;
        let lsn = self.lsn("Message")?;
        let prefix = self.text("the message's prefix")?;
        let length = self.length("the message's content")?;
        Ok(Message::Message {
            transactional,
            lsn,
            prefix,
            content: self.take(length, "the message's content")?,
        })
    }

    fn tuple(&mut self) -> Result<Tuple, Error> {
        self.list("the values", |cursor| match cursor.u8("a value")? {
            b'n' => Ok(Value::Null),
            b'u' => Ok(Value::Unchanged),
            b't' => {
                let length = cursor.length("a value")?;
                Ok(Value::Text(cursor.take(length, "a value")?))
            }
            b'b' => Err(Error::Binary { at: cursor.at - 1 }),
            other => Err(cursor.unknown("a value", other)),
        })
    }

    fn list<T>(
        &mut self,
        reading: &'static str,
        item: impl Fn(&mut Self) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let count = u16::from_be_bytes(self.array(reading)?);
        (0..count).map(|_| item(self)).collect()
    }

    /// Reads the name of a schema. The stream leaves it empty for pg_catalog.
    fn schema(&mut self, reading: &'static str) -> Result<String, Error> {
        let schema = self.text(reading)?;
        Ok(if schema.is_empty() {
            "pg_catalog".to_owned()
        } else {
            schema
        })
    }

    /// Reads a text that ends with a zero byte.
    fn text(&mut self, reading: &'static str) -> Result<String, Error> {
        let at = self.at;
        let rest = self.data.get(at..).unwrap_or_default();
        let Some(length) = rest.iter().position(|byte| *byte == 0) else {
            return Err(self.too_short(reading));
        };
        let text =
            std::str::from_utf8(&rest[..length]).map_err(|_| Error::NotText { reading, at })?;
        let text = text.to_owned();
        self.at += length + 1;
        Ok(text)
    }

    fn lsn(&mut self, reading: &'static str) -> Result<Lsn, Error> {
        Ok(Lsn(u64::from_be_bytes(self.array(reading)?)))
    }

    fn time(&mut self, reading: &'static str) -> Result<SystemTime, Error> {
        Ok(time::from_micros(i64::from_be_bytes(self.array(reading)?)))
    }

    /// Reads a length, which must not be negative. One that is too large is an error later, in `take`.
    fn length(&mut self, reading: &'static str) -> Result<usize, Error> {
        usize::try_from(self.i32(reading)?).map_err(|_| self.too_short(reading))
    }

    fn u32(&mut self, reading: &'static str) -> Result<u32, Error> {
        Ok(u32::from_be_bytes(self.array(reading)?))
    }

    fn i32(&mut self, reading: &'static str) -> Result<i32, Error> {
        Ok(i32::from_be_bytes(self.array(reading)?))
    }

    fn u8(&mut self, reading: &'static str) -> Result<u8, Error> {
        let [byte] = self.array(reading)?;
        Ok(byte)
    }

    fn array<const N: usize>(&mut self, reading: &'static str) -> Result<[u8; N], Error> {
        let bytes = self.data.get(self.at..).and_then(|rest| rest.first_chunk());
        let bytes = *bytes.ok_or_else(|| self.too_short(reading))?;
        self.at += N;
        Ok(bytes)
    }

    fn take(&mut self, length: usize, reading: &'static str) -> Result<Bytes, Error> {
        if length > self.data.len() - self.at {
            return Err(self.too_short(reading));
        }
        let bytes = self.data.slice(self.at..self.at + length);
        self.at += length;
        Ok(bytes)
    }

    fn too_short(&self, reading: &'static str) -> Error {
        Error::TooShort {
            reading,
            length: self.data.len(),
        }
    }

    /// The error for the byte that was read last.
    fn unknown(&self, reading: &'static str, found: u8) -> Error {
        Error::Unknown {
            reading,
            found: char::from(found),
            at: self.at - 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Encodes what the decoder decodes.
    #[derive(Default)]
    struct Encoder(Vec<u8>);

    impl Encoder {
        fn bytes(mut self, bytes: &[u8]) -> Self {
            self.0.extend_from_slice(bytes);
            self
        }

        fn u32(self, number: u32) -> Self {
            self.bytes(&number.to_be_bytes())
        }

        fn u64(self, number: u64) -> Self {
            self.bytes(&number.to_be_bytes())
        }

        fn text(self, text: &str) -> Self {
            self.bytes(text.as_bytes()).bytes(&[0])
        }

        fn tuple(mut self, tuple: &Tuple) -> Self {
            self = self.bytes(&u16::try_from(tuple.len()).unwrap().to_be_bytes());
            for value in tuple {
                self = match value {
                    Value::Null => self.bytes(b"n"),
                    Value::Unchanged => self.bytes(b"u"),
                    Value::Text(text) => self
                        .bytes(b"t")
                        .u32(u32::try_from(text.len()).unwrap())
                        .bytes(text),
                };
            }
            self
        }

        fn old(self, old: &Old) -> Self {
            match old {
                Old::SameKey => self,
                Old::Key(tuple) => self.bytes(b"K").tuple(tuple),
                Old::Full(tuple) => self.bytes(b"O").tuple(tuple),
            }
        }

        fn relation(self, relation: &RelationMessage) -> Self {
            let identity = match relation.identity {
                ReplicaIdentity::Default => b"d",
                ReplicaIdentity::Nothing => b"n",
                ReplicaIdentity::Full => b"f",
                ReplicaIdentity::Index => b"i",
            };
            let count = u16::try_from(relation.columns.len()).unwrap();
            let head = self
                .bytes(b"R")
                .u32(relation.oid)
                .text(&relation.schema)
                .text(&relation.name);
            let head = head.bytes(identity).bytes(&count.to_be_bytes());
            relation.columns.iter().fold(head, Self::column)
        }

        fn column(self, column: &ColumnMessage) -> Self {
            self.bytes(&[column.identity_key.into()])
                .text(&column.name)
                .u32(column.type_oid)
                .bytes(&column.type_modifier.to_be_bytes())
        }

        fn truncate(self, relations: &[u32], flags: u8) -> Self {
            let count = u32::try_from(relations.len()).unwrap();
            let head = self.bytes(b"T").u32(count).bytes(&[flags]);
            relations
                .iter()
                .fold(head, |encoder, oid| encoder.u32(*oid))
        }

        fn message(self, message: &Message) -> Vec<u8> {
            match message {
                Message::Begin {
                    commit_lsn,
                    commit_time,
                    xid,
                } => self
                    .bytes(b"B")
                    .u64(commit_lsn.0)
                    .u64(time::to_micros(*commit_time).cast_unsigned())
                    .u32(*xid),
                Message::Commit {
                    commit_lsn,
                    end_lsn,
                    commit_time,
                } => self
                    .bytes(b"C\0")
                    .u64(commit_lsn.0)
                    .u64(end_lsn.0)
                    .u64(time::to_micros(*commit_time).cast_unsigned()),
                Message::Origin { commit_lsn, name } => {
                    self.bytes(b"O").u64(commit_lsn.0).text(name)
                }
                Message::Relation(message) => self.relation(message),
                Message::Type { oid, schema, name } => {
                    self.bytes(b"Y").u32(*oid).text(schema).text(name)
                }
                Message::Insert { relation, new } => {
                    self.bytes(b"I").u32(*relation).bytes(b"N").tuple(new)
                }
                Message::Update { relation, old, new } => self
                    .bytes(b"U")
                    .u32(*relation)
                    .old(old)
                    .bytes(b"N")
                    .tuple(new),
                Message::Delete { relation, old } => self.bytes(b"D").u32(*relation).old(old),
                Message::Truncate {
                    relations,
                    cascade,
                    restart_identity,
                } => {
                    let flags = u8::from(*cascade) | u8::from(*restart_identity) << 1;
                    self.truncate(relations, flags)
                }
                Message::Message {
                    transactional,
                    lsn,
                    prefix,
                    content,
                } => {
                    let head = self
                        .bytes(b"M")
                        .bytes(&[(*transactional).into()])
                        .u64(lsn.0)
                        .text(prefix);
                    head.u32(u32::try_from(content.len()).unwrap())
                        .bytes(content)
                }
            }
            .0
        }
    }

    fn name() -> impl Strategy<Value = String> {
        "[a-zA-Zä ]{1,12}"
    }

    fn bytes() -> impl Strategy<Value = Bytes> {
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from)
    }

    fn commit_time() -> impl Strategy<Value = SystemTime> {
        (0_i64..1 << 50).prop_map(time::from_micros)
    }

    fn tuple() -> impl Strategy<Value = Tuple> {
        let value = prop_oneof![
            Just(Value::Null),
            Just(Value::Unchanged),
            bytes().prop_map(Value::Text)
        ];
        prop::collection::vec(value, 0..6)
    }

    fn known_old() -> impl Strategy<Value = Old> {
        prop_oneof![tuple().prop_map(Old::Key), tuple().prop_map(Old::Full)]
    }

    fn relation() -> impl Strategy<Value = RelationMessage> {
        let identity = prop_oneof![
            Just(ReplicaIdentity::Default),
            Just(ReplicaIdentity::Nothing),
            Just(ReplicaIdentity::Full),
            Just(ReplicaIdentity::Index)
        ];
        let column = (any::<bool>(), name(), any::<u32>(), any::<i32>()).prop_map(
            |(identity_key, name, type_oid, type_modifier)| ColumnMessage {
                identity_key,
                name,
                type_oid,
                type_modifier,
            },
        );
        (
            any::<u32>(),
            name(),
            name(),
            identity,
            prop::collection::vec(column, 0..5),
        )
            .prop_map(|(oid, schema, name, identity, columns)| RelationMessage {
                oid,
                schema,
                name,
                identity,
                columns,
            })
    }

    fn message() -> impl Strategy<Value = Message> {
        let lsn = || any::<u64>().prop_map(Lsn);
        prop_oneof![
            (lsn(), commit_time(), any::<u32>()).prop_map(|(commit_lsn, commit_time, xid)| {
                Message::Begin {
                    commit_lsn,
                    commit_time,
                    xid,
                }
            }),
            (lsn(), lsn(), commit_time()).prop_map(|(commit_lsn, end_lsn, commit_time)| {
                Message::Commit {
                    commit_lsn,
                    end_lsn,
                    commit_time,
                }
            }),
            (lsn(), name()).prop_map(|(commit_lsn, name)| Message::Origin { commit_lsn, name }),
            relation().prop_map(Message::Relation),
            (any::<u32>(), name(), name()).prop_map(|(oid, schema, name)| Message::Type {
                oid,
                schema,
                name
            }),
            (any::<u32>(), tuple()).prop_map(|(relation, new)| Message::Insert { relation, new }),
            (
                any::<u32>(),
                prop_oneof![Just(Old::SameKey), known_old()],
                tuple()
            )
                .prop_map(|(relation, old, new)| Message::Update {
                    relation,
                    old,
                    new
                }),
            (any::<u32>(), known_old())
                .prop_map(|(relation, old)| Message::Delete { relation, old }),
            (
                prop::collection::vec(any::<u32>(), 0..5),
                any::<bool>(),
                any::<bool>()
            )
                .prop_map(|(relations, cascade, restart_identity)| Message::Truncate {
                    relations,
                    cascade,
                    restart_identity
                }),
            (any::<bool>(), lsn(), name(), bytes()).prop_map(
                |(transactional, lsn, prefix, content)| {
                    Message::Message {
                        transactional,
                        lsn,
                        prefix,
                        content,
                    }
                }
            ),
        ]
    }

    proptest! {
        #[test]
        fn decode_is_the_inverse_of_encode(message in message()) {
            let encoded = Encoder::default().message(&message);
            prop_assert_eq!(decode(encoded.into()), Ok(message));
        }

        /// Every kind of message, cut at every byte or with one too many, is an error.
        #[test]
        fn a_message_that_is_cut_or_too_long_is_an_error(message in message()) {
            let encoded = Encoder::default().message(&message);
            for length in 0..encoded.len() {
                prop_assert!(decode(Bytes::copy_from_slice(&encoded[..length])).is_err(), "cut after {}", length);
            }
            prop_assert!(decode([&encoded[..], b"n"].concat().into()).is_err());
        }

        #[test]
        fn no_bytes_panic(kind in "[BCORYIUDTM]", rest in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode([kind.as_bytes(), &rest].concat().into());
        }
    }

    #[test]
    fn an_error_says_what_was_read_and_where() {
        let error =
            |bytes: &'static [u8]| decode(Bytes::from_static(bytes)).unwrap_err().to_string();
        assert_eq!(
            error(b""),
            "the kind of message: the message ends after 0 bytes"
        );
        assert_eq!(
            error(b"I\0\0\0\x01Z"),
            "Insert: 'Z' at byte 5 means nothing"
        );
        assert_eq!(
            error(b"I\0\0\0\x01N\0\x01b"),
            "a value at byte 8 is in binary format"
        );
        assert_eq!(
            error(b"I\0\0\0\x01N\0\x01t\xff\xff\xff\xff"),
            "a value: the message ends after 13 bytes"
        );
        assert_eq!(
            error(b"R\0\0\0\x01\xff\0"),
            "the table's schema: not UTF-8 at byte 5"
        );
    }

    #[test]
    fn a_message_that_was_not_asked_for_says_why_it_comes_and_what_to_do() {
        for (kinds, cause, remedy) in [
            (
                "bPKrp",
                "the slot has two_phase now",
                "set [database] slot to a name that is free",
            ),
            ("SEcA", "before its commit", "Give the server's own address"),
            ("ZX0", "does not know", "install a newer rowhook"),
        ] {
            for kind in kinds.bytes() {
                let error = decode(Bytes::copy_from_slice(&[kind, 0, 0])).unwrap_err();
                let error = error.to_string();
                assert!(error.contains(cause) && error.contains(remedy), "{error}");
                assert!(
                    error.contains(&format!("{:?}", char::from(kind))),
                    "{error}"
                );
            }
        }
    }
}
