//! CEL expressions over an event: the `when` of an event and the `filter` of a hook.
//!
//! `new` and `old` are the row as JSON, so an expression sees what a receiver sees. An old image that holds only the
//! key has only the fields of the key, which `has(old.price)` can test.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use cel::{
    Context, IdedExpr, Program, Value,
    common::ast::{EntryExpr, Expr},
};
use serde_json::Value as Json;

use super::{
    cost::{self, Cost, Size},
    error::Error,
    typing::{self, Columns},
};

/// The variables that an expression may use, in the order of [`Facts`].
pub const VARIABLES: [&str; 5] = ["new", "old", "changed", "event", "owner"];

/// A compiled CEL expression. Two are equal when their texts are.
pub struct Filter {
    text: String,
    program: Program,
    columns: Vec<String>,
    pub(super) cost: Cost,
}

/// The values of the variables for one event. They are made once and shared by all expressions on the event.
#[derive(Debug, Clone)]
pub struct Facts {
    values: [Value; 5],
    size: Size,
}

impl Facts {
    /// The values for one event. `new` and `old` are JSON objects or null. `changed` is `None` where it is unknown.
    pub fn new(
        new: &Json,
        old: &Json,
        changed: Option<&[&str]>,
        event: &str,
        owner: Option<&str>,
    ) -> Self {
        let text = |text: &str| Value::from(text.to_owned());
        let changed = match changed {
            Some(names) => Value::from(names.iter().map(|name| text(name)).collect::<Vec<_>>()),
            None => Value::Null,
        };
        Self {
            values: [
                from_json(new),
                from_json(old),
                changed,
                text(event),
                owner.map_or(Value::Null, text),
            ],
            size: Size::of(new) + Size::of(old),
        }
    }
}

/// Converts JSON to a CEL value. Whole numbers become `int`, so that the difference of two may be negative.
fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Value::Int(whole),
            (None, Some(large)) => Value::UInt(large),
            (None, None) => number.as_f64().map_or(Value::Null, Value::Float),
        },
        Json::String(text) => Value::from(text.clone()),
        Json::Array(items) => Value::from(items.iter().map(from_json).collect::<Vec<_>>()),
        Json::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| (name.clone(), from_json(value)));
            Value::from(fields.collect::<HashMap<_, _>>())
        }
    }
}

impl Filter {
    /// Compiles `text`.
    ///
    /// # Errors
    /// When it is not CEL, is too long or too deep, or names a variable that is not one of [`VARIABLES`].
    pub fn compile(text: &str) -> Result<Self, Error> {
        cost::refuse_too_long(text)?;
        // The parser recurses for each level, and the number of levels is known only afterwards.
        let parser = std::thread::Builder::new().stack_size(cost::STACK);
        std::thread::scope(|scope| {
            let parsing = parser.spawn_scoped(scope, || Self::parse(text));
            let parsed = parsing.map(|parsing| parsing.join());
            match parsed {
                Ok(Ok(parsed)) => parsed,
                // The expression may come from a user's row, so a panic of the parser must not end the process.
                Ok(Err(_)) => Err(syntax(text, "the parser gave up on it")),
                Err(error) => Err(syntax(
                    text,
                    &format!("there is no thread to parse it: {error}"),
                )),
            }
        })
    }

    fn parse(text: &str) -> Result<Self, Error> {
        let program = Program::compile(text).map_err(|errors| syntax(text, &errors.to_string()))?;
        cost::refuse_too_deep(program.expression())?;
        let mut uses = Uses::default();
        uses.read(program.expression());
        if let Some(name) = uses.unknown {
            return Err(Error::UnknownVariable {
                expression: text.to_owned(),
                name: name.to_owned(),
            });
        }
        let columns = uses.columns.into_iter().map(str::to_owned).collect();
        let cost = Cost::of(program.expression());
        Ok(Self {
            text: text.to_owned(),
            program,
            columns,
            cost,
        })
    }

    /// Checks that the expression can be evaluated on rows with these columns, and gives a boolean. `None` stands for
    /// messages, whose payload may be anything.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn check(&self, columns: Option<&Columns>) -> Result<(), Error> {
        typing::check(self.program.expression(), columns).map_err(|reason| Error::Misfit {
            expression: self.text.clone(),
            reason,
        })
    }

    /// Evaluates the expression.
    ///
    /// # Errors
    /// When it fails, gives no boolean, or would take too long on a row of this size.
    pub fn accepts(&self, facts: &Facts) -> Result<bool, Error> {
        let failed = |reason: String| Error::Failed {
            expression: self.text.clone(),
            reason,
        };
        if !self.cost.is_affordable(facts.size) {
            return Err(failed("it would look at too much in a row so large".into()));
        }
        let mut context = Context::default();
        for (name, value) in VARIABLES.into_iter().zip(&facts.values) {
            context.add_variable_from_value(name, value.clone());
        }
        let answer = catch_unwind(AssertUnwindSafe(|| self.program.execute(&context)))
            .map_err(|_| failed("the interpreter gave up on it".into()))?
            .map_err(|error| failed(error.to_string()))?;
        match answer {
            Value::Bool(answer) => Ok(answer),
            other => Err(Error::NotBoolean {
                expression: self.text.clone(),
                answer: other.type_of().to_string(),
            }),
        }
    }

    /// The expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The columns of `new` and `old` that it reads.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(String::as_str)
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text alone. The numbering of events is a hash over their rules, and a new version must find the old one.
        fmt::Debug::fmt(&self.text, f)
    }
}

