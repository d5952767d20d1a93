//! Ranges as `RangeField.value_to_string` of Django writes them: `{"bounds": "[)", "lower": "1", "upper": "10"}`.

use super::python;
use crate::postgres::types::Type;

/// The text of a range; `None`: the type is none that Django has, or the text is no range.
pub(super) fn written(
    sql_type: &str,
    text: &str,
    bound_text: impl Fn(&Type, &str) -> String,
) -> Option<String> {
    let ty = match sql_type {
        "int4range" | "int8range" => Type::Integer,
        "numrange" => Type::Numeric,
        "daterange" => Type::Date,
        "tsrange" => Type::Timestamp,
        "tstzrange" => Type::TimestampTz,
        _ => return None,
    };
    if text == "empty" {
        return Some(r#"{"empty": true}"#.to_owned());
    }
    let opening = text.get(..1).filter(|first| matches!(*first, "[" | "("))?;
    let closing = text.get(text.len() - 1..)?;
    let inner = text.get(1..text.len() - 1)?;
    // The values of these types hold no comma.
    let (lower, upper) = inner.split_once(',')?;
    let mut out = format!(r#"{{"bounds": "{opening}{closing}""#).into_bytes();
    for (end, value) in [("lower", lower), ("upper", upper)] {
        out.extend_from_slice(format!(r#", "{end}": "#).as_bytes());
        match value.trim_matches('"') {
            "" => out.extend_from_slice(b"null"),
            value => python::text(&bound_text(&ty, value), &mut out),
        }
    }
    out.push(b'}');
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_its_bounds_and_ends() {
        let write = |sql_type, text| written(sql_type, text, |_, value| value.to_owned());
        for (text, expected) in [
            ("[1,10)", r#"{"bounds": "[)", "lower": "1", "upper": "10"}"#),
            ("(,10]", r#"{"bounds": "(]", "lower": null, "upper": "10"}"#),
            (
                "[\"2024-05-01 12:00:00+00\",)",
                r#"{"bounds": "[)", "lower": "2024-05-01 12:00:00+00", "upper": null}"#,
            ),
            ("empty", r#"{"empty": true}"#),
        ] {
            assert_eq!(
                write("tstzrange", text).as_deref(),
                Some(expected),
                "{text}"
            );
        }
        for text in ["", "[", "[é", "1,2", "[1)"] {
            assert_eq!(write("int4range", text), None, "{text}");
        }
        assert_eq!(write("text", "[1,2)"), None);
    }
}
