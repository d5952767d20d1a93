//! What each file imports, and from which file.

use std::collections::{BTreeMap, BTreeSet};

use super::tokens::Tokens;

/// For each file, the files that it imports from and the names that it imports.
pub struct Imports(BTreeMap<String, BTreeMap<String, BTreeSet<String>>>);

/// The words of a path. Once it is known to begin at the root, `crate` is left out.
type Path<'a> = Vec<&'a str>;

/// One file, with its imports as they are written.
struct File<'a> {
    name: &'a str,
    /// What `use` brings into it: each name, and the path that the name stands for.
    uses: BTreeMap<&'a str, Path<'a>>,
    /// Every path of its code, from the root.
    paths: BTreeSet<Path<'a>>,
}

/// All files, by the paths of their modules.
type Files<'a> = BTreeMap<Path<'a>, File<'a>>;

impl Imports {
    /// Reads the files, whose names are paths below src.
    pub fn of(source: &BTreeMap<String, String>) -> Self {
        let files = files(source);
        let mut imports: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        for file in files.values() {
            for path in file.uses.values().chain(&file.paths) {
                let Some((defining, name)) = resolve(&files, path.clone()) else {
                    continue;
                };
                if defining != file.name {
                    let from = imports.entry(file.name.to_owned()).or_default();
                    let names = from.entry(defining.to_owned()).or_default();
                    names.insert(name.to_owned());
                }
            }
        }
        Self(imports)
    }

    /// Each import: the file that imports, the file that it imports from, and the names with commas between them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, String)> {
        self.0.iter().flat_map(|(from, all)| {
            all.iter().map(move |(to, names)| {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                (from.as_str(), to.as_str(), names.join(", "))
            })
        })
    }

    /// The sets of files in which each file imports from each other, perhaps by way of others.
    pub fn circles(&self) -> BTreeSet<BTreeSet<&str>> {
        let files = self.0.keys();
        let reachable: BTreeMap<&str, BTreeSet<&str>> = files
            .map(|file| (file.as_str(), self.reachable(file)))
            .collect();
        let reaches =
            |from: &str, to: &str| reachable.get(from).is_some_and(|all| all.contains(to));
        let in_circle = reachable.keys().filter(|file| reaches(file, file));
        in_circle
            .map(|file| {
                let others = reachable[file].iter().copied();
                others.filter(|other| reaches(other, file)).collect()
            })
            .collect()
    }

    fn reachable(&self, file: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut waiting = vec![file];
        while let Some(file) = waiting.pop() {
            for imported in self.0.get(file).into_iter().flat_map(BTreeMap::keys) {
                if found.insert(imported.as_str()) {
                    waiting.push(imported);
                }
            }
        }
        found
    }
}

/// Reads the files, and leaves out those that only tests have.
fn files(source: &BTreeMap<String, String>) -> Files<'_> {
    let mut files = BTreeMap::new();
    let mut only_tests: BTreeSet<Path> = BTreeSet::new();
    for (name, text) in source {
        let module = module_of(name);
        let tokens = Tokens::of(text);
        for test in tokens.test_modules {
            only_tests.insert(module.iter().copied().chain([test]).collect());
        }
        files.insert(module.clone(), File::of(name, &module, &tokens.all));
    }
    files.retain(|module, _| !only_tests.iter().any(|test| module.starts_with(test)));
    files
}

/// The path of the module that a file is. The binary counts as a module of the library.
fn module_of(file: &str) -> Path<'_> {
    let path = file.strip_suffix(".rs").unwrap_or(file);
    let mut module: Path = path.split('/').collect();
    if matches!(module.last(), Some(&("mod" | "lib"))) {
        module.pop();
    }
    module
}

