//! Changing a hook by hand: from what somebody has seen of it, without what is secret in it, and has written instead.

use std::collections::BTreeMap;

use url::Url;

use super::{Actor, Admin, Error, Result, hook_input::HookChange, hooks::Hook, seen::Seen};
use crate::{
    config::unfit::Blame,
    hook::row::{self, HookRow},
};

/// A change of a hook by somebody who does not see what is secret in it.
#[derive(Debug)]
pub struct HookEdit {
    /// What changes. Credentials in the target stay where they were sent before, unless it names others.
    pub change: HookChange,
    /// The headers that get another value, and those that go (`None`). All others stay.
    pub headers: BTreeMap<String, Option<String>>,
    /// The hook as it was seen.
    pub seen: Seen,
}

impl Admin {
    /// A hook that `actor` may change, and what stands for it as it is now.
    ///
    /// # Errors
    /// When `actor` has no such hook, or it is one of hooks.toml.
    pub async fn hook_to_edit(&self, actor: &Actor, id: &str) -> Result<(Hook, Seen)> {
        self.editable_hook(actor, id).await?;
        // First, so that a change in between is told later, and never taken for seen.
        let seen = Seen::of(&self.row_to_edit(id).await?, &self.config.secrets);
        Ok((self.editable_hook(actor, id).await?, seen))
    }

    /// Changes a hook as somebody has written who has seen it.
    ///
    /// # Errors
    /// As [`Self::change_hook`], and [`Error::Changed`] when it is not as it was seen.
    pub async fn edit_hook(&mut self, actor: &Actor, id: &str, edit: HookEdit) -> Result<Hook> {
        let HookEdit {
            mut change,
            headers,
            seen,
        } = edit;
        self.editable_hook(actor, id).await?;
        let row = self.row_to_edit(id).await?;
        let row = row.opened(&self.config.secrets).unwrap_or(row);
        if let (Some(target), Some(before)) = (&mut change.target, row.target()) {
            keep_credentials(target, before);
        }
        if !headers.is_empty() {
            change.headers = Some(Some(with_headers(&row, headers)?).filter(|all| !all.is_empty()));
        }
        let settings = change.take_settings();
        self.apply(actor, id, change, settings, Some(&seen)).await
    }

    async fn row_to_edit(&self, id: &str) -> Result<HookRow> {
        let id_of_row = self.table.hook_id(id);
        let row = row::load_one(&self.client, &self.table.columns, &id_of_row).await?;
        row.ok_or_else(|| Error::not_found("hook", id))
    }
}

/// The headers of a row, with some of them set or taken out. The case of a name means nothing.
fn with_headers(
    row: &HookRow,
    changes: BTreeMap<String, Option<String>>,
) -> Result<BTreeMap<String, String>> {
    let all = row.headers().blame("headers")?;
    let mut all: BTreeMap<String, String> = all
        .into_iter()
        .map(|(name, value)| (name, value.expose().to_owned()))
        .collect();
    for (name, value) in changes {
        all.retain(|other, _| !other.eq_ignore_ascii_case(&name));
        if let Some(value) = value {
            all.insert(name, value);
        }
    }
    Ok(all)
}

/// Puts the credentials of the target before into a new one of the same origin that has none. No other server gets
/// them.
fn keep_credentials(target: &mut String, before: &str) {
    let (Ok(mut new), Ok(old)) = (Url::parse(target), Url::parse(before)) else {
        return;
    };
    let has = |url: &Url| !url.username().is_empty() || url.password().is_some();
    if has(&new) || !has(&old) || new.origin() != old.origin() {
        return;
    }
    // These fail only for URLs that cannot have credentials.
    let user = new.set_username(old.username());
    let password = new.set_password(old.password());
    if user.is_ok() && password.is_ok() {
        *target = new.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_stay_with_the_server_that_has_them() {
        for (target, before, expected) in [
            (
                "https://a.example/new",
                "https://u:p%40@a.example/old",
                "https://u:p%40@a.example/new",
            ),
            (
                "https://a.example:8443/new",
                "https://u:p@a.example/old",
                "https://a.example:8443/new",
            ),
            (
                "http://a.example/",
                "https://u:p@a.example/",
                "http://a.example/",
            ),
            (
                "https://b.example/",
                "https://u:p@a.example/",
                "https://b.example/",
            ),
            (
                "https://v:q@a.example/",
                "https://u:p@a.example/",
                "https://v:q@a.example/",
            ),
            (
                "https://a.example/x y",
                "https://a.example/",
                "https://a.example/x y",
            ),
            ("nonsense", "https://u:p@a.example/", "nonsense"),
        ] {
            let mut target = target.to_owned();
            keep_credentials(&mut target, before);
            assert_eq!(target, expected);
        }
    }
}
