//! CEL expressions over an event: the `when` of an event and the `filter` of a hook.
//!
//! `new` and `old` are the row as JSON, so an expression sees what a receiver sees. An old image that holds only the
//! key has only the fields of the key, which `has(old.price)` can test.

use std::{
    collections::BTreeSet,
    fmt,
    num::NonZero,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
    thread::{self, ScopedJoinHandle},
    time::Duration,
};

use cel::{
    IdedExpr, Program,
    common::ast::{EntryExpr, Expr, LiteralValue},
};
use nix::time::{ClockId, clock_gettime};

pub use super::fuel::STEPS;
use super::{
    bounds,
    document::{self, Document},
    error::Error,
    fuel::{self, Fuel, Halt},
    interpreter::{Compiled, Interpreter},
    number::Number,
    pattern::{self, Pattern},
    typing::{self, Columns},
    value::{Text, Value},
};

/// The variables that an expression may use.
pub const VARIABLES: [&str; 5] = ["new", "old", "changed", "event", "owner"];

/// So many expressions are worth a thread of their own. Starting one takes as long as parsing a few.
const WORTH_A_THREAD: usize = 64;
/// About how many steps of an evaluation take as long as it takes to parse a byte.
const STEPS_OF_BYTE: u64 = 160;

/// What is said of an expression on which the parser panics.
const GAVE_UP: &str = "the parser gave up on it";

/// A CEL expression. Two are equal when their texts are.
pub struct Filter {
    text: String,
    /// What came of compiling it. Empty until it is needed.
    read: OnceLock<Read>,
}

/// What came of compiling an expression.
struct Read {
    /// What it was compiled to, or why it cannot be.
    parsed: Result<Parsed, Error>,
    /// The time of a processor that this took.
    took: Duration,
}

/// A compiled expression.
struct Parsed {
    program: Program,
    columns: Vec<String>,
    /// Whether it uses `new` or `old` otherwise than for the value of a column.
    whole_rows: bool,
    /// Whether it uses `changed`.
    changed: bool,
    compiled: Compiled,
}

/// The values of the variables for one event. They are made once and shared by all expressions on the event.
#[derive(Debug)]
pub struct Facts {
    new: Option<Document>,
    old: Option<Document>,
    changed: Option<Document>,
    event: Arc<str>,
    owner: Option<Arc<str>>,
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
        event: impl Into<Arc<str>>,
        owner: Option<Arc<str>>,
    ) -> Result<Self, document::Error> {
        // They are made for each row, and most of them have one image and no list.
        let unless_null = |text: String| match &*text {
            "null" => Ok(None),
            _ => Document::parse(text).map(Some),
        };
        let changed = changed.map(|names| Document::parse(serde_json::json!(names).to_string()));
        Ok(Self {
            new: unless_null(new.into())?,
            old: unless_null(old.into())?,
            changed: changed.transpose()?,
            event: event.into(),
            owner,
        })
    }

    fn value<'a>(&'a self, name: &str, fuel: &Fuel) -> Option<Value<'a>> {
        let root = |document: &'a Option<Document>| match document {
            Some(document) => Value::of(document.root(), fuel).ok(),
            None => Some(Value::Null),
        };
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
        filter.compiled()?;
        Ok(filter)
    }

    /// Compiles each of `texts`, on all processors where there are many. The results are in the order of the texts,
    /// and the errors are those of [`compile`](Self::compile).
    pub fn compile_all(texts: &[&str]) -> Vec<Result<Self, Error>> {
        let compiled = texts.iter().zip(parse_all(texts)).map(|(text, read)| {
            let Read { parsed, took } = read;
            let parsed = Ok(parsed?);
            Ok(Self {
                text: (*text).to_owned(),
                read: OnceLock::from(Read { parsed, took }),
            })
        });
        compiled.collect()
    }

    /// An expression that is compiled when it is needed, because the parser takes its time.
    ///
    /// # Errors
    /// When it is too long.
    pub fn uncompiled(text: &str) -> Result<Self, Error> {
        bounds::refuse_too_long(text)?;
        Ok(Self {
            text: text.to_owned(),
            read: OnceLock::new(),
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
        self.read.get().is_some()
    }

    /// How many steps of an evaluation take as long as it takes to compile it: about as many while it is not compiled,
    /// and then, what it really took where that is more.
    pub fn steps_to_compile(&self) -> u64 {
        let expected = self.text.len() as u64 * STEPS_OF_BYTE;
        let took = self.read.get().map_or(0, |read| fuel::steps_in(read.took));
        expected.max(took)
    }

    fn parsed(&self) -> Result<&Parsed, Error> {
        let read = self.read.get_or_init(|| {
            let mut read = parse_all(&[&self.text]);
            read.pop().unwrap_or_else(|| Read {
                parsed: Err(syntax(&self.text, GAVE_UP)),
                took: Duration::ZERO,
            })
        });
        read.parsed.as_ref().map_err(Clone::clone)
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

    /// Whether its answer can depend on which columns changed.
    pub fn reads_changed(&self) -> bool {
        self.parsed().map_or(true, |parsed| parsed.changed)
    }

    /// The columns of `new` and `old` that it reads by name.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        let parsed = self.parsed().ok();
        let columns = parsed.map(|parsed| parsed.columns.as_slice());
        let columns = columns.unwrap_or_default();
        columns.iter().map(String::as_str)
    }
}

/// Parses each of `texts`, in threads of their own: the parser recurses for each level, and the number of levels is
/// known only afterwards.
fn parse_all(texts: &[&str]) -> Vec<Read> {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let turn = texts.len().div_ceil(processors).max(WORTH_A_THREAD);
    thread::scope(|scope| {
        let parse = |texts| move || parse_each(texts);
        let parser = || thread::Builder::new().stack_size(bounds::STACK);
        let turns = texts.chunks(turn);
        let turns: Vec<_> = turns
            .map(|texts| (texts, parser().spawn_scoped(scope, parse(texts))))
            .collect();
        let parsed = turns.into_iter().flat_map(|(texts, parsing)| {
            let why = match parsing.map(ScopedJoinHandle::join) {
                Ok(Ok(parsed)) => return parsed,
                Ok(Err(_)) => GAVE_UP.to_owned(),
                Err(error) => format!("there is no thread to parse it: {error}"),
            };
            let refused = texts.iter().map(|text| Read {
                parsed: Err(syntax(text, &why)),
                took: Duration::ZERO,
            });
            refused.collect()
        });
        parsed.collect()
    })
}

fn parse_each(texts: &[&str]) -> Vec<Read> {
    let parse = |text: &&str| {
        let begun = own_time();
        // The expression may come from a user's row, so a panic of the parser must not end the process.
        let parsed = catch_unwind(|| parse(text));
        Read {
            parsed: parsed.unwrap_or_else(|_| Err(syntax(text, GAVE_UP))),
            took: own_time().saturating_sub(begun),
        }
    };
    texts.iter().map(parse).collect()
}

/// How much of a processor's time this thread has had. What others take on a busy machine does not count.
fn own_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    time.map_or(Duration::ZERO, Duration::from)
}

