//! A visit to the page without a browser.

use reqwest::{Client, Response, redirect};

/// Whoever has a cookie of the page, and the word that its forms carry.
pub struct Visit {
    client: Client,
    base: String,
    cookie: String,
}

/// The value of the hidden field `csrf` on a page.
fn word_of(page: &str) -> String {
    let field = page.split("name=\"csrf\" value=\"").nth(1).unwrap();
    field.split('"').next().unwrap().to_owned()
}

/// Name and value of a cookie that an answer sets.
fn cookie_of(answer: &Response) -> String {
    let set = answer.headers()["set-cookie"].to_str().unwrap();
    set.split(';').next().unwrap().to_owned()
}

impl Visit {
    /// Nobody who is logged in.
    pub fn stranger(base: &str) -> Self {
        let client = Client::builder().no_proxy();
        let client = client.redirect(redirect::Policy::none()).build().unwrap();
        Self {
            client,
            base: base.to_owned(),
            cookie: String::new(),
        }
    }

    /// Logs in with a token.
    pub async fn with(base: &str, token: &str) -> Self {
        let mut visit = Self::stranger(base);
        let form = visit.get("/login").await;
        visit.cookie = cookie_of(&form);
        let word = word_of(&form.text().await.unwrap());
        let entered = visit
            .post("/login", &format!("token={token}&csrf={word}"))
            .await;
        assert_eq!(entered.status().as_u16(), 303);
        visit.cookie = cookie_of(&entered);
        visit
    }

    pub async fn get(&self, path: &str) -> Response {
        let request = self.client.get(format!("{}{path}", self.base));
        let sent = request.header("cookie", &self.cookie).send().await;
        sent.unwrap()
    }

    pub async fn text(&self, path: &str) -> String {
        self.get(path).await.text().await.unwrap()
    }

    pub async fn status(&self, path: &str) -> u16 {
        self.get(path).await.status().as_u16()
    }

    pub async fn post(&self, path: &str, body: &str) -> Response {
        let request = self.client.post(format!("{}{path}", self.base));
        let request = request.header("cookie", &self.cookie);
        let kind = "application/x-www-form-urlencoded";
        let request = request.header("content-type", kind).body(body.to_owned());
        request.send().await.unwrap()
    }

    /// Presses a button: posts a form with the word that the page gives.
    pub async fn press(&self, path: &str, fields: &str) -> Response {
        let word = word_of(&self.text("/hooks").await);
        self.post(path, &format!("csrf={word}{fields}")).await
    }
}
