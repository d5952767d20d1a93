//! How the rows of a table are shown: which columns, by which names, or as what a template makes of them.

use std::collections::HashMap;

use crate::config::{Columns, Model, TableRules};
use crate::expression::template::Template;

/// How rows are shown. The default shows them as they are.
#[derive(Debug, Default)]
pub struct Shape {
    columns: Columns,
    rename: HashMap<String, String>,
    template: Option<Template>,
    model: Option<Model>,
}

impl Shape {
    /// What `[tables]` says of a table.
    pub fn new(rules: &TableRules) -> Self {
        Self {
            columns: rules.columns.clone(),
            rename: rules.rename.iter().cloned().collect(),
            template: rules.payload.clone(),
            model: None,
        }
    }

    /// The same, of the rows of a Django model.
    pub fn of_model(self, model: Option<Model>) -> Self {
        Self { model, ..self }
    }

    /// The Django model of the rows, where hooks.toml names it.
    pub fn model(&self) -> Option<&Model> {
        self.model.as_ref()
    }

    /// The name by which a column is shown; `None` where it is not.
    pub fn name<'a>(&'a self, column: &'a str) -> Option<&'a str> {
        let shown = self.rename.get(column).map_or(column, String::as_str);
        self.columns.show(column).then_some(shown)
    }

    /// What is sent in place of the plain row.
    pub fn template(&self) -> Option<&Template> {
        self.template.as_ref()
    }
}
