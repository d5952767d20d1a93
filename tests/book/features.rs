//! What other systems do is done here too, and every test that is named as the proof exists.

use std::{collections::BTreeSet, fs};

const FEATURES: &str = include_str!("../../docs/book/coming-from.md");

/// The name and the path of every `[name](../../tests/….rs)`.
fn stories() -> Vec<(&'static str, &'static str)> {
    let links = FEATURES.split("](../../tests/").skip(1);
    let before = FEATURES
        .split("](../../tests/")
        .map(|part| part.rsplit('[').next().unwrap());
    before
        .zip(links)
        .filter_map(|(name, rest)| {
            let (path, _) = rest.split_once(')').unwrap();
            path.ends_with(".rs").then_some((name, path))
        })
        .collect()
}

#[test]
fn each_feature_of_the_older_systems_is_proven_by_a_story_that_exists() {
    let stories = stories();
    assert!(stories.len() > 30, "{}", stories.len());
    for (name, path) in stories {
        let text = fs::read_to_string(format!("tests/{path}"));
        let text = text.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(
            text.contains(&format!("fn {name}(")),
            "{path} has no {name}"
        );
    }
}

#[test]
fn the_table_names_all_five_systems() {
    let table = FEATURES.split("| system |").nth(1).unwrap();
    let systems: BTreeSet<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .filter(|system| !system.trim().is_empty())
        .collect();
    for system in [
        "django-rest-hooks",
        "nti.webhooks",
        "servo-webhooks",
        "webhooks and dj-webhooks",
        "NetBox",
    ] {
        assert!(systems.contains(system), "{system} in {systems:?}");
    }
}
