//! A row as the value of a template.
//!
//! Templates calculate with floats, and a float loses what Postgres wrote: 19.9000 is 19.9. So each number that a
//! template takes from the row is remembered as it was written, and printed as that. Lists and objects are printed as
//! they stand in the row, and are made into values only where a template goes into them.

use std::{
    collections::HashMap,
    fmt::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, Value, escape_formatter,
    value::{Enumerator, Object, ObjectRepr, ValueKind},
};

use super::{
    decimal::Decimal,
    document::{Document, Item, Kind, SharedItem},
};

/// The most levels of a row. Whoever goes into one recurses for each.
pub(super) const DEEPEST: u32 = 512;
/// The bytes that a template may take from a row, beside four times the row.
const TAKEN: u64 = 16 << 20;
/// The bytes that are printed for one step.
pub(super) const BYTES_OF_FUEL: u64 = 64;
/// What a value takes beside its text.
const VALUE: u64 = 32;

/// The numbers that a template took from the row, as they are written there.
#[derive(Debug)]
pub(super) struct Numbers {
    /// By the bits of the float that each is as a value.
    written: Mutex<HashMap<u64, Arc<str>>>,
    /// The bytes that may be taken from the row.
    all: u64,
    /// Those that may still be taken.
    left: AtomicU64,
}

impl Numbers {
    /// For templates on these documents.
    pub(super) fn new<'a>(documents: impl IntoIterator<Item = &'a Document>) -> Self {
        let bytes = documents
            .into_iter()
            .map(|all| all.root().written().len() as u64);
        let all = TAKEN + 4 * bytes.sum::<u64>();
        Self {
            written: Mutex::default(),
            all,
            left: AtomicU64::new(all),
        }
    }

    /// Was more taken from the row than is allowed?
    pub(super) fn are_exhausted(&self) -> bool {
        self.left.load(Relaxed) == 0
    }

    /// The bytes that were taken from the row.
    pub(super) fn taken(&self) -> u64 {
        self.all - self.left.load(Relaxed)
    }

    /// Takes bytes from the row. `None`: they are more than is allowed.
    fn take(&self, bytes: u64) -> Option<()> {
        let left = self.left.load(Relaxed).saturating_sub(bytes);
        self.left.store(left, Relaxed);
        (left > 0).then_some(())
    }

    /// The number as a value.
    fn number(&self, text: &str) -> Value {
        if text != "-0" {
            if let Ok(whole) = text.parse::<i64>() {
                return Value::from(whole);
            }
            if let Ok(whole) = text.parse::<i128>() {
                return Value::from(whole);
            }
        }
        let float = text.parse::<f64>().ok().filter(|float| float.is_finite());
        let Some(float) = float else {
            return Value::from_object(Literal(text.into()));
        };
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        match written.get(&float.to_bits()) {
            // One float cannot stand for two numbers. Of those that differ in zeros alone, the last one counts.
            Some(other) if Decimal::parse(other) != Decimal::parse(text) => {
                return Value::from_object(Literal(text.into()));
            }
            _ => written.insert(float.to_bits(), text.into()),
        };
        Value::from(float)
    }

    /// A number of the row, as it is written there.
    fn written(&self, value: &Value) -> Option<Arc<str>> {
        if value.kind() != ValueKind::Number || value.is_integer() {
            return None;
        }
        let float = f64::try_from(value.clone()).ok()?;
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.get(&float.to_bits()).cloned()
    }
}

/// The value of a document.
pub(super) fn value(document: Arc<Document>, numbers: &Arc<Numbers>) -> Value {
    let root = SharedItem::root(document);
    shown(&root, root.item(), numbers).unwrap_or_default()
}

/// The value of an item. `None`: more was taken from the row than is allowed.
fn shown(shared: &SharedItem, item: Item<'_>, numbers: &Arc<Numbers>) -> Option<Value> {
    let text = |item: Item<'_>| match item.text() {
        Ok(text) => Value::from(&*text),
        Err(_) => Value::from_object(Literal(format!("\"{}\"", item.written()).into())),
    };
    let bytes = match item.kind() {
        Kind::Plain | Kind::Escaped | Kind::Number => item.written().len() as u64,
        _ => 0,
    };
    numbers.take(VALUE + bytes)?;
    Some(match item.kind() {
        Kind::Null => Value::from(()),
        Kind::Bool(value) => Value::from(value),
        Kind::Number => numbers.number(item.written()),
        Kind::Plain | Kind::Escaped => text(item),
        Kind::List | Kind::Object => Value::from_object(Shown {
            item: shared.share(item),
            numbers: Arc::clone(numbers),
        }),
    })
}

/// What cannot be calculated with: it prints as it is written.
#[derive(Debug)]
struct Literal(Box<str>);

