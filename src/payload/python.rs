//! Writes JSON as Python's `json.dumps` does: with a space after each comma and colon, with escapes for all characters
//! that are not ASCII, and with floats as `repr` shows them.

/// Writes a string.
pub(super) fn text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(br#"\""#),
            '\\' => out.extend_from_slice(br"\\"),
            '\n' => out.extend_from_slice(br"\n"),
            '\r' => out.extend_from_slice(br"\r"),
            '\t' => out.extend_from_slice(br"\t"),
            '\u{8}' => out.extend_from_slice(br"\b"),
            '\u{c}' => out.extend_from_slice(br"\f"),
            ' '..='~' => out.push(c as u8),
            _ => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
                }
            }
        }
    }
    out.push(b'"');
}

/// Writes a string as `json.dumps(…, ensure_ascii=False)` does.
pub(super) fn plain_text(content: &str, out: &mut Vec<u8>) {
    let mut rest = content;
    out.push(b'"');
    while let Some(at) = rest.find(|c: char| c == '"' || c == '\\' || c < ' ') {
        let (before, after) = rest.split_at(at);
        out.extend_from_slice(before.as_bytes());
        let mut escaped = Vec::new();
        text(&after[..1], &mut escaped);
        out.extend_from_slice(&escaped[1..escaped.len() - 1]);
        rest = &after[1..];
    }
    out.extend_from_slice(rest.as_bytes());
    out.push(b'"');
}

/// `repr` of the float in this text. A text that is not a float stays as it is.
pub(super) fn float(text: &str) -> String {
    let Ok(value) = text.parse::<f64>() else {
        return text.to_owned();
    };
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    // The shortest digits that read back as this value, which Python uses too.
    let shortest = format!("{value:e}");
    let Some((digits, exponent)) = shortest.split_once('e') else {
        return shortest;
    };
    match exponent.parse::<i32>() {
        Ok(exponent) if (-4..16).contains(&exponent) => {
            let plain = value.to_string();
            match plain.contains('.') {
                true => plain,
                false => format!("{plain}.0"),
            }
        }
        Ok(exponent) => format!(
            "{digits}e{}{:02}",
            if exponent < 0 { '-' } else { '+' },
            exponent.abs()
        ),
        Err(_) => shortest,
    }
}

/// Writes `json`, which must be JSON, as it is after `json.loads` and `json.dumps`.
pub(super) fn redump(json: &[u8], out: &mut Vec<u8>) {
    redump_with(json, text, out);
}

/// Writes `json` like [`redump`], but with strings as `json.dumps(…, ensure_ascii=False)` writes them.
pub(super) fn redump_plain(json: &[u8], out: &mut Vec<u8>) {
    redump_with(json, plain_text, out);
}

fn redump_with(json: &[u8], write: fn(&str, &mut Vec<u8>), out: &mut Vec<u8>) {
    let mut rest = json;
    while let Some(first) = rest.first() {
        let length = match first {
            b'"' => {
                let length = string_length(rest);
                match serde_json::from_slice::<String>(&rest[..length]) {
                    Ok(string) => write(&string, out),
                    // It holds half of a surrogate pair, which Python keeps as it is.
                    Err(_) => out.extend_from_slice(&rest[..length]),
                }
                length
            }
            b',' => {
                out.extend_from_slice(b", ");
                1
            }
            b':' => {
                out.extend_from_slice(b": ");
                1
            }
            b' ' | b'\n' | b'\r' | b'\t' => 1,
            b'-' | b'0'..=b'9' => {
                let part =
                    |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                let length = rest.iter().take_while(|byte| part(byte)).count();
                number(&rest[..length], out);
                length
            }
            other => {
                out.push(*other);
                1
            }
        };
        rest = &rest[length..];
    }
}

/// The length in bytes of the string that `json` begins with, quotes included.
fn string_length(json: &[u8]) -> usize {
    let mut escaped = false;
    for (at, byte) in json.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    json.len()
}

/// Writes a number. A whole one stays as it is, however long; any other becomes a float.
fn number(text: &[u8], out: &mut Vec<u8>) {
    let whole = text.iter().all(|byte| matches!(byte, b'-' | b'0'..=b'9'));
    match str::from_utf8(text) {
        Ok("-0") => out.push(b'0'),
        Ok(text) if !whole => out.extend_from_slice(float(text).as_bytes()),
        _ => out.extend_from_slice(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_as_python_escapes_them() {
        let mut out = Vec::new();
        text("a\"\\/\n\u{1}\u{7f}é€😀", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#""a\"\\/\n\u0001\u007f\u00e9\u20ac\ud83d\ude00""#
        );
        let mut out = Vec::new();
        plain_text("é\"\\\n\u{1}\u{7f}", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\"é\\\"\\\\\\n\\u0001\u{7f}\""
        );
    }

    #[test]
    fn floats_are_what_repr_says() {
        for (text, repr) in [
            ("1", "1.0"),
            ("-0", "-0.0"),
            ("0.1", "0.1"),
            ("1e+15", "1000000000000000.0"),
            ("1e+16", "1e+16"),
            ("123456789012345680", "1.2345678901234568e+17"),
            ("0.0001", "0.0001"),
            ("1e-05", "1e-05"),
            ("2.5e-324", "5e-324"),
            ("1.7976931348623157e+308", "1.7976931348623157e+308"),
            ("NaN", "NaN"),
            ("-Infinity", "-Infinity"),
        ] {
            assert_eq!(float(text), repr, "{text}");
        }
    }

    #[test]
    fn json_is_loaded_and_dumped_again() {
        for (json, dumped) in [
            (
                r#"{"b":[1,2.50, 1e3],"a" : null}"#,
                r#"{"b": [1, 2.5, 1000.0], "a": null}"#,
            ),
            (r#""é\"\u00e9, : \\""#, r#""\u00e9\"\u00e9, : \\""#),
            (r#""\ud800""#, r#""\ud800""#),
            ("12345678901234567890123", "12345678901234567890123"),
            ("[]", "[]"),
            (" true ", "true"),
        ] {
            let mut out = Vec::new();
            redump(json.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), dumped);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(json in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60)) {
            redump(&json, &mut Vec::new());
        }

        #[test]
        fn a_float_reads_back_as_itself(value in proptest::num::f64::NORMAL) {
            proptest::prop_assert_eq!(float(&value.to_string()).parse::<f64>().unwrap(), value);
        }
    }
}
