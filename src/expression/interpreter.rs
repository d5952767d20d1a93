//! Evaluates a CEL expression on the values of one event.
//!
//! The crate `cel` parses. Its own interpreter cannot be stopped, and its numbers are floats; this one pays with
//! [`Fuel`] for each step, and has the numbers of the row as they are. What it answers is otherwise the same.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use cel::{
    IdedExpr,
    common::ast::{
        CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, MapExpr, SelectExpr,
    },
};

use super::{
    fuel::{Fuel, Halt, failed},
    function,
    number::{Number, Operator},
    pattern::{Pattern, Searches},
    value::{List, Map, Text, Value},
};

/// What an expression needs beside its syntax tree, by the ids of the tree.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    /// The patterns of `matches`, by the id of the pattern's literal.
    pub(super) patterns: HashMap<u64, Pattern>,
    /// The literals with a fraction or an exponent, as they are written.
    pub(super) fractions: HashMap<u64, String>,
}

/// The evaluation of one expression.
pub(super) struct Interpreter<'a, 'f> {
    pub(super) compiled: &'a Compiled,
    /// The values of the variables.
    pub(super) variable: &'f dyn Fn(&str) -> Option<Value<'a>>,
    pub(super) fuel: &'f Fuel,
    pub(super) searches: RefCell<HashMap<u64, Searches>>,
}

/// A variable that a macro binds, and those around it.
struct Scope<'s, 'a> {
    name: &'a str,
    value: Value<'a>,
    outer: Bound<'s, 'a>,
}

/// The innermost variable that a macro binds, if any.
type Bound<'s, 'a> = Option<&'s Scope<'s, 'a>>;

type Outcome<'a> = Result<Value<'a>, Halt>;

