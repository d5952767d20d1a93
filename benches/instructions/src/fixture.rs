//! An event and what it is made of: a row of seven columns, and a hook that hears it.

use std::{sync::Arc, time::SystemTime};

use bytes::{BufMut, Bytes, BytesMut};
use rowhook::{
    change::{Change, RowChange, Transaction},
    config::{Delivery, Pattern},
    event::{Event, Position, Subject, shape::Shape},
    hook::{Hook, HookId, Origin},
    postgres::{
        Lsn, TableName,
        equality::Equality,
        pgoutput::{self, Message, ReplicaIdentity},
        relation::{Column, Relation},
        tuple::Tuple,
        types::Type,
    },
    secret::Secret,
    send::target::Target,
};
use url::Url;

/// The secret of the hook.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// The name of the event.
pub(crate) const EVENT: &str = "book.added";

/// The columns of a row: name, type, and the value as Postgres prints it.
const VALUES: [(&str, Type, &str); 6] = [
    ("id", Type::Integer, "123456"),
    ("user_id", Type::Integer, "42"),
    (
        "title",
        Type::Text,
        "The Restaurant at the End of the Universe",
    ),
    ("price", Type::Numeric, "7.99"),
    ("added", Type::TimestampTz, "2026-05-01 12:00:00.123456+00"),
    ("in_print", Type::Bool, "t"),
];

/// The pgoutput message for an insert of such a row, with a note of 270 bytes as its last column.
pub(crate) fn insert() -> Bytes {
    let note = "x".repeat(270);
    let mut message = BytesMut::new();
    message.put_u8(b'I');
    message.put_u32(16_384);
    message.put_u8(b'N');
    message.put_u16(VALUES.len() as u16 + 1);
    for text in VALUES
        .iter()
        .map(|(_, _, text)| *text)
        .chain([note.as_str()])
    {
        message.put_u8(b't');
        message.put_u32(text.len() as u32);
        message.put_slice(text.as_bytes());
    }
    message.freeze()
}

/// The values of that insert.
pub(crate) fn tuple() -> Tuple {
    let Ok(Message::Insert { new, .. }) = pgoutput::decode(insert()) else {
        unreachable!("it was just written as one");
    };
    new
}

/// The table of such rows.
pub(crate) fn book() -> Relation {
    let columns = VALUES
        .into_iter()
        .chain([("note", Type::Text, "")])
        .map(|(name, ty, _)| Column {
            name: name.into(),
            ty: Arc::new(ty),
            type_oid: 0,
            sql_type: "text".into(),
            nullable: false,
            identity_key: name == "id",
            generated: false,
            toastable: false,
            unchecked: false,
            foreign_key: false,
            hidden: false,
        });
    Relation {
        oid: 16_384,
        schema: "public".into(),
        name: "book".into(),
        stored_as: TableName {
            schema: "public".into(),
            name: "book".into(),
        },
        numbers: Vec::new(),
        identity: ReplicaIdentity::Default,
        columns: columns.collect(),
        primary_key: vec![0],
        key_equals: vec!["operator(pg_catalog.=)".into()],
        key: vec![0],
    }
}

/// An insert of such a row, with these values.
pub(crate) fn change(relation: &Arc<Relation>, new: Tuple) -> Change {
    Change {
        relation: Arc::clone(relation),
        row: RowChange::Insert { new },
        transaction: Arc::new(Transaction {
            commit_lsn: Lsn(1 << 32),
            commit_time: SystemTime::UNIX_EPOCH,
            xid: 1,
        }),
    }
}

/// The event of an insert, for the hooks of owner 42.
pub(crate) fn event(change: Change) -> Event {
    Event {
        name: EVENT.into(),
        subject: Subject::Row {
            change: Arc::new(change),
            shape: Arc::new(Shape::default()),
            added: Vec::new(),
        },
        owner: Some("42".into()),
        position: Position {
            commit_lsn: Lsn(1 << 32),
            index: 0,
        },
        commit_time: SystemTime::UNIX_EPOCH,
        owner_equality: Equality::Integer,
    }
}

/// A hook on all events, with a signature; `None`: of everyone.
pub(crate) fn hook(id: &str, owner: Option<&str>) -> Hook {
    let url = Url::parse("https://example.com/hook");
    let target = url
        .ok()
        .and_then(|url| Target::new(&url, Some(&Secret::new(SECRET)), &[]).ok());
    Hook {
        id: HookId::new(id, true),
        owner: owner.map(Arc::from),
        events: [Pattern::Any].into(),
        filter: None,
        target: target.unwrap_or_else(|| unreachable!("both are good")),
        delivery: Arc::new(Delivery::default()),
        since: None,
        active: true,
        origin: Origin::Table,
    }
}
