//! Reads the parsed file value by value, and goes on after a mistake, so that all of them are reported at once.
//!
//! A reading function that returns `None` has recorded the mistake already. Its caller goes on with the next key.

use std::{cell::RefCell, collections::HashSet, ops::Range, time::Duration};

use toml::de::{DeTable, DeValue};

use super::{
    environment,
    mistake::{Location, Mistake},
    places::Places,
    quantity,
};
use crate::nearest::nearest;
use crate::secret::Secret;

/// The file that is being read, and the mistakes found so far.
pub(crate) struct Reader<'a> {
    places: Places<'a>,
    /// The name that messages have for the file: `hooks.toml`.
    kind: &'a str,
    pub(crate) env: &'a dyn Fn(&str) -> Option<String>,
    /// Whether variables of the environment are replaced. What a row of a table says is taken as it is.
    fills: bool,
    mistakes: RefCell<Vec<Mistake>>,
    secret_variables: RefCell<Vec<String>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(
        text: &'a str,
        kind: &'a str,
        env: &'a dyn Fn(&str) -> Option<String>,
    ) -> Self {
        Self {
            places: Places::new(text),
            kind,
            env,
            fills: true,
            mistakes: RefCell::default(),
            secret_variables: RefCell::default(),
        }
    }

    /// For what a row of a table says, written as TOML. It knows nothing of the environment.
    pub(super) fn of_row(text: &'a str) -> Self {
        Self {
            fills: false,
            ..Self::new(text, "row", &|_| None)
        }
    }

    /// The line and column of a byte of the file.
    pub(crate) fn place(&self, byte: usize) -> Location {
        self.places.of(byte)
    }

    /// Records a mistake.
    pub(crate) fn wrong(&self, place: Location, text: impl Into<String>) {
        self.mistakes.borrow_mut().push(Mistake {
            place: Some(place),
            text: text.into(),
        });
    }

    /// The environment variables that secrets were filled with, so far.
    pub(crate) fn secret_variables(&self) -> Vec<String> {
        self.secret_variables.borrow().clone()
    }

    pub(crate) fn finish(self) -> Vec<Mistake> {
        self.mistakes.into_inner()
    }
}

/// The keys of a section.
pub(crate) struct Keys {
    /// The keys that this version reads.
    pub(crate) known: &'static [&'static str],
    /// The keys that a later version will read. This one refuses them.
    pub(crate) later: &'static [&'static str],
}

/// A value, with the full name of its key.
#[derive(Clone)]
pub(crate) struct Value<'a> {
    pub(crate) reader: &'a Reader<'a>,
    /// The full name of the key, such as `delivery.timeout`. An element of a list has the name of the list.
    pub(crate) key: String,
    /// The last part of the key, without quotes.
    pub(crate) name: &'a str,
    /// Where the key stands.
    pub(crate) key_place: Location,
    /// Where the value stands.
    pub(crate) place: Location,
    value: &'a DeValue<'a>,
}

impl<'a> Value<'a> {
    /// Records a mistake at this value.
    pub(crate) fn wrong(&self, text: impl Into<String>) {
        self.reader.wrong(self.place, text);
    }

    pub(crate) fn is_string(&self) -> bool {
        matches!(self.value, DeValue::String(_))
    }

    pub(crate) fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    /// Is it a table with none of `keys`? Then it was probably made by the dots in an unquoted name.
    pub(crate) fn has_no_key_of(&self, keys: &[&str]) -> bool {
        let DeValue::Table(table) = self.value else {
            return false;
        };
        !table.is_empty() && !table.keys().any(|key| keys.contains(&&**key.get_ref()))
    }

    /// Is it a table that holds tables?
    pub(crate) fn holds_tables(&self) -> bool {
        let DeValue::Table(table) = self.value else {
            return false;
        };
        let is_table = |value: &toml::Spanned<_>| matches!(value.get_ref(), DeValue::Table(_));
        table.values().any(is_table)
    }

