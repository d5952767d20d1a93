//! The oracle of row JSON is Postgres itself: the JSON of a decoded row has to equal `to_jsonb(row)`.
//!
//! Rows go through a real logical slot and rowhook's own decoder, so this tests the whole way from the WAL to the JSON.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of this is a test")]

use bytes::Bytes;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use rowhook::{
    demo::cluster::Cluster,
    postgres::{
        pgoutput::{Message, decode},
        relation::Relation,
        types::SESSION,
    },
};
use tokio_postgres::{Client, NoTls};

/// The type of a column, and random values of it in SQL.
struct Typed {
    sql: &'static str,
    value: BoxedStrategy<String>,
}

fn typed<S: Strategy<Value = String> + 'static>(sql: &'static str, value: S) -> Typed {
    Typed {
        sql,
        value: value.boxed(),
    }
}

fn one_of(sql: &'static str, values: &'static [&'static str]) -> Typed {
    typed(sql, prop::sample::select(values).prop_map(literal))
}

fn literal(text: impl AsRef<str>) -> String {
    format!("'{}'", text.as_ref().replace('\'', "''"))
}

/// Texts with all characters that some kind of quoting treats specially.
fn awkward() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "", " ", "a", "NULL", "null", "\"", "\\", ",", ";", "{", "}", "(", ")", "[", "]", "=>",
            "=", ":", "\n", "\r", "\t", "\u{1}", "\u{7f}", "ä", "日本", "🦀", "'", "--", "$1",
            "\u{2028}",
        ])
        .prop_map(str::to_owned),
        "[a-z]{1,5}",
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

fn array_of(
    value: impl Strategy<Value = String>,
    ty: &'static str,
) -> impl Strategy<Value = String> {
    let value = prop_oneof![4 => value, 1 => Just("null".to_owned())];
    prop_oneof![
        4 => prop::collection::vec(value, 0..4).prop_map(move |items| format!("array[{}]::{ty}[]", items.join(","))),
        1 => Just("null".to_owned()),
    ]
}

