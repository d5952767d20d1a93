//! Checks whether an expression fits the rows that it will be evaluated on, before the first of them comes.
//!
//! Kinds are as coarse as CEL needs them. Where a kind is unknown (json, the payload of a message) everything is
//! allowed: the check finds mistakes, but passing it proves nothing.

use std::fmt;

use cel::{
    IdedExpr,
    common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, SelectExpr},
};

use crate::{
    nearest::nearest,
    postgres::{relation::Relation, types::Type},
};

/// The type of a value, as CEL sees it. A value of any kind may be null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A boolean.
    Bool,
    /// A number, whole or not.
    Number,
    /// What JSON writes in quotes, dates among it.
    Text,
    /// A list.
    List(Box<Kind>),
    /// An object whose fields are unknown.
    Map,
    /// `new` or `old`, whose fields are the columns of the table.
    Row,
    /// The literal `null`.
    Null,
    /// Unknown.
    Any,
}

/// The columns that an expression may use, with their kinds.
#[derive(Debug, Clone)]
pub struct Columns {
    table: String,
    columns: Vec<(String, Kind)>,
}

impl Columns {
    /// The columns of a table for which `shown` is true.
    pub fn of(relation: &Relation, shown: impl Fn(&str) -> bool) -> Self {
        let columns = relation.columns.iter().filter(|column| shown(&column.name));
        Self {
            table: relation.table().to_string(),
            columns: columns
                .map(|column| (column.name.clone(), Kind::of(&column.ty)))
                .collect(),
        }
    }

    fn kind(&self, name: &str) -> Result<Kind, String> {
        if let Some((_, kind)) = self.columns.iter().find(|(column, _)| column == name) {
            return Ok(kind.clone());
        }
        let near = nearest(name, self.columns.iter().map(|(column, _)| column.as_str()));
        let remedy = near.map(|near| format!("; did you mean {near}?"));
        let remedy = remedy.unwrap_or_default();
        Err(format!(
            "{} has no column {name} to look at{remedy}",
            self.table
        ))
    }
}

impl Kind {
    fn of(ty: &Type) -> Self {
        match ty {
            Type::Bool => Self::Bool,
            Type::Integer | Type::Float | Type::Numeric => Self::Number,
            Type::Json | Type::Cast(_) => Self::Any,
            Type::Array { element, .. } => Self::List(Box::new(Self::of(element))),
            Type::NumberVector => Self::List(Box::new(Self::Number)),
            Type::TextVector => Self::List(Box::new(Self::Text)),
            Type::Composite(_) | Type::Hstore => Self::Map,
            Type::Timestamp
            | Type::TimestampTz
            | Type::Uuid
            | Type::Date
            | Type::Time
            | Type::Interval
            | Type::Bytes
            | Type::Enum(_)
            | Type::Text => Self::Text,
        }
    }

    /// May a value of this kind be of the kind `other` too?
    fn may_be(&self, other: &Self) -> bool {
        let unknown = |kind: &Self| matches!(kind, Self::Any);
        match (self, other) {
            (Self::List(one), Self::List(two)) => one.may_be(two),
            (Self::Row, Self::Map) | (Self::Map, Self::Row) => true,
            _ => unknown(self) || unknown(other) || self == other,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::List(_) => "a list",
            Self::Map => "a map",
            Self::Row => "a row",
            Self::Null => "null",
            Self::Any => "anything",
        })
    }
}

/// Checks that the expression can be evaluated on rows with these columns, and gives a boolean. `None` stands for a
/// message, whose payload may be anything.
///
/// # Errors
/// What does not fit, in words.
pub(super) fn check(expression: &IdedExpr, columns: Option<&Columns>) -> Result<(), String> {
    let mut check = Check {
        columns,
        bound: Vec::new(),
    };
    match check.kind(expression)? {
        Kind::Bool | Kind::Any => Ok(()),
        other => Err(format!("it says {other}, which is neither true nor false")),
    }
}

/// The check of one expression.
struct Check<'a> {
    columns: Option<&'a Columns>,
    /// The variables that macros such as `exists` bind, the innermost last.
    bound: Vec<(&'a str, Kind)>,
}

