//! `[[certificates]]`: client certificates that rows of the hook table may name.

use std::{collections::HashSet, path::Path};

use super::{
    access, bounds,
    certificate::Tls,
    hooks::name,
    reader::{Keys, Value},
    target::bounded,
};

/// A client certificate with a name.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Its name.
    pub name: String,
    /// The certificate with its key, and the authorities to trust beside it.
    pub tls: Tls,
    /// Whose hooks may use it, beside those without an owner.
    pub owners: Owners,
}

/// Owners who may use a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Owners {
    /// Nobody.
    #[default]
    None,
    /// These.
    Named(Vec<String>),
    /// All.
    All,
}

impl Certificate {
    /// May a hook of this owner use it? Those without an owner are the operator's.
    pub fn is_for(&self, owner: Option<&str>) -> bool {
        match (owner, &self.owners) {
            (None, _) | (_, Owners::All) => true,
            (Some(owner), Owners::Named(owners)) => owners.iter().any(|named| named == owner),
            (Some(_), Owners::None) => false,
        }
    }
}

pub(super) const KEYS: Keys = Keys {
    known: &["name", "certificate", "key", "ca", "owners"],
    later: &[],
};

/// Reads `[[certificates]]`. Relative names of PEM files start at `folder`.
pub(super) fn read(value: &Value<'_>, folder: &Path) -> Vec<Certificate> {
    if value.is_table() {
        value.reader.wrong(
            value.key_place,
            "certificates is a table; write [[certificates]], in double brackets, above each",
        );
        return Vec::new();
    }
    let all = value.list("[[certificates]] above each certificate");
    let mut names = HashSet::new();
    let all = all.unwrap_or_default();
    all.iter()
        .filter_map(|one| read_one(one, &mut names, folder))
        .collect()
}

fn read_one(value: &Value<'_>, names: &mut HashSet<String>, folder: &Path) -> Option<Certificate> {
    let table = value.table(&KEYS)?;
    let name = table
        .need("name", "name = \"partner\"")
        .and_then(|value| name(value, "certificate", names));
    let files = [("certificate", "pem"), ("key", "key")].map(|(key, ending)| {
        let example = format!("{key} = \"partner.{ending}\"");
        table.need(key, &example).is_some()
    });
    let tls = match files {
        [true, true] => access::tls(&table, ["certificate", "key", "ca"], folder),
        _ => None,
    };
    let owners = table.find("owners").map(owners);
    // Everything has been read by now, so that all mistakes are reported.
    Some(Certificate {
        name: name?,
        tls: tls?,
        owners: owners.unwrap_or(Some(Owners::None))?,
    })
}

/// A list of owners; `"*"` stands for all of them.
fn owners(value: &Value<'_>) -> Option<Owners> {
    let remedy = "a list of owners such as [\"42\"], or [\"*\"] for all";
    let owners = value.list_of(remedy, |value| bounded(value, bounds::OWNER))?;
    Some(match owners.iter().any(|owner| owner == "*") {
        true => Owners::All,
        false => Owners::Named(owners),
    })
}
