//! `${NAME}` in a value stands for a variable of the environment. It is replaced after the file was parsed, so that no
//! value can break the syntax.

use std::cell::RefCell;

/// Replaces every `${NAME}` in `text`. `$${` stands for a plain `${`.
///
/// # Errors
/// What is wrong, with a remedy. The messages never quote `text`, which may be a secret.
pub(super) fn replace(
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<String, Vec<String>> {
    let mut replaced = String::with_capacity(text.len());
    let mut mistakes = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, after) = (&rest[..start], &rest[start + 2..]);
        if let Some(before) = before.strip_suffix('$') {
            replaced.push_str(before);
            replaced.push_str("${");
            rest = after;
            continue;
        }
        replaced.push_str(before);
        let name = after.split_once('}').filter(|(name, _)| is_name(name));
        let Some((name, after)) = name else {
            mistakes.push(
                "a \"${\" here begins no ${NAME}; close it, or write $${ for a plain ${".into(),
            );
            break;
        };
        match env(name) {
            Some(value) => replaced.push_str(&value),
            None => mistakes.push(format!(
                "the environment variable {name} is not set; set it, or write $${{ for a plain ${{"
            )),
        }
        rest = after;
    }
    replaced.push_str(rest);
    if mistakes.is_empty() {
        Ok(replaced)
    } else {
        Err(mistakes)
    }
}

/// The variables that `text` names.
pub(super) fn names(text: &str) -> Vec<String> {
    let names: RefCell<Vec<String>> = RefCell::default();
    let note = |name: &str| {
        names.borrow_mut().push(name.to_owned());
        Some(String::new())
    };
    // What is wrong with the text is told where it is replaced.
    let _ = replace(text, &note);
    names.into_inner()
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_replaced_and_a_doubled_dollar_is_not() {
        let env = |name: &str| (name == "A").then(|| "${B}".to_owned());
        for (text, expected) in [
            ("plain $ {}", "plain $ {}"),
            ("<${A}${A}>", "<${B}${B}>"),
            ("$${A}", "${A}"),
            ("$A", "$A"),
        ] {
            assert_eq!(replace(text, &env).unwrap(), expected);
        }
        assert_eq!(names("a ${A} $${B} ${C}"), ["A", "C"]);
        for text in ["${B}", "${", "${A", "${}", "${1}", "${A B}"] {
            assert_eq!(replace(text, &env).unwrap_err().len(), 1, "{text}");
        }
    }
}
