//! Bounds what a CEL expression may cost. The reader waits for every evaluation, so an expression is refused before it
//! is evaluated if its own size, or its loops over the row, would take too much time or memory.

use std::ops::Add;

use cel::{
    IdedExpr,
    common::ast::{EntryExpr, Expr},
};
use serde_json::Value;

use super::error::Error;

/// The most bytes of an expression.
pub(super) const LONGEST: usize = 4096;
/// The most levels of nesting of an expression. Parser and interpreter recurse for each.
pub(super) const DEEPEST: usize = 64;
/// The bytes of stack on which an expression is parsed, because its depth is not known before.
pub(super) const STACK: usize = 256 << 20;
/// The most steps, or bytes of memory, that an evaluation may take.
const MOST_WORK: f64 = 256e6;

/// Refuses a text that is too long to be parsed.
pub(super) fn refuse_too_long(text: &str) -> Result<(), Error> {
    if text.len() > LONGEST {
        return Err(too_large("too long"));
    }
    Ok(())
}

/// Refuses an expression whose evaluation would overflow the stack.
pub(super) fn refuse_too_deep(expression: &IdedExpr) -> Result<(), Error> {
    if parts(expression).any(|part| is_deeper(part, DEEPEST)) {
        return Err(too_large("too deep"));
    }
    Ok(())
}

fn too_large(how: &'static str) -> Error {
    Error::TooLarge {
        how,
        bytes: LONGEST,
        levels: DEEPEST,
    }
}

fn is_deeper(expression: &IdedExpr, levels: usize) -> bool {
    levels == 0 || parts(expression).any(|part| is_deeper(part, levels - 1))
}

/// The direct subexpressions of an expression.
fn parts(expression: &IdedExpr) -> impl Iterator<Item = &IdedExpr> {
    let parts: Vec<&IdedExpr> = match &expression.expr {
        Expr::Select(select) => vec![&select.operand],
        Expr::Call(call) => call
            .target
            .as_deref()
            .into_iter()
            .chain(&call.args)
            .collect(),
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map
            .entries
            .iter()
            .flat_map(|entry| entry_parts(&entry.expr))
            .collect(),
        Expr::Struct(fields) => fields
            .entries
            .iter()
            .flat_map(|entry| entry_parts(&entry.expr))
            .collect(),
        Expr::Comprehension(of) => vec![
            &of.iter_range,
            &of.accu_init,
            &of.loop_cond,
            &of.loop_step,
            &of.result,
        ],
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Vec::new(),
    };
    parts.into_iter()
}

fn entry_parts(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
        EntryExpr::StructField(field) => vec![&field.value],
    }
}

/// How the work of an expression grows with the size of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    /// The depth of nested loops. An operation that scans a whole text or list counts as a loop.
    loops: i32,
    /// The number of additions, each of which may copy its operands.
    additions: i32,
}

/// The size of the rows that an expression is evaluated on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Size {
    values: f64,
    bytes: f64,
}

impl Cost {
    pub(super) fn of(expression: &IdedExpr) -> Self {
        let mut additions = 0;
        let loops = loops(expression, &mut additions);
        Self { loops, additions }
    }

    /// Is an evaluation on rows of this size within bounds?
    pub(super) fn is_affordable(self, size: Size) -> bool {
        let again = size.values.max(1.0).powi((self.loops - 1).max(0));
        size.bytes * f64::from(self.additions.max(1)) * again <= MOST_WORK
    }
}

/// The depth of nested loops. Adds the number of additions to `additions`.
fn loops(expression: &IdedExpr, additions: &mut i32) -> i32 {
    if let Expr::Comprehension(of) = &expression.expr {
        let range = loops(&of.iter_range, additions);
        let each = [&of.loop_cond, &of.loop_step, &of.result];
        let each = each.map(|part| loops(part, additions));
        return range.max(1 + each.into_iter().max().unwrap_or(0));
    }
    let inner = parts(expression).map(|part| loops(part, additions)).max();
    let inner = inner.unwrap_or(0);
    let Expr::Call(call) = &expression.expr else {
        return inner;
    };
    *additions += i32::from(call.func_name == "_+_");
    match call.func_name.as_str() {
        "_&&_" | "_||_" | "!_" | "_?_:_" | "_-_" | "-_" | "@not_strictly_false" => inner,
        _ => inner.max(1),
    }
}