impl<'a> Check<'a> {
    fn kind(&mut self, expression: &'a IdedExpr) -> Result<Kind, String> {
        match &expression.expr {
            Expr::Literal(literal) => Ok(match literal {
                LiteralValue::Boolean(_) => Kind::Bool,
                LiteralValue::Int(_) | LiteralValue::UInt(_) | LiteralValue::Double(_) => {
                    Kind::Number
                }
                LiteralValue::String(_) => Kind::Text,
                LiteralValue::Null => Kind::Null,
                LiteralValue::Bytes(_) => Kind::Any,
            }),
            Expr::Ident(name) => Ok(self.variable(name)),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::List(list) => {
                let kinds = list.elements.iter().map(|element| self.kind(element));
                Ok(Kind::List(Box::new(one_of(kinds)?)))
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.kind(&entry.key)?;
                        self.kind(&entry.value)?;
                    }
                }
                Ok(Kind::Map)
            }
            Expr::Comprehension(of) => self.comprehension(of),
            Expr::Struct(_) | Expr::Unspecified => Ok(Kind::Any),
        }
    }

    fn variable(&self, name: &str) -> Kind {
        if let Some((_, kind)) = self.bound.iter().rev().find(|(bound, _)| *bound == name) {
            return kind.clone();
        }
        match name {
            "new" | "old" if self.columns.is_some() => Kind::Row,
            "changed" => Kind::List(Box::new(Kind::Text)),
            "event" | "owner" => Kind::Text,
            _ => Kind::Any,
        }
    }

    /// `new.price`, or `has(new.price)`.
    fn select(&mut self, select: &'a SelectExpr) -> Result<Kind, String> {
        let field = match (self.kind(&select.operand)?, self.columns) {
            (Kind::Row, Some(columns)) => columns.kind(&select.field)?,
            (Kind::Row | Kind::Map | Kind::Any | Kind::Null, _) => Kind::Any,
            (other, _) => return Err(format!("{other} has no field {}", select.field)),
        };
        Ok(if select.test { Kind::Bool } else { field })
    }

    fn call(&mut self, call: &'a CallExpr) -> Result<Kind, String> {
        let mut given = Vec::with_capacity(call.args.len() + 1);
        for argument in call.target.as_deref().into_iter().chain(&call.args) {
            given.push(self.kind(argument)?);
        }
        let name = call.func_name.as_str();
        if let ("_[_]", [of, index]) = (name, &given[..]) {
            return self.index(of, index, call.args.last());
        }
        let mut rules = OPERATORS.iter().filter(|(names, _)| names.contains(&name));
        match rules.find_map(|(_, rule)| rule.apply(&given)) {
            Some(kind) => kind,
            None if name.starts_with(['_', '@', '!', '-']) => Ok(Kind::Any),
            None => Err(format!(
                "there is no function {name} of {}; there are size, contains, startsWith, endsWith, matches, string, int, uint, double, max and min",
                match given.len() {
                    1 => "one value".to_owned(),
                    many => format!("{many} values"),
                }
            )),
        }
    }

    /// `new['price']`, or `new.tags[0]`.
    fn index(&self, of: &Kind, index: &Kind, written: Option<&IdedExpr>) -> Result<Kind, String> {
        match (of, self.columns, written.map(|index| &index.expr)) {
            (Kind::List(element), ..) => {
                expect(std::slice::from_ref(index), &Kind::Number)?;
                Ok((**element).clone())
            }
            (Kind::Row, Some(columns), Some(Expr::Literal(LiteralValue::String(name)))) => {
                columns.kind(name.inner())
            }
            (Kind::Row | Kind::Map | Kind::Any, ..) => Ok(Kind::Any),
            (other, ..) => Err(format!("{other} has no items")),
        }
    }

    /// The result of `exists`, `all`, `map` and the other macros.
    fn comprehension(&mut self, of: &'a ComprehensionExpr) -> Result<Kind, String> {
        let item = match self.kind(&of.iter_range)? {
            Kind::List(element) => *element,
            Kind::Map | Kind::Row => Kind::Text,
            Kind::Any => Kind::Any,
            other => return Err(format!("{other} has no items")),
        };
        let gathered = match self.kind(&of.accu_init)? {
            Kind::List(_) => Kind::List(Box::new(Kind::Any)),
            other => other,
        };
        let before = self.bound.len();
        self.bound.push((&of.iter_var, item));
        if let Some(second) = &of.iter_var2 {
            self.bound.push((second, Kind::Any));
        }
        self.bound.push((&of.accu_var, gathered));
        self.kind(&of.loop_cond)?;
        self.kind(&of.loop_step)?;
        let result = self.kind(&of.result);
        self.bound.truncate(before);
        result
    }
}

