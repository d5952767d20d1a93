//! Django's names of models, which hooks.toml takes in place of tables: `bookstore.Book`.

use std::fmt;

use crate::postgres::TableName;

/// A model of a Django application.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Model {
    /// The application's label: `bookstore`.
    pub app: String,
    /// The class: `Book`.
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

    /// Reads `app.Model.action`, and returns the action too. A table of a schema is told apart by its first letter, which is
    /// small, or by quotes.
    pub fn parse_with_action(text: &str) -> Option<(Self, &str)> {
        let (model, action) = text.rsplit_once('.')?;
        let model = Self::parse(model)?;
        (!action.is_empty() && !action.contains('"')).then_some((model, action))
    }

    /// The table that Django makes for it unless the model says otherwise.
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
