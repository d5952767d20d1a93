//! CEL expressions over an event: the `when` of an event and the `filter` of a hook.
//!
//! `new` and `old` are the row as JSON, so an expression sees what a receiver sees. An old image that holds only the
//! key has only the fields of the key, which `has(old.price)` can test.

use std::{
    collections::BTreeSet,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::OnceLock,
};

use cel::{
    IdedExpr, Program,
    common::ast::{EntryExpr, Expr, LiteralValue},
};

pub use super::fuel::STEPS;
use super::{
    bounds,
    document::{self, Document},
    error::Error,
    fuel::{Fuel, Halt},
    interpreter::{Compiled, Interpreter},
    number::Number,
    pattern::{self, Pattern},
    typing::{self, Columns},
    value::{Text, Value},
};

/// The variables that an expression may use.
pub const VARIABLES: [&str; 5] = ["new", "old", "changed", "event", "owner"];

/// About how many steps of an evaluation take as long as it takes to parse a byte.
const STEPS_OF_BYTE: u64 = 160;

/// A CEL expression. Two are equal when their texts are.
pub struct Filter {
    text: String,
    /// What it was compiled to, or why it cannot be. Empty until it is needed.
    parsed: OnceLock<Result<Parsed, Error>>,
}

/// A compiled expression.
struct Parsed {
    program: Program,
    columns: Vec<String>,
    /// Whether it uses `new` or `old` otherwise than for the value of a column.
    whole_rows: bool,
    compiled: Compiled,
}

/// The values of the variables for one event. They are made once and shared by all expressions on the event.
#[derive(Debug)]
pub struct Facts {
    new: Document,
    old: Document,
    changed: Document,
    event: String,
    owner: Option<String>,
}

impl Facts {
    /// The values for one event. `new` and `old` are JSON objects or null. `changed` is `None` where it is unknown.
    ///
    /// # Errors
    /// When one of them is not JSON.
    pub fn new(
        new: impl Into<String>,
        old: impl Into<String>,
        changed: Option<&[&str]>,
        event: &str,
        owner: Option<&str>,
    ) -> Result<Self, document::Error> {
        Ok(Self {
            new: Document::parse(new)?,
            old: Document::parse(old)?,
            changed: Document::parse(serde_json::json!(changed).to_string())?,
            event: event.to_owned(),
            owner: owner.map(str::to_owned),
        })
    }

    fn value<'a>(&'a self, name: &str, fuel: &Fuel) -> Option<Value<'a>> {
        let root = |document: &'a Document| Value::of(document.root(), fuel).ok();
        match name {
            "new" => root(&self.new),
            "old" => root(&self.old),
            "changed" => root(&self.changed),
            "event" => Some(Value::Text(Text::Written(&self.event))),
            "owner" => Some(match &self.owner {
                Some(owner) => Value::Text(Text::Written(owner)),
                None => Value::Null,
            }),
            _ => None,
        }
    }
}

impl Filter {
    /// Compiles `text`.
    ///
    /// # Errors
    /// When it is not CEL, is too long or too deep, has a pattern that cannot be compiled before, or names a variable
    /// that is not one of [`VARIABLES`].
    pub fn compile(text: &str) -> Result<Self, Error> {
        let filter = Self::uncompiled(text)?;
        filter.parsed()?;
        Ok(filter)
    }

    /// An expression that is compiled when it is needed, because the parser takes its time.
    ///
    /// # Errors
    /// When it is too long.
    pub fn uncompiled(text: &str) -> Result<Self, Error> {
        bounds::refuse_too_long(text)?;
        Ok(Self {
            text: text.to_owned(),
            parsed: OnceLock::new(),
        })
    }

    /// Compiles it, if that was not done before.
    ///
    /// # Errors
    /// As those of [`compile`](Self::compile).
    pub fn compiled(&self) -> Result<(), Error> {
        self.parsed().map(drop)
    }

    /// Is it compiled, or known not to be an expression?
    pub fn is_compiled(&self) -> bool {
        self.parsed.get().is_some()
    }

