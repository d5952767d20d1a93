//! What expressions answer, compared with the interpreter of the crate `cel`, and what they may take.

use std::{
    collections::HashMap,
    sync::mpsc,
    time::{Duration, Instant},
};

use cel::{Context, Program};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::filter::{Facts, Filter, STEPS, VARIABLES};

fn row() -> Json {
    json!({
        "n": 3, "m": -2, "big": 9_007_199_254_740_993_i64, "f": 9.5, "t": "Dune", "u": "größe", "b": true, "z": null,
        "l": [1, 2, 3], "e": [], "s": ["a", "bc", "größe"], "o": {"k": 1}, "d": [[1], [2, [3]]],
    })
}

fn facts(new: &Json, old: &Json) -> Facts {
    let changed = Some(&["n", "t"][..]);
    Facts::new(
        new.to_string(),
        old.to_string(),
        changed,
        "book.changed",
        Some("7"),
    )
    .unwrap()
}

/// What the crate `cel` answers.
fn theirs(text: &str, new: &Json, old: &Json) -> Result<bool, String> {
    fn value(json: &Json) -> cel::Value {
        match json {
            Json::Null => cel::Value::Null,
            Json::Bool(value) => cel::Value::Bool(*value),
            Json::Number(number) => match number.as_i64() {
                Some(whole) => cel::Value::Int(whole),
                None => cel::Value::Float(number.as_f64().unwrap()),
            },
            Json::String(text) => cel::Value::from(text.clone()),
            Json::Array(items) => cel::Value::from(items.iter().map(value).collect::<Vec<_>>()),
            Json::Object(fields) => {
                let fields = fields
                    .iter()
                    .map(|(name, field)| (name.clone(), value(field)));
                cel::Value::from(fields.collect::<HashMap<_, _>>())
            }
        }
    }
    let values = [
        value(new),
        value(old),
        value(&json!(["n", "t"])),
        value(&json!("book.changed")),
        value(&json!("7")),
    ];
    let mut context = Context::default();
    for (name, value) in VARIABLES.into_iter().zip(values) {
        context.add_variable_from_value(name, value);
    }
    let program = Program::compile(text).map_err(|error| error.to_string())?;
    match program.execute(&context) {
        Ok(cel::Value::Bool(answer)) => Ok(answer),
        Ok(other) => Err(format!("{other:?}")),
        Err(error) => Err(error.to_string()),
    }
}

fn ours(text: &str, new: &Json, old: &Json) -> Result<bool, String> {
    let filter = Filter::compile(text).map_err(|error| error.to_string())?;
    let answer = filter.accepts(&facts(new, old));
    answer.map_err(|error| error.to_string())
}

#[track_caller]
fn compare(text: &str) {
    let (new, old) = (row(), json!({"n": 2, "t": "Emma", "l": [1]}));
    let (theirs, ours) = (theirs(text, &new, &old), ours(text, &new, &old));
    assert_eq!(
        ours.clone().ok(),
        theirs.clone().ok(),
        "{text}: ours {ours:?}, theirs {theirs:?}"
    );
}

