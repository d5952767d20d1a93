//! The functions of CEL that expressions may call, but for `matches`, whose patterns are compiled before.

use std::cmp::Ordering;

use super::{
    fuel::{Fuel, Halt, failed},
    number::Number,
    value::{List, Text, Value},
};

/// Calls a function. What it is called on is its first argument.
pub(super) fn call<'a>(
    name: &str,
    arguments: &[Value<'a>],
    fuel: &Fuel,
) -> Result<Value<'a>, Halt> {
    match (name, arguments) {
        ("max", arguments) => extreme(arguments, Ordering::Greater, fuel),
        ("min", arguments) => extreme(arguments, Ordering::Less, fuel),
        ("size", [value]) => size(value, fuel),
        ("contains" | "startsWith" | "endsWith", [Value::Text(text), Value::Text(part)]) => {
            find(name, text, part, fuel)
        }
        ("string", [value]) => string(value, fuel),
        ("int" | "uint", [value]) => whole(name, value, fuel),
        ("double", [Value::Number(number)]) => Ok(double(number.float(fuel)?)),
        ("double", [Value::Text(text)]) => {
            fuel.read(text.as_str().len())?;
            let float = text.as_str().parse();
            float.map(double).map_err(|_| unreadable(name))
        }
        ("bytes", [Value::Text(text)]) => {
            fuel.make(text.as_str().len())?;
            Ok(Value::Bytes(text.as_str().as_bytes().into()))
        }
        ("bytes", [bytes @ Value::Bytes(_)]) => Ok(bytes.clone()),
        ("type", [value]) => Ok(Value::Type(value.type_name())),
        ("dyn", [value]) => Ok(value.clone()),
        _ => {
            let types: Vec<&str> = arguments.iter().map(Value::type_name).collect();
            Err(failed(format!(
                "there is no {name} of {}",
                types.join(" and ")
            )))
        }
    }
}

/// The largest or the smallest of the arguments, or of the only one if that is a list.
fn extreme<'a>(arguments: &[Value<'a>], wanted: Ordering, fuel: &Fuel) -> Result<Value<'a>, Halt> {
    let given;
    let list = match arguments {
        [Value::List(list)] => list,
        [one] => return Ok(one.clone()),
        many => {
            given = List::Made(std::rc::Rc::new(many.to_vec()));
            &given
        }
    };
    let mut found: Option<Value<'a>> = None;
    for value in list.values(fuel) {
        let value = value?;
        fuel.spend(1)?;
        found = Some(match found {
            None => value,
            Some(best) => match best.compare(&value, fuel)? {
                Some(order) if order == wanted => best,
                Some(_) => value,
                None => {
                    let (one, two) = (best.type_name(), value.type_name());
                    return Err(failed(format!("{one} and {two} cannot be compared")));
                }
            },
        });
    }
    Ok(found.unwrap_or(Value::Null))
}

fn size<'a>(value: &Value<'_>, fuel: &Fuel) -> Result<Value<'a>, Halt> {
    let size = match value {
        Value::Text(text) => {
            fuel.read(text.as_str().len())?;
            text.as_str().chars().count()
        }
        Value::Bytes(bytes) => bytes.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        other => return Err(failed(format!("{} has no size", other.type_name()))),
    };
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    Ok(Value::Number(Number::Int(size)))
}

fn find<'a>(name: &str, text: &Text<'_>, part: &Text<'_>, fuel: &Fuel) -> Result<Value<'a>, Halt> {
    let (text, part) = (text.as_str(), part.as_str());
    Ok(Value::Bool(match name {
        "contains" => {
            // The search takes time in proportion to both.
            fuel.spend((text.len() + part.len()) as u64 / 16)?;
            text.contains(part)
        }
        "startsWith" => {
            fuel.read(part.len())?;
            text.starts_with(part)
        }
        _ => {
            fuel.read(part.len())?;
            text.ends_with(part)
        }
    }))
}

fn string<'a>(value: &Value<'a>, fuel: &Fuel) -> Result<Value<'a>, Halt> {
    let text = match value {
        Value::Text(_) => return Ok(value.clone()),
        Value::Number(Number::Written(text)) => return Ok(Value::Text(Text::Written(text))),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Bytes(bytes) => {
            fuel.make(bytes.len())?;
            let text = std::str::from_utf8(bytes);
            text.map_err(|_| failed("bytes are not UTF-8"))?.to_owned()
        }
        other => {
            return Err(failed(format!(
                "there is no string of {}",
                other.type_name()
            )));
        }
    };
    Value::text(text, fuel)
}

/// `int` or `uint`.
fn whole<'a>(name: &str, value: &Value<'_>, fuel: &Fuel) -> Result<Value<'a>, Halt> {
    let unsigned = name == "uint";
    let number = match value {
        Value::Number(number) => number.truncated(fuel)?,
        Value::Text(text) => {
            fuel.read(text.as_str().len())?;
            let text = text.as_str();
            let number = match unsigned {
                true => text.parse::<u64>().map(i128::from),
                false => text.parse::<i64>().map(i128::from),
            };
            Some(number.map_err(|_| unreadable(name))?)
        }
        other => {
            return Err(failed(format!(
                "there is no {name} of {}",
                other.type_name()
            )));
        }
    };
    let number = number.and_then(|number| match unsigned {
        true => u64::try_from(number).map(Number::UInt).ok(),
        false => i64::try_from(number).map(Number::Int).ok(),
    });
    let number = number.ok_or_else(|| failed(format!("a number is too large for {name}")))?;
    Ok(Value::Number(number))
}

fn double<'a>(float: f64) -> Value<'a> {
    Value::Number(Number::Double(float))
}

fn unreadable(name: &str) -> Halt {
    failed(format!("a text is no {name}"))
}
