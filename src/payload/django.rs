//! `django`: byte for byte what django-rest-hooks sends for a model without `serialize_hook`.
//! `{"hook": {"id", "event", "target"}, "data": {"model", "pk", "fields": {…}}}`
//!
//! django-rest-hooks uses Django's Python serializer and then `json.dumps` with DjangoJSONEncoder. The serializer makes
//! texts of all values but numbers and times: a list becomes the text of its JSON, and a duration `1 02:03:04`.

use std::{borrow::Cow, collections::BTreeMap};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde_json::value::RawValue;

use super::{parts::Parts, python, range};
use crate::event::shape::Shape;
use crate::{
    change::Change,
    event::{Event, Subject},
    hook::Hook,
    lookup::enrich::EnrichedField,
    postgres::{
        json,
        relation::{Column, Relation},
        tuple::{Image, Value},
        types::Type,
    },
};

/// The body for one hook.
pub(super) fn render(event: &Event, hook: &Hook, parts: &Parts<'_>) -> Bytes {
    let mut body = Vec::with_capacity(parts.data.len() + 160);
    body.extend_from_slice(br#"{"hook": {"id": "#);
    // The id is a number or a string.
    let id = serde_json::to_vec(&hook.id).unwrap_or_default();
    python::redump(&id, &mut body);
    body.extend_from_slice(br#", "event": "#);
    python::text(&event.name, &mut body);
    body.extend_from_slice(br#", "target": "#);
    python::text(hook.target.display(), &mut body);
    body.extend_from_slice(br#"}, "data": "#);
    body.extend_from_slice(parts.data);
    if !parts.unchanged.is_empty() {
        body.extend_from_slice(br#", "unchanged": "#);
        let names = serde_json::to_vec(parts.unchanged).unwrap_or_default();
        python::redump(&names, &mut body);
    }
    if let Some(names) = parts.left_out {
        body.extend_from_slice(br#", "left_out": "#);
        let names = serde_json::to_vec(names).unwrap_or_default();
        python::redump(&names, &mut body);
    }
    body.push(b'}');
    body.into()
}

/// The `data` of the body. `json` is the `data` of the other formats, which is what a message carries or a template
/// made.
pub(super) fn data(event: &Event, json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() + 100);
    match &event.subject {
        Subject::Row {
            change,
            shape,
            added,
        } if shape.template().is_none() => model(change, shape, added, &mut out),
        Subject::Row { .. } | Subject::Message(_) => python::redump(json, &mut out),
    }
    out
}

/// The `data` of a thin body: only the model and the key. For a message it is null.
pub(super) fn thin(event: &Event) -> Vec<u8> {
    let Subject::Row { change, shape, .. } = &event.subject else {
        return b"null".to_vec();
    };
    let mut out = Vec::new();
    head(change, shape, &mut out);
    out.extend_from_slice(b"{}}");
    out
}

/// The name of a column as a field of its model, without the `_id` of a foreign key. `None`: the column is not shown.
fn field<'a>(shape: &'a Shape, column: &'a Column) -> Option<&'a str> {
    let shown = shape.column(column)?;
    let own = shown == column.name && column.foreign_key;
    Some(match shown.strip_suffix("_id") {
        Some(stem) if own && !stem.is_empty() => stem,
        _ => shown,
    })
}

/// The names in `fields`, in order, each with the place of its column. One that is no column may be a key of `enrich`.
/// Django writes a key of one column as `pk`, and so it is none of them.
pub fn fields<'a>(relation: &'a Relation, shape: &'a Shape) -> Vec<(&'a str, Option<usize>)> {
    let is_pk = |at: usize| relation.primary_key == [at];
    let Some(names) = shape.fields() else {
        let columns = relation.columns.iter().enumerate();
        return columns
            .filter(|(at, _)| !is_pk(*at))
            .filter_map(|(at, column)| Some((field(shape, column)?, Some(at))))
            .collect();
    };
    let called = |wanted: &dyn Fn(&str) -> bool| {
        let mut columns = relation.columns.iter();
        columns.position(|column| shape.column(column).is_some_and(wanted))
    };
    let with_column = names.iter().map(|name| {
        let own = called(&|shown| shown == name);
        // The file says which fields the model has, so a foreign key needs no constraint.
        let key = || called(&|shown| shown.strip_suffix("_id") == Some(name));
        (name.as_str(), own.or_else(key))
    });
    with_column
        .filter(|(_, at)| !at.is_some_and(is_pk))
        .collect()
}

/// The label `bookstore.book`, from the model that hooks.toml names, or else from the table `bookstore_book`.
pub fn label(relation: &Relation, shape: &Shape) -> String {
    match shape.model() {
        Some(model) => format!("{}.{}", model.app, model.name.to_lowercase()),
        None => relation.name.replacen('_', ".", 1),
    }
}

fn model(change: &Change, shape: &Shape, added: &[EnrichedField], out: &mut Vec<u8>) {
    let Some(image) = change.shown() else {
        out.extend_from_slice(b"null");
        return;
    };
    head(change, shape, out);
    out.push(b'{');
    let relation = &change.relation;
    let mut first = true;
    let mut begin = |name: &str, out: &mut Vec<u8>| {
        if !std::mem::take(&mut first) {
            out.extend_from_slice(b", ");
        }
        python::text(name, out);
        out.extend_from_slice(b": ");
    };
    let fields = fields(relation, shape);
    for (name, at) in &fields {
        let found = at.and_then(|at| Some((relation.columns.get(at)?, image.tuple().get(at)?)));
        if let Some((column, value)) = found {
            let known = matches!(image, Image::Whole(_)) || column.identity_key;
            if known && *value != Value::Unchanged {
                begin(name, out);
                write(column, value, out);
            }
            continue;
        }
        let added = added.iter().find(|field| &*field.key == *name);
        if let Some(json) = added.and_then(|field| field.json.as_deref()) {
            begin(name, out);
            python::redump(only_value(json).as_bytes(), out);
        }
    }
    let is_placed = |key: &str| fields.iter().any(|(name, at)| at.is_none() && *name == key);
    for EnrichedField { key, json } in added.iter().filter(|field| !is_placed(&field.key)) {
        if let Some(json) = json {
            begin(key, out);
            python::redump(json.as_bytes(), out);
        }
    }
    out.extend_from_slice(b"}}");
}

/// The value in a row of one column; any other row as it is. A field of a model is a value: the keys of a many-to-many
/// field, say.
fn only_value(row: &str) -> &str {
    match serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(row) {
        Ok(columns) if columns.len() == 1 => {
            columns.into_values().next().map_or(row, RawValue::get)
        }
        Ok(_) | Err(_) => row,
    }
}

/// Writes everything before the fields.
fn head(change: &Change, shape: &Shape, out: &mut Vec<u8>) {
    let relation = &change.relation;
    out.extend_from_slice(br#"{"model": "#);
    python::text(&label(relation, shape), out);
    out.extend_from_slice(br#", "pk": "#);
    let key: Vec<(&Column, &Value)> = relation
        .primary_key
        .iter()
        .filter_map(|at| {
            Some((
                relation.columns.get(*at)?,
                change.shown()?.tuple().get(*at)?,
            ))
        })
        .collect();
    match &key[..] {
        [] => out.extend_from_slice(b"null"),
        [(column, value)] => write(column, value, out),
        all => {
            out.push(b'[');
            for (number, (column, value)) in all.iter().enumerate() {
                if number > 0 {
                    out.extend_from_slice(b", ");
                }
                write(column, value, out);
            }
            out.push(b']');
        }
    }
    out.extend_from_slice(br#", "fields": "#);
}

/// Writes the value of a field.
fn write(column: &Column, value: &Value, out: &mut Vec<u8>) {
    let Value::Text(bytes) = value else {
        return out.extend_from_slice(b"null");
    };
    let text = String::from_utf8_lossy(bytes);
    match &*column.ty {
        Type::Bool => {
            out.extend_from_slice(if is_true(&text) { b"true" } else { b"false" });
        }
        Type::Integer => out.extend_from_slice(text.as_bytes()),
        Type::Float => out.extend_from_slice(python::float(&text).as_bytes()),
        Type::Json => python::redump(text.as_bytes(), out),
        Type::Timestamp | Type::TimestampTz => {
            let time = iso(&text, &column.ty);
            // DjangoJSONEncoder truncates microseconds to milliseconds, and writes UTC as Z.
            let (time, zone) = match time.strip_suffix("+00:00") {
                Some(time) => (time, "Z"),
                None => (time.as_str(), ""),
            };
            python::text(&(to_milliseconds(time).to_owned() + zone), out);
        }
        Type::Time => python::text(to_milliseconds(&iso(&text, &column.ty)), out),
        Type::Text => match range::written(&column.sql_type, &text, field_text) {
            Some(range) => python::text(&range, out),
            None => python::text(&text, out),
        },
        ty => python::text(&field_text(ty, &text), out),
    }
}

fn is_true(text: &str) -> bool {
    matches!(text, "t" | "true")
}

/// The text that Django's field makes of a value.
fn field_text(ty: &Type, text: &str) -> String {
    match ty {
        Type::Bool => if is_true(text) { "True" } else { "False" }.to_owned(),
        Type::Float => python::float(text),
        Type::Numeric => decimal(text),
        Type::Timestamp | Type::TimestampTz | Type::Time => iso(text, ty),
        Type::Interval => duration(text).unwrap_or_else(|| text.to_owned()),
        Type::Bytes => {
            bytes(text).map_or_else(|| text.to_owned(), |bytes| BASE64_STANDARD.encode(bytes))
        }
        Type::Array { element, delimiter } => array(element, *delimiter, text, 1),
        Type::Hstore => hstore(text),
        Type::Integer
        | Type::Json
        | Type::Date
        | Type::Uuid
        | Type::Enum(_)
        | Type::NumberVector
        | Type::TextVector
        | Type::Composite(_)
        | Type::Cast(_)
        | Type::Text => text.to_owned(),
    }
}

/// `isoformat` of a time: with all six digits of a fraction, if there is one. A time that Python cannot represent stays
/// as Postgres prints it.
fn iso(text: &str, ty: &Type) -> String {
    let (time, zone) = match text.strip_suffix("+00") {
        Some(time) if *ty == Type::TimestampTz => (time, "+00:00"),
        _ => (text, ""),
    };
    let time = time.replacen(' ', "T", 1);
    let plain = |c: char| c.is_ascii_digit() || "-T:.".contains(c);
    if !time.chars().all(plain) {
        return text.to_owned();
    }
    match time.split_once('.') {
        Some((seconds, fraction)) => format!("{seconds}.{fraction:0<6}{zone}"),
        None => time + zone,
    }
}

fn to_milliseconds(time: &str) -> &str {
    match time.find('.') {
        Some(point) => time.get(..point + 4).unwrap_or(time),
        None => time,
    }
}

/// `str` of a Decimal: with an exponent where there are more than six zeros behind the point.
fn decimal(text: &str) -> String {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if !digits
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        // NaN and the infinities.
        return text.to_owned();
    }
    let all = format!("{whole}{fraction}");
    let significant = match all.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    let left = significant.len() as i64 - fraction.len() as i64;
    if left > -6 {
        return text.to_owned();
    }
    let (first, rest) = significant.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    format!("{sign}{first}{point}{rest}E{}", left - 1)
}

/// `duration_string` of an interval such as `1 year 2 mons -3 days +04:05:06.7`; `None`: it cannot be read. As in
/// psycopg, a year has 365 days and a month 30.
fn duration(text: &str) -> Option<String> {
    const SECOND: i128 = 1_000_000;
    const DAY: i128 = 24 * 60 * 60 * SECOND;
    let mut total: i128 = 0;
    let mut words = text.split(' ');
    while let Some(word) = words.next() {
        if !word.contains(':') {
            let number: i128 = word.parse().ok()?;
            let days = match words.next()?.trim_end_matches('s') {
                "year" => 365,
                "mon" => 30,
                "day" => 1,
                _ => return None,
            };
            total += number.checked_mul(days * DAY)?;
            continue;
        }
        let (sign, time) = match word.strip_prefix('-') {
            Some(time) => (-1, time),
            None => (1, word.trim_start_matches('+')),
        };
        let mut parts = time.splitn(3, ':');
        let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
        let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
        let number = |text: &str| text.parse::<i64>().ok().map(i128::from);
        let micros = number(&format!("{fraction:0<6}"))?;
        let minutes = number(hours)? * 60 + number(minutes)?;
        total += sign * ((minutes * 60 + number(seconds)?) * SECOND + micros);
    }
    let (days, rest) = (total.div_euclid(DAY), total.rem_euclid(DAY));
    let (seconds, micros) = (rest / SECOND, rest % SECOND);
    let mut written = format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    if days != 0 {
        written = format!("{days} {written}");
    }
    if micros != 0 {
        written.push_str(&format!(".{micros:06}"));
    }
    Some(written)
}

/// Decodes `\x00ff`.
fn bytes(text: &str) -> Option<Vec<u8>> {
    hex::decode(text.strip_prefix("\\x")?).ok()
}

/// The text of a list: the JSON of its elements as texts.
fn array(element: &Type, delimiter: u8, text: &str, dimension: u32) -> String {
    let mut out = Vec::new();
    let items = match json::elements(text.as_bytes(), delimiter) {
        Ok(items) if dimension <= json::MAX_DIMENSIONS => items,
        Ok(_) | Err(_) => return text.to_owned(),
    };
    out.push(b'[');
    for (number, item) in items.iter().enumerate() {
        if number > 0 {
            out.extend_from_slice(b", ");
        }
        match item {
            json::Element::Null => out.extend_from_slice(b"null"),
            json::Element::Value(item) => {
                let item = String::from_utf8_lossy(item);
                match element {
                    Type::Json => python::redump_plain(item.as_bytes(), &mut out),
                    _ => python::plain_text(&field_text(element, &item), &mut out),
                }
            }
            // An inner list is an element of the outer one, and so becomes a text in it.
            json::Element::Array(inner) => {
                let inner = String::from_utf8_lossy(inner);
                let inner = array(element, delimiter, &inner, dimension + 1);
                python::plain_text(&inner, &mut out);
            }
        }
    }
    out.push(b']');
    String::from_utf8_lossy(&out).into_owned()
}

/// The text of an hstore: its JSON.
fn hstore(text: &str) -> String {
    let mut json = Vec::new();
    if json::write(&Type::Hstore, text.as_bytes(), &mut json).is_err() {
        return text.to_owned();
    }
    let Ok(fields) = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&json)
    else {
        return text.to_owned();
    };
    let mut out = vec![b'{'];
    for (number, (key, value)) in fields.iter().enumerate() {
        if number > 0 {
            out.extend_from_slice(b", ");
        }
        python::plain_text(key, &mut out);
        out.extend_from_slice(b": ");
        match value.as_str() {
            Some(value) => python::plain_text(value, &mut out),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn list(element: Type) -> Type {
        Type::Array {
            element: Arc::new(element),
            delimiter: b',',
        }
    }

    fn column(ty: Type) -> Column {
        Column {
            name: "value".into(),
            ty: Arc::new(ty),
            type_oid: 0,
            sql_type: String::new(),
            nullable: true,
            identity_key: false,
            generated: false,
            toastable: false,
            unchecked: false,
            foreign_key: false,
            hidden: false,
        }
    }

    fn written(ty: Type, text: &str) -> String {
        let mut out = Vec::new();
        let value = Value::Text(Bytes::copy_from_slice(text.as_bytes()));
        write(&column(ty), &value, &mut out);
        String::from_utf8(out).unwrap()
    }

    // What is here was printed by Django 5.2; `tests/stories/django` asks it each time.
    #[test]
    fn a_value_is_what_django_makes_of_it() {
        for (ty, text, expected) in [
            (Type::Bool, "t", "true"),
            (Type::Integer, "-7", "-7"),
            (Type::Float, "1e+15", "1000000000000000.0"),
            // Which is no JSON, but what Python writes and reads.
            (Type::Float, "Infinity", "Infinity"),
            (Type::Numeric, "9.50", r#""9.50""#),
            (Type::Numeric, "-0.0000010", r#""-0.0000010""#),
            (Type::Numeric, "-0.00000010", r#""-1.0E-7""#),
            (Type::Numeric, "0.00000000", r#""0E-8""#),
            (Type::Numeric, "NaN", r#""NaN""#),
            (
                Type::TimestampTz,
                "2024-05-01 12:00:00+00",
                r#""2024-05-01T12:00:00Z""#,
            ),
            (
                Type::TimestampTz,
                "2024-05-01 12:00:00.5+00",
                r#""2024-05-01T12:00:00.500Z""#,
            ),
            (
                Type::Timestamp,
                "2024-05-01 12:00:00.123456",
                r#""2024-05-01T12:00:00.123""#,
            ),
            (Type::Timestamp, "infinity", r#""infinity""#),
            (Type::Time, "12:00:00.1", r#""12:00:00.100""#),
            (
                Type::Interval,
                "1 year 2 mons 3 days 04:05:06.7",
                r#""428 04:05:06.700000""#,
            ),
            (Type::Interval, "-02:00:00", r#""-1 22:00:00""#),
            (Type::Interval, "-1 days +02:03:04", r#""-1 02:03:04""#),
            (Type::Interval, "00:00:00", r#""00:00:00""#),
            (Type::Bytes, "\\x00ff10", r#""AP8Q""#),
            (
                Type::Json,
                r#"{"b":1.50,"ä":[]}"#,
                r#"{"b": 1.5, "\u00e4": []}"#,
            ),
            (list(Type::Integer), "{1,NULL}", r#""[\"1\", null]""#),
            (
                list(Type::Text),
                r#"{"é \"x\"",b}"#,
                r#""[\"\u00e9 \\\"x\\\"\", \"b\"]""#,
            ),
            (list(Type::Bool), "{t,f}", r#""[\"True\", \"False\"]""#),
            (
                list(Type::Integer),
                "{{1,2},{3,4}}",
                r#""[\"[\\\"1\\\", \\\"2\\\"]\", \"[\\\"3\\\", \\\"4\\\"]\"]""#,
            ),
            (
                Type::Hstore,
                r#""a"=>"b", "c"=>NULL"#,
                r#""{\"a\": \"b\", \"c\": null}""#,
            ),
        ] {
            assert_eq!(written(ty, text), expected, "{text}");
        }
    }

    #[test]
    fn a_foreign_key_loses_its_id_and_nothing_else_does() {
        let shape = Shape::default();
        let named = |name: &str, foreign_key| Column {
            name: name.into(),
            foreign_key,
            ..column(Type::Integer)
        };
        for (name, foreign_key, expected) in [
            ("author_id", true, "author"),
            ("author_id", false, "author_id"),
            ("author", true, "author"),
            ("_id", true, "_id"),
        ] {
            assert_eq!(field(&shape, &named(name, foreign_key)), Some(expected));
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}") {
            for ty in [
                Type::Numeric, Type::Float, Type::TimestampTz, Type::Time, Type::Interval, Type::Bytes, Type::Json,
                Type::Hstore, list(Type::Text), list(Type::Interval),
            ] {
                written(ty, &text);
            }
        }
    }
}
