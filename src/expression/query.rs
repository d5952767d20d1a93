//! A user's query with `$column` in place of a value of the row: `select name from author where id = $author_id`.

use std::fmt;

/// A query, split at its placeholders.
#[derive(Clone, PartialEq, Eq)]
pub struct Query {
    pieces: Vec<Piece>,
}

#[derive(Clone, PartialEq, Eq)]
enum Piece {
    Sql(String),
    Column(String),
}

impl Query {
    /// Splits `sql` at its placeholders. Those in quotes and comments are not placeholders.
    ///
    /// # Errors
    /// When it is more than one statement, has a quote or comment without an end, or a `$` that names no column. The
    /// error says so in words.
    pub fn parse(sql: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = sql.trim();
        rest = rest.strip_suffix(';').unwrap_or(rest).trim_end();
        while let Some(first) = rest.chars().next() {
            let length = match first {
                '\'' | '"' => quoted(rest, first)?,
                '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
                '/' if rest.starts_with("/*") => comment(rest)?,
                '$' => match placeholder(rest)? {
                    Dollar::Column(name) => {
                        let length = 1 + name.len();
                        pieces.push(Piece::Sql(std::mem::take(&mut plain)));
                        pieces.push(Piece::Column(name.to_owned()));
                        rest = &rest[length..];
                        continue;
                    }
                    Dollar::Quoted(length) => length,
                },
                ';' => {
                    return Err("it is more than one statement; keep one query".into());
                }
                // A $ within a name is no placeholder.
                _ if first.is_alphanumeric() || first == '_' => rest
                    .find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$')
                    .unwrap_or(rest.len()),
                _ => first.len_utf8(),
            };
            plain.push_str(&rest[..length]);
            rest = &rest[length..];
        }
        // The query may end with a comment, which must not swallow what is appended to it.
        plain.push('\n');
        pieces.push(Piece::Sql(plain));
        Ok(Self { pieces })
    }

    /// The columns that it names, each once, in the order of their first use.
    pub fn columns(&self) -> Vec<&str> {
        let mut columns: Vec<&str> = Vec::new();
        for piece in &self.pieces {
            if let Piece::Column(name) = piece
                && !columns.contains(&name.as_str())
            {
                columns.push(name);
            }
        }
        columns
    }

    /// The SQL, with what `value` gives in place of each column.
    pub fn sql(&self, value: impl Fn(&str) -> String) -> String {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Sql(sql) => sql.clone(),
            Piece::Column(name) => value(name),
        });
        pieces.collect()
    }
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.sql(|column| format!("${column}")))
    }
}

/// The length in bytes of the quoted text at the beginning, quotes included.
fn quoted(text: &str, quote: char) -> Result<usize, String> {
    let mut at = 1;
    loop {
        at += 1 + text[at..]
            .find(quote)
            .ok_or_else(|| format!("a {quote} has no end"))?;
        // A doubled quote stands for one quote within the text.
        match text[at..].strip_prefix(quote) {
            Some(_) => at += 1,
            None => return Ok(at),
        }
    }
}

/// The length in bytes of the comment at the beginning. Comments nest in Postgres.
fn comment(text: &str) -> Result<usize, String> {
    let (mut at, mut depth) = (2, 1);
    while depth > 0 {
        let rest = &text[at..];
        let close = rest.find("*/").ok_or("a /* has no end")?;
        match rest.find("/*").filter(|open| *open < close) {
            Some(open) => (at, depth) = (at + open + 2, depth + 1),
            None => (at, depth) = (at + close + 2, depth - 1),
        }
    }
    Ok(at)
}

/// What a `$` begins.
enum Dollar<'a> {
    /// `$column`
    Column(&'a str),
    /// `$$…$$` or `$tag$…$tag$`, and its length in bytes.
    Quoted(usize),
}

fn placeholder(text: &str) -> Result<Dollar<'_>, String> {
    let after = &text[1..];
    let end = after
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(after.len());
    let name = &after[..end];
    if after[end..].starts_with('$') {
        let tag = &text[..end + 2];
        let close = text[tag.len()..]
            .find(tag)
            .ok_or_else(|| format!("a {tag} has no end"))?;
        return Ok(Dollar::Quoted(2 * tag.len() + close));
    }
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!(
            "${name} names no column; write $ and its name, such as $id"
        ));
    }
    Ok(Dollar::Column(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_outside_of_quotes_and_comments() {
        let query = Query::parse(
            "select '$a', \"$b\", $$ $c $$, $x$ $d $x$, a$e -- $f\n/* $g /* */ $h */ from t where id = $author_id and x=$größe or y = $author_id ;",
        )
        .unwrap();
        assert_eq!(query.columns(), ["author_id", "größe"]);
        let sql = query.sql(|column| format!("<{column}>"));
        assert!(
            sql.ends_with("id = <author_id> and x=<größe> or y = <author_id>\n"),
            "{sql}"
        );
        assert!(sql.contains("$x$ $d $x$, a$e -- $f\n"));
    }

    #[test]
    fn what_is_no_question_says_why() {
        for (sql, expected) in [
            (
                "select 1; drop table book",
                "it is more than one statement; keep one query",
            ),
            ("select 'a", "a ' has no end"),
            ("select $$a", "a $$ has no end"),
            ("select /* a", "a /* has no end"),
            (
                "select $1",
                "$1 names no column; write $ and its name, such as $id",
            ),
            (
                "select $ 1",
                "$ names no column; write $ and its name, such as $id",
            ),
        ] {
            assert_eq!(Query::parse(sql).unwrap_err(), expected, "{sql}");
        }
        assert!(Query::parse("select 'it''s', 1;").is_ok());
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_a_question_without_columns_is_what_was_written(sql in ".*") {
            if let Ok(query) = Query::parse(&sql) {
                let again = query.sql(|column| format!("${column}"));
                let trimmed = sql.trim();
                let trimmed = trimmed.strip_suffix(';').unwrap_or(trimmed).trim_end();
                proptest::prop_assert_eq!(again.trim_end(), trimmed);
            }
        }
    }
}
