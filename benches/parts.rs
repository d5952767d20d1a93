//! Micro-benchmarks of the pure parts: decoding a message, writing a row's JSON, rendering its body, finding its hooks,
//! and naming and signing its delivery. `cargo bench --bench parts`.

use std::{hint::black_box, sync::Arc, time::SystemTime};

use bytes::{BufMut, Bytes, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput};
use harness::SECRET;
use rowhook::{
    change::{Change, RowChange, Transaction},
    config::{Delivery, Pattern},
    delivery::id::message_id,
    event::{Event, Position, Subject, shape::Shape},
    hook::{
        Hook, HookId, Origin,
        index::{Audience, Index},
    },
    payload::Renderer,
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
    signature::SigningKey,
};
use url::Url;

const EVENT: &str = "book.added";

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    decode(&mut criterion);
    row_json(&mut criterion);
    render(&mut criterion);
    find_hooks(&mut criterion);
    sign(&mut criterion);
    criterion.final_summary();
}

fn decode(criterion: &mut Criterion) {
    let message = insert();
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Bytes(message.len() as u64));
    group.bench_function("an insert of 7 columns", |bencher| {
        bencher.iter(|| pgoutput::decode(black_box(message.clone())));
    });
    group.finish();
}

fn row_json(criterion: &mut Criterion) {
    let (relation, tuple) = (book(), tuple());
    let mut json = Vec::with_capacity(1024);
    criterion.bench_function("row JSON of 7 columns", |bencher| {
        bencher.iter(|| {
            json.clear();
            black_box(relation.write_row(&tuple, |column| Some(column.name.as_str()), &mut json))
        });
    });
    criterion.bench_function("lane of a row", |bencher| {
        bencher.iter(|| black_box(relation.lane(black_box(&tuple))));
    });
}

fn render(criterion: &mut Criterion) {
    let (event, hook) = (event(), hook("1", None));
    criterion.bench_function("a body in the default shape", |bencher| {
        bencher.iter(|| Renderer::new(black_box(&event)).render(&hook));
    });
}

fn find_hooks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("match");
    for hooks in [10, 10_000, 1_000_000] {
        // A hundred hooks for each owner, or fewer if there are not enough for ten owners.
        let owners = (hooks / 100).max(10);
        let names: Vec<String> = (0..hooks / owners)
            .map(|number| format!("{EVENT}.{number}"))
            .collect();
        let mut index = Index::new(names.iter().map(|name| name.as_str().into()));
        for number in 0..hooks {
            let mut hook = hook(&number.to_string(), Some(&(number % owners).to_string()));
            hook.events = [Pattern::Exact(names[number / owners].clone())].into();
            index.put(Arc::new(hook));
        }
        let event = &names[0];
        let owners: Vec<String> = (0..owners).map(|owner| owner.to_string()).collect();
        let mut turn = 0;
        group.bench_function(BenchmarkId::from_parameter(hooks), |bencher| {
            bencher.iter(|| {
                // A large prime step visits all owners in a scattered order.
                turn = (turn + 7919) % owners.len();
                let audience = Audience::Owner(Some(&owners[turn]), Equality::Integer);
                index
                    .matches(event, audience, SystemTime::UNIX_EPOCH)
                    .count()
            });
        });
    }
    group.finish();
}

fn sign(criterion: &mut Criterion) {
    let (Ok(key), body) = (SigningKey::parse(&Secret::new(SECRET)), vec![b'x'; 500]) else {
        return;
    };
    let id = "msg_57d71c7ec22173418dbd4a1ee2a38cf8";
    let mut group = criterion.benchmark_group("sign");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("a body of 500 bytes", |bencher| {
        bencher.iter(|| key.sign(id, black_box(1_700_000_000), &body));
    });
    group.finish();
    let position = event().position;
    criterion.bench_function("the id of a delivery", |bencher| {
        bencher.iter(|| message_id("7000000000000000000", position, SystemTime::UNIX_EPOCH, "1"));
    });
}

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
fn insert() -> Bytes {
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

fn tuple() -> Tuple {
    let Ok(Message::Insert { new, .. }) = pgoutput::decode(insert()) else {
        unreachable!("it was just written as one");
    };
    new
}

fn book() -> Relation {
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

fn event() -> Event {
    let change = Change {
        relation: Arc::new(book()),
        row: RowChange::Insert { new: tuple() },
        transaction: Arc::new(Transaction {
            commit_lsn: Lsn(1 << 32),
            commit_time: SystemTime::UNIX_EPOCH,
            xid: 1,
        }),
    };
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

fn hook(id: &str, owner: Option<&str>) -> Hook {
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
