//! The plan of the house: which file of src may import from which.
//!
//! src has floors, and a file imports only from its own floor and from lower ones. Imports never go in a circle, so
//! each file can be read with nothing but the files below it in mind.
//!
//! An import is every path that begins with `crate`, `self` or `super`, with a module that the file itself declares, or
//! with a name that such a `use` brings in, and every `pub use`. A name that is re-exported is followed to the file that
//! defines it. What is behind `#[cfg(test)]` does not count.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "all of this is a test, its helpers too"
)]

mod imports;
mod tokens;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use self::imports::Imports;

/// The floors from top to bottom, each with its modules.
const FLOORS: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["console", "demo"],
    &["server"],
    &["manage"],
    &["preview"],
    &["run"],
    &["reader"],
    &["cluster"],
    &["before", "courier"],
    &["history"],
    &["setup", "store", "trace"],
    &["delivery", "journal", "payload"],
    &["hook"],
    &["event", "receive"],
    &["lookup", "send"],
    &["config"],
    &["expression"],
    &["act", "change", "message"],
    &["postgres"],
    &["signature"],
    &[
        "backoff", "files", "gzip", "listen", "lock", "meters", "nats", "nearest", "panics",
        "seal", "secret", "terminal",
    ],
];

/// The widest that a line of comment may be, in characters.
const COLUMNS: usize = 120;

/// The text of each file of src, by its path below src.
fn source() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
                files.insert(name.to_owned(), fs::read_to_string(&path).unwrap());
            }
        }
    }
    files
}

/// The module directly below the root that a file belongs to. The root itself belongs to none.
fn top_module(file: &str) -> Option<&str> {
    let first = file.split('/').next()?;
    let module = first.strip_suffix(".rs").unwrap_or(first);
    (module != "lib").then_some(module)
}

/// The number of a file's floor, counted from the top.
fn floor_of(floors: &[&[&str]], file: &str) -> Option<usize> {
    let module = top_module(file)?;
    floors.iter().position(|floor| floor.contains(&module))
}

/// A line for each file that imports from a higher floor.
fn upward(floors: &[&[&str]], imports: &Imports) -> Vec<String> {
    let all = imports.iter();
    let upward = all.filter(|(from, to, _)| {
        let floors = floor_of(floors, from).zip(floor_of(floors, to));
        floors.is_some_and(|(from, to)| to < from)
    });
    upward
        .map(|(from, to, names)| format!("{from} imports {names} from {to}, which is higher"))
        .collect()
}

/// A line for each file and the files of the same circle that it imports from.
fn circles(imports: &Imports) -> Vec<String> {
    imports
        .circles()
        .iter()
        .enumerate()
        .flat_map(|(number, circle)| {
            let within = imports
                .iter()
                .filter(|(from, to, _)| circle.contains(from) && circle.contains(to));
            within.map(move |(from, to, names)| {
                format!("circle {}: {from} imports {names} from {to}", number + 1)
            })
        })
        .collect()
}

/// A line for each module that is not on exactly one floor, or on a floor but not in src.
fn misplaced(floors: &[&[&str]], source: &BTreeMap<String, String>) -> Vec<String> {
    let built: BTreeSet<&str> = source.keys().filter_map(|file| top_module(file)).collect();
    let planned = floors.concat();
    let all = built.iter().chain(&planned).collect::<BTreeSet<_>>();
    let mut found = Vec::new();
    for module in all {
        let places = planned.iter().filter(|planned| *planned == module).count();
        if places != 1 {
            found.push(format!("{module} is on {places} floors"));
        }
        if !built.contains(module) {
            found.push(format!("{module} is on a floor, and not in src"));
        }
    }
    found
}

/// A line for each comment that is too wide.
fn wide_comments(source: &BTreeMap<String, String>) -> Vec<String> {
    let mut found = Vec::new();
    for (file, text) in source {
        for (number, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            if line.trim_start().starts_with("//") && columns > COLUMNS {
                found.push(format!("{file}:{} has {columns} columns", number + 1));
            }
        }
    }
    found
}

fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn no_file_imports_from_a_higher_floor() {
    assert_none(&upward(FLOORS, &Imports::of(&source())));
}