/// The error for a text that is not CEL. The reason is put on one line.
fn syntax(text: &str, reason: &str) -> Error {
    Error::Syntax {
        expression: text.to_owned(),
        reason: reason.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

/// The names that an expression uses, gathered from its syntax tree.
#[derive(Default)]
struct Uses<'a> {
    columns: BTreeSet<&'a str>,
    /// The first name that is neither one of [`VARIABLES`] nor bound by a macro such as `exists`.
    unknown: Option<&'a str>,
    bound: Vec<&'a str>,
}

impl<'a> Uses<'a> {
    fn read(&mut self, expression: &'a IdedExpr) {
        match &expression.expr {
            Expr::Ident(name) => {
                let known =
                    VARIABLES.contains(&name.as_str()) || self.bound.contains(&name.as_str());
                if !known && self.unknown.is_none() {
                    self.unknown = Some(name);
                }
            }
            Expr::Select(select) => {
                self.read(&select.operand);
                if matches!(&select.operand.expr, Expr::Ident(name) if name == "new" || name == "old")
                {
                    self.columns.insert(&select.field);
                }
            }
            Expr::Call(call) => call
                .target
                .as_deref()
                .into_iter()
                .chain(&call.args)
                .for_each(|part| self.read(part)),
            Expr::List(list) => list.elements.iter().for_each(|element| self.read(element)),
            Expr::Map(map) => map
                .entries
                .iter()
                .for_each(|entry| self.read_entry(&entry.expr)),
            Expr::Struct(fields) => fields
                .entries
                .iter()
                .for_each(|entry| self.read_entry(&entry.expr)),
            Expr::Comprehension(of) => {
                self.read(&of.iter_range);
                self.read(&of.accu_init);
                let before = self.bound.len();
                self.bound
                    .extend([of.iter_var.as_str(), of.accu_var.as_str()]);
                self.bound.extend(of.iter_var2.as_deref());
                self.read(&of.loop_cond);
                self.read(&of.loop_step);
                self.read(&of.result);
                self.bound.truncate(before);
            }
            Expr::Literal(_) | Expr::Unspecified => {}
        }
    }

    fn read_entry(&mut self, entry: &'a EntryExpr) {
        match entry {
            EntryExpr::StructField(field) => self.read(&field.value),
            EntryExpr::MapEntry(entry) => {
                self.read(&entry.key);
                self.read(&entry.value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn facts() -> Facts {
        let new = json!({"id": 7, "price": 9.5, "title": "Dune", "tags": ["a"], "sold": null});
        let old = json!({"id": 7, "price": 10, "title": "Dune"});
        Facts::new(&new, &old, Some(&["price"]), "book.changed", Some("3"))
    }

    #[test]
    fn an_expression_sees_the_row_before_and_after() {
        for (text, expected) in [
            ("new.price < old.price", true),
            ("new.price == 9.5 && old.price == 10.0", true),
            ("new.title == 'Dune' && owner == '3'", true),
            ("'price' in changed && event == 'book.changed'", true),
            ("new.sold == null", true),
            ("has(old.tags)", false),
            ("new.tags.exists(t, t == 'a')", true),
            ("new.title.startsWith('X')", false),
        ] {
            assert_eq!(
                Filter::compile(text).unwrap().accepts(&facts()).unwrap(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_wrong_with_an_expression_is_said_in_one_line() {
        let compile = |text: &str| Filter::compile(text).unwrap_err().to_string();
        assert_eq!(
            compile("nw.price > 1"),
            r#""nw.price > 1" uses "nw"; an expression sees new, old, changed, event and owner"#
        );
        assert!(compile("new.price >").starts_with(r#""new.price >" is not a CEL expression: "#));
        assert!(!compile("new.price >").contains('\n'));
        let accepts = |text: &str| {
            Filter::compile(text)
                .unwrap()
                .accepts(&facts())
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            accepts("new.id"),
            r#""new.id" gave int, which is neither true nor false"#
        );
        assert!(accepts("old.tags == []").contains("failed"));
    }

    #[test]
    fn the_columns_of_an_expression_are_known() {
        let filter = Filter::compile(
            "new.a < old.b || new.c.exists(x, x == old.d) || {'k': new.e}.k || has(new.f)",
        );
        assert_eq!(
            filter.unwrap().columns().collect::<Vec<_>>(),
            ["a", "b", "c", "d", "e", "f"]
        );
    }
}