    /// The string of a key in this table, as it is written. Records no mistakes.
    pub(crate) fn peek(&self, key: &str) -> Option<&str> {
        let DeValue::Table(table) = self.value else {
            return None;
        };
        match table.get(key)?.get_ref() {
            DeValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// The string as it is written, if it is one of `words`.
    pub(crate) fn text_of(&self, words: &[&'static str]) -> Option<&'static str> {
        let DeValue::String(text) = self.value else {
            return None;
        };
        words.iter().copied().find(|word| word == text)
    }

    pub(crate) fn is_false(&self) -> bool {
        matches!(self.value, DeValue::Boolean(false))
    }

    pub(crate) fn is_integer(&self) -> bool {
        matches!(self.value, DeValue::Integer(_))
    }

    /// Does the string contain a variable of the environment?
    pub(crate) fn is_filled(&self) -> bool {
        self.reader.fills && matches!(self.value, DeValue::String(text) if text.contains("${"))
    }

    /// Quotes `part` of the string for a message. A string with `${NAME}` is quoted as it is written in the file,
    /// because the value of the variable may be a secret.
    pub(crate) fn quote(&self, part: &str) -> String {
        match self.value {
            DeValue::String(text) if self.is_filled() => format!("{text:?}"),
            _ => format!("{part:?}"),
        }
    }

    /// Records that the value is of the wrong type. `remedy` says what to write.
    pub(crate) fn mistyped(&self, remedy: &str) {
        let kind = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.wrong(format!("{} is {kind}; write {remedy}", self.key));
    }

    /// A string that is not empty, with the variables of the environment replaced.
    pub(crate) fn string(&self) -> Option<String> {
        self.string_or("a string")
    }

    /// A string that people read in one line, of so many characters at most.
    pub(crate) fn name(&self, longest: usize) -> Option<String> {
        let name = self.string()?;
        let is_good = name.chars().count() <= longest && !name.chars().any(char::is_control);
        if !is_good {
            self.wrong(format!(
                "{} is longer than {longest} characters, or has a control character; write another",
                self.key
            ));
        }
        is_good.then_some(name)
    }

    pub(crate) fn string_or(&self, remedy: &str) -> Option<String> {
        let DeValue::String(text) = self.value else {
            self.mistyped(remedy);
            return None;
        };
        let filled = match self.reader.fills {
            true => environment::replace(text, self.reader.env),
            false => Ok(text.clone().into_owned()),
        };
        let text = match filled {
            Ok(text) => text,
            Err(mistakes) => {
                mistakes.into_iter().for_each(|text| self.wrong(text));
                return None;
            }
        };
        if text.is_empty() {
            self.wrong(format!(
                "{} is empty; write a value, or leave it out",
                self.key
            ));
            return None;
        }
        Some(text)
    }

    pub(crate) fn secret(&self) -> Option<Secret> {
        if let DeValue::String(text) = self.value
            && self.reader.fills
        {
            let names = environment::names(text);
            self.reader.secret_variables.borrow_mut().extend(names);
        }
        self.string().map(Secret::new)
    }

    pub(crate) fn flag(&self) -> Option<bool> {
        let DeValue::Boolean(flag) = self.value else {
            self.mistyped("true or false");
            return None;
        };
        Some(*flag)
    }

    /// A whole number from 1.
    pub(crate) fn count(&self) -> Option<u32> {
        let DeValue::Integer(number) = self.value else {
            self.mistyped("a whole number");
            return None;
        };
        let count = u32::from_str_radix(number.as_str(), number.radix()).ok();
        let count = count.filter(|count| *count > 0);
        if count.is_none() {
            self.wrong(format!(
                "{} is {number}; write a whole number from 1 to {}",
                self.key,
                u32::MAX
            ));
        }
        count
    }

    /// A fraction from 0 to 1.
    pub(crate) fn share(&self) -> Option<f64> {
        const REMEDY: &str = "a number from 0 to 1, such as 0.1";
        let number = match self.value {
            DeValue::Float(number) => number.as_str(),
            DeValue::Integer(number) => number.as_str(),
            _ => {
                self.mistyped(REMEDY);
                return None;
            }
        };
        let share = number.parse().ok();
        let share = share.filter(|share| (0.0..=1.0).contains(share));
        if share.is_none() {
            self.wrong(format!("{} is {number}; write {REMEDY}", self.key));
        }
        share
    }

    pub(crate) fn duration(&self) -> Option<Duration> {
        const REMEDY: &str = "a number with its unit, ms, s, m, h or d, such as \"15s\"";
        let text = self.string_or(REMEDY)?;
        let duration = quantity::duration(&text);
        if duration.is_none() {
            self.wrong(format!(
                "{} is not a duration; write {REMEDY}",
                self.quote(&text)
            ));
        }
        duration
    }

    /// A duration that is not zero.
    pub(crate) fn positive_duration(&self) -> Option<Duration> {
        let duration = self.duration()?;
        if duration.is_zero() {
            self.wrong(format!(
                "{} is zero; write a longer time, such as \"15s\"",
                self.key
            ));
            return None;
        }
        Some(duration)
    }

    /// A size of at least `least` bytes. `shown` is that minimum as a user writes it.
    pub(crate) fn size(&self, least: usize, shown: &str) -> Option<usize> {
        const REMEDY: &str =
            "a number with its unit, B, KB, MB, GB, KiB, MiB or GiB, such as \"20MiB\"";
        let text = self.string_or(REMEDY)?;
        let Some(size) = quantity::size(&text) else {
            self.wrong(format!(
                "{} is not a size; write {REMEDY}",
                self.quote(&text)
            ));
            return None;
        };
        if size < least {
            self.wrong(format!(
                "{} is {}; write {shown:?} or more",
                self.key,
                self.quote(&text)
            ));
            return None;
        }
        Some(size)
    }

    /// One of `choices`.
    pub(crate) fn choice<T: Clone>(&self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.string()?;
        let found = choices.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            self.wrong(format!(
                "{} cannot be {}; {}",
                self.key,
                self.quote(&text),
                suggest(&text, &words)
            ));
        }
        found.map(|(_, value)| value.clone())
    }

    /// The elements of a list.
    pub(crate) fn list(&self, remedy: &str) -> Option<Vec<Value<'a>>> {
        let DeValue::Array(array) = self.value else {
            self.mistyped(remedy);
            return None;
        };
        let element = |element: &'a toml::Spanned<DeValue<'a>>| {
            let place = self.reader.place(element.span().start);
            Value {
                reader: self.reader,
                key: self.key.clone(),
                name: self.name,
                key_place: place,
                place,
                value: element.get_ref(),
            }
        };
        Some(array.iter().map(element).collect())
    }

    /// The elements of a list, each read with `read`. All are read even if one has a mistake, so that each can report
    /// its own. A string stands for a list of one.
    pub(crate) fn list_of<T>(
        &self,
        remedy: &str,
        read: impl Fn(&Value<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        if let DeValue::String(_) = self.value {
            return read(self).map(|one| vec![one]);
        }
        let elements: Vec<Option<T>> = self.list(remedy)?.iter().map(read).collect();
        elements.into_iter().collect()
    }

    /// A list of at least one string, none of them twice. A string stands for a list of one.
    pub(crate) fn strings(&self) -> Option<Vec<String>> {
        if let DeValue::String(_) = self.value {
            return self.string().map(|one| vec![one]);
        }
        let mut strings = Vec::new();
        let mut seen = HashSet::new();
        let elements = self.list("a list of strings")?;
        if elements.is_empty() {
            self.wrong(format!(
                "{} is empty; name at least one, or leave it out",
                self.key
            ));
            return None;
        }
        for element in elements {
            let Some(text) = element.string() else {
                continue;
            };
            if !seen.insert(text.clone()) {
                element.wrong(format!(
                    "{} is named twice; remove one",
                    element.quote(&text)
                ));
            }
            strings.push(text);
        }
        Some(strings)
    }

    /// A table with any keys.
    pub(crate) fn open_table(&self) -> Option<Table<'a>> {
        let DeValue::Table(table) = self.value else {
            self.mistyped("a table");
            return None;
        };
        Some(Table::new(self.reader, &self.key, self.key_place, table))
    }

    /// A table that has no keys other than `keys`.
    pub(crate) fn table(&self, keys: &Keys) -> Option<Table<'a>> {
        let table = self.open_table()?;
        table.refuse_unknown(keys);
        Some(table)
    }
}

/// A table, with its entries in the order of the file.
pub(crate) struct Table<'a> {
    pub(crate) reader: &'a Reader<'a>,
    /// Its full name; empty for the whole file.
    pub(crate) name: String,
    /// Where its name stands.
    pub(crate) place: Location,
    entries: Vec<Value<'a>>,
}