    /// About how many steps of an evaluation take as long as it takes to compile it.
    pub fn steps_to_compile(&self) -> u64 {
        self.text.len() as u64 * STEPS_OF_BYTE
    }

    fn parsed(&self) -> Result<&Parsed, Error> {
        let parsed = self.parsed.get_or_init(|| Self::parse_apart(&self.text));
        parsed.as_ref().map_err(Clone::clone)
    }

    /// Parses `text` in a thread of its own.
    fn parse_apart(text: &str) -> Result<Parsed, Error> {
        // The parser recurses for each level, and the number of levels is known only afterwards.
        let parser = std::thread::Builder::new().stack_size(bounds::STACK);
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

    fn parse(text: &str) -> Result<Parsed, Error> {
        let program = Program::compile(text).map_err(|errors| syntax(text, &errors.to_string()))?;
        bounds::refuse_too_deep(program.expression())?;
        let mut uses = Uses::default();
        uses.read(program.expression());
        if let Some(name) = uses.unknown {
            return Err(Error::UnknownVariable {
                expression: text.to_owned(),
                name: name.to_owned(),
            });
        }
        let compiled = compiled(text, &program).map_err(|reason| Error::Misfit {
            expression: text.to_owned(),
            reason,
        })?;
        let whole_rows = uses.whole_rows;
        let columns = uses.columns.into_iter().map(str::to_owned).collect();
        Ok(Parsed {
            program,
            columns,
            whole_rows,
            compiled,
        })
    }

    /// Checks that the expression can be evaluated on rows with these columns, and gives a boolean. `None` stands for
    /// messages, whose payload may be anything.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn check(&self, columns: Option<&Columns>) -> Result<(), Error> {
        typing::check(self.parsed()?.program.expression(), columns).map_err(|reason| {
            Error::Misfit {
                expression: self.text.clone(),
                reason,
            }
        })
    }

    /// Evaluates the expression.
    ///
    /// # Errors
    /// When it fails, gives no boolean, or takes too much.
    pub fn accepts(&self, facts: &Facts) -> Result<bool, Error> {
        self.accepts_within(facts, &mut { STEPS })
    }

    /// Evaluates the expression with at most `allowance` steps, and takes from that what it took.
    ///
    /// # Errors
    /// When it fails, gives no boolean, or takes too much.
    pub fn accepts_within(&self, facts: &Facts, allowance: &mut u64) -> Result<bool, Error> {
        let failed = |reason: String| Error::Failed {
            expression: self.text.clone(),
            reason,
        };
        let parsed = self.parsed()?;
        let fuel = Fuel::new(*allowance);
        let evaluate = || {
            let interpreter = Interpreter {
                compiled: &parsed.compiled,
                variable: &|name| facts.value(name, &fuel),
                fuel: &fuel,
                searches: Default::default(),
            };
            let answer = interpreter.value(parsed.program.expression())?;
            Ok(match answer {
                Value::Bool(answer) => Ok(answer),
                other => Err(other.type_name()),
            })
        };
        let answer = catch_unwind(AssertUnwindSafe(evaluate));
        *allowance -= fuel.spent();
        let answer = answer.map_err(|_| failed("the interpreter gave up on it".into()))?;
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(answer)) => Err(Error::NotBoolean {
                expression: self.text.clone(),
                answer: answer.to_owned(),
            }),
            Err(Halt::Failed(reason) | Halt::Exhausted(reason)) => Err(failed(reason)),
        }
    }

    /// The expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether its answer can depend on this column of `new` and `old`.
    pub fn reads(&self, column: &str) -> bool {
        match self.parsed() {
            Ok(parsed) => parsed.whole_rows || parsed.columns.iter().any(|name| name == column),
            Err(_) => true,
        }
    }

    /// The columns of `new` and `old` that it reads by name.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        let parsed = self.parsed().ok();
        let columns = parsed.map(|parsed| parsed.columns.as_slice());
        let columns = columns.unwrap_or_default();
        columns.iter().map(String::as_str)
    }
}

