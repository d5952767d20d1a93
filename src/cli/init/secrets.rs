//! Columns that look as if they hold what nobody should be sent. It is a guess by their names.

use super::found::Found;

/// Words that make a column secret wherever they stand in its name.
const SECRET: [&str; 31] = [
    "password",
    "passwords",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "secret",
    "secrets",
    "token",
    "tokens",
    "apikey",
    "apikeys",
    "salt",
    "otp",
    "totp",
    "hotp",
    "pin",
    "ssn",
    "cvv",
    "cvc",
    "hash",
    "hashed",
    "digest",
    "credential",
    "credentials",
    "jwt",
    "csrf",
    "privatekey",
    "keypair",
    "mnemonic",
    "sessionid",
];

/// A key of one of these kinds is secret; other keys are those of rows.
const KEYS: [&str; 16] = [
    "api",
    "private",
    "secret",
    "access",
    "encryption",
    "encrypted",
    "signing",
    "session",
    "ssh",
    "pgp",
    "gpg",
    "auth",
    "license",
    "recovery",
    "master",
    "webhook",
];

/// Two words that are secret together.
const PAIRS: [(&str, &str); 11] = [
    ("session", "data"),
    ("recovery", "code"),
    ("recovery", "codes"),
    ("backup", "code"),
    ("backup", "codes"),
    ("verification", "code"),
    ("security", "code"),
    ("social", "security"),
    ("card", "number"),
    ("cc", "number"),
    ("account", "number"),
];

/// What is only told about a secret: `password_changed_at`, `token_count`, `has_password`.
const ABOUT_BEGINS: [&str; 6] = ["is", "has", "can", "needs", "must", "use"];
const ABOUT_ENDS: [&str; 17] = [
    "at", "on", "date", "time", "count", "type", "kind", "length", "expires", "expiry", "enabled",
    "required", "changed", "name", "status", "id", "attempts",
];

/// The columns of a table that look secret. A foreign key is none.
pub(super) fn secrets(found: &Found) -> Vec<&str> {
    let of_keys = words(&found.table.name)
        .iter()
        .any(|word| SECRET.contains(&word.as_str()) || KEYS.contains(&word.as_str()));
    let is_reference = |column: &str| {
        let mut references = found.references.iter();
        references.any(|reference| reference.column == column)
    };
    let columns = found.columns.iter().map(String::as_str);
    columns
        .filter(|column| !is_reference(column))
        .filter(|column| is_secret(column) || of_keys && words(column) == ["key"])
        .collect()
}

fn is_secret(column: &str) -> bool {
    let words = words(column);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (Some(first), Some(last)) = (words.first(), words.last()) else {
        return false;
    };
    if ABOUT_BEGINS.contains(first) || words.len() > 1 && ABOUT_ENDS.contains(last) {
        return false;
    }
    let next_to = |pair: &[&str]| match pair {
        [kind, "key" | "keys"] => KEYS.contains(kind),
        [a, b] => PAIRS.contains(&(a, b)),
        _ => false,
    };
    words.iter().any(|word| SECRET.contains(word)) || words.windows(2).any(next_to)
}

/// The words of a name, in lower case: `apiKey_2` has `api`, `key` and `2`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before_is_small = false;
    for c in name.chars() {
        let begins = c.is_uppercase() && before_is_small;
        if !c.is_alphanumeric() || begins {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
        before_is_small = c.is_lowercase() || c.is_numeric();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_a_secret_looks_so_and_what_is_about_one_does_not() {
        for column in [
            "password",
            "passwd",
            "PasswordHash",
            "api_key",
            "apiKey",
            "apikey",
            "private_key",
            "ssn",
            "salt",
            "otp_secret",
            "access_token",
            "token",
            "hash",
            "password_digest",
            "session_key",
            "session_data",
            "ping_key_hash",
            "recovery_codes",
            "card_number",
            "pin",
            "totp",
            "secret",
        ] {
            assert!(is_secret(column), "{column}");
        }
        for column in [
            "id",
            "key",
            "primary_key",
            "password_changed_at",
            "has_password",
            "is_secret",
            "token_count",
            "token_type",
            "keyboard",
            "hashtag",
            "tokenizer",
            "pinned",
            "shipping",
            "name",
            "spin",
            "compass",
            "foreign_key",
            "sort_key",
            "salted_caramel_flavour",
            "passenger",
            "last_password_change_date",
        ] {
            assert!(!is_secret(column), "{column}");
        }
    }

    #[test]
    fn a_bare_key_is_secret_in_a_table_of_tokens_alone() {
        let found = |name: &str| Found {
            table: crate::postgres::TableName::public(name),
            of_framework: false,
            identified: true,
            readable: true,
            columns: vec!["key".into(), "user_id".into()],
            primary_key: vec!["key".into()],
            references: Vec::new(),
        };
        assert_eq!(secrets(&found("authtoken_token")), ["key"]);
        assert_eq!(secrets(&found("api_keys")), ["key"]);
        assert_eq!(secrets(&found("setting")), [""; 0]);
    }
}
