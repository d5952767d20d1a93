//! Templates that owners may write where [limits] allows it. The first line is the row, and the rest is the template.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rowhook::expression::{
    document::Document,
    template::{Template, View},
};

fuzz_target!(|text: &str| {
    let (row, template) = text.split_once('\n').unwrap_or(("{}", text));
    let (Ok(template), Ok(data), Ok(new)) = (
        Template::compile(template),
        Document::parse(row),
        Document::parse(row),
    ) else {
        return;
    };
    let view = View {
        data: data.into(),
        new: new.into(),
        changed: Some(vec!["id"]),
        event: "book.changed",
        owner: Some("7"),
        table: "public.book".to_owned(),
        op: "update",
        ..View::default()
    };
    if let Ok(printed) = template.render(view) {
        let printed = String::from_utf8(printed).expect("what is printed is UTF-8");
        Document::parse(printed).expect("what is printed is JSON");
    }
});
