//! The values of an expression. Those of the row are looked at where they stand, and not copied.

use std::{cmp::Ordering, mem::size_of, rc::Rc};

use super::{
    document::{Item, Kind},
    fuel::{Fuel, Halt, failed},
    number::Number,
};

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Number(Number<'a>),
    Text(Text<'a>),
    Bytes(Rc<[u8]>),
    List(List<'a>),
    Map(Map<'a>),
    /// The type of this name.
    Type(&'static str),
}

/// A text of the row or of the expression, or one that was made.
#[derive(Debug, Clone)]
pub(super) enum Text<'a> {
    Written(&'a str),
    Made(Rc<str>),
}

/// A list of the row, or one that was made.
#[derive(Debug, Clone)]
pub(super) enum List<'a> {
    Written(Item<'a>),
    Made(Rc<Vec<Value<'a>>>),
}

/// An object of the row, or a map that was made.
#[derive(Debug, Clone)]
pub(super) enum Map<'a> {
    Written(Item<'a>),
    Made(Rc<Vec<(Value<'a>, Value<'a>)>>),
}

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Written(text) => text,
            Self::Made(text) => text,
        }
    }
}

impl<'a> List<'a> {
    /// A list that was made of these.
    pub(super) fn made(values: Vec<Value<'a>>, fuel: &Fuel) -> Result<Value<'a>, Halt> {
        fuel.make(values.len() * size_of::<Value<'_>>())?;
        Ok(Value::List(Self::Made(Rc::new(values))))
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Written(item) => item.count(),
            Self::Made(values) => values.len(),
        }
    }

    /// The value at this place.
    pub(super) fn at(&self, index: usize, fuel: &Fuel) -> Result<Option<Value<'a>>, Halt> {
        match self {
            Self::Written(item) if index < item.count() => {
                fuel.spend(index as u64 / 8)?;
                let found = item.items().nth(index);
                found.map(|item| Value::of(item, fuel)).transpose()
            }
            Self::Written(_) => Ok(None),
            Self::Made(values) => Ok(values.get(index).cloned()),
        }
    }

    /// Each value. Whoever looks at it pays for it.
    pub(super) fn values<'f>(
        &'f self,
        fuel: &'f Fuel,
    ) -> Box<dyn Iterator<Item = Result<Value<'a>, Halt>> + 'f> {
        match self {
            Self::Written(list) => Box::new(list.items().map(move |item| Value::of(item, fuel))),
            Self::Made(values) => Box::new(values.iter().cloned().map(Ok)),
        }
    }
}

impl<'a> Map<'a> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Written(item) => item.count(),
            Self::Made(entries) => entries.len(),
        }
    }

    /// Each key.
    pub(super) fn keys<'f>(
        &'f self,
        fuel: &'f Fuel,
    ) -> Box<dyn Iterator<Item = Result<Value<'a>, Halt>> + 'f> {
        match self {
            Self::Written(map) => Box::new(map.fields().map(move |(key, _)| Value::of(key, fuel))),
            Self::Made(entries) => Box::new(entries.iter().map(|(key, _)| Ok(key.clone()))),
        }
    }

    /// The value of a field.
    pub(super) fn field(&self, name: &str, fuel: &Fuel) -> Result<Option<Value<'a>>, Halt> {
        fuel.spend(self.len() as u64 / 4)?;
        match self {
            Self::Written(map) => {
                // Each key that has escapes is decoded.
                let found = map.field(name);
                found.map(|item| Value::of(item, fuel)).transpose()
            }
            Self::Made(entries) => {
                for (key, value) in entries.iter() {
                    if matches!(key, Value::Text(text) if text.as_str() == name) {
                        return Ok(Some(value.clone()));
                    }
                }
                Ok(None)
            }
        }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &Value<'a>, fuel: &Fuel) -> Result<Option<Value<'a>>, Halt> {
        match (key, self) {
            (Value::Text(name), _) => self.field(name.as_str(), fuel),
            (Value::Bool(_) | Value::Number(_), Self::Written(_)) => Ok(None),
            (Value::Bool(_) | Value::Number(_), Self::Made(entries)) => {
                for (other, value) in entries.iter() {
                    fuel.spend(1)?;
                    if key.equals(other, fuel)? {
                        return Ok(Some(value.clone()));
                    }
                }
                Ok(None)
            }
            _ => Err(failed(format!("{} is no key of a map", key.type_name()))),
        }
    }
}