impl Object for Literal {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A list or an object of the row.
#[derive(Debug)]
struct Shown {
    item: SharedItem,
    numbers: Arc<Numbers>,
}

impl Object for Shown {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        match self.item.item().kind() {
            Kind::List => ObjectRepr::Seq,
            _ => ObjectRepr::Map,
        }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let item = self.item.item();
        self.numbers.take(VALUE + item.count() as u64)?;
        let found = match item.kind() {
            Kind::List => item.items().nth(key.as_usize()?)?,
            _ => item.field(key.as_str()?)?,
        };
        shown(&self.item, found, &self.numbers)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let this = Arc::clone(self);
        let item = self.item.item();
        let is_list = item.kind() == Kind::List;
        let mut next = self.item.share(item.first());
        Enumerator::Iter(Box::new((0..item.count()).map(move |_| {
            let one = next.clone();
            let after = one.item().next();
            next = one.share(if is_list { after } else { after.next() });
            shown(&this.item, one.item(), &this.numbers).unwrap_or_default()
        })))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.item.item().count())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.item.item().write(f)
    }
}

/// Makes the environment print numbers as they are written in the row.
pub(super) fn print_with(environment: &mut Environment<'_>, numbers: &Arc<Numbers>) {
    let known = Arc::clone(numbers);
    environment.set_formatter(move |out, state, value| print(out, state, value, &known));
    let known = Arc::clone(numbers);
    environment.add_filter("string", move |value: &Value| match known.written(value) {
        Some(written) => Value::from(&*written),
        None if value.kind() == ValueKind::String => value.clone(),
        None => Value::from(value.to_string()),
    });
    let known = Arc::clone(numbers);
    environment.add_filter("tojson", move |state: &State<'_, '_>, value: &Value| {
        json(state, value, &known).map(Value::from_safe_string)
    });
}

/// Prints a value.
fn print(
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
    numbers: &Numbers,
) -> Result<(), Error> {
    if matches!(state.auto_escape(), AutoEscape::Json) && !value.is_safe() {
        let json = json(state, value, numbers)?;
        return out.write_str(&json).map_err(Error::from);
    }
    match numbers.written(value) {
        Some(written) => out.write_str(&written).map_err(Error::from),
        None => escape_formatter(out, state, value),
    }
}

/// A value as JSON. It is paid for only when it is printed, so it may not be longer than can be paid.
fn json(state: &State<'_, '_>, value: &Value, numbers: &Numbers) -> Result<String, Error> {
    let left = state.fuel_levels().map_or(0, |(_, left)| left);
    let mut json = Bounded {
        text: String::new(),
        most: left * BYTES_OF_FUEL,
    };
    match write(&mut json, value, numbers, 0) {
        Err(_) if json.most == 0 => Err(Error::from(ErrorKind::OutOfFuel)),
        written => written.map(|()| json.text),
    }
}

/// Writes a value as JSON.
fn write(out: &mut impl Write, value: &Value, numbers: &Numbers, depth: u32) -> Result<(), Error> {
    let invalid = |what: &'static str| Error::new(ErrorKind::InvalidOperation, what);
    if depth > DEEPEST {
        return Err(invalid("a value is nested too deep"));
    }
    if let Some(shown) = value.downcast_object_ref::<Shown>() {
        return Ok(shown.item.item().write(out)?);
    }
    if let Some(literal) = value.downcast_object_ref::<Literal>() {
        return Ok(out.write_str(&literal.0)?);
    }
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => Ok(out.write_str("null")?),
        ValueKind::Bool => Ok(out.write_str(if value.is_true() { "true" } else { "false" })?),
        ValueKind::Number => match numbers.written(value) {
            Some(written) => Ok(out.write_str(&written)?),
            None if value.is_integer() => Ok(write!(out, "{value}")?),
            None => {
                let float = f64::try_from(value.clone())?;
                let number = serde_json::Number::from_f64(float);
                let number = number.ok_or_else(|| invalid("a number is infinite or none"))?;
                Ok(write!(out, "{number}")?)
            }
        },
        ValueKind::Seq | ValueKind::Iterable => {
            out.write_char('[')?;
            for (number, item) in value.try_iter()?.enumerate() {
                if number > 0 {
                    out.write_char(',')?;
                }
                write(out, &item, numbers, depth + 1)?;
            }
            Ok(out.write_char(']')?)
        }
        ValueKind::Map => {
            out.write_char('{')?;
            for (number, key) in value.try_iter()?.enumerate() {
                if number > 0 {
                    out.write_char(',')?;
                }
                let field = value.get_item(&key)?;
                write_text(out, &key.to_string())?;
                out.write_char(':')?;
                write(out, &field, numbers, depth + 1)?;
            }
            Ok(out.write_char('}')?)
        }
        _ => match value.as_str() {
            Some(text) => write_text(out, text),
            None => write_text(out, &value.to_string()),
        },
    }
}

fn write_text(out: &mut impl Write, text: &str) -> Result<(), Error> {
    let json = serde_json::to_string(text);
    let json = json.map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))?;
    Ok(out.write_str(&json)?)
}

/// A text that takes only so many bytes.
struct Bounded {
    text: String,
    /// None, once there were too many.
    most: u64,
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if (self.text.len() + text.len()) as u64 > self.most {
            self.most = 0;
            return Err(fmt::Error);
        }
        self.text.push_str(text);
        Ok(())
    }
}