impl<'a> File<'a> {
    fn of(name: &'a str, module: &[&'a str], tokens: &[&'a str]) -> Self {
        let mut file = Self {
            name,
            uses: BTreeMap::new(),
            paths: BTreeSet::new(),
        };
        let declarations = tokens.windows(3).filter_map(|window| match *window {
            ["mod", name, ";"] => Some(name),
            _ => None,
        });
        let own_modules: BTreeSet<&str> = declarations.collect();
        let mut code = Vec::new();
        let mut rest = tokens;
        while let Some(first) = rest.first() {
            rest = &rest[1..];
            // `use<'a>` in a type says which lifetimes it holds.
            if *first == "use" && rest.first() != Some(&"<") {
                let mut tree = Vec::new();
                rest = read_use(rest, &[], &mut tree);
                for (name, mut path) in tree {
                    if own_modules.contains(path[0]) {
                        path.insert(0, "self");
                    }
                    match from_root(module, path) {
                        Some(path) if matches!(name, "*" | "_") => {
                            file.paths.insert(path);
                        }
                        Some(path) => {
                            file.uses.insert(name, path);
                        }
                        None => {}
                    }
                }
            } else {
                code.push(*first);
            }
        }
        for mut path in paths(&code) {
            if own_modules.contains(path[0]) {
                path.insert(0, "self");
            }
            let path = match file.uses.get(path[0]) {
                Some(used) => used.iter().chain(&path[1..]).copied().collect(),
                None => match from_root(module, path) {
                    Some(path) => path,
                    None => continue,
                },
            };
            file.paths.insert(path);
        }
        file
    }
}

/// The same path from the root of the crate, or nothing if it begins elsewhere: with another crate or a type.
fn from_root<'a>(module: &[&'a str], path: Path<'a>) -> Option<Path<'a>> {
    let supers = path.iter().take_while(|part| **part == "super").count();
    let (base, rest) = match path[0] {
        "crate" | "rowhook" => (&module[..0], &path[1..]),
        "self" => (module, &path[1..]),
        "super" => (
            &module[..module.len().checked_sub(supers)?],
            &path[supers..],
        ),
        _ => return None,
    };
    Some(base.iter().chain(rest).copied().collect())
}

/// Reads one tree of a `use` with what stands before its braces, adds its leaves to `found` as the name that each
/// brings and its path, and returns the tokens behind the tree.
fn read_use<'t, 'a>(
    mut tokens: &'t [&'a str],
    before: &[&'a str],
    found: &mut Vec<(&'a str, Path<'a>)>,
) -> &'t [&'a str] {
    let mut path = before.to_vec();
    let mut name = None;
    loop {
        match *tokens {
            [":", ":", ref rest @ ..] => tokens = rest,
            ["as", alias, ref rest @ ..] => {
                name = Some(alias);
                tokens = rest;
            }
            ["{", ref rest @ ..] => {
                tokens = rest;
                while !matches!(tokens.first(), None | Some(&("}" | ";"))) {
                    tokens = read_use(tokens, &path, found);
                    tokens = tokens.strip_prefix(&[","]).unwrap_or(tokens);
                }
                return tokens.get(1..).unwrap_or_default();
            }
            [";" | "," | "}", ..] | [] => break,
            ["self", ref rest @ ..] if !path.is_empty() => tokens = rest,
            [part, ref rest @ ..] => {
                path.push(part);
                tokens = rest;
            }
        }
    }
    if let Some(last) = path.last() {
        found.push((name.unwrap_or(last), path));
    }
    tokens
}

/// Every path of at least two words.
fn paths<'a>(tokens: &[&'a str]) -> Vec<Path<'a>> {
    let is_name = |token: &str| token.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let mut found = Vec::new();
    let mut rest = tokens;
    while let Some(first) = rest.first() {
        rest = &rest[1..];
        if !is_name(first) {
            continue;
        }
        let mut path = vec![*first];
        while let [":", ":", name, ..] = *rest
            && is_name(name)
        {
            path.push(name);
            rest = &rest[3..];
        }
        if path.len() > 1 {
            found.push(path);
        }
    }
    found
}

/// The file that defines what a path leads to, and the name of that, through all re-exports. Nothing for a path that
/// ends at a module: only what is named by way of the module counts.
fn resolve<'a>(files: &Files<'a>, mut path: Path<'a>) -> Option<(&'a str, &'a str)> {
    // A name that is re-exported under itself would lead on without end.
    for _ in 0..8 {
        let length = (0..=path.len())
            .rev()
            .find(|at| files.contains_key(&path[..*at]))?;
        let file = &files[&path[..length]];
        let name = path.get(length)?;
        let Some(used) = file.uses.get(name) else {
            return Some((file.name, name));
        };
        path = used.iter().chain(&path[length + 1..]).copied().collect();
    }
    None
}
