//! A client of the API, and the rowhook that it talks to.

use harness::{DEADLINE, Rowhook, until_within};
use reqwest::{Client, Method, header::HeaderMap};
use serde_json::{Value, json};

pub const ADMIN: &str = "admin-admin-admin-admin";

pub const JWT_SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A running rowhook, and a client of its API.
pub struct Api {
    pub base: String,
    client: Client,
    pub rowhook: Rowhook,
}

/// A response.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    async fn of(response: reqwest::Response) -> Self {
        Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// `[server]` on a free port, with these additional keys.
pub fn server(more: &str) -> String {
    format!("[server]\nlisten = \"127.0.0.1:0\"\nadmin_token = \"{ADMIN}\"\n{more}")
}

impl Api {
    pub async fn start(config: &str) -> Self {
        Self::of(Rowhook::start(config)).await
    }

    /// The API of this rowhook, once it is attached.
    pub async fn of(mut rowhook: Rowhook) -> Self {
        rowhook.until_log("attached slot=").await;
        let log = rowhook.log();
        let address = log.split("listening address=").nth(1).unwrap();
        let address = address.split_whitespace().next().unwrap();
        Self {
            base: format!("http://{address}"),
            client: Client::builder().no_proxy().build().unwrap(),
            rowhook,
        }
    }

    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<&Value>,
    ) -> Answer {
        self.ask_with(method, path, token, body, &[]).await
    }

    pub async fn ask_with(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        Answer::of(request.send().await.unwrap()).await
    }

    /// Sends a form.
    pub async fn form(&self, method: Method, path: &str, token: &str, form: &str) -> Answer {
        let request = self.client.request(method, format!("{}{path}", self.base));
        let request = request.header("authorization", format!("Bearer {token}"));
        let kind = "application/x-www-form-urlencoded";
        let request = request.header("content-type", kind).body(form.to_owned());
        Answer::of(request.send().await.unwrap()).await
    }

    pub async fn get(&self, path: &str, token: &str) -> Answer {
        self.ask(Method::GET, path, token, None).await
    }

    pub async fn post(&self, path: &str, token: &str, body: Value) -> Answer {
        self.ask(Method::POST, path, token, Some(&body)).await
    }

    /// Waits until it is attached.
    pub async fn until_ready(&self) {
        let ready = async || self.get("/health/ready", "").await.status == 200;
        until_within(DEADLINE, "it is ready", ready).await;
    }

    /// A token for an owner, made by the operator.
    pub async fn token(&self, owner: &str, scope: &str) -> String {
        let made = self
            .post(
                "/api/tokens",
                ADMIN,
                json!({"owner": owner, "scope": scope}),
            )
            .await;
        assert_eq!(made.status, 201, "{}", made.text);
        made.json()["token"].as_str().unwrap().to_owned()
    }
}

pub fn jwt(owner: &str) -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(JWT_SECRET.as_bytes());
    let claims = json!({"sub": owner, "exp": jsonwebtoken::get_current_timestamp() + 600});
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}