#[test]
fn expressions_answer_what_they_answered_before() {
    for text in [
        "new.n < old.n",
        "new.n > old.n && new.t != old.t",
        "new.n == 3 || new.missing == 1",
        "new.missing == 1 || new.n == 3",
        "new.missing == 1 && new.n == 4",
        "new.missing == 1 && new.n == 3",
        "has(new.n) && !has(new.missing)",
        "has(old.z)",
        "has(new.z)",
        "new.z == null",
        "null == new.n",
        "new.f == 9.5",
        "new.f > 9",
        "new.f > 9.25",
        "new.n == 3.0",
        "new.f < 10",
        "new.big == 9007199254740993",
        "new.n + 1 == 4",
        "new.n - 5 == new.m",
        "new.n * new.m == -6",
        "7 / 2 == 3",
        "-7 / 2 == -3",
        "7 % 3 == 1",
        "-7 % 3 == -1",
        "new.n / 0 == 1",
        "7.0 / 2.0 == 3.5",
        "0.1 + 0.2 == 0.3",
        "1.0 / 0.0 > 5.0",
        "-new.n == -3",
        "3u == 3",
        "3u + 4u == 7u",
        "7u / 2u == 3u",
        "new.t.startsWith('Du')",
        "new.t.endsWith('ne')",
        "new.t.contains('un')",
        "new.t.matches('^D.*e$')",
        "matches(new.t, 'un')",
        "new.u.matches('^\\\\w+$')",
        "new.u.matches('\\\\bgröße\\\\b')",
        "new.t.matches('[0-9]')",
        "size(new.u) == 5",
        "new.u.size() == 5",
        "size(new.l) == 3",
        "new.l.size() == 3",
        "size(new.o) == 1",
        "size(b'abc') == 3",
        "new.t + '!' == 'Dune!'",
        "new.l + [4] == [1, 2, 3, 4]",
        "new.l + new.e == new.l",
        "'k' in new.o",
        "'x' in new.o",
        "2 in new.l",
        "2.0 in new.l",
        "'2' in new.l",
        "new.l[0] == 1",
        "new.l[3] == 1",
        "new.l[-1] == 1",
        "new.l[1.0] == 2",
        "new['n'] == 3",
        "new.o['k'] == 1",
        "new.o.k == 1",
        "new.d == [[1], [2, [3]]]",
        "new.d[1][1][0] == 3",
        "new.d != [[1], [2, [4]]]",
        "{'a': 1}.a == 1",
        "{'a': 1, 'b': [2]} == {'b': [2], 'a': 1}",
        "{1: 2}[1] == 2",
        "{1: 2}[1u] == 2",
        "{true: 1}[true] == 1",
        "{1: 2}[3] == 2",
        "new.o == {'k': 1}",
        "new.o == {'k': 1.0}",
        "new.l.exists(x, x > 2)",
        "new.l.exists(x, x > 3)",
        "new.l.all(x, x > 0)",
        "new.e.all(x, false)",
        "new.e.exists(x, true)",
        "new.l.exists_one(x, x == 2)",
        "new.l.exists_one(x, x > 1)",
        "new.l.map(x, x * 2) == [2, 4, 6]",
        "new.l.filter(x, x > 1) == [2, 3]",
        "new.l.map(x, x > 1, x * 10) == [20, 30]",
        "new.o.all(k, k == 'k')",
        "new.o.map(k, new.o[k]) == [1]",
        "new.s.exists(x, x.startsWith('b'))",
        "new.l.exists(x, new.l.exists(y, y == x + 1))",
        "new.l.map(x, new.l.filter(y, y < x)) == [[], [1], [1, 2]]",
        "new.l.all(x, x / 0 == 1)",
        "new.l.exists(x, x / (x - 1) == 2)",
        "new.l.all(x, 6 / (x - 2) > 10)",
        "[1, 'a'].exists(x, x == 'a')",
        "['a', 1].all(x, x > 0)",
        "string(new.n) == '3'",
        "string(true) == 'true'",
        "string(9.5) == '9.5'",
        "string(10.0) == '10'",
        "string(b'abc') == 'abc'",
        "int('12') == 12",
        "int(9.9) == 9",
        "int(-9.9) == -9",
        "int('x') == 1",
        "uint(3) == 3u",
        "uint(-3) == 3u",
        "double('1.5') == 1.5",
        "double(3) == 3.0",
        "bytes('abc') == b'abc'",
        "type(1) == type(2)",
        "type(1) == type(1.0)",
        "type('a') == type(new.t)",
        "dyn(1) == 1",
        "new.b ? new.n > 1 : new.missing",
        "new.n ? true : false",
        "!new.b",
        "!new.n",
        "new.b == true",
        "true > false",
        "new.t < 'Emma'",
        "new.t < 3",
        "new.n == '3'",
        "new.l == new.t",
        "'n' in changed && event == 'book.changed' && owner == '7'",
        "changed.exists(c, c == 't')",
        "new.n",
        "new.t - 1 > 0",
        "new.t.n == 1",
        "new.n.x == 1",
        "b'a' < b'b'",
        "b'a' + b'b' == b'ab'",
        "new.l + new.o == []",
        "[new, old].exists(r, r.n == 2)",
        "new.l.map(new, new + 1) == [2, 3, 4]",
        "new == old",
        "new == new",
        "new.z.x == 1",
        "has(new.n.x)",
        "has(new.o.k)",
        "has(new.o.q)",
        "(new.missing || true) && true",
        "new.s.map(x, size(x)) == [1, 2, 5]",
        "-(1) == -1",
        "--1 == 1",
        "new.e == []",
        "[[]] == [new.e]",
        "1 == 1.0000000000000002",
        "'\\u00fc' == 'ü'",
        "size('') == 0",
        "new.l.all(x, new.s.exists(y, size(y) >= x))",
    ] {
        compare(text);
    }
}

