//! `[[server.admins]]`: operators with tokens and roles of their own.

use sha2::{Digest, Sha256};

use super::{
    reader::{Keys, Table, Value},
    role::Role,
};
use crate::secret::Secret;

/// One of `[[server.admins]]`.
#[derive(Debug, Clone)]
pub struct NamedAdmin {
    /// What it is called.
    pub name: String,
    /// The SHA-256 of its token.
    pub token: [u8; 32],
    /// What it may do.
    pub role: Role,
}

pub(super) const KEYS: Keys = Keys {
    known: &["name", "token", "token_sha256", "role"],
    later: &[],
};

/// The fewest characters of a token: a shorter one could be guessed.
const SHORTEST_TOKEN: usize = 16;
/// The most characters of a name.
const LONGEST_NAME: usize = 64;

/// The SHA-256 of a token. A token is as long as a key, so one round is enough.
pub(crate) fn hash(token: &Secret) -> [u8; 32] {
    Sha256::digest(token.expose()).into()
}

/// Reads the operator's token, or that of one of them.
pub(super) fn token(value: &Value<'_>) -> Option<Secret> {
    let token = value.secret()?;
    if token.expose().len() < SHORTEST_TOKEN {
        value.wrong(format!(
            "{} is shorter than {SHORTEST_TOKEN} characters; make one with: openssl rand -hex 32",
            value.key
        ));
        return None;
    }
    Some(token)
}

/// Reads the list. `first` is the operator's token, which none of them may share.
pub(super) fn read(value: &Value<'_>, first: Option<&Secret>) -> Option<Vec<NamedAdmin>> {
    let listed = value.list("[[server.admins]] with name, token and role")?;
    let mut admins: Vec<NamedAdmin> = Vec::new();
    for one in listed {
        let Some(table) = one.table(&KEYS) else {
            continue;
        };
        let Some(admin) = read_one(&table) else {
            continue;
        };
        if admins.iter().any(|other| other.name == admin.name) {
            let name = &admin.name;
            table.reader.wrong(
                table.place,
                format!("server.admins has the name {name:?} twice; choose another"),
            );
        }
        let is_first = first.is_some_and(|first| hash(first) == admin.token);
        if is_first || admins.iter().any(|other| other.token == admin.token) {
            table.reader.wrong(
                table.place,
                "server.admins has a token that is another's too; make one with: rowhook tokens hash",
            );
        }
        admins.push(admin);
    }
    Some(admins)
}

fn read_one(table: &Table<'_>) -> Option<NamedAdmin> {
    let name = table.need("name", "name = \"ci\"");
    let name = name.and_then(|value| value.name(LONGEST_NAME));
    let (plain, hashed) = (table.find("token"), table.find("token_sha256"));
    let token = match (plain, hashed) {
        (Some(plain), None) => token(plain).as_ref().map(hash),
        (None, Some(hashed)) => sha256(hashed),
        _ => {
            table.reader.wrong(
                table.place,
                "server.admins needs exactly one of token and token_sha256; make both with: rowhook tokens hash",
            );
            None
        }
    };
    let role = table
        .need("role", "role = \"read\", \"support\", \"hooks\" or \"all\"")
        .and_then(|value| value.choice(&Role::NAMED));
    Some(NamedAdmin {
        name: name?,
        token: token?,
        role: role?,
    })
}

fn sha256(value: &Value<'_>) -> Option<[u8; 32]> {
    let text = value.string()?;
    let mut hash = [0; 32];
    if hex::decode_to_slice(&text, &mut hash).is_err() {
        value.wrong(format!(
            "{} is no SHA-256 in hex, which has 64 digits; make one with: rowhook tokens hash",
            value.key
        ));
        return None;
    }
    Some(hash)
}