impl Size {
    pub(super) fn of(json: &Value) -> Self {
        let own = Self {
            values: 1.0,
            bytes: 8.0,
        };
        match json {
            #[expect(clippy::cast_precision_loss, reason = "an estimate")]
            Value::String(text) => Self {
                bytes: text.len() as f64,
                ..own
            },
            Value::Array(items) => items.iter().map(Self::of).fold(own, Add::add),
            Value::Object(fields) => fields.values().map(Self::of).fold(own, Add::add),
            Value::Null | Value::Bool(_) | Value::Number(_) => own,
        }
    }
}

impl Add for Size {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            values: self.values + other.values,
            bytes: self.bytes + other.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::expression::filter::{Facts, Filter};

    #[test]
    fn loops_within_each_other_are_counted() {
        for (text, loops, additions) in [
            ("new.a && !new.b", 0, 0),
            ("new.a == 'x'", 1, 0),
            ("new.a + new.b + new.c == 'x'", 1, 2),
            ("new.a.exists(t, t)", 1, 0),
            ("new.a.exists(t, t in old.a)", 2, 0),
            ("new.a.exists(t, old.a.all(u, t.contains(u)))", 3, 0),
        ] {
            let cost = Filter::compile(text).unwrap().cost;
            assert_eq!(cost, Cost { loops, additions }, "{text}");
        }
    }

    #[test]
    fn a_loop_in_a_loop_over_a_large_row_is_not_begun() {
        let filter = Filter::compile("new.a.all(t, t in old.a)").unwrap();
        let answer = |items: usize| {
            let row = json!({"a": vec!["x"; items]});
            filter.accepts(&Facts::new(&row, &row, None, "a.b", None))
        };
        assert!(answer(1000).unwrap());
        let error = answer(100_000).unwrap_err().to_string();
        assert!(
            error.ends_with("it would look at too much in a row so large"),
            "{error}"
        );
        let sum = ["new.a"; 50].join(" + ");
        let filter = Filter::compile(&format!("{sum} == ''")).unwrap();
        let row = json!({"a": "x".repeat(6_000_000)});
        assert!(
            filter
                .accepts(&Facts::new(&row, &json!(null), None, "a.b", None))
                .is_err()
        );
    }

    /// On the stack that a worker has.
    #[test]
    fn no_expression_takes_more_stack_than_there_is() {
        let texts = [
            "(".repeat(4000),
            format!("{}1{} == 1", "(".repeat(60), ")".repeat(60)),
            format!("{}1{} == 1", "(".repeat(2000), ")".repeat(2000)),
            format!("{}true", "!".repeat(4000)),
            format!("{}1 == 1", "- ".repeat(2000)),
            vec!["1"; 1900].join("+") + " == 1",
            vec!["true"; 600].join("||"),
            ["true?true:"; 400].concat() + "true",
            format!("{}{} == []", "[".repeat(60), "]".repeat(60)),
            format!("{}{} == []", "[".repeat(2000), "]".repeat(2000)),
            format!("new{} == 1", ".a".repeat(2000)),
            format!("new{} == 1", "[0]".repeat(1300)),
        ];
        let facts = Facts::new(&json!({}), &json!({}), None, "a.b", None);
        let asked = std::thread::Builder::new()
            .stack_size(crate::cli::STACK)
            .spawn(move || {
                let answers = texts.map(|text| {
                    let filter = Filter::compile(&text)?;
                    filter.check(None)?;
                    filter.accepts(&facts)
                });
                answers.iter().filter(|answer| answer.is_ok()).count()
            });
        assert!(
            asked.unwrap().join().unwrap() >= 2,
            "those that are not too deep have an answer"
        );
    }
}