#[test]
fn the_largest_and_the_smallest_are_found() {
    for text in [
        "max(1, 3, 2) == 3",
        "min([4, 2, 3]) == 2",
        "max(1, 2.5) == 2.5",
        "max('a', 'b') == 'b'",
        "max(new.n) == 3",
    ] {
        assert_eq!(ours(text, &row(), &Json::Null), Ok(true), "{text}");
    }
    assert!(ours("max(1, 'a') == 1", &row(), &Json::Null).is_err());
}

/// A whole number, a text, a list of whole numbers, or a condition, over the row.
fn whole() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        (-3_i64..7).prop_map(|number| number.to_string()),
        Just("new.n".to_owned()),
        Just("new.m".to_owned()),
        Just("old.n".to_owned()),
        Just("new.o.k".to_owned()),
        Just("new.missing".to_owned()),
        Just("size(new.t)".to_owned()),
        Just("new.l[1]".to_owned()),
    ];
    leaf.prop_recursive(2, 8, 2, |inner| {
        (
            inner.clone(),
            prop_oneof![Just("+"), Just("-"), Just("*"), Just("/"), Just("%")],
            inner,
        )
            .prop_map(|(one, operator, two)| format!("({one} {operator} {two})"))
    })
    .boxed()
}

fn list() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        Just("new.l".to_owned()),
        Just("new.e".to_owned()),
        Just("old.l".to_owned()),
        Just("new.t".to_owned()),
        prop::collection::vec(whole(), 0..4).prop_map(|all| format!("[{}]", all.join(", "))),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(one, two)| format!("({one} + {two})")),
            (inner.clone(), whole()).prop_map(|(list, item)| format!("{list}.map(x, x * {item})")),
            (inner, -2_i64..4).prop_map(|(list, least)| format!("{list}.filter(x, x > {least})")),
        ]
    })
    .boxed()
}

fn condition() -> BoxedStrategy<String> {
    let order = prop_oneof![
        Just("<"),
        Just("<="),
        Just("=="),
        Just("!="),
        Just(">"),
        Just(">=")
    ];
    let leaf = prop_oneof![
        (whole(), order, whole())
            .prop_map(|(one, operator, two)| format!("({one} {operator} {two})")),
        (list(), list()).prop_map(|(one, two)| format!("({one} == {two})")),
        (whole(), list()).prop_map(|(item, list)| format!("({item} in {list})")),
        Just("new.b".to_owned()),
        Just("new.z".to_owned()),
        Just("has(new.missing)".to_owned()),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(one, two)| format!("({one} && {two})")),
            (inner.clone(), inner.clone()).prop_map(|(one, two)| format!("({one} || {two})")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(one, two, three)| format!("({one} ? {two} : {three})")),
            inner.clone().prop_map(|one| format!("!{one}")),
            (list(), inner.clone())
                .prop_map(|(list, one)| format!("{list}.exists(x, x > 1 && {one})")),
            (list(), inner.clone())
                .prop_map(|(list, one)| format!("{list}.all(x, x > 1 || {one})")),
            (list(), inner).prop_map(|(list, one)| format!("{list}.exists_one(x, x > 1 && {one})")),
        ]
    })
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_expression_answers_what_it_answered_before(text in condition()) {
        prop_assume!(text.len() <= 4096 && Filter::compile(&text).is_ok());
        compare(&text);
    }
}

/// What an expression fails with, within a time that a reader that hangs would never keep.
fn failure(text: &str, row: &Json) -> Result<bool, String> {
    let (text, row) = (text.to_owned(), row.clone());
    let (answered, answer) = mpsc::channel();
    let asked = std::thread::Builder::new()
        .stack_size(crate::cli::STACK)
        .spawn(move || {
            let answer = ours(&text, &row, &Json::Null);
            let _ = answered.send(answer);
        });
    let answer = answer.recv_timeout(Duration::from_secs(60));
    asked.unwrap();
    answer.expect("an expression ends")
}

/// The macros of one kind within each other, over a list of ones.
fn nested(macro_name: &str, levels: usize, items: usize, innermost: &str) -> String {
    let list = format!("[{}]", vec!["1"; items].join(","));
    let open: String = (0..levels)
        .map(|level| format!("{list}.{macro_name}(v{level}, "))
        .collect();
    format!("{open}{innermost}{}", ")".repeat(levels))
}