/// Compiles the patterns of an expression, and finds those of its literals that a float cannot hold.
///
/// # Errors
/// When a pattern cannot be compiled. The error says so in words.
fn compiled(text: &str, program: &Program) -> Result<Compiled, String> {
    let mut compiled = Compiled::default();
    let mut bytes = pattern::BYTES;
    let mut rest = vec![program.expression()];
    while let Some(part) = rest.pop() {
        rest.extend(bounds::parts(part));
        match &part.expr {
            Expr::Call(call) if call.func_name == "matches" => {
                let Some(pattern) = call.args.last() else {
                    continue;
                };
                let Expr::Literal(LiteralValue::String(text)) = &pattern.expr else {
                    return Err("the pattern of matches has to stand in quotes".into());
                };
                let (found, taken) = Pattern::compile(text.inner(), bytes)?;
                bytes = bytes.saturating_sub(taken);
                compiled.patterns.insert(pattern.id, found);
            }
            Expr::Literal(LiteralValue::Double(float)) => {
                let float = *float.inner();
                if let Some(written) = written(text, program, part.id, float)
                    && let Number::Written(_) = Number::literal(&written, float)
                {
                    compiled.fractions.insert(part.id, written);
                }
            }
            _ => {}
        }
    }
    Ok(compiled)
}

/// A literal as it stands in the text.
fn written(text: &str, program: &Program, id: u64, float: f64) -> Option<String> {
    let (start, end) = program.source_info().offset_for(id)?;
    let (start, end) = (usize::try_from(start).ok()?, usize::try_from(end).ok()?);
    let literal: String = text.chars().skip(start).take(end + 1 - start).collect();
    // The sign may stand before it.
    let found = [format!("-{literal}"), literal];
    let same = |literal: &String| literal.parse::<f64>().is_ok_and(|value| value == float);
    found.into_iter().find(same)
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

/// Whether this variable is a row.
fn is_row(variable: &str) -> bool {
    variable == "new" || variable == "old"
}

/// The names that an expression uses, gathered from its syntax tree.
#[derive(Default)]
struct Uses<'a> {
    columns: BTreeSet<&'a str>,
    /// The first name that is neither one of [`VARIABLES`] nor bound by a macro such as `exists`.
    unknown: Option<&'a str>,
    /// `new` or `old` stands alone: it is compared, searched or indexed as a whole.
    whole_rows: bool,
    bound: Vec<&'a str>,
}

impl<'a> Uses<'a> {
    fn read(&mut self, expression: &'a IdedExpr) {
        match &expression.expr {
            Expr::Ident(name) => {
                self.whole_rows |= is_row(name);
                let known =
                    VARIABLES.contains(&name.as_str()) || self.bound.contains(&name.as_str());
                if !known && self.unknown.is_none() {
                    self.unknown = Some(name);
                }
            }
            Expr::Select(select) => match &select.operand.expr {
                Expr::Ident(name) if is_row(name) => {
                    self.columns.insert(&select.field);
                }
                _ => self.read(&select.operand),
            },
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
    use super::*;

    fn facts() -> Facts {
        let new = r#"{"id": 7, "price": 9.5, "title": "Dune", "tags": ["a"], "sold": null}"#;
        let old = r#"{"id": 7, "price": 10, "title": "Dune"}"#;
        Facts::new(new, old, Some(&["price"]), "book.changed", Some("3")).unwrap()
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

    #[test]
    fn an_expression_reads_the_columns_that_it_names_and_all_where_it_uses_the_row() {
        for (text, reads_others) in [
            ("new.a > 1", false),
            ("has(new.a) && old.a == null", false),
            ("new.a.exists(x, x == old.a)", false),
            ("changed.exists(c, c == 'b') && new.a", false),
            ("new == old && new.a", true),
            ("'b' in new || new.a", true),
            ("new['b'] == new.a", true),
            ("new.exists(key, key == 'b') || new.a", true),
            ("size(old) > 1 || new.a", true),
            ("[new].exists(row, row.b == new.a)", true),
        ] {
            let filter = Filter::compile(text).unwrap();
            assert!(filter.reads("a"), "{text}");
            assert_eq!(filter.reads("b"), reads_others, "{text}");
        }
    }
}
