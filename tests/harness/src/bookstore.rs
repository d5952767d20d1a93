//! The application of most tests.

/// The tables of a bookstore. Users own shelves, shelves hold books, and a book has an owner of its own too.
pub const BOOKSTORE: &str = "
    create table shelf (id bigint primary key, user_id bigint not null);
    create table book (
        id bigint primary key,
        user_id bigint,
        shelf_id bigint references shelf,
        title text not null,
        price numeric(8, 2)
    );
    insert into shelf values (1, 7), (2, 8);
";

/// The `[events]` of books, one for each action.
pub const BOOK_EVENTS: &str = r#"
[events]
"book.added" = "book.created"
"book.changed" = "book.updated"
"book.removed" = "book.deleted"
"#;
