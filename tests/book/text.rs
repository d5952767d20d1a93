//! Small things that all generated chapters need.

/// Text that is not markdown, as markdown: what would be emphasis or HTML there is not, except in code.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    let mut is_code = false;
    for c in text.chars() {
        if c == '`' {
            is_code = !is_code;
        }
        match c {
            '*' | '_' | '[' | ']' if !is_code => escaped.extend(['\\', c]),
            '<' if !is_code => escaped.push_str("&lt;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// The same for a cell of a table.
pub fn cell(text: &str) -> String {
    escaped(text).replace('|', "\\|").replace('\n', " ")
}

/// A row of a table.
pub fn row<const N: usize>(cells: [&str; N]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// The head of a table.
pub fn head<const N: usize>(cells: [&str; N]) -> String {
    row(cells) + &row(["---"; N])
}