impl<'a> Value<'a> {
    /// A value of the row.
    pub(super) fn of(item: Item<'a>, fuel: &Fuel) -> Result<Self, Halt> {
        Ok(match item.kind() {
            Kind::Null => Self::Null,
            Kind::Bool(value) => Self::Bool(value),
            Kind::Number => Self::Number(Number::written(item.written())),
            Kind::Plain => Self::Text(Text::Written(item.written())),
            Kind::Escaped => {
                fuel.make(item.written().len())?;
                let text = item.text().map_err(|error| failed(error.to_string()))?;
                Self::Text(Text::Made(text.into()))
            }
            Kind::List => Self::List(List::Written(item)),
            Kind::Object => Self::Map(Map::Written(item)),
        })
    }

    /// A text that was made.
    pub(super) fn text(text: String, fuel: &Fuel) -> Result<Self, Halt> {
        fuel.make(text.len())?;
        Ok(Self::Text(Text::Made(text.into())))
    }

    /// The name of its type in CEL.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Number(number) => number.type_name(),
            Self::Text(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Type(_) => "type",
        }
    }

    /// Are both equal? Values of different types never are, but for numbers.
    pub(super) fn equals(&self, other: &Self, fuel: &Fuel) -> Result<bool, Halt> {
        // Values nest as deep as the row does, so what is still to be compared is kept in a list.
        let mut pairs = vec![(self.clone(), other.clone())];
        while let Some((one, two)) = pairs.pop() {
            fuel.spend(1)?;
            let same = match (&one, &two) {
                (Self::Null, Self::Null) => true,
                (Self::Bool(one), Self::Bool(two)) => one == two,
                (Self::Number(one), Self::Number(two)) => {
                    one.compare(two, fuel)? == Some(Ordering::Equal)
                }
                (Self::Text(one), Self::Text(two)) => {
                    let (one, two) = (one.as_str(), two.as_str());
                    fuel.read(one.len().min(two.len()))?;
                    one == two
                }
                (Self::Bytes(one), Self::Bytes(two)) => {
                    fuel.read(one.len().min(two.len()))?;
                    one == two
                }
                (Self::Type(one), Self::Type(two)) => one == two,
                (Self::List(one), Self::List(two)) if one.len() == two.len() => {
                    fuel.make(2 * one.len() * size_of::<Self>())?;
                    for (one, two) in one.values(fuel).zip(two.values(fuel)) {
                        pairs.push((one?, two?));
                    }
                    true
                }
                (Self::Map(one), Self::Map(two)) if one.len() == two.len() => {
                    fuel.make(2 * one.len() * size_of::<Self>())?;
                    for key in one.keys(fuel) {
                        let key = key?;
                        match (one.get(&key, fuel)?, two.get(&key, fuel)?) {
                            (Some(one), Some(two)) => pairs.push((one, two)),
                            _ => return Ok(false),
                        }
                    }
                    true
                }
                _ => false,
            };
            if !same {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The order of both; `None` where they have none.
    pub(super) fn compare(&self, other: &Self, fuel: &Fuel) -> Result<Option<Ordering>, Halt> {
        Ok(match (self, other) {
            (Self::Number(one), Self::Number(two)) => one.compare(two, fuel)?,
            (Self::Bool(one), Self::Bool(two)) => Some(one.cmp(two)),
            (Self::Text(one), Self::Text(two)) => {
                let (one, two) = (one.as_str(), two.as_str());
                fuel.read(one.len().min(two.len()))?;
                Some(one.cmp(two))
            }
            (Self::Bytes(one), Self::Bytes(two)) => {
                fuel.read(one.len().min(two.len()))?;
                Some(one.cmp(two))
            }
            _ => None,
        })
    }
}