fn parse(text: &str) -> Result<Parsed, Error> {
    bounds::refuse_too_long(text)?;
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
    let (whole_rows, changed) = (uses.whole_rows, uses.changed);
    let columns = uses.columns.into_iter().map(str::to_owned).collect();
    Ok(Parsed {
        program,
        columns,
        whole_rows,
        changed,
        compiled,
    })
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
    changed: bool,
    bound: Vec<&'a str>,
}

impl<'a> Uses<'a> {
    fn read(&mut self, expression: &'a IdedExpr) {
        match &expression.expr {
            Expr::Ident(name) => {
                self.whole_rows |= is_row(name);
                self.changed |= name == "changed";
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
        Facts::new(new, old, Some(&["price"]), "book.changed", Some("3".into())).unwrap()
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
    fn whether_an_expression_asks_what_changed_is_known() {
        for (text, reads) in [
            ("'price' in changed", true),
            ("new.a > 1 && size(changed) == 1", true),
            ("new.changed == old.changed", false),
            ("new.a == 'changed'", false),
        ] {
            assert_eq!(
                Filter::compile(text).unwrap().reads_changed(),
                reads,
                "{text}"
            );
        }
    }

    #[test]
    fn thousands_of_expressions_are_compiled_at_once_and_each_mistake_is_that_of_its_text() {
        let texts: Vec<String> = (0..1000)
            .map(|n| match n % 100 {
                7 => format!("new.a > {n} &&"),
                8 => format!("nw.a > {n}"),
                9 => "(".repeat(4000),
                _ => format!("new.a > {n}.5"),
            })
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();

        let all = Filter::compile_all(&texts);

        assert_eq!(all.len(), texts.len());
        for (text, together) in texts.iter().zip(all) {
            match (together, Filter::compile(text)) {
                (Ok(together), Ok(alone)) => assert_eq!(together.text(), alone.text()),
                (Err(together), Err(alone)) => {
                    assert_eq!(together.to_string(), alone.to_string());
                }
                (together, alone) => panic!("{text}: {together:?} and {alone:?}"),
            }
        }
        assert!(Filter::compile_all(&[]).is_empty());
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