#[test]
fn no_expression_takes_more_than_it_may_whatever_its_form() {
    let long = json!({
        "l": vec!["x"; 100_000], "t": "ab".repeat(1_000_000), "n": vec![1.5; 1000], "d": {"a": vec![vec![1; 100]; 1000]},
    });
    let doubled = (0..12).fold("new.t".to_owned(), |text, at| {
        format!("[{text}].map(v{at}, v{at} + v{at})[0]")
    });
    for text in [
        nested("all", 8, 100, "true"),
        nested("all", 5, 50, "true"),
        nested("all", 10, 190, "true"),
        nested("exists", 8, 60, "false"),
        nested("exists", 8, 60, "false || 1 / 0 == 1"),
        format!("{} == []", nested("map", 5, 100, "[1, 2, 3]")),
        format!("{} == []", nested("map", 4, 90, "[1, 2].filter(x, x > 1)")),
        format!("true || {}", nested("all", 8, 60, "true")).replacen("true || ", "false || ", 1),
        format!("({}) || true", nested("all", 8, 60, "true")),
        "new.l.all(t, t in new.l)".to_owned(),
        "new.l.all(t, new.l == new.l)".to_owned(),
        "new.l.all(t, !new.t.contains('abb'))".to_owned(),
        "new.l.all(t, !new.t.matches('(a|b)*abb'))".to_owned(),
        "new.l.all(t, !new.t.matches('(?:[ab]*a){9}[ab]{9}c'))".to_owned(),
        "new.l.all(t, new.t + 'x' != '')".to_owned(),
        "new.l.all(t, new.l + [t] != [])".to_owned(),
        "new.l.all(t, size(new.t) > 1)".to_owned(),
        "new.l.all(t, bytes(new.t) != b'')".to_owned(),
        "new.l.all(t, string(bytes(new.t)) != '')".to_owned(),
        "new.l.all(t, new.d == new.d)".to_owned(),
        "new.l.all(t, max(new.l) == 'x')".to_owned(),
        "new.n.all(a, new.n.all(b, new.n.all(c, a * b * c > 0.0)))".to_owned(),
        format!("{doubled} == ''"),
    ] {
        assert!(text.len() <= 4096, "{} bytes", text.len());
        let error = failure(&text, &long).expect_err(&text);
        let bounded = [
            "it took more than 1000000 steps",
            "it made more than 16 MiB of values",
        ];
        assert!(
            bounded.iter().any(|end| error.ends_with(end)),
            "{text}: {error}"
        );
    }
}

#[test]
fn cheap_expressions_on_large_rows_are_answered() {
    let row = json!({"t": "größe ".repeat(2000), "l": vec!["x"; 10_000], "n": (0..10_000).collect::<Vec<_>>()});
    for text in [
        "new.l.all(t, t == 'x')",
        "new.n.exists(n, n == 9999)",
        "'x' in new.l",
        "new.t.contains('größe')",
        "!new.t.matches('\\\\d+')",
        "new.t.matches('(?i)\\\\bGRÖSSE\\\\b') || true",
        "size(new.t) == 12000",
        "new.n.map(n, n * 2).filter(n, n > 19000).size() == 499",
        "new.t.matches('\\\\w+ \\\\w+')",
        "new.l.exists(t, t.matches('^x$'))",
        "new.l.all(t, t.matches('\\\\w'))",
    ] {
        assert_eq!(failure(text, &row), Ok(true), "{text}");
    }
}

#[test]
fn an_expression_takes_no_more_than_its_allowance() {
    let filter = Filter::compile("new.l.all(x, x > 0)").unwrap();
    let facts = facts(&row(), &Json::Null);
    let mut left = STEPS;
    assert!(filter.accepts_within(&facts, &mut left).unwrap());
    let taken = STEPS - left;
    assert!((10..200).contains(&taken), "{taken}");
    let mut left = taken;
    assert!(filter.accepts_within(&facts, &mut left).unwrap());
    assert_eq!(left, 0);
    let mut left = taken - 1;
    let error = filter
        .accepts_within(&facts, &mut left)
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with(
            "the filters and templates of its owner took more time on this event than they may"
        ),
        "{error}"
    );
    assert_eq!(left, 0);
}