fn columns() -> Vec<Typed> {
    let text = || awkward().prop_map(literal);
    let int = || any::<i32>().prop_map(|n| format!("({n})"));
    let number = || {
        prop_oneof![
            Just("'NaN'".to_owned()),
            Just("'Infinity'".to_owned()),
            Just("'-Infinity'".to_owned()),
            (any::<i64>(), 0_u32..20)
                .prop_map(|(n, scale)| format!("({n}::numeric / (10::numeric ^ {scale}))")),
            "[1-9][0-9]{0,60}\\.[0-9]{1,30}",
        ]
    };
    let float = || {
        prop_oneof![
            any::<f64>().prop_map(|n| literal(n.to_string())),
            prop::sample::select(vec!["'NaN'", "'-Infinity'", "'1e-300'", "'1e300'", "'-0'"])
                .prop_map(str::to_owned),
        ]
    };
    let pair = || (int(), text()).prop_map(|(a, b)| format!("row({a}, {b})::pair"));
    vec![
        typed("boolean", any::<bool>().prop_map(|b| b.to_string())),
        typed("smallint", any::<i16>().prop_map(|n| format!("({n})::smallint"))),
        typed("integer", int()),
        typed("bigint", any::<i64>().prop_map(|n| literal(n.to_string()))),
        typed("real", any::<f32>().prop_map(|n| literal(n.to_string()))),
        typed("double precision", float()),
        typed("numeric", number()),
        typed("numeric(20, 4)", any::<i32>().prop_map(|n| format!("({n}) / 7.0"))),
        typed("money", any::<i32>().prop_map(|n| format!("({n})::numeric::money"))),
        typed("text", text()),
        typed("varchar(200)", text()),
        typed("char(9)", "[a-z ]{0,9}".prop_map(literal)),
        typed("\"char\"", "[a-z]".prop_map(literal)),
        typed("name", "[a-z\"\\\\]{0,20}".prop_map(literal)),
        typed("bytea", prop::collection::vec(any::<u8>(), 0..9).prop_map(|b| {
            let hex: String = b.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("'\\x{hex}'::bytea")
        })),
        one_of("date", &["2024-02-29", "0044-03-15 BC", "infinity", "-infinity", "12345-01-01", "1999-12-31"]),
        one_of("timestamp", &["2024-02-29 23:59:59.999999", "0044-03-15 12:00:00 BC", "infinity", "-infinity", "2000-01-01", "12345-06-07 01:02:03.4"]),
        one_of("timestamptz", &["2024-02-29 23:59:59.999999+02", "0044-03-15 12:00:00 BC", "infinity", "-infinity", "1890-01-01 12:00:00+01", "2024-06-01 00:00:00 America/New_York"]),
        one_of("time", &["00:00", "23:59:59.999999", "24:00"]),
        one_of("timetz", &["00:00+00", "23:59:59.5-11:30"]),
        one_of("interval", &["1 day", "-1 year 2 mons -3 days 04:05:06.789", "0", "100 years", "-00:00:01"]),
        one_of("uuid", &["00000000-0000-0000-0000-000000000000", "f47ac10b-58cc-4372-a567-0e02b2c3d479"]),
        one_of("inet", &["10.1.2.3", "10.1.2.0/24", "::1", "fe80::1/64"]),
        one_of("cidr", &["10.0.0.0/8", "2001:db8::/32"]),
        one_of("macaddr", &["08:00:2b:01:02:03"]),
        one_of("macaddr8", &["08:00:2b:01:02:03:04:05"]),
        one_of("bit(5)", &["10101", "00000"]),
        one_of("bit varying", &["", "1", "0101110"]),
        one_of("json", &["{\"z\": 1.00, \"a\": [1, 2 , null]}", "null", "\"x\"", "1e3", "  [ ]  ", "{\"deep\":{\"er\":\"\\u00e4\"}}"]),
        one_of("jsonb", &["{\"z\": 1.00, \"a\": [1, 2, null]}", "null", "\"\\\"\"", "12345678901234567890.123"]),
        one_of("xml", &["<a b=\"c\">d &amp; e</a>", "text"]),
        one_of("tsvector", &["'a fat cat':1A 'b':2", ""]),
        one_of("tsquery", &["'fat' & ( 'cat' | 'rat' )", "!'a'"]),
        one_of("point", &["(1,2)", "(-1.5,1e+20)"]),
        one_of("line", &["{1,2,3}"]),
        one_of("lseg", &["[(0,0),(1,1)]"]),
        one_of("box", &["(2,2),(0,0)"]),
        one_of("path", &["((0,0),(1,1))", "[(0,0),(1,1)]"]),
        one_of("polygon", &["((0,0),(1,1),(2,0))"]),
        one_of("circle", &["<(1,2),3>"]),
        one_of("pg_lsn", &["0/0", "16/B374D848"]),
        one_of("oid", &["0", "4294967295"]),
        one_of("regclass", &["pg_class"]),
        one_of("jsonpath", &["$.\"a\"[*]"]),
        one_of("int2vector", &["1 2 3", ""]),
        one_of("oidvector", &["1 4294967295", ""]),
        one_of("int4range", &["[1,10)", "empty", "(,5)"]),
        one_of("numrange", &["[1.5,2.5]", "(,)"]),
        one_of("tstzrange", &["[2024-01-01 00:00+00,2024-02-01 00:00+00)", "empty"]),
        one_of("int8multirange", &["{[1,3),[5,7)}", "{}"]),
        one_of("colour", &["red", "dark blue", "it's \"green\""]),
        typed("short_text", text()),
        typed("positive", (1_i32..1000).prop_map(|n| n.to_string())),
        typed("int_list", array_of(int(), "integer")),
        typed("pair", pair()),
        typed("pair_domain", pair()),
        typed("nest", (pair(), array_of(pair(), "pair"), text(), array_of(text(), "text")).prop_map(|(p, ps, t, ts)| {
            format!("row({p}, {ps}, {t}, {ts}, '2024-01-01 00:00+00', true, '{{\"a\": 1}}', 'red')::nest")
        })),
        typed("integer[]", array_of(int(), "integer")),
        typed("text[]", array_of(text(), "text")),
        typed("boolean[]", array_of(any::<bool>().prop_map(|b| b.to_string()), "boolean")),
        typed("numeric[]", array_of(number(), "numeric")),
        typed("double precision[]", array_of(float(), "double precision")),
        typed("jsonb[]", array_of(prop::sample::select(vec!["'{\"a\": \"b, c\"}'", "'null'", "'[1]'"]).prop_map(str::to_owned), "jsonb")),
        typed("timestamptz[]", array_of(Just("'2024-01-01 00:00+00'".to_owned()), "timestamptz")),
        typed("bytea[]", array_of(Just("'\\x00ff'".to_owned()), "bytea")),
        typed("box[]", array_of(Just("'(2,2),(0,0)'".to_owned()), "box")),
        typed("pair[]", array_of(pair(), "pair")),
        typed("colour[]", array_of(prop::sample::select(vec!["'red'", "'dark blue'"]).prop_map(str::to_owned), "colour")),
        typed("int4range[]", array_of(Just("'[1,10)'".to_owned()), "int4range")),
        one_of("integer[][]", &["{{1,2},{3,NULL}}", "[0:1][-1:0]={{1,2},{3,4}}", "{}", "{{{{{{1}}}}}}"]),
        one_of("text[][]", &["{{\"a,b\",\"\"},{NULL,\"NULL\"}}"]),
        one_of("hstore", &["", "a=>1", "\"x y\"=>\"q\\\"uote\", b=>NULL", "\"=>\"=>\", \""]),
        one_of("citext", &["Mixed Case"]),
    ]
}

