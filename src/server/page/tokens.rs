//! What the buttons of the page with tokens do.

use axum::{extract::Form, response::Response};
use minijinja::context;
use serde::Deserialize;

use super::{
    actions::{ButtonForm, Outcome, respond},
    template::of,
    user::User,
};
use crate::{
    manage::{act::Act, scope::Scopes, tokens::NewToken},
    server::{problem::Problem, request::Path},
};

const SECONDS_OF_A_DAY: u64 = 24 * 60 * 60;

/// The form that issues a token. A box that is not ticked is not sent.
#[derive(Deserialize)]
pub(super) struct NewTokenForm {
    csrf: String,
    owner: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    days: String,
    test: Option<String>,
    deliveries: Option<String>,
    hooks: Option<String>,
}

impl NewTokenForm {
    fn scope(&self) -> Scopes {
        let given = [&self.test, &self.deliveries, &self.hooks].map(Option::is_some);
        if given == [true; 3] {
            return Scopes::all();
        }
        let words = ["test", "deliveries", "hooks"].into_iter().zip(given);
        let words: Vec<&str> = words
            .filter_map(|(word, is_given)| is_given.then_some(word))
            .collect();
        Scopes::parse(&words.join(" ")).unwrap_or_else(|_| Scopes::read())
    }

    fn expires_in(&self) -> Result<Option<u64>, Problem> {
        match self.days.trim() {
            "" => Ok(None),
            days => match days.parse::<u64>() {
                Ok(days @ 1..=36500) => Ok(Some(days * SECONDS_OF_A_DAY)),
                _ => Err(Problem::bad_request(
                    "the days are no whole number from 1 to 36500; leave them empty for a token without an end",
                )),
            },
        }
    }
}

/// `POST /tokens`: issues a token, and shows it this once.
pub(super) async fn add(user: User, Form(form): Form<NewTokenForm>) -> Response {
    let outcome = async {
        user.check(&form.csrf, Act::ChangeTokens)?;
        let new = NewToken {
            owner: form.owner.trim().to_owned(),
            name: form.name.trim().to_owned(),
            scope: form.scope(),
            expires_in: form.expires_in()?,
        };
        let made = user.admin().await?.issue_token(new).await?;
        Ok(Outcome::Page("token.html", context! { made => of(&made) }))
    };
    let outcome = outcome.await;
    respond(&user, "tokens", outcome)
}

/// `POST /tokens/{id}/revoke`: a token opens nothing any more.
pub(super) async fn revoke(
    user: User,
    Path(id): Path<i64>,
    Form(form): Form<ButtonForm>,
) -> Response {
    let outcome = async {
        user.check(&form.csrf, Act::ChangeTokens)?;
        user.admin().await?.revoke_token(id).await?;
        Ok(Outcome::Redirect("/tokens".to_owned()))
    };
    let outcome = outcome.await;
    respond(&user, "tokens", outcome)
}
