//! Names of Django models, such as `bookstore.Book`, which hooks.toml accepts in place of tables.

use std::fmt;

use crate::postgres::TableName;

/// A model of a Django application.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Model {
    /// The label of the application: `bookstore`.
    pub app: String,
    /// The name of the class: `Book`.
    pub name: String,
}

impl Model {
    /// Reads `app.Model`.
    pub fn parse(text: &str) -> Option<Self> {
        let (app, name) = text.split_once('.')?;
        let word = |text: &str| {
            text.starts_with(|c: char| c.is_alphabetic() || c == '_')
                && text.chars().all(|c| c.is_alphanumeric() || c == '_')
        };
        let good = word(app) && word(name) && name.starts_with(char::is_uppercase);
        good.then(|| Self {
            app: app.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Reads `app.Model.action`. Returns the model and the action; `None` where the text is a qualified table, which
    /// begins with a lower-case letter or is quoted.
    pub fn parse_with_action(text: &str) -> Option<(Self, &str)> {
        let (model, action) = text.rsplit_once('.')?;
        let model = Self::parse(model)?;
        (!action.is_empty() && !action.contains('"')).then_some((model, action))
    }

    /// The table that Django makes for the model unless the model names another.
    pub fn table(&self) -> TableName {
        TableName::public(format!("{}_{}", self.app, self.name.to_lowercase()))
    }
}

/// `bookstore.Book`
impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.app, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_an_application_a_class_and_an_action() {
        let (model, action) = Model::parse_with_action("book_store.AudioBook.read").unwrap();
        assert_eq!(
            (model.to_string().as_str(), action),
            ("book_store.AudioBook", "read")
        );
        assert_eq!(model.table(), TableName::public("book_store_audiobook"));
        for text in [
            "clinic.pet.created",
            r#"clinic."Pet".created"#,
            "Book.created",
            "a.b.Book.created",
            "app.Book.",
            ".Book.created",
            "app.Bo-ok.created",
        ] {
            assert_eq!(Model::parse_with_action(text), None, "{text}");
        }
    }
}