impl<'a> Table<'a> {
    pub(crate) fn new(
        reader: &'a Reader<'a>,
        name: &str,
        place: Location,
        table: &'a DeTable<'a>,
    ) -> Self {
        let entry =
            |(key, value): (&'a toml::Spanned<_>, &'a toml::Spanned<DeValue<'a>>)| -> Value<'a> {
                let key: &'a toml::Spanned<std::borrow::Cow<'a, str>> = key;
                let start = |span: Range<usize>| reader.place(span.start);
                Value {
                    reader,
                    key: join(name, key.get_ref()),
                    name: key.get_ref(),
                    key_place: start(key.span()),
                    place: start(value.span()),
                    value: value.get_ref(),
                }
            };
        let mut entries: Vec<_> = table.iter().map(entry).collect();
        entries.sort_by_key(|entry| entry.key_place);
        Self {
            reader,
            name: name.to_owned(),
            place,
            entries,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Value<'a>> {
        self.entries.iter()
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Value<'a>> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// A value that must be there. `remedy` shows how to write it.
    pub(crate) fn need(&self, name: &str, remedy: &str) -> Option<&Value<'a>> {
        let found = self.find(name);
        if found.is_none() {
            let key = join(&self.name, name);
            self.reader
                .wrong(self.place, format!("{key} is missing; write {remedy}"));
        }
        found
    }

    /// The string of an optional key.
    pub(crate) fn string(&self, name: &str) -> Option<String> {
        self.find(name)?.string()
    }

    pub(crate) fn refuse_unknown(&self, keys: &Keys) {
        self.refuse_all_but(keys.known, keys.later);
    }

    /// Refuses all keys but the `known` ones. Those that come `later` are told as such.
    pub(super) fn refuse_all_but(&self, known: &[&str], later: &[&str]) {
        for entry in &self.entries {
            if later.contains(&entry.name) {
                self.reader.wrong(
                    entry.key_place,
                    format!(
                        "{} comes in a later version; leave it out until then",
                        entry.key
                    ),
                );
            } else if !known.contains(&entry.name) {
                let owner = match &*self.name {
                    "" => self.reader.kind.to_owned(),
                    name => name.to_owned(),
                };
                self.reader.wrong(
                    entry.key_place,
                    format!(
                        "{owner} has no key {:?}; {}",
                        entry.name,
                        suggest(entry.name, known)
                    ),
                );
            }
        }
    }
}

/// The remedy for an unknown word: `did you mean "a"?`, or where nothing is near: `write "a", "b" or "c"`.
fn suggest(wanted: &str, known: &[&str]) -> String {
    if let Some(near) = nearest(wanted, known.iter().copied()) {
        return format!("did you mean {near:?}?");
    }
    match known {
        [] => "remove it".into(),
        [only] => format!("write {only:?}"),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(|word| format!("{word:?}")).collect();
            format!("write {} or {last:?}", first.join(", "))
        }
    }
}

/// The name `table.key`, with quotes where TOML needs them.
fn join(table: &str, key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let key = if !key.is_empty() && key.chars().all(bare) {
        key.to_owned()
    } else {
        format!("{key:?}")
    };
    if table.is_empty() {
        key
    } else {
        format!("{table}.{key}")
    }
}