/// The kind of an operator's result, or in words why its operands do not fit.
type Checked = Result<Kind, String>;

/// What an operator or a function demands of its operands, by their number.
enum Rule {
    One(fn(&Kind) -> Checked),
    Two(fn(&Kind, &Kind) -> Checked),
    Three(fn(&Kind, &Kind, &Kind) -> Checked),
    Any(fn(&[Kind]) -> Checked),
}

impl Rule {
    /// `None`: the rule is for another number of operands.
    fn apply(&self, given: &[Kind]) -> Option<Checked> {
        match (self, given) {
            (Self::One(rule), [one]) => Some(rule(one)),
            (Self::Two(rule), [left, right]) => Some(rule(left, right)),
            (Self::Three(rule), [one, two, three]) => Some(rule(one, two, three)),
            (Self::Any(rule), all) => Some(rule(all)),
            _ => None,
        }
    }
}

/// The operators and functions of CEL by their names in its syntax tree. `_[_]` is not among them: it may name a
/// column.
const OPERATORS: [(&[&str], Rule); 13] = [
    (
        &["_&&_", "_||_", "!_", "@not_strictly_false"],
        Rule::Any(|all| expect(all, &Kind::Bool).map(|()| Kind::Bool)),
    ),
    (&["_?_:_"], Rule::Three(conditional)),
    (&["_==_", "_!=_"], Rule::Two(equal)),
    (&["_<_", "_<=_", "_>_", "_>=_"], Rule::Two(ordered)),
    (&["_+_"], Rule::Two(added)),
    (
        &["_-_", "_*_", "_/_", "_%_", "-_"],
        Rule::Any(|all| expect(all, &Kind::Number).map(|()| Kind::Number)),
    ),
    (&["@in"], Rule::Two(contained)),
    (
        &["startsWith", "endsWith", "contains", "matches"],
        Rule::Two(|text, part| {
            expect(&[text.clone(), part.clone()], &Kind::Text).map(|()| Kind::Bool)
        }),
    ),
    (&["size"], Rule::One(size)),
    (&["int", "uint", "double"], Rule::One(|_| Ok(Kind::Number))),
    (&["string"], Rule::One(|_| Ok(Kind::Text))),
    (&["bytes", "type", "dyn"], Rule::One(|_| Ok(Kind::Any))),
    (&["max", "min"], Rule::Any(|_| Ok(Kind::Any))),
];

fn conditional(condition: &Kind, yes: &Kind, no: &Kind) -> Checked {
    expect(std::slice::from_ref(condition), &Kind::Bool)?;
    one_of([Ok(yes.clone()), Ok(no.clone())])
}

fn equal(left: &Kind, right: &Kind) -> Checked {
    if left.may_be(right) || [left, right].contains(&&Kind::Null) {
        Ok(Kind::Bool)
    } else {
        Err(format!("{left} is never equal to {right}"))
    }
}

fn ordered(left: &Kind, right: &Kind) -> Checked {
    let has_order =
        |kind: &Kind| matches!(kind, Kind::Number | Kind::Text | Kind::Bool | Kind::Any);
    if has_order(left) && has_order(right) && left.may_be(right) {
        Ok(Kind::Bool)
    } else {
        Err(format!("{left} is neither more nor less than {right}"))
    }
}

fn added(left: &Kind, right: &Kind) -> Checked {
    match (left, right) {
        (Kind::Number | Kind::Text | Kind::List(_), Kind::Any) => Ok(left.clone()),
        (Kind::Any, Kind::Number | Kind::Text | Kind::List(_) | Kind::Any) => Ok(right.clone()),
        (Kind::Number, Kind::Number) | (Kind::Text, Kind::Text) => Ok(left.clone()),
        (Kind::List(_), Kind::List(_)) => one_of([Ok(left.clone()), Ok(right.clone())]),
        _ => Err(format!("{left} and {right} cannot be added")),
    }
}

fn contained(item: &Kind, of: &Kind) -> Checked {
    match of {
        Kind::List(element) if item.may_be(element) || **element == Kind::Null => Ok(Kind::Bool),
        Kind::List(element) => Err(format!(
            "{item} is never in a list of which each is {element}"
        )),
        Kind::Map | Kind::Row | Kind::Any => Ok(Kind::Bool),
        other => Err(format!("nothing is in {other}")),
    }
}