#[test]
fn no_imports_go_in_a_circle() {
    assert_none(&circles(&Imports::of(&source())));
}

#[test]
fn each_module_is_on_one_floor_and_each_floor_has_its_modules() {
    assert_none(&misplaced(FLOORS, &source()));
}

#[test]
fn no_comment_is_wider_than_120_columns() {
    assert_none(&wide_comments(&source()));
}

/// What is wrong with a small tree of two floors, `high` and `low`.
fn findings(files: &[(&str, &str)]) -> Vec<String> {
    let files = files.iter();
    let source = files.map(|(file, text)| ((*file).to_owned(), (*text).to_owned()));
    let imports = Imports::of(&source.collect());
    let mut found = upward(&[&["high"], &["low"]], &imports);
    found.extend(circles(&imports));
    found
}

#[test]
fn an_import_from_above_is_found_and_one_from_below_is_fine() {
    let found = findings(&[
        ("high.rs", "use crate::low::Low;\npub struct High(Low);"),
        ("low.rs", "pub struct Low;"),
    ]);
    assert_eq!(found, [""; 0]);
    let found = findings(&[
        ("high.rs", "pub struct High;"),
        ("low.rs", "use crate::high::High;\npub struct Low(High);"),
    ]);
    assert_eq!(found, ["low.rs imports High from high.rs, which is higher"]);
}

#[test]
fn a_path_in_the_middle_of_code_is_an_import_and_one_in_a_text_is_not() {
    let found = findings(&[
        ("high.rs", "pub fn high() {}"),
        ("low.rs", "fn low() { if true { crate::high::high() } }"),
    ]);
    assert_eq!(found, ["low.rs imports high from high.rs, which is higher"]);
    let found = findings(&[
        ("high.rs", "pub fn high() {}"),
        (
            "low.rs",
            r##"
            //! As crate::high::high() does.
            /* crate::high */
            fn low<'a>(quote: &'a str) -> char {
                log("\"crate::high::high()", r#""crate::high"#, b'"', '\'', '"');
                'a'
            }
            "##,
        ),
    ]);
    assert_eq!(found, [""; 0]);
}

#[test]
fn a_circle_is_found_with_the_names_that_close_it() {
    let found = findings(&[
        ("low/mod.rs", "mod one; mod two; mod three;"),
        ("low/one.rs", "use super::two::{Two, make_two};"),
        (
            "low/two.rs",
            "use crate::low::three::Three; pub struct Two; pub fn make_two() {}",
        ),
        ("low/three.rs", "pub struct Three(super::one::One);"),
        ("low/four.rs", "use super::one::One;"),
    ]);
    assert_eq!(
        found,
        [
            "circle 1: low/one.rs imports Two, make_two from low/two.rs",
            "circle 1: low/three.rs imports One from low/one.rs",
            "circle 1: low/two.rs imports Three from low/three.rs",
        ]
    );
}

#[test]
fn two_circles_are_told_apart() {
    let found = findings(&[
        ("low/a.rs", "use super::b::B;"),
        ("low/b.rs", "use super::a::A; use super::c::C;"),
        ("low/c.rs", "use super::d::D;"),
        ("low/d.rs", "use super::c::C;"),
    ]);
    assert_eq!(
        found,
        [
            "circle 1: low/a.rs imports B from low/b.rs",
            "circle 1: low/b.rs imports A from low/a.rs",
            "circle 2: low/c.rs imports D from low/d.rs",
            "circle 2: low/d.rs imports C from low/c.rs",
        ]
    );
}

