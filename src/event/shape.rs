//! How payloads show the rows of a table: which columns, by which names, or what a template makes of them.

use std::collections::HashMap;

use crate::config::{Columns, Model, TableRules};
use crate::expression::template::Template;
use crate::postgres::relation::Column;

/// How payloads show rows. The default shows all columns by their own names.
#[derive(Debug, Default)]
pub struct Shape {
    columns: Columns,
    rename: HashMap<String, String>,
    fields: Option<Vec<String>>,
    template: Option<Template>,
    model: Option<Model>,
}

impl Shape {
    /// The shape that the rules of a table describe.
    pub fn new(rules: &TableRules) -> Self {
        Self {
            columns: rules.columns.clone(),
            rename: rules.rename.iter().cloned().collect(),
            fields: rules.fields.clone(),
            template: rules.payload.clone(),
            model: None,
        }
    }

    /// The same shape with this template, unless it has one.
    pub fn or_template(self, template: Option<Template>) -> Self {
        let template = self.template.or(template);
        Self { template, ..self }
    }

    /// The same shape for rows of a Django model.
    pub fn of_model(self, model: Option<Model>) -> Self {
        Self { model, ..self }
    }

    /// The Django model of the rows, if hooks.toml names one.
    pub fn model(&self) -> Option<&Model> {
        self.model.as_ref()
    }

    /// The name that a column is shown by; `None`: it is not shown.
    pub fn name<'a>(&'a self, column: &'a str) -> Option<&'a str> {
        let shown = self.rename.get(column).map_or(column, String::as_str);
        self.columns.show(column).then_some(shown)
    }

    /// The name that a column of a row is shown by; `None`: it is not shown, or hidden.
    pub fn column<'a>(&'a self, column: &'a Column) -> Option<&'a str> {
        self.name(&column.name).filter(|_| !column.hidden)
    }

    /// The fields of the payload `django`, by the names of the model, in its order; `None`: all columns in theirs.
    pub fn fields(&self) -> Option<&[String]> {
        self.fields.as_deref()
    }

    /// The names of the columns that are left out; empty where hooks.toml names none.
    pub fn excluded(&self) -> &[String] {
        match &self.columns {
            Columns::Except(names) => names,
            Columns::All | Columns::Only(_) => &[],
        }
    }

    /// The template that makes what is sent in place of the plain row.
    pub fn template(&self) -> Option<&Template> {
        self.template.as_ref()
    }
}