impl<'a> Interpreter<'a, '_> {
    /// The value of the expression.
    pub(super) fn value(&self, expression: &'a IdedExpr) -> Outcome<'a> {
        self.evaluate(expression, None)
    }

    fn evaluate(&self, expression: &'a IdedExpr, bound: Bound<'_, 'a>) -> Outcome<'a> {
        self.fuel.spend(1)?;
        match &expression.expr {
            Expr::Literal(literal) => Ok(self.literal(literal, expression.id)),
            Expr::Ident(name) => self.name(name, bound),
            Expr::Select(select) => self.select(select, bound),
            Expr::Call(call) => self.call(call, bound),
            Expr::List(list) => {
                self.fuel.spend(list.elements.len() as u64)?;
                let values = list.elements.iter();
                let values = values.map(|element| self.evaluate(element, bound));
                List::made(values.collect::<Result<_, _>>()?, self.fuel)
            }
            Expr::Map(map) => self.map(map, bound),
            Expr::Comprehension(of) => self.comprehension(of, bound),
            Expr::Struct(of) => Err(failed(format!("there is no type {}", of.type_name))),
            Expr::Unspecified => Err(failed("a part of it is missing")),
        }
    }

    fn literal(&self, literal: &'a LiteralValue, id: u64) -> Value<'a> {
        match literal {
            LiteralValue::Boolean(value) => Value::Bool(*value.inner()),
            LiteralValue::Int(value) => Value::Number(Number::Int(*value.inner())),
            LiteralValue::UInt(value) => Value::Number(Number::UInt(*value.inner())),
            LiteralValue::Double(value) => Value::Number(match self.compiled.fractions.get(&id) {
                Some(text) => Number::Written(text),
                None => Number::Double(*value.inner()),
            }),
            LiteralValue::String(text) => Value::Text(Text::Written(text.inner())),
            LiteralValue::Bytes(bytes) => Value::Bytes(bytes.inner().into()),
            LiteralValue::Null => Value::Null,
        }
    }

    fn name(&self, name: &str, mut bound: Bound<'_, 'a>) -> Outcome<'a> {
        while let Some(scope) = bound {
            if scope.name == name {
                return Ok(scope.value.clone());
            }
            bound = scope.outer;
        }
        (self.variable)(name).ok_or_else(|| failed(format!("there is no {name}")))
    }

    /// `new.price`, or `has(new.price)`.
    fn select(&self, select: &'a SelectExpr, bound: Bound<'_, 'a>) -> Outcome<'a> {
        let operand = self.evaluate(&select.operand, bound)?;
        let Value::Map(map) = &operand else {
            let what = operand.type_name();
            return Err(failed(format!("{what} has no field {}", select.field)));
        };
        let found = map.field(&select.field, self.fuel);
        if select.test {
            // A field is there even if its value cannot be read.
            return match found {
                Ok(found) => Ok(Value::Bool(found.is_some())),
                Err(Halt::Failed(_)) => Ok(Value::Bool(true)),
                Err(exhausted) => Err(exhausted),
            };
        }
        found?.ok_or_else(|| failed(format!("No such key: {}", select.field)))
    }

    fn map(&self, map: &'a MapExpr, bound: Bound<'_, 'a>) -> Outcome<'a> {
        let mut entries: Vec<(Value<'a>, Value<'a>)> = Vec::with_capacity(map.entries.len());
        self.fuel
            .make(map.entries.len() * 2 * size_of::<Value<'_>>())?;
        for entry in &map.entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else {
                return Err(failed("a map has an entry without a key"));
            };
            let key = self.evaluate(&entry.key, bound)?;
            let value = self.evaluate(&entry.value, bound)?;
            let is_key = match &key {
                Value::Number(number) => matches!(number, Number::Int(_) | Number::UInt(_)),
                key => matches!(key, Value::Bool(_) | Value::Text(_)),
            };
            if !is_key {
                return Err(failed(format!("{} is no key of a map", key.type_name())));
            }
            for (other, _) in &entries {
                if key.equals(other, self.fuel)? {
                    return Err(failed("a map has a key twice"));
                }
            }
            entries.push((key, value));
        }
        Ok(Value::Map(Map::Made(Rc::new(entries))))
    }

    fn call(&self, call: &'a CallExpr, bound: Bound<'_, 'a>) -> Outcome<'a> {
        let name = call.func_name.as_str();
        match (name, call.args.as_slice()) {
            ("_?_:_", [condition, yes, no]) => {
                let chosen = self.condition(condition, bound)?;
                self.evaluate(if chosen { yes } else { no }, bound)
            }
            ("_||_", [left, right]) => self.either(true, left, right, bound),
            ("_&&_", [left, right]) => self.either(false, left, right, bound),
            ("!_", [operand]) => Ok(Value::Bool(!self.condition(operand, bound)?)),
            ("@not_strictly_false", [operand]) => match self.condition(operand, bound) {
                Err(Halt::Failed(_)) => Ok(Value::Bool(true)),
                other => other.map(Value::Bool),
            },
            ("-_", [operand]) => match self.evaluate(operand, bound)? {
                Value::Number(number) => Ok(Value::Number(number.negated(self.fuel)?)),
                other => Err(misfit(name, &[&other])),
            },
            (_, [left, right]) if call.target.is_none() && name.starts_with(['_', '@']) => {
                let left = self.evaluate(left, bound)?;
                let right = self.evaluate(right, bound)?;
                self.operator(name, &left, &right)
            }
            ("matches", [.., pattern]) => {
                let text = call.target.as_deref().or(call.args.first());
                let text = text.ok_or_else(|| failed("matches lacks a text"))?;
                match self.evaluate(text, bound)? {
                    Value::Text(text) => self.matches(text.as_str(), pattern.id),
                    other => Err(misfit(name, &[&other])),
                }
            }
            (_, arguments) => {
                let all = call.target.as_deref().into_iter().chain(arguments);
                let values = all.map(|argument| self.evaluate(argument, bound));
                let values = values.collect::<Result<Vec<_>, _>>()?;
                function::call(name, &values, self.fuel)
            }
        }
    }

    /// `||` if `decisive` is true, or `&&`. An operand that is `decisive` decides, even beside one that fails.
    fn either(
        &self,
        decisive: bool,
        left: &'a IdedExpr,
        right: &'a IdedExpr,
        bound: Bound<'_, 'a>,
    ) -> Outcome<'a> {
        let left = match self.condition(left, bound) {
            Ok(left) if left == decisive => return Ok(Value::Bool(decisive)),
            Err(Halt::Exhausted(reason)) => return Err(Halt::Exhausted(reason)),
            other => other,
        };
        let right = self.condition(right, bound)?;
        if right == decisive {
            return Ok(Value::Bool(decisive));
        }
        left.map(|_| Value::Bool(right))
    }

    fn condition(&self, expression: &'a IdedExpr, bound: Bound<'_, 'a>) -> Result<bool, Halt> {
        match self.evaluate(expression, bound)? {
            Value::Bool(value) => Ok(value),
            other => Err(failed(format!(
                "{} stands where true or false is needed",
                other.type_name()
            ))),
        }
    }

    fn operator(&self, name: &str, left: &Value<'a>, right: &Value<'a>) -> Outcome<'a> {
        let fuel = self.fuel;
        let ordered = || {
            let order = left.compare(right, fuel)?;
            order.ok_or_else(|| misfit(name, &[left, right]))
        };
        let arithmetic = |operator| match (left, right) {
            (Value::Number(one), Value::Number(two)) => {
                one.apply(operator, two, fuel).map(Value::Number)
            }
            _ => Err(misfit(name, &[left, right])),
        };
        Ok(Value::Bool(match name {
            "_==_" => left.equals(right, fuel)?,
            "_!=_" => !left.equals(right, fuel)?,
            "_<_" => ordered()?.is_lt(),
            "_<=_" => ordered()?.is_le(),
            "_>_" => ordered()?.is_gt(),
            "_>=_" => ordered()?.is_ge(),
            "@in" => self.is_in(left, right)?,
            "_+_" => return self.sum(left, right),
            "_-_" => return arithmetic(Operator::Subtract),
            "_*_" => return arithmetic(Operator::Multiply),
            "_/_" => return arithmetic(Operator::Divide),
            "_%_" => return arithmetic(Operator::Remainder),
            "_[_]" => return self.index(left, right),
            _ => return Err(failed(format!("there is no operator {name}"))),
        }))
    }

    fn is_in(&self, value: &Value<'a>, of: &Value<'a>) -> Result<bool, Halt> {
        match of {
            Value::List(list) => {
                for other in list.values(self.fuel) {
                    self.fuel.spend(1)?;
                    match other {
                        Ok(other) if value.equals(&other, self.fuel)? => return Ok(true),
                        Ok(_) => {}
                        Err(halt) => return Err(halt),
                    }
                }
                Ok(false)
            }
            Value::Map(map) => Ok(map.get(value, self.fuel)?.is_some()),
            _ => Err(misfit("in", &[value, of])),
        }
    }

    fn sum(&self, left: &Value<'a>, right: &Value<'a>) -> Outcome<'a> {
        let fuel = self.fuel;
        match (left, right) {
            (Value::Number(one), Value::Number(two)) => {
                one.apply(Operator::Add, two, fuel).map(Value::Number)
            }
            (Value::Text(one), Value::Text(two)) => {
                let (one, two) = (one.as_str(), two.as_str());
                // Once for the text, once for the way to it.
                fuel.make(one.len() + two.len())?;
                Value::text([one, two].concat(), fuel)
            }
            (Value::Bytes(one), Value::Bytes(two)) => {
                fuel.make(one.len() + two.len())?;
                Ok(Value::Bytes([&**one, &**two].concat().into()))
            }
            (Value::List(one), Value::List(two)) => {
                let length = one.len() + two.len();
                fuel.make(length * size_of::<Value<'_>>())?;
                let mut all = Vec::with_capacity(length);
                for value in one.values(fuel).chain(two.values(fuel)) {
                    all.push(value?);
                }
                List::made(all, fuel)
            }
            (Value::List(one), Value::Map(two)) => {
                let mut all = Vec::new();
                fuel.make((one.len() + two.len()) * size_of::<Value<'_>>())?;
                for value in one.values(fuel).chain(two.keys(fuel)) {
                    all.push(value?);
                }
                List::made(all, fuel)
            }
            _ => Err(misfit("+", &[left, right])),
        }
    }

    /// `new.tags[0]` or `new['price']`.
    fn index(&self, of: &Value<'a>, index: &Value<'a>) -> Outcome<'a> {
        let found = match (of, index) {
            (Value::List(list), Value::Number(number)) => match number.whole(self.fuel)? {
                Some(at) => match usize::try_from(at) {
                    Ok(at) => list.at(at, self.fuel)?,
                    Err(_) => None,
                },
                None => return Err(failed("the index of a list is no whole number")),
            },
            (Value::Map(map), key) => map.get(key, self.fuel)?,
            _ => return Err(misfit("[]", &[of, index])),
        };
        found.ok_or_else(|| failed("there is nothing at an index"))
    }

    fn matches(&self, text: &str, pattern: u64) -> Outcome<'a> {
        let compiled = self.compiled.patterns.get(&pattern);
        let compiled = compiled.ok_or_else(|| failed("a pattern is no literal"))?;
        let mut searches = self.searches.borrow_mut();
        let searches = searches.entry(pattern).or_default();
        compiled.is_in(text, searches, self.fuel).map(Value::Bool)
    }

    /// `exists`, `all`, `map` and the other macros.
    fn comprehension(&self, of: &'a ComprehensionExpr, bound: Bound<'_, 'a>) -> Outcome<'a> {
        let mut gathered = self.evaluate(&of.accu_init, bound)?;
        let range = self.evaluate(&of.iter_range, bound)?;
        let items = match &range {
            Value::List(list) => list.values(self.fuel),
            Value::Map(map) => map.keys(self.fuel),
            other => return Err(failed(format!("{} has no items", other.type_name()))),
        };
        let append = Append::of(of);
        let fold = Fold::of(of);
        let mut list = Vec::new();
        let mut pending = None;
        for item in items {
            self.fuel.spend(1)?;
            let so_far = Scope {
                name: &of.accu_var,
                value: gathered.clone(),
                outer: bound,
            };
            let goes_on = self.condition(&of.loop_cond, Some(&so_far))?;
            if !goes_on {
                break;
            }
            let inner = match item {
                Ok(value) => Scope {
                    name: &of.iter_var,
                    value,
                    outer: Some(&so_far),
                },
                Err(halt) => return Err(halt),
            };
            if let Some(append) = &append {
                if let Some(guard) = append.guard
                    && !self.condition(guard, Some(&inner))?
                {
                    continue;
                }
                let value = self.evaluate(append.item, Some(&inner))?;
                // A list doubles when it grows.
                self.fuel.make(3 * size_of::<Value<'_>>())?;
                list.push(value);
                continue;
            }
            match (self.evaluate(&of.loop_step, Some(&inner)), fold) {
                (Err(Halt::Failed(reason)), Some(_)) => pending = Some(reason),
                (Err(halt), _) => return Err(halt),
                // What failed before stays, unless what came after decides.
                (Ok(value), Some(fold)) if pending.is_some() && !fold.is_decided(&value) => {}
                (Ok(value), _) => {
                    pending = None;
                    gathered = value;
                }
            }
        }
        if let Some(reason) = pending {
            return Err(Halt::Failed(reason));
        }
        if append.is_some() {
            return Ok(Value::List(List::Made(Rc::new(list))));
        }
        let result = Scope {
            name: &of.accu_var,
            value: gathered,
            outer: bound,
        };
        self.evaluate(&of.result, Some(&result))
    }
}

/// The step of `map` and `filter`: `@result + [item]`, with or without a condition. The result grows in place.
struct Append<'a> {
    guard: Option<&'a IdedExpr>,
    item: &'a IdedExpr,
}

impl<'a> Append<'a> {
    fn of(of: &'a ComprehensionExpr) -> Option<Self> {
        let is_gathered =
            |part: &IdedExpr| matches!(&part.expr, Expr::Ident(name) if *name == of.accu_var);
        let item = |step: &'a IdedExpr| match &step.expr {
            Expr::Call(call) if call.func_name == "_+_" => match call.args.as_slice() {
                [list, added] if is_gathered(list) => match &added.expr {
                    Expr::List(added) if added.elements.len() == 1 => added.elements.first(),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        };
        let begins_empty =
            matches!(&of.accu_init.expr, Expr::List(list) if list.elements.is_empty());
        if !begins_empty || !is_gathered(&of.result) {
            return None;
        }
        if let Some(item) = item(&of.loop_step) {
            return Some(Self { guard: None, item });
        }
        let Expr::Call(step) = &of.loop_step.expr else {
            return None;
        };
        match (step.func_name.as_str(), step.args.as_slice()) {
            ("_?_:_", [guard, step, otherwise]) if is_gathered(otherwise) => Some(Self {
                guard: Some(guard),
                item: item(step)?,
            }),
            _ => None,
        }
    }
}

/// The step of `all` and `exists`: `@result && item` or `@result || item`.
#[derive(Clone, Copy)]
struct Fold {
    decisive: bool,
}

impl Fold {
    fn of(of: &ComprehensionExpr) -> Option<Self> {
        let Expr::Call(step) = &of.loop_step.expr else {
            return None;
        };
        let folds = matches!(
            step.args.first().map(|first| &first.expr),
            Some(Expr::Ident(name)) if *name == of.accu_var
        );
        match step.func_name.as_str() {
            "_&&_" if folds => Some(Self { decisive: false }),
            "_||_" if folds => Some(Self { decisive: true }),
            _ => None,
        }
    }

    fn is_decided(self, value: &Value<'_>) -> bool {
        matches!(value, Value::Bool(value) if *value == self.decisive)
    }
}

/// The error of an operator whose operands do not fit.
pub(super) fn misfit(name: &str, operands: &[&Value<'_>]) -> Halt {
    let types: Vec<&str> = operands.iter().map(|value| value.type_name()).collect();
    let name = name.trim_matches(['_', '@']);
    failed(format!("{name} is not for {}", types.join(" and ")))
}
