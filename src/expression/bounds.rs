//! Bounds the size of an expression, which parser and interpreter recurse for. What its evaluation takes is bounded by
//! [`fuel`](super::fuel).

use cel::{
    IdedExpr,
    common::ast::{EntryExpr, Expr},
};

use super::error::Error;

/// The most bytes of an expression.
pub(super) const LONGEST: usize = 4096;
/// The most levels of nesting of an expression. Parser and interpreter recurse for each.
pub(super) const DEEPEST: usize = 64;
/// The bytes of stack on which an expression is parsed, because its depth is not known before.
pub(super) const STACK: usize = 256 << 20;

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
pub(super) fn parts(expression: &IdedExpr) -> impl Iterator<Item = &IdedExpr> {
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

#[cfg(test)]
mod tests {
    use crate::expression::filter::{Facts, Filter};

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
        let facts = Facts::new("{}", "{}", None, "a.b", None).unwrap();
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