#[test]
fn a_name_is_followed_to_the_file_that_defines_it() {
    let low = [
        (
            "low/mod.rs",
            "mod inner; pub use self::inner::Inner as Outer;",
        ),
        ("low/inner.rs", "pub struct Inner;"),
    ];
    let [facade, inner] = low;
    let found = findings(&[facade, inner, ("high.rs", "use crate::low::Outer;")]);
    assert_eq!(found, [""; 0]);
    // Through the facade, the file below it imports from its sister, and the facade from both.
    let sister = ("low/sister.rs", "use super::Outer as Renamed;");
    assert_eq!(findings(&[facade, inner, sister]), [""; 0]);
    let inner = ("low/inner.rs", "pub struct Inner; use super::Outer;");
    assert_eq!(findings(&[facade, inner, sister]), [""; 0]);
    let inner = (
        "low/inner.rs",
        "pub struct Inner; use super::sister::sister;",
    );
    assert_eq!(
        findings(&[facade, inner, sister]),
        [
            "circle 1: low/inner.rs imports sister from low/sister.rs",
            "circle 1: low/sister.rs imports Inner from low/inner.rs",
        ]
    );
}

#[test]
fn a_re_export_and_a_path_through_a_module_are_imports_too() {
    for facade in [
        "mod inner; pub use inner::Inner; pub struct Own;",
        "mod inner; pub struct Own; fn make() { self::inner::Inner::new() }",
        "mod inner; pub struct Own; fn make() { inner::Inner::new() }",
        "use crate::low::inner as renamed; pub struct Own; fn make() { renamed::Inner::new() }",
    ] {
        let found = findings(&[
            ("low/mod.rs", facade),
            ("low/inner.rs", "pub struct Inner(super::Own);"),
        ]);
        assert_eq!(
            found[0], "circle 1: low/inner.rs imports Own from low/mod.rs",
            "{facade}"
        );
    }
}

#[test]
fn nested_braces_are_opened() {
    let found = findings(&[
        ("high/mod.rs", "pub mod inner; pub struct High;"),
        ("high/inner.rs", "pub struct Inner;"),
        (
            "low.rs",
            "pub(crate) use std::{fs, io::{self, Read}};
            use crate::{high::{self as above, High as Other, inner::{Inner, other::*}}, low};
            fn low() { above::make::<low::Low>(above::inner::new()) }",
        ),
    ]);
    assert_eq!(
        found,
        [
            "low.rs imports Inner, new, other from high/inner.rs, which is higher",
            "low.rs imports High, make from high/mod.rs, which is higher",
        ]
    );
}

#[test]
fn what_only_tests_have_does_not_count() {
    let found = findings(&[
        ("high.rs", "pub struct High;"),
        (
            "low.rs",
            "#[cfg(test)]
            use crate::high::High;
            #[cfg(test)]
            #[derive(Debug)]
            struct Held(crate::high::High);
            #[cfg(test)]
            mod tests {
                use crate::high::High;
                fn high() { { crate::high::High } }
            }
            #[cfg(test)]
            mod more;",
        ),
        ("low/more.rs", "use crate::high::High;"),
    ]);
    assert_eq!(found, [""; 0]);
}

#[test]
fn the_binary_imports_from_the_library() {
    let source = [
        ("main.rs", "use rowhook::cli::run; fn main() { run() }"),
        ("cli/mod.rs", "pub fn run() {}"),
        ("lib.rs", "pub mod cli;"),
    ];
    let source = source.map(|(file, text)| (file.to_owned(), text.to_owned()));
    let imports = Imports::of(&BTreeMap::from(source));
    let all: Vec<_> = imports.iter().collect();
    assert_eq!(all, [("main.rs", "cli/mod.rs", "run".to_owned())]);
}

#[test]
fn a_module_without_a_floor_and_a_floor_without_its_module_are_found() {
    let files = ["lib.rs", "low/mod.rs", "low/inner.rs", "new.rs"];
    let source = files.map(|file| (file.to_owned(), String::new()));
    let floors: &[&[&str]] = &[&["high", "low"], &["low"]];
    assert_eq!(
        misplaced(floors, &BTreeMap::from(source)),
        [
            "high is on a floor, and not in src",
            "low is on 2 floors",
            "new is on 0 floors",
        ]
    );
}

#[test]
fn a_wide_comment_is_found_and_wide_code_is_not() {
    let wide = "-".repeat(COLUMNS - 6);
    let text = format!("    //{wide}\n    //{wide}-\n    let a = \"{wide}--\";\n");
    let source = BTreeMap::from([("low.rs".to_owned(), text)]);
    assert_eq!(wide_comments(&source), ["low.rs:2 has 121 columns"]);
}
