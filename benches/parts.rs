//! Micro-benchmarks of the pure parts: decoding a message, writing a row's JSON, rendering its body, finding its hooks,
//! and naming and signing its delivery. `cargo bench --bench parts`.

#[path = "instructions/src/fixture.rs"]
mod fixture;

use std::{hint::black_box, sync::Arc, time::SystemTime};

use criterion::{BenchmarkId, Criterion, Throughput};
use rowhook::{
    config::Pattern,
    delivery::id::message_id,
    hook::index::{Audience, Index},
    payload::Renderer,
    postgres::{equality::Equality, pgoutput},
    secret::Secret,
    signature::SigningKey,
};

use self::fixture::{EVENT, SECRET, book, change, event, hook, insert, tuple};

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
    let event = event(change(&Arc::new(book()), tuple()));
    let hook = hook("1", None);
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
    let position = event(change(&Arc::new(book()), tuple())).position;
    criterion.bench_function("the id of a delivery", |bencher| {
        bencher.iter(|| message_id("7000000000000000000", position, SystemTime::UNIX_EPOCH, "1"));
    });
}