fn size(of: &Kind) -> Checked {
    match of {
        Kind::Number | Kind::Bool => Err("a number has no size".into()),
        _ => Ok(Kind::Number),
    }
}

/// Refuses operands that cannot be of the kind `wanted`.
fn expect(given: &[Kind], wanted: &Kind) -> Result<(), String> {
    match given.iter().find(|kind| !kind.may_be(wanted)) {
        Some(other) => Err(format!("{other} stands where {wanted} is needed")),
        None => Ok(()),
    }
}

/// The kind that all of them have in common; [`Kind::Any`] where they differ.
fn one_of(kinds: impl IntoIterator<Item = Result<Kind, String>>) -> Result<Kind, String> {
    let mut common: Option<Kind> = None;
    for kind in kinds {
        let kind = kind?;
        common = Some(match common {
            None | Some(Kind::Null) => kind,
            Some(known) if kind == Kind::Null || known == kind => known,
            Some(_) => Kind::Any,
        });
    }
    Ok(common.unwrap_or(Kind::Any))
}

#[cfg(test)]
mod tests {
    use crate::expression::filter::Filter;

    use super::*;

    fn check(text: &str) -> Result<(), String> {
        let list = |element| Kind::List(Box::new(element));
        let columns = [
            ("id", Kind::Number),
            ("title", Kind::Text),
            ("price", Kind::Number),
            ("sold", Kind::Bool),
            ("tags", list(Kind::Text)),
            ("extra", Kind::Any),
            ("place", Kind::Map),
        ];
        let columns = columns.map(|(name, kind)| (name.to_owned(), kind)).to_vec();
        let table = "book".to_owned();
        let filter = Filter::compile(text).unwrap();
        filter
            .check(Some(&Columns { table, columns }))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_fits_the_table_passes() {
        for text in [
            "new.price < old.price && new.title != old.title",
            "new.price * 2.0 > 10 || new.sold",
            "'price' in changed && event == 'book.changed' && owner != null",
            "new.title.startsWith('D') && size(new.title) > 3",
            "new.tags.exists(t, t == 'a' || t.matches('^b')) && new.tags.all(t, t != '')",
            "size(new.tags.filter(t, t in old.tags)) == 1 && new.tags[0] == 'a'",
            "new.extra.a.b > 3 || new.extra == 'x' || has(new.extra.c)",
            "new.place.street == 'x' && has(old.title) && new['title'] == 'x'",
            "new.sold ? new.price > 1 : true",
            "new.price in [1, 2.5] && new.title + 'x' == 'yx' && string(new.id) == '1'",
            "new.tags.map(t, size(t)).exists_one(n, n > 3)",
            "owner == null || new.price == null",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_the_table_is_said() {
        for (text, expected) in [
            (
                "new.titel == 'x'",
                "book has no column titel to look at; did you mean title?",
            ),
            ("has(old.zzzzzzz)", "book has no column zzzzzzz to look at"),
            (
                "new['titel'] == 'x'",
                "book has no column titel to look at; did you mean title?",
            ),
            (
                "new.price",
                "it says a number, which is neither true nor false",
            ),
            ("new.price == '9'", "a number is never equal to a text"),
            (
                "new.title > 3",
                "a text is neither more nor less than a number",
            ),
            (
                "new.price < null",
                "a number is neither more nor less than null",
            ),
            (
                "new.title && true",
                "a text stands where true or false is needed",
            ),
            (
                "new.title - 1 > 0",
                "a text stands where a number is needed",
            ),
            (
                "new.price + new.title == 'x'",
                "a number and a text cannot be added",
            ),
            (
                "new.price.startsWith('x')",
                "a number stands where a text is needed",
            ),
            (
                "new.tags.exists(t, t > 3)",
                "a text is neither more nor less than a number",
            ),
            ("new.price.exists(t, true)", "a number has no items"),
            (
                "3 in new.tags",
                "a number is never in a list of which each is a text",
            ),
            ("new.title.street == 'x'", "a text has no field street"),
            (
                "new.title.shout() == 'x'",
                "there is no function shout of one value; there are size, contains, startsWith, endsWith, matches, string, int, uint, double, max and min",
            ),
        ] {
            let error = check(text).unwrap_err();
            assert_eq!(error, format!("{text:?} does not fit: {expected}"));
        }
    }
}