#[test]
fn a_pattern_that_cannot_be_compiled_before_is_refused() {
    let long = format!("new.t.matches('{}')", "\\\\w{90}".repeat(40));
    for (text, expected) in [
        (
            "new.t.matches(old.t)",
            "the pattern of matches has to stand in quotes",
        ),
        (
            "new.t.matches('a' + 'b')",
            "the pattern of matches has to stand in quotes",
        ),
        ("new.t.matches('(')", "unclosed group"),
        (
            "new.t.matches('(?:(?:a{100}){100}){100}')",
            "the patterns of an expression take more than 256 KiB",
        ),
        (
            &long,
            "the patterns of an expression take more than 256 KiB",
        ),
    ] {
        let error = Filter::compile(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn numbers_of_the_row_are_compared_as_postgres_compares_numerics() {
    let new = r#"{"a": 50000000000000000001, "b": 50000000000000000000, "p": 19.9000, "h": 1e400, "g": 1e401,
        "c": 0.12345678901234567891, "d": 0.12345678901234567890, "s": 0.1, "u": 18446744073709551615,
        "i": 9007199254740993, "tiny": 1e-400, "l": [0.1, 50000000000000000001]}"#;
    let facts = Facts::new(new, "null", None, "a", None).unwrap();
    for text in [
        "new.a > new.b",
        "new.a != new.b",
        "new.a - new.b == 1",
        "new.p == 19.9",
        "new.p == 19.9000",
        "string(new.p) == '19.9000'",
        "string(new.a) == '50000000000000000001'",
        "new.h < new.g",
        "new.h > 1",
        "new.c > new.d",
        "new.c != 0.1234567890123456789",
        "new.c == 0.12345678901234567891",
        "new.s == 0.1",
        "new.s + 0.2 == 0.3",
        "new.p * 2 == 39.8",
        "new.p * 2.0 > 39",
        "new.u > 1",
        "new.u == 18446744073709551615u",
        "new.i > 9007199254740992.0",
        "new.i == 9007199254740993",
        "new.tiny > 0",
        "new.tiny < 0.1",
        "-new.p < 0",
        "new.a == 50000000000000000001.0",
        "new.a > 50000000000000000000.5",
        "0.1 in new.l",
        "new.a in new.l",
        "!(new.b in new.l)",
        "new.l == [0.10, new.a]",
        "int(new.p) == 19",
        "new.h == new.h",
        "new.g / new.p > 1 || true",
        "max(new.a, new.b) == new.a",
        "new.p >= 19.9 && new.p <= 19.9",
        "new.u + 1 > new.u",
        "new.p - 0.9 == 19",
    ] {
        assert!(
            Filter::compile(text).unwrap().accepts(&facts).unwrap(),
            "{text}"
        );
    }
    for (text, expected) in [
        ("double(new.h) > 1.0", "a number is too large for a float"),
        ("new.g / new.p > 1.0", "a number is too large for a float"),
        ("int(new.a) > 1", "a number is too large for int"),
        ("new.p % 2 == 1", "% is for whole numbers of one kind"),
    ] {
        let error = Filter::compile(text).unwrap().accepts(&facts).unwrap_err();
        assert!(error.to_string().ends_with(expected), "{text}: {error}");
    }
}

#[test]
fn a_value_that_cannot_be_read_is_an_error_of_its_reader_alone() {
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    let new = format!(r#"{{"odd": "\ud83d", "n": 1, "deep": {deep}}}"#);
    let facts = Facts::new(new, "null", None, "a", None).unwrap();
    let answer = |text: &str| Filter::compile(text).unwrap().accepts(&facts);
    for text in [
        "new.n == 1",
        "has(new.odd)",
        "new.deep == new.deep",
        "new.deep[0][0] != []",
        "size(new) == 3",
    ] {
        assert!(answer(text).unwrap(), "{text}");
    }
    let error = answer("new.odd == 'x'").unwrap_err().to_string();
    assert!(error.contains("half of a surrogate pair"), "{error}");
}

/// The reader compiles the filters of the hooks that it hears of.
#[test]
fn no_text_takes_long_to_compile() {
    let begun = Instant::now();
    for text in [
        "(".repeat(4096),
        "[".repeat(4096),
        "{".repeat(4096),
        "a?".repeat(2048),
        "!".repeat(4096),
        "-".repeat(4096),
        "a.b(".repeat(1024),
        "a[".repeat(2048),
        "1+".repeat(2048),
        "a?b:".repeat(1024),
        "'".repeat(4095),
        "a&&b||".repeat(600),
        "{a:".repeat(1365),
        "has(".repeat(1024),
        "[1].map(x,".repeat(400),
        "))))".repeat(1000),
    ] {
        let _ = Filter::compile(&text);
    }
    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "{:?}",
        begun.elapsed()
    );
}
