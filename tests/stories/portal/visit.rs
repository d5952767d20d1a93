//! A visit to the portal without a browser.

use reqwest::{Client, Response, redirect};

/// Somebody whom a link has let in.
pub struct Visit {
    client: Client,
    base: String,
    /// The whole header that set the cookie.
    pub set_cookie: String,
    /// The name and the value of the cookie.
    pub cookie: String,
}

fn client() -> Client {
    let client = Client::builder().no_proxy();
    client.redirect(redirect::Policy::none()).build().unwrap()
}

impl Visit {
    /// Opens a link.
    pub async fn by(link: &str) -> Self {
        let client = client();
        let opened = client.get(link).send().await.unwrap();
        assert_eq!(opened.status().as_u16(), 303);
        let to = opened.headers()["location"].to_str().unwrap().to_owned();
        assert!(to.ends_with("/portal"), "{to}");
        let set_cookie = opened.headers()["set-cookie"].to_str().unwrap().to_owned();
        let (base, _) = link.split_once("/portal/enter/").unwrap();
        Self {
            client,
            base: base.to_owned(),
            cookie: set_cookie.split(';').next().unwrap().to_owned(),
            set_cookie,
        }
    }

    /// Opens a link that lets nobody in, and returns what the page says.
    pub async fn refused(link: &str) -> String {
        let opened = client().get(link).send().await.unwrap();
        assert_eq!(opened.status().as_u16(), 401);
        assert!(!opened.headers().contains_key("set-cookie"));
        opened.text().await.unwrap()
    }

    /// Asks whether there is something at a link, and returns the status.
    pub async fn head(link: &str) -> u16 {
        let asked = client().head(link).send().await.unwrap();
        asked.status().as_u16()
    }

    /// The same with another cookie.
    pub fn with_cookie(&self, cookie: &str) -> Self {
        Self {
            client: self.client.clone(),
            base: self.base.clone(),
            set_cookie: String::new(),
            cookie: cookie.to_owned(),
        }
    }

    /// The same at another server.
    pub fn at(&self, base: &str) -> Self {
        Self {
            base: base.to_owned(),
            ..self.with_cookie(&self.cookie)
        }
    }

    pub async fn get(&self, path: &str) -> Response {
        let request = self.client.get(format!("{}{path}", self.base));
        let request = request.header("cookie", &self.cookie);
        request.send().await.unwrap()
    }

    pub async fn text(&self, path: &str) -> String {
        self.get(path).await.text().await.unwrap()
    }

    pub async fn status(&self, path: &str) -> u16 {
        self.get(path).await.status().as_u16()
    }

    /// The word that the forms of this visit carry.
    pub async fn word(&self) -> String {
        let page = self.text("/portal").await;
        let field = page.split("name=\"csrf\" value=\"").nth(1);
        let field = field.unwrap_or_else(|| panic!("{page}"));
        field.split('"').next().unwrap().to_owned()
    }

    /// Sends a form with these headers, and returns the answer.
    pub async fn post(&self, path: &str, body: String, headers: &[(&str, &str)]) -> Response {
        let mut request = self.client.post(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let kind = "application/x-www-form-urlencoded";
        let request = request.header("cookie", &self.cookie);
        let request = request.header("content-type", kind).body(body);
        request.send().await.unwrap()
    }

    /// Presses a button, and returns the status.
    pub async fn press(&self, path: &str, fields: &str) -> u16 {
        let word = self.word().await;
        let sent = self.post(path, format!("csrf={word}{fields}"), &[]).await;
        sent.status().as_u16()
    }
}