const TYPES: &str = "
    create extension hstore;
    create extension citext;
    create type colour as enum ('red', 'dark blue', 'it''s \"green\"');
    create type pair as (a integer, \"b \"\"c\" text);
    create domain short_text as text;
    create domain positive as integer check (value > 0);
    create domain int_list as integer[];
    create domain pair_domain as pair;
    create type nest as (p pair, ps pair[], t text, ts text[], at timestamptz, ok boolean, doc jsonb, c colour);
    alter type pair add attribute gone integer;
    alter type pair drop attribute gone;
";

const ROWS: usize = 200;

async fn connect(cluster: &Cluster) -> Client {
    let (client, connection) = tokio_postgres::connect(&cluster.url("postgres"), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    for (name, value) in SESSION {
        client
            .batch_execute(&format!("set {name} = '{value}'"))
            .await
            .unwrap();
    }
    client
}

#[tokio::test]
async fn a_row_of_the_stream_is_written_as_to_jsonb_writes_it() {
    let cluster = Cluster::start(&[]).unwrap();
    let client = connect(&cluster).await;
    client.batch_execute(TYPES).await.unwrap();
    let columns = columns();
    let definitions: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| format!("\"c {at}\" {}", column.sql))
        .collect();
    client
        .batch_execute(&format!(
            "create table everything (id integer primary key, {}); create publication p for table everything",
            definitions.join(", ")
        ))
        .await
        .unwrap();
    client
        .query_one(
            "select pg_create_logical_replication_slot('s', 'pgoutput')::text",
            &[],
        )
        .await
        .unwrap();

    let mut random = TestRunner::default();
    for id in 0..ROWS {
        let values: Vec<String> = columns
            .iter()
            .map(|column| {
                let value = column.value.new_tree(&mut random).unwrap().current();
                if id == 0 { "null".to_owned() } else { value }
            })
            .collect();
        let insert = format!(
            "insert into everything values ({id}, {})",
            values.join(", ")
        );
        if let Err(error) = client.batch_execute(&insert).await {
            panic!("{error:?}: {insert}");
        }
    }

    let changes = "select data from pg_logical_slot_get_binary_changes('s', null, null, 'proto_version', '1', 'publication_names', 'p')";
    let mut relation = None;
    let mut seen = 0;
    for row in client.query(changes, &[]).await.unwrap() {
        let data: Vec<u8> = row.get(0);
        match decode(Bytes::from(data)).unwrap() {
            Message::Relation(message) => {
                relation = Some(Relation::describe(&client, message).await.unwrap())
            }
            Message::Insert { new, .. } => {
                let relation = relation
                    .as_ref()
                    .expect("the table is described before its rows");
                let mut ours = Vec::new();
                let unknown = relation.write_row(&new, |column| Some(&column.name), &mut ours);
                assert!(unknown.is_empty());
                let ours = String::from_utf8(ours).unwrap();
                compare(&client, &ours, seen).await;
                seen += 1;
            }
            _ => {}
        }
    }
    assert_eq!(seen, ROWS);
}

/// Postgres compares, because it compares numbers of any size exactly.
async fn compare(client: &Client, ours: &str, id: usize) {
    let id = i32::try_from(id).unwrap();
    let sql = "
        select coalesce(ours.key, theirs.key), ours.value::text, theirs.value::text
        from jsonb_each($1::text::jsonb) as ours
        full join (select (jsonb_each(to_jsonb(everything))).* from everything where id = $2) as theirs using (key)
        where ours.value is distinct from theirs.value";
    let differences = client
        .query(sql, &[&ours, &id])
        .await
        .unwrap_or_else(|error| panic!("{error:?}: {ours}"));
    for difference in &differences {
        let (column, ours, theirs): (&str, Option<&str>, Option<&str>) =
            (difference.get(0), difference.get(1), difference.get(2));
        eprintln!("row {id}, column {column}: ours {ours:?}, to_jsonb {theirs:?}");
    }
    assert!(differences.is_empty());
}
